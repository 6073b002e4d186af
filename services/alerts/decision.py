"""The decision in progress for one input: its facts in order, and the state after them.

Rows of incidents are collected and written once at the end; every other fact is recorded at once.
`AlertsDecision.list_changed_parts` names the indexes that the input changed, so that only
predicates that read them are evaluated. Tasks of people (rules D3, D5, D8 and D16 to D20) are one
per kind and subject.
"""

from bisect import insort
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple, TypeVar

from schemas.alerts import (
    DeadlineSettled,
    IncidentChanged,
    IncidentCounts,
    IncidentReported,
    IncidentRow,
    ReportRow,
    TaskChanged,
    TaskRow,
    TriggerRow,
)
from schemas.base import MINUTE_MS, Fact, Instant, Model, copy_with
from schemas.words import EventType, Level, TaskState
from services.alerts.deadlines import AlertsDeadline
from services.alerts.evolve import OPEN, evolve
from services.alerts.reference.territory import (
    ALL_CLEAR_MEASURE,
    SHOWN_REPORTS,
    TerritoryIndex,
)
from services.alerts.reports.report_facts import parse_number
from services.alerts.rows import SuppressionReason
from services.alerts.state import State
from services.runtime.decider.command_checks import check_version
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import Decision, Firing, Input, RefusedCommand

_M = TypeVar("_M", bound=Model)


def sort_by_id(rows: Iterable[_M]) -> list[_M]:
    """Sort rows by id, so that facts do not follow the order of a map.

    The order of a map depends on the hash seed of the process; the order of facts must not.
    """
    return sorted(rows, key=attrgetter("id"))


class Order(NamedTuple):
    """An order to leave a site or to shelter there, or its end."""

    incident: str
    code: str
    at: Instant
    source: str | None
    """Kind of source that gave it."""
    ended_status: str | None = None
    """The order that is over, in the word of its site status."""


class SiteDanger(NamedTuple):
    """A danger to people at a site of which somebody else than its manager tells."""

    incident: str
    type: EventType
    at: Instant
    source: str | None
    """Kind of source that told of it."""
    is_over: bool = False


_INDEXES = (
    "severities",
    "flags",
    "metrics",
    "cuts",
    "security",
    "illness",
    "absences",
    "forecasts",
    "presence",
    "placeless",
    "rumour_severities",
    "readings",
)
"""Indexes that `AlertsDecision.list_changed_parts` compares by identity."""


