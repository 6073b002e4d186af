"""Realm of alerts in memory: scenarios in conductor order, single reports and current rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from schemas.base import MINUTE_MS, Command, Fact, Message, RowFact
from schemas.reference import MeasuresSection, Roster, RosterSection
from schemas.reports import Measure, ReportReceived, Window
from schemas.runtime import CommandApplied, CommandRefused, OpenRealm, StepTo, Tick
from schemas.wire import part_collections
from schemas.words import Certainty, EventType, MsgType
from services.alerts.decider import AlertsDecider
from services.alerts.state import State
from services.runtime.testing import MemoryService
from services.simulation.checks import RealmHistory
from services.simulation.scenarios import Event, Scenario, load_scenario
from services.territory.publish import build_reference_commands
from tests.shipped import territory

ROOT = Path(__file__).parents[3]
PARIS = ZoneInfo("Europe/Paris")
START = int(datetime(2027, 2, 11, 9, 40, tzinfo=PARIS).timestamp() * 1000)
"""T+0 of a scene that is not a scenario: a Thursday morning."""


@cache
def scenario(id: str) -> Scenario:
    return load_scenario(ROOT / "scenarios", id)


def _instant(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def report_of(event: Event) -> ReportReceived:
    """Build the report that intake makes of the body of a scenario event."""
    b = event.body
    m = b.get("measure")
    certainty = Certainty.RUMOUR if b.get("rumour") else Certainty(b.get("certainty", "confirmed"))
    return ReportReceived(
        report_id=f"r-{event.id}",
        source=b["source"]["name"],
        source_key="player",
        site_id=b.get("site_id"),
        commune=b.get("commune"),
        zone=tuple(b.get("zone", ())),
        type=EventType(b["type"]),
        severity=b["severity"],
        certainty=certainty,
        msg_type=MsgType(b.get("msg_type", "Alert")),
        references=tuple(b.get("references", ())),
        alias=b.get("alias"),
        occurred_at=_instant(b["occurred_at"]),
        recorded_at=event.reported_at,
        effective=tuple(
            Window(start=_instant(w["from"]), end=_instant(w["to"]) if "to" in w else None)
            for w in b.get("effective", ())
        ),
        expected_duration_h=b.get("expected_duration_h"),
        estimated_end=_instant(b["estimated_end"]) if "estimated_end" in b else None,
        capacity_lost_pct=b.get("capacity_lost_pct"),
        persons_concerned=b.get("persons_concerned"),
        measure=Measure(**m) if m else None,
        phenomenon=b.get("phenomenon"),
        colour=b.get("colour"),
        lifts=tuple(EventType(t) for t in b.get("lifts", ())),
        affected_activities=tuple(b.get("affected_activities", ())),
        plan_hint=b.get("plan_hint"),
    )


@cache
def _opened(realm: str, at: int) -> MemoryService[State]:
    """Open a realm with the reference data in force; make it once and copy it for each scene."""
    return _open(realm, at, None)


def _open(realm: str, at: int, roster: Roster | None) -> MemoryService[State]:
    service = MemoryService(AlertsDecider(), check=False)
    service.feed(
        realm,
        OpenRealm(author="system:test", role="admin", territory="92", started_at=at),
        id="open",
        at=at,
    )
    for id, section in build_reference_commands(territory(), realm, "system:test", "admin"):
        replaced = roster is not None and isinstance(section.data, RosterSection)
        command = (
            section.model_copy(update={"data": RosterSection(roster=roster)})
            if replaced
            else section
        )
        service.feed(realm, command, id=id, at=at)
    return service


def entitled_source(said: dict[str, Any]) -> str:
    """Return the default source of a report: the site's manager, if entitled (D76)."""
    measure = said.get("measure")
    rules = next(s.rules for s in territory().sections if isinstance(s, MeasuresSection))
    if said.get("colour") is not None:
        vigilances = [v for v in rules.vigilances if said.get("phenomenon") in v.phenomena]
        return (vigilances or rules.vigilances)[0].sources[0]
    rule = next((r for r in rules.measures if measure is not None and r.name == measure.name), None)
    wide = rule is not None and (
        not rule.scopes or (measure.scope or "site").partition(":")[0] in rule.scopes
    )
    return (
        rule.sources[0]
        if rule is not None and wide and "site_manager" not in rule.sources
        else "site_manager"
    )


