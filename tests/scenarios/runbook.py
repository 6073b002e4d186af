"""Runbooks: events, and the messages on each device, without any other message.

The three real deciders run in memory, with the simulated sender. Every provider call is a message
on a device; an unexpected one fails the test at the next `time_passes`, and at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from schemas.base import MINUTE_MS, Command, Instant
from schemas.commands import AcknowledgeIncident, AnswerNotification
from schemas.delivery import NotificationRow
from schemas.oncall import (
    ImportDuties,
    NoteReachability,
    OverrideDuty,
    Place,
    Reach,
    ReachRow,
    Shift,
)
from schemas.people.responders import Responder, parse_responders
from schemas.reports import ReportReceived
from schemas.runtime import CommandApplied, CommandRefused, OpenRealm, RealmOpened
from schemas.words import Answer, Channel, EventType
from services.alerts.decider import AlertsDecider
from services.continuity.decider import ContinuityDecider
from services.delivery.decider import DeliveryDecider
from services.delivery.simulated_channels import build_responses
from services.runtime.log.transaction import FactRecord
from services.runtime.simulation.conductor import SimulatedResponse
from services.runtime.testing import MemorySystem
from services.territory.publish import build_reference_commands
from tests.shipped import territory

PARIS = ZoneInfo("Europe/Paris")
THURSDAY = "2027-02-11T09:40"
NIGHT_OF_MARCH, NIGHT_OF_OCTOBER = "2027-03-28T01:00", "2027-10-31T01:00"
ACK, DECLINE = Answer.ACK, Answer.DECLINE


def paris(text: str, *, fold: int = 0) -> Instant:
    """Return an instant of Paris time, `2027-03-28T02:30`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=PARIS, fold=fold).timestamp() * 1000)


def _deciders() -> dict[str, Any]:
    return {
        "alerts": AlertsDecider(),
        "continuity": ContinuityDecider(),
        "delivery": DeliveryDecider(),
    }


@cache
def _opened(realm: str, at: Instant) -> MemorySystem:
    """Open a realm with the territory in force, once per start."""
    system = MemorySystem(_deciders(), check=False)
    system.feed(
        "alerts",
        realm,
        OpenRealm(author="system:test", role="admin", territory="92", started_at=at),
        id="open",
    )
    for id, command in build_reference_commands(territory(), realm, "system:reference", "admin"):
        system.feed("alerts", realm, command, id=id)
    return system


TO_MANAGERS = ("site_order", "site_danger", "verify_request")
"""Messages to managers about their own site, which no runbook is about."""


@dataclass(frozen=True, slots=True)
class Message:
    """One provider call."""

    id: str
    person: str
    channel: str
    row: NotificationRow

    def __str__(self) -> str:
        return f"{self.person}: {self.channel}, {self.row.template}, N{int(self.row.level)} wave {self.row.wave}"