class AlertsDecision(Decision[State]):
    """A decision of alerts, with the incidents and topics that it changed."""

    __slots__ = (
        "_changes",
        "_ids",
        "_incidents",
        "_open_incidents",
        "_ordinals",
        "_start",
        "_topics",
        "clock",
        "concerned",
        "doubtful",
        "endangered",
        "ended",
        "level",
        "more_danger",
        "orders",
        "regrouped",
        "reopened",
        "site_dangers",
        "stirred",
        "turned",
        "unheard",
        "values",
        "withdrawn",
        "words",
    )

    def __init__(self, state: State, ids: Input | Firing) -> None:
        super().__init__(state, ids)
        if isinstance(ids, Firing):  # a deadline is decided at its due time
            self.now = ids.deadline.due
        self._start = state
        self.clock: Instant = ids.now
        """Current time of the realm. After a stall it is later than the due time of a deadline."""
        self.level: Level = state.level()
        """Level of the territory, as raised so far by this input."""
        self.words: dict[str, Instant] = {}
        """Site with a confirmed report in this input → `recorded_at` of that report."""
        self.doubtful: set[str] = set()
        """Sites to judge again at the end of the input."""
        self.stirred: dict[str, None] = {}
        """Changed causes, in order, to check for suppression. Rules D64 and D65."""
        self.ended: list[str] = []
        """Causes lifted in this input, to check the declarations that rest on them."""
        self.endangered: set[str] = set()
        """Incidents that became dangerous to people in this input."""
        self.more_danger: set[str] = set()
        """Incidents with one more danger to people that no call has announced yet."""
        self.orders: dict[str, Order] = {}
        """Sites to leave or to shelter in from this input on, or no longer."""
        self.site_dangers: dict[str, SiteDanger] = {}
        """Sites with a danger to people from this input on, of which others told."""
        self.withdrawn: set[str] = set()
        """Incidents of which a report was withdrawn or denied in this input. Rule D3."""
        self.unheard: dict[str, str] = {}
        """Sites in a hit zone of which nobody has heard from this input on → incident."""
        self.turned: set[str] = set()
        """Incidents that became suppressed, or are no longer. Rules D64 and D65."""
        self.reopened: set[str] = set()
        """Incidents that were closed and are open again.

        Their escalations ended with them, so they call again although their level has not risen.
        Rule D26, closed incidents.
        """
        self.regrouped: set[str] = set()
        """Incidents that a person made from reports of other incidents.

        Nothing new happened, so the level of the territory does not rise. Rule D25, merge
        and split.
        """
        self.concerned: set[str] = set()
        """Incidents with changed causes and an unchanged row of their own."""
        self.values: dict[tuple[int, str | None], float | None] = {}
        """Metric and scope → value; `levels.evaluate` clears them when their inputs may change."""
        self._ids = ids
        self._ordinals: dict[str, int] = {}
        self._incidents: dict[str, IncidentRow] = {}
        self._open_incidents: tuple[str, ...] | None = None
        """The value of `open_incidents` until an incident changes."""
        self._changes: dict[str, str] = {}
        self._topics: set[str] = set()

    @property
    def territory(self) -> TerritoryIndex:
        return self.state.rules.territory

    def derive(self, kind: str) -> str:
        """Return a new id for something that this input causes."""
        ordinal = self._ordinals.get(kind, 0)
        self._ordinals[kind] = ordinal + 1
        return self._ids.derive(kind, ordinal)

    def trial(self) -> "AlertsDecision":
        """Return a draft of the same input for facts that are not recorded."""
        return AlertsDecision(self.state, self._ids)

    def evolve(self, fact: Fact) -> State:
        return evolve(self.state, fact)

    def settle_deadline(self, key: AlertsDeadline) -> None:
        """Record that a deadline had its effects, so that it is disarmed."""
        self.emit(DeadlineSettled(key=str(key)))

    # ── incidents ────────────────────────────────────────────────────────────────────────────────────────────────

    def incident(self, id: str) -> IncidentRow:
        """Return the incident as this input leaves it. Raises KeyError."""
        return self._incidents.get(id) or self.state.incidents[id]

    def incidents(self, ids: Iterable[str]) -> Iterator[IncidentRow]:
        return (self.incident(i) for i in ids)

    def put_incident(self, row: IncidentRow, change: str) -> None:
        """Replace the row of an incident; `flush` writes it.

        The gravest of several changes in one input names the fact, as `_CHANGE_PRIORITY` orders
        them; of equals, the first.
        """
        before = self._incidents.get(row.id) or self.state.incidents.get(row.id)
        if before is None or (before.state in OPEN, before.quiet, before.severity > 0) != (
            row.state in OPEN,
            row.quiet,
            row.severity > 0,
        ):
            self._topics.add("incidents")
        if before is None or before.customers_cut != row.customers_cut:
            self._topics.add("customers")
        if before is not None and row.danger and not before.danger:
            self.endangered.add(row.id)
        self._incidents[row.id] = row
        self._open_incidents = None
        earlier_change = self._changes.get(row.id)
        if earlier_change is None or _CHANGE_PRIORITY.get(change, 9) > _CHANGE_PRIORITY.get(
            earlier_change, 9
        ):
            self._changes[row.id] = change

    def alter(self, id: str, change: str, **values: Any) -> IncidentRow:
        """Change fields of an incident and return its new row."""
        row = copy_with(self.incident(id), values)
        self.put_incident(row, change)
        return row

    def flush(self) -> None:
        """Write the incidents that changed."""
        for id, row in self._incidents.items():
            before, change = self.state.incidents.get(id), self._changes[id]
            recounted_row = None if before is None else _copy_counts(before, row)
            if before is None or (before != row and (change != "report" or recounted_row != row)):
                is_routed = (
                    before is None or before.outlook != row.outlook or before.level != row.level
                )
                self.emit(IncidentChanged(row=row, change=change, routed=is_routed))
            if before is not None and recounted_row != before:
                self.emit(
                    IncidentReported(
                        row=IncidentCounts(
                            id=id, **{name: getattr(row, name) for name in _COUNT_FIELDS}
                        )
                    )
                )
        self._incidents.clear()
        self._open_incidents = None
        self._changes.clear()

    @property
    def open_incidents(self) -> tuple[str, ...]:
        """Open incidents as this input leaves them, oldest first."""
        if "incidents" not in self._topics:
            return self.state.open_incidents
        if self._open_incidents is None:
            incident_ids = [i for i in self.state.open_incidents if i not in self._incidents]
            for row in self._incidents.values():
                if row.state in OPEN:
                    insort(incident_ids, row.id, key=lambda i: (self.incident(i).known_at, i))
            self._open_incidents = tuple(incident_ids)
        return self._open_incidents

    @property
    def covered_incidents(self) -> tuple[IncidentRow, ...]:
        """Open incidents, as this input leaves them, that may count for no predicate."""
        return self._open_among(self.state.covered_incidents)

    @property
    def cut_incidents(self) -> tuple[IncidentRow, ...]:
        """Open incidents, as this input leaves them, that may have customers cut."""
        return self._open_among(self.state.cut_incidents)

    def incidents_around(self, site: str | None) -> tuple[IncidentRow, ...]:
        """Open incidents, as this input leaves them, without those of other sites alone."""
        members = () if site is None else self.state.site_incidents.get(site, ())
        return self._open_among((*self.state.wide_incidents, *members))

    def _open_among(self, incident_ids: Iterable[str]) -> tuple[IncidentRow, ...]:
        """Return the open ones of these incidents and of those that this input changes."""
        ids = dict.fromkeys((*incident_ids, *self._incidents))
        return tuple(row for row in self.incidents(ids) if row.state in OPEN)

    @property
    def changed_incidents(self) -> tuple[str, ...]:
        """Incidents with a new row in this input that is not written yet."""
        return tuple(self._incidents)

    @property
    def new_triggers(self) -> tuple[TriggerRow, ...]:
        """Triggers of plans that this input made hold."""
        now, before = self.state.triggers, self._start.triggers
        if now is before:
            return ()
        held_triggers = (row for row in now.values() if row.state == "held")
        return tuple(
            row
            for row in held_triggers
            if (old := before.get(row.id)) is None or old.state != "held"
        )

    @property
    def moved_incidents(self) -> tuple[str, ...]:
        """Open incidents with a level that this input may have changed."""
        ids = {*self._incidents, *self.concerned}
        rows = [r for r in self.incidents(ids) if r.state in OPEN]
        return tuple(r.id for r in sorted(rows, key=lambda r: (r.known_at, r.id)))

    def find_reports(self, reports: Iterable[str]) -> list[ReportRow]:
        """Return the rows of the reports that the state still holds, in the given order."""
        return [row for row in map(self.state.reports.get, reports) if row is not None]

    def incident_of(self, report: str) -> str | None:
        """Return the incident of a report, or the one that it was merged into."""
        row = self.state.reports.get(report)
        return self.resolve_incident(row.incident) if row is not None else None

    def figures(self, incident: str) -> list[ReportRow]:
        """Return the reports of an incident that give a number of customers cut."""
        return [self.state.reports[r] for r in self.state.figures.get(incident, ())]

    def is_declared(self, incident: str) -> bool:
        """Return whether an official declaration of an incident holds, such as a water alert.

        Planned works alone declare nothing; an all-clear is none.
        """
        return any(
            self.resolve_incident(flag.incident) == incident
            for flag in self.state.flags.values()
            if flag.id.startswith("flag:")
            and flag.id != f"flag:{ALL_CLEAR_MEASURE}"
            and flag.is_true
        )

    def resolve_incident(self, incident: str | None) -> str | None:
        """Return the incident, or the one that it was merged into; None for a forgotten one."""
        while incident is not None:
            incident_row = self._incidents.get(incident) or self.state.incidents.get(incident)
            if incident_row is None:
                return None
            if incident_row.merged_into is None:
                break
            incident = incident_row.merged_into
        return incident

    @property
    def hushed_before(self) -> Map[str, SuppressionReason]:
        """Reports that were suppressed before this input."""
        return self._start.hushed

    # ── what predicates ask ──────────────────────────────────────────────────────────────────────────────────────

    def touch(self, topic: str) -> None:
        """Mark a topic outside the indexes as changed: `mark:<m>`, `out:<kind>` or `levels`."""
        self._topics.add(topic)

    def list_changed_parts(self) -> set[str]:
        """Return the indexes and topics that this input has changed so far."""
        now, start = self.state, self._start
        return self._topics | {
            name for name in _INDEXES if getattr(now, name) is not getattr(start, name)
        }

    def first_reports(self, incidents: Iterable[str]) -> tuple[str, ...]:
        """Return one report of each incident, at most `SHOWN_REPORTS`."""
        report_ids = (min(self.state.incident_reports.get(i, ()), default=None) for i in incidents)
        return tuple(r for r in report_ids if r is not None)[:SHOWN_REPORTS]

    def reports_with(self, measure: str, scope: str | None = None) -> tuple[str, ...]:
        """Return the newest confirmed reports that carry a measure, oldest first.

        Walks over all reports: call it only when a predicate begins to hold.
        """
        rows = [
            r
            for r in self.state.reports.values()
            if r.measure is not None
            and r.measure.name == measure
            and r.confirmation == "confirmed"
            and scope in (None, r.measure.scope)
        ]
        return tuple(r.id for r in sorted(rows, key=lambda r: (r.occurred_at, r.id)))[
            -SHOWN_REPORTS:
        ]

    def get_measure(self, report: str, measure: str) -> float:
        """Return the value of a measure in a report, 0 if the report carries another one."""
        row = self.state.reports.get(report)
        if row is None or row.measure is None or row.measure.name != measure:
            return 0.0
        return parse_number(row.measure.value) or 0.0