@dataclass
class Scene:
    """One simulated realm."""

    start: int = START
    opened: int | None = None
    """Opening time of the realm, if before T+0."""
    realm: str = "92~test-scene"
    check: bool = False
    """Fold every record back and compare: slow, for property tests."""
    roster: Roster | None = None
    """Instead of the territory's own."""
    service: MemoryService[State] = field(init=False)
    _count: int = 0

    def __post_init__(self) -> None:
        opened = self.start if self.opened is None else self.opened
        made = (
            _opened(self.realm, opened)
            if self.roster is None
            else _open(self.realm, opened, self.roster)
        )
        self.service = made.copy(check=self.check)
        assert self.state.version == territory().version

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────

    def feed(self, message: Message, *, at: int | None = None, id: str | None = None) -> list[Fact]:
        """Send one input at `at` (ms UTC) and return the facts that it caused."""
        self._count += 1
        self.service.feed(self.realm, message, id=id or f"in-{self._count}", at=at)
        return list(self.service.log.newest(self.realm).messages)

    def at(self, minute: float) -> int:
        """Return T + `minute` in ms UTC."""
        return self.start + int(minute * MINUTE_MS)

    def report(
        self,
        minute: float,
        type: str,
        site: str | None = None,
        *,
        occurred: float | None = None,
        id: str | None = None,
        **values: Any,
    ) -> str:
        """Send a confirmed report of severity 3, recorded at T + minute, and return its id.

        Its source is the site's manager, or an entitled source (D76) for a measure or colour of
        others.
        """
        self._count += 1
        id = id or f"rep-{self._count}"
        report_fields = {"source": entitled_source(values), "severity": 3} | values
        message = ReportReceived(
            report_id=id,
            site_id=site,
            type=EventType(type),
            occurred_at=self.at(minute if occurred is None else occurred),
            recorded_at=self.at(minute),
            **report_fields,
        )
        self.feed(message, at=self.at(minute), id=id)
        return id

    def step(self, minute: float) -> list[Fact]:
        """Move the clock, through every deadline."""
        return self.feed(StepTo() if "~" in self.realm else Tick(), at=self.at(minute))

    def command(
        self, command: Command, minute: float | None = None
    ) -> CommandApplied | CommandRefused:
        """Send a decision and return its answer."""
        facts = self.feed(command, at=None if minute is None else self.at(minute))
        answers = [f for f in facts if isinstance(f, CommandApplied | CommandRefused)]
        assert len(answers) == 1, facts
        return answers[0]

    def play(
        self, scenario: Scenario, events: Iterable[Event] | None = None, until: float | None = None
    ) -> None:
        """Play events and deadlines in the order of the conductor."""
        for event in scenario.events if events is None else events:
            if until is not None and event.reported_at > self.at(until):
                break
            self.feed(report_of(event), at=event.reported_at, id=event.id)
        if until is not None:
            self.step(until)

    # ── what stands ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def state(self) -> State:
        return self.service.state(self.realm)

    @property
    def facts(self) -> list[Fact]:
        return self.service.facts(self.realm)

    def named(self, type_: type[Fact]) -> list[Any]:
        return [f for f in self.facts if type(f) is type_]

    def site(self, id: str) -> Any:
        return self.state.sites[id]

    def status(self, id: str) -> str:
        row = self.state.sites.get(id)
        return row.status.value if row else "normal"

    def incidents(self) -> list[Any]:
        """Open incidents, oldest first."""
        return [self.state.incidents[i] for i in self.state.open_incidents]

    def incident_of(self, report: str) -> Any:
        incident = self.state.reports[report].incident
        return self.state.incidents[incident] if incident else None

    def history(self) -> RealmHistory:
        """Return the facts as the checks of `vigie play --check` read them."""
        records = [
            f for stored in self.service.log.of(self.realm) for f in stored.transaction.facts
        ]
        return RealmHistory(
            self.start, records, {s.id: {"kind": s.kind, "pole": s.pole} for s in territory().sites}
        )


def rows(facts: Iterable[Fact]) -> dict[str, dict[str, Any]]:
    """Return the read model: last row per collection and id, with the fields of its part."""
    rows_by_collection: dict[str, dict[str, Any]] = {}
    for fact in facts:
        if isinstance(fact, RowFact):
            rows_by_collection.setdefault(fact.collection, {})[fact.row.id] = fact.row  # type: ignore[attr-defined]
    for whole, part in part_collections().items():
        for id, row in rows_by_collection.get(part, {}).items():
            rows_by_collection[whole][id] = rows_by_collection[whole][id].model_copy(
                update={n: v for n, v in row if n != "id"}
            )
    return rows_by_collection