class Runbook:
    """One realm. Times are minutes after its start; `time_passes` is the only way to go on."""

    def __init__(
        self,
        start: str = THURSDAY,
        realm: str = "92~test-runbook",
        world: MemorySystem | None = None,
    ) -> None:
        self.realm, self.start = realm, paris(start)
        self.now = self.start
        self.system = _opened(realm, self.start).copy(check=False) if world is None else world
        self._responders: tuple[Responder, ...] = ()
        self.system.conductor._responder = self._respond
        self._seen: set[str] = set()
        self._unexpected: list[Message] = []
        self._inputs = 0

    # ── devices ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _respond(self, fact: FactRecord, _opening: RealmOpened) -> Sequence[SimulatedResponse]:
        if fact.name != "NotificationChanged":
            return []
        row = NotificationRow.model_validate(fact.data["row"])
        responses = build_responses(row, self._responders)
        attempt = row.attempts[-1].id if row.attempts else ""
        return [
            SimulatedResponse(f"{attempt}:{type(message).__name__}", delay, message)
            for delay, message in responses
        ]

    def devices(self, *lines: dict[str, Any]) -> None:
        """Set the behaviour of devices and providers from now on.

        The first line that fits decides (docs/reference/responders.md).
        """
        self._responders = parse_responders(lines)

    def _look(self) -> None:
        for fact in self.system.facts(self.realm, ["delivery"]):
            if fact.name != "NotificationChanged":
                continue
            row = NotificationRow.model_validate(fact.data["row"])
            if row.template in TO_MANAGERS:
                continue
            for attempt in row.attempts:
                if attempt.id not in self._seen and attempt.state not in ("planned", "superseded"):
                    self._seen.add(attempt.id)
                    self._unexpected.append(
                        Message(attempt.id, row.person, attempt.channel.value, row)
                    )

    def expect(
        self,
        *devices: str,
        template: str | None = None,
        level: int | None = None,
        wave: int | None = None,
    ) -> None:
        """Expect exactly one message for `dgs:voice` since the last look, with these properties."""
        self._look()
        for device in devices:
            person, _, channel = device.partition(":")
            message = next(
                (m for m in self._unexpected if m.person == person and channel in ("", m.channel)),
                None,
            )
            assert message is not None, (
                f"{device} got nothing; there were {[str(m) for m in self._unexpected]}"
            )
            self._unexpected.remove(message)
            actual_properties = (message.row.template, int(message.row.level), message.row.wave)
            expected_properties = (
                template or actual_properties[0],
                actual_properties[1] if level is None else level,
                actual_properties[2] if wave is None else wave,
            )
            assert actual_properties == expected_properties, str(message)

    def nothing_else(self) -> None:
        """Expect no other message."""
        self._look()
        assert not self._unexpected, f"nobody expected {[str(m) for m in self._unexpected]}"

    def sent(self) -> list[Message]:
        """Take all messages since the last look: for crowds."""
        self._look()
        messages, self._unexpected = self._unexpected, []
        return messages

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────

    def feed(self, service: str, message: Any, id: str | None = None) -> list[Any]:
        self._inputs += 1
        done = self.system.feed(
            service, self.realm, message, id=id or f"in-{self._inputs}", at=self.now
        )
        self.system.step(self.realm, self.now)
        return [f.message() for f in done.facts]

    def time_passes(self, minutes: float) -> None:
        """Advance through every deadline, after all messages were expected."""
        self.nothing_else()
        self.now += round(minutes * MINUTE_MS)
        self.system.step(self.realm, self.now)

    def until(self, text: str, *, fold: int = 0) -> None:
        """Advance to this time of day in Paris."""
        self.time_passes((paris(text, fold=fold) - self.now) / MINUTE_MS)

    def report(self, type: str, site: str | None = "pmi-04", **values: Any) -> str:
        """Send a confirmed report of severity 2 from the manager of the site."""
        report_fields = {
            "source": "site_manager",
            "severity": 2,
            "occurred_at": self.now,
            "recorded_at": self.now,
        } | values
        id = f"report-{self._inputs}"
        self.feed(
            "alerts",
            ReportReceived(report_id=id, site_id=site, type=EventType(type), **report_fields),
            id=id,
        )
        return id

    def answers(self, person: str, answer: Answer = ACK, channel: str = "sms") -> None:
        """Answer the newest call of this person."""
        call = max(
            self.notifications(person), key=lambda r: (r.planned_at, r.cycle or 0, r.wave or 0)
        )
        self.feed(
            "delivery",
            AnswerNotification(
                author=person,
                role="on_call",
                notification=call.id,
                person=person,
                answer=answer,
                channel=channel,
            ),
        )

    def notifications(self, person: str) -> list[NotificationRow]:
        """List calls of this person that ask for an answer."""
        rows = self.system.services["delivery"].state(self.realm).notifications.values()
        return [r for r in rows if r.person == person and r.answer_expected]

    def decides(
        self,
        kind: type[Command],
        author: str = "coord-pca",
        role: str = "coordinator",
        **values: Any,
    ) -> CommandApplied:
        """Send a decision that must be applied."""
        answer = self.asks(kind, author, role, **values)
        assert isinstance(answer, CommandApplied), answer
        return answer

    def asks(
        self,
        kind: type[Command],
        author: str = "coord-pca",
        role: str = "coordinator",
        service: str = "alerts",
        **values: Any,
    ) -> Any:
        """Send a decision and return its answer."""
        facts = self.feed(
            service,
            kind.model_validate({"author": author, "role": role, "reason": "text:r"} | values),
        )
        return next(f for f in facts if isinstance(f, CommandApplied | CommandRefused))

    def takes_in_charge(self, person: str, incident: str) -> None:
        self.decides(AcknowledgeIncident, author=person, role="cell", incident=incident)

    # ── who is on call ───────────────────────────────────────────────────────────────────────────────────────────

    def replaces(
        self,
        person: str | None,
        start: str,
        end: str,
        role: str = "astreinte_technique",
        **values: Any,
    ) -> CommandApplied:
        """Override a place of a role for a while."""
        return self.decides(
            OverrideDuty,
            person=person,
            start=paris(start),
            end=paris(end),
            role_on_call=role,
            **values,
        )

    def calendar(
        self,
        *shifts: tuple[str, str, str],
        role: str = "astreinte_technique",
        place: Place = Place.HOLDER,
    ) -> None:
        """Import a calendar: (person, from, to)."""
        made = tuple(Shift(start=paris(a), end=paris(b), person=p) for p, a, b in shifts)
        span = {"start": min(s.start for s in made), "end": max(s.end for s in made)}
        self.decides(
            ImportDuties, role_on_call=role, place=place, calendar="essai", shifts=made, **span
        )

    def reaches(self, person: str, *channels: str, quiet: tuple[int, int] | None = None) -> None:
        """Set the directory's channels of a person."""
        points = tuple(
            Reach(channel=Channel(c), verified_at=self.start, quiet=quiet) for c in channels
        )
        self.decides(NoteReachability, people=(ReachRow(id=person, points=points),))

    # ── what stands ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def alerts(self) -> Any:
        return self.system.services["alerts"].state(self.realm)

    def incident(self, number: int = 0) -> Any:
        """Open incidents, oldest first."""
        return self.alerts.incidents[self.alerts.open_incidents[number]]

    def ladder(self, scope: str | None = None) -> Any:
        """Return the newest escalation of the first incident, or of this scope."""
        return self.alerts.escalations[self.alerts.ladders[scope or self.incident().id]]

    def facts(self, name: str) -> list[Any]:
        return [f.message() for f in self.system.facts(self.realm, ["alerts"]) if f.name == name]