_COUNT_FIELDS: Final = tuple(name for name in IncidentCounts.model_fields if name != "id")


def _copy_counts(before: IncidentRow, row: IncidentRow) -> IncidentRow:
    """Return the incident as it was, with the counts and times that every report changes."""
    return copy_with(before, {name: getattr(row, name) for name in _COUNT_FIELDS})


_CHANGE_PRIORITY = {
    "merged": 9,
    "closed": 8,
    "reopened": 7,
    "split": 6,
    "opened": 5,
    "level": 4,
    "quiet": 4,
    "loud": 4,
    "acknowledged": 3,
    "member": 2,
    "zone": 1,
    "report": 0,
}


TaskKind = Literal[
    "verify_site",
    "verify_report",
    "link_denial",
    "link_site",
    "overdue_cause",
    "contested",
    "lift_which",
    "reentry",
    "sitrep",
    "improvement",
    "readiness_hole",
    "relief",
    "headcount",
    "instruction",
    "area_order",
]


def open_task(
    draft: AlertsDecision,
    kind: TaskKind,
    *,
    report: str | None = None,
    site: str | None = None,
    incident: str | None = None,
    candidates: tuple[str, ...] = (),
    due_at: Instant | None = None,
    owner: str | None = None,
    post: str | None = None,
    text_id: str | None = None,
    asked_by: str | None = None,
) -> None:
    """Open a task, unless the same one is open.

    Without `due_at`, the delay that the policy names for this kind applies.
    """
    if find_open_task(draft, kind, text_id or report or post or site or incident or "") is not None:
        return
    policy = draft.territory.policy
    if due_at is None and policy is not None and kind in policy.task_due_min:
        due_at = draft.now + policy.task_due_min[kind] * MINUTE_MS
    row = TaskRow(
        id=draft.derive("task"),
        kind=kind,
        state=TaskState.OPEN,
        opened_at=draft.now,
        due_at=due_at,
        site=site,
        incident=incident,
        report=report,
        candidates=candidates,
        owner=owner,
        post=post,
        text_id=text_id,
        asked_by=asked_by,
    )
    draft.emit(TaskChanged(row=row))


