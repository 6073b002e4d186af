"""Play a scenario into the three real deciders in memory, in the steps that `vigie play` takes."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any, Self

import orjson

from schemas.base import MINUTE_MS
from schemas.reports import ReportReceived
from schemas.runtime import OpenRealm
from services.alerts.decider import AlertsDecider
from services.continuity.decider import ContinuityDecider
from services.continuity.reassignment.proposals import Proposals
from services.delivery.decider import DeliveryDecider
from services.delivery.simulated_channels import respond_to_fact
from services.intake.reports.acceptance import build_text_id
from services.intake.reports.deduplication import derive_keyed_id
from services.intake.reports.native import parse_report, prepare_report
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal
from services.runtime.testing import MemorySystem
from services.simulation.checks import RealmHistory
from services.simulation.scenarios import Scenario, load_scenario
from services.territory.publish import build_reference_commands
from tests.shipped import territory

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = ROOT / "scenarios"
PLAYER = Principal(id="player", role=Role.ADMIN)


def scenario(name: str) -> Scenario:
    return load_scenario(SCENARIOS, name)


class MemoryPlayer:
    """One realm in memory.

    `check=False` skips the fold of every record back from its bytes, `planner=False` the solving
    of proposals.
    """

    def __init__(
        self,
        played: Scenario,
        realm: str,
        *,
        sender: Principal = PLAYER,
        check: bool = False,
        responders: tuple[dict[str, Any], ...] = (),
        planner: bool = False,
    ) -> None:
        self.system = MemorySystem(
            {
                "alerts": AlertsDecider(),
                "continuity": ContinuityDecider(),
                "delivery": DeliveryDecider(),
            },
            respond_to_fact,
            check=check,
            planner=Proposals() if planner else None,
        )
        self.played, self.realm, self.sender = played, realm, sender
        self._reports: dict[str, str] = {}
        opening = OpenRealm(
            author=sender.id,
            role="admin",
            territory="92",
            title_code=played.id,
            started_at=played.opening,
            responders=responders,
        )
        self.system.feed("alerts", realm, opening, id=f"open:{realm}")
        for input_id, command in build_reference_commands(
            territory(), realm, "system:reference", "admin"
        ):
            self.system.feed("alerts", realm, command, id=input_id)

    def copy(self) -> Self:
        """Return a player of its own that continues from here."""
        copied = copy(self)
        copied.system, copied._reports = self.system.copy(check=False), self._reports.copy()
        return copied

    def report(self, event_id: str, body: dict[str, Any], at: int) -> None:
        """Send one report under the player's key, as intake writes it."""
        body = body | {
            "realm": self.realm,
            "references": [self._reports.get(r, r) for r in body.get("references", ())],
        }
        claim = prepare_report(
            parse_report(orjson.dumps(body)), self.sender, "92", lambda _, reference: reference
        )
        report_id = self._reports[event_id] = derive_keyed_id(
            self.realm, self.sender.id, f"{self.realm}:{event_id}"
        )
        message = ReportReceived.model_validate(
            claim.message | {"report_id": report_id, "text_id": build_text_id(report_id)}
        )
        self.system.feed("alerts", self.realm, message, id=report_id, at=at)

    def play(self, until: int) -> None:
        """Play all events up to `until`, then move the clock to `until`."""
        self.play_on(-1, until)

    def play_on(self, after: int, until: int) -> None:
        """Play the events after a time, up to `until`, then move the clock to `until`."""
        for event in self.played.events:
            if not after < event.reported_at <= until:
                continue
            self.system.step(self.realm, event.reported_at)
            self.report(event.id, event.body, event.reported_at)
        self.system.step(self.realm, until)

    def history(self) -> RealmHistory:
        sites = {s.id: {"kind": s.kind, "pole": s.pole} for s in territory().sites}
        return RealmHistory(self.played.start, self.system.facts(self.realm), sites)


def played_to(
    name: str,
    at_min: float,
    realm: str = "92~ex-memory",
    *,
    planner: bool = False,
    whole: bool = True,
) -> MemoryPlayer:
    """Return a scenario played in memory to T + `at_min`, but at least to its end if `whole`."""
    player = MemoryPlayer(scenario(name), realm, planner=planner)
    at = player.played.start + int(at_min * MINUTE_MS)
    player.play(max(at, player.played.end) if whole else at)
    return player
