"""Read the history of a realm from its logs, and extract milestones and counts."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from schemas.base import MINUTE_MS, Instant
from schemas.topics import PARTITION_COUNT, SERVICES, partition_of
from services.runtime.log.reader import LogReader
from services.runtime.log.transaction import FactRecord
from services.runtime.process.settings import Settings


async def read_history_by_service(settings: Settings, realm: str) -> dict[str, list[FactRecord]]:
    """Read the facts of one realm by service, in log order.

    Raises KafkaError and Stop.
    """
    facts: dict[str, list[FactRecord]] = {}
    for service in SERVICES:
        async with LogReader(
            settings.kafka, service, partitions=[partition_of(realm, PARTITION_COUNT)]
        ) as reader:
            facts[service] = [
                f
                async for a in reader.read_to_end()
                if a.transaction.realm == realm
                for f in a.transaction.facts
            ]
    return facts


async def read_history(settings: Settings, realm: str) -> list[FactRecord]:
    """Read the facts of one realm, service after service in log order.

    Raises KafkaError and Stop.
    """
    return [
        fact
        for facts in (await read_history_by_service(settings, realm)).values()
        for fact in facts
    ]


class Milestone(NamedTuple):
    """An event that counts once, at its first time."""

    kind: Literal["level", "incident", "person", "plan", "activity"]
    of: str
    what: str
    incident: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One milestone with its time in both replays."""

    milestone: Milestone
    before: Instant | None
    after: Instant | None

    @property
    def minutes(self) -> float | None:
        """Delay in minutes with the change; negative = earlier; None if only one replay has it."""
        return (
            None
            if self.before is None or self.after is None
            else (self.after - self.before) / MINUTE_MS
        )

    @property
    def worse(self) -> bool:
        """True if a person is called, reached or answers later than before, or no longer at all."""
        if self.milestone.kind != "person" or self.before is None:
            return False
        return self.after is None or self.after > self.before


@dataclass(frozen=True, slots=True)
class HistorySummary:
    """Milestones and counts of one history."""

    milestones: dict[Milestone, Instant] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


def summarise_history(facts: Iterable[FactRecord]) -> HistorySummary:
    """Return the course of a history.

    `facts` come service after service in log order.
    """
    course = HistorySummary()
    numbers: dict[str, str] = {}
    notifications: dict[str, dict[str, Any]] = {}
    for fact in facts:
        match fact.name:
            case "IncidentChanged":
                numbers[fact.data["row"]["id"]] = fact.data["row"]["number"]
                _note_incident(course, fact.data["row"], fact.at)
            case "LevelChanged" if fact.data["row"]["id"] == "territory":
                for level in range(1, fact.data["row"]["level"] + 1):
                    _note_milestone(course, Milestone("level", "territory", f"N{level}"), fact.at)
            case "PlanChanged":
                _note_milestone(
                    course,
                    Milestone("plan", fact.data["row"]["id"], fact.data["row"]["state"]),
                    fact.at,
                )
            case "ActivityChanged":
                _note_activity(course, fact.data["row"], fact.at)
            case "NotificationChanged":
                notifications[fact.data["row"]["id"]] = fact.data["row"]
            case "RoleUncovered":
                course.counts["roles_uncovered"] += 1
            case "AlarmRaised":
                course.counts["alarms"] += 1
            case _:
                pass
    for row in notifications.values():
        _note_person(course, row, numbers)
    course.counts["messages"] = len(notifications)
    course.counts["messages_failed"] = sum(
        row["state"] == "failed" for row in notifications.values()
    )
    course.counts["incidents"] = len(numbers)
    return course


def _note_milestone(course: HistorySummary, milestone: Milestone, at: Instant) -> None:
    course.milestones[milestone] = min(at, course.milestones.get(milestone, at))


def _note_incident(course: HistorySummary, row: Mapping[str, Any], at: Instant) -> None:
    _note_milestone(course, Milestone("incident", row["number"], row["state"]), at)
    for level in range(1, row["level"] + 1):
        _note_milestone(course, Milestone("incident", row["number"], f"N{level}"), at)


def _note_activity(course: HistorySummary, row: Mapping[str, Any], at: Instant) -> None:
    if row["state"] != "nominal":
        _note_milestone(course, Milestone("activity", row["id"], row["state"]), at)
    for clock in ("rto", "dmia"):
        if row[clock] is not None and row[clock]["consumed_pct"] >= 100:
            _note_milestone(course, Milestone("activity", row["id"], f"{clock}_exceeded"), at)


def _note_person(
    course: HistorySummary, row: Mapping[str, Any], numbers: Mapping[str, str]
) -> None:
    """Note the call, receipt and answer of a notification by role.

    Persons are not compared: a change may name others for the same role.
    """
    post = row["role"] if row["scope"] is None else f"{row['role']} {row['scope']}"
    incident = numbers.get(row["incident"] or "", "")
    times = {
        "called": row["planned_at"],
        "reached": row["receipt_at"] or row["sent_at"],
        "answered": row["acknowledged_at"],
    }
    for what, at in times.items():
        if at is not None:
            _note_milestone(course, Milestone("person", post, what, incident), at)


def compare_summaries(before: HistorySummary, after: HistorySummary) -> list[Difference]:
    """List the milestones at different times in both courses, by kind, then by time."""
    differences = [
        Difference(m, before.milestones.get(m), after.milestones.get(m))
        for m in {*before.milestones, *after.milestones}
        if before.milestones.get(m) != after.milestones.get(m)
    ]
    return sorted(
        differences, key=lambda d: (d.milestone.kind, d.before or d.after or 0, d.milestone)
    )