def get_sitrep_rhythm(draft: AlertsDecision, level: Level) -> int | None:
    """Return the minutes between two situation reports at a level; None without a rhythm."""
    policy = draft.territory.policy
    rules = policy.levels if policy is not None else ()
    return next((rule.sitrep_every_min for rule in rules if rule.level == level), None)


def find_open_task(draft: AlertsDecision, kind: TaskKind, subject: str) -> TaskRow | None:
    """Return the open or assigned task of this kind and subject."""
    id = _get_open_tasks(draft, kind).get(subject)
    return draft.state.tasks[id] if id is not None else None


def list_open_tasks(draft: AlertsDecision, kind: TaskKind) -> list[TaskRow]:
    """Return all open or assigned tasks of this kind, oldest first."""
    return sorted(
        (draft.state.tasks[id] for id in _get_open_tasks(draft, kind).values()),
        key=lambda t: (t.opened_at, t.id),
    )


def _get_open_tasks(draft: AlertsDecision, kind: TaskKind) -> Map[str, str]:
    return draft.state.open_tasks.get(kind, Map())


def cancel_task(draft: AlertsDecision, kind: TaskKind, subject: str, outcome: str) -> None:
    """Cancel a task that later facts have answered."""
    if (task := find_open_task(draft, kind, subject)) is not None:
        _close_task(draft, task, state=TaskState.VOID, outcome=outcome)


def complete_open_task(
    draft: AlertsDecision, kind: TaskKind, subject: str, author: str, outcome: str | None = "done"
) -> None:
    """Mark a task as done by the person that continuity names, if it is open."""
    if (task := find_open_task(draft, kind, subject)) is not None:
        complete_task(draft, task, author, outcome)


def _close_task(draft: AlertsDecision, row: TaskRow, **values: Any) -> None:
    draft.emit(TaskChanged(row=copy_with(row, {"done_at": draft.now, **values})))


def complete_task(draft: AlertsDecision, row: TaskRow, author: str, outcome: str | None) -> None:
    """Mark a task as done by a person."""
    _close_task(draft, row, state=TaskState.DONE, taken_by=row.taken_by or author, outcome=outcome)


def get_incident(draft: AlertsDecision, id: str, expected: int | None = None) -> IncidentRow:
    """Return an incident; refuse an unknown one (404) or another version than `expected` (412)."""
    if id not in draft.state.incidents:
        raise RefusedCommand(404, "incident_not_found", incident=id)
    row = draft.state.incidents[id]
    check_version(row, expected)
    return row


def require_open(row: IncidentRow) -> IncidentRow:
    """Return the incident if it is open; refuse it otherwise (409)."""
    if row.state not in OPEN:
        raise RefusedCommand(409, "incident_not_open", state=row.state.value)
    return row


def get_report(draft: AlertsDecision, id: str) -> ReportRow:
    """Return a report; refuse an unknown one (404)."""
    if id not in draft.state.reports:
        raise RefusedCommand(404, "report_not_found", report=id)
    return draft.state.reports[id]
