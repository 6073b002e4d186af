"""Rows of a crisis: incidents, escalations, tasks, windows, statements, handovers, obligations."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from schemas.alerts import (
    FlagChanged,
    IncidentReported,
    IncidentRow,
    TaskRow,
    ThresholdChanged,
    TriggerMeasured,
)
from schemas.base import Instant
from schemas.calling import EscalationChanged, EscalationRow, NotificationPlanned
from schemas.crisis.actions import ActionRow
from schemas.crisis.communication import QuestionRow, QuestionState, StatementRow, StatementState
from schemas.crisis.handovers import OPEN_HANDOVER_STATES, HandoverRow
from schemas.crisis.maintenance import LeaseRow, MaintenanceRow
from schemas.crisis.obligations import ObligationRow, ObligationState
from schemas.words import IncidentState, Level, TaskState
from services.alerts.deadlines import (
    AcknowledgementStale,
    ActionDue,
    AllClearDue,
    EscalationDue,
    FlagDue,
    LeaseDue,
    MoveDue,
    ObligationDue,
    SilenceDue,
    ThresholdRearmed,
    WindowDue,
    YellowDigestDue,
)
from services.alerts.reference.constants import REARM_MS
from services.alerts.rows import Changes, copy_with, set_or_drop
from services.alerts.state import State, Threshold, insert_sorted, remove_sorted, without_key
from services.runtime.decider.deadlines import Deadlines
from services.runtime.decider.maps import Map

_KEPT_CLOSED: Final = 64


OPEN: Final = frozenset({IncidentState.OPEN, IncidentState.ACKNOWLEDGED})


def evolve_incident(s: State, row: IncidentRow) -> State:
    old = s.incidents.get(row.id)
    incidents = s.incidents.set(row.id, row)
    d: Changes = {"incidents": incidents}
    if old is None:
        day = row.number.rpartition("-")[0]
        d["numbers"] = s.numbers.set(day, s.numbers.get(day, 0) + 1)
    if row.state is IncidentState.MERGED:
        d["agenda"], d["merged_incidents"] = (
            _arm_move(s, old, row),
            s.merged_incidents.set(row.id, None),
        )
    if (old is not None and old.state in OPEN) != (row.state in OPEN):
        d["open_incidents"] = _move_open(s, row)
        if row.state not in OPEN:
            d |= _drop_deadlines(s.put(agenda=d.get("agenda", s.agenda)), row.id)
    if (old is not None and old.state is IncidentState.CLOSED) != (
        row.state is IncidentState.CLOSED
    ):
        closed = row.state is IncidentState.CLOSED
        ids = (
            {*s.closed_incidents, row.id}
            if closed
            else {i for i, r in incidents.items() if r.state is IncidentState.CLOSED}
        )
        d["closed_incidents"] = tuple(sorted(ids, key=lambda i: (incidents[i].closed_at or 0, i)))[
            -_KEPT_CLOSED:
        ]
    is_open = row.state in OPEN
    covered = is_open and (row.quiet == "maintenance" or not row.severity)
    for name, belongs in (
        ("covered_incidents", covered),
        ("wide_incidents", is_open and row.kind != "site"),
        ("cut_incidents", is_open and row.customers_cut is not None),
    ):
        members: Map[str, None] = getattr(s, name)
        if belongs != (row.id in members):
            d[name] = members.set(row.id, None) if belongs else members.delete(row.id)
    before, after = (old.members if old else ()), row.members
    if before is not after and before != after:
        index, come = s.site_incidents, set(after).difference(before)
        gone = (
            set(before).difference(after) if len(before) + len(come) != len(after) else set[str]()
        )
        for site in come:
            index = index.set(site, insert_sorted(index.get(site, ()), row.id))
        for site in gone:
            index = set_or_drop(index, site, remove_sorted(index.get(site, ()), row.id))
        d["site_incidents"] = index
    return s.put(**d)


def _move_open(s: State, row: IncidentRow) -> tuple[str, ...]:
    """Return the open incidents, oldest first, after a change of one."""
    ids = [i for i in s.open_incidents if i != row.id]
    if row.state in OPEN:
        place = (row.known_at, row.id)
        at = bisect_left(ids, place, key=lambda i: (s.incidents[i].known_at, i))
        ids.insert(at, row.id)
    return tuple(ids)


def evolve_incident_counts(s: State, fact: IncidentReported) -> State:
    """Evolve by reports that changed only the counts and times of their incident."""
    return evolve_incident(s, copy_with(s.incidents[fact.row.id], fact.row.__dict__))


def _arm_move(s: State, old: IncidentRow | None, row: IncidentRow) -> Deadlines:
    """Arm a deadline for each batch of reports that a merged incident still has to move."""
    agenda = s.agenda if old is None else s.agenda.arm(MoveDue(old.id, old.reports_count), None)
    has_reports = row.reports_count and row.id in s.incident_reports
    return agenda.arm(MoveDue(row.id, row.reports_count), row.updated_at) if has_reports else agenda


def _drop_deadlines(s: State, incident: str) -> Changes:
    """Drop the pending judgements and the thresholds of a closed or merged incident."""
    agenda, zone = s.agenda, s.zones.get(incident)
    d: Changes = {}
    if zone is not None:
        for due in zone.batches:
            agenda = agenda.arm(SilenceDue(incident, due), None)
        agenda = agenda.arm(AllClearDue(incident), None)
        d["zones"] = s.zones.set(
            incident, replace(zone, batches=Map(), all_clear=None, all_clear_due=None)
        )
    thresholds = s.thresholds
    for id in s.thresholds:
        if id.endswith(f"@{incident}"):
            thresholds, agenda = thresholds.delete(id), agenda.arm(ThresholdRearmed(id), None)
    return d | {"thresholds": thresholds, "agenda": agenda}


def evolve_threshold(s: State, fact: ThresholdChanged) -> State:
    key = ThresholdRearmed(fact.id)
    if not fact.held:
        return s.put(thresholds=without_key(s.thresholds, fact.id), agenda=s.agenda.arm(key, None))
    due = None if fact.below_since is None else fact.below_since + REARM_MS
    threshold = Threshold(fact.since, fact.below_since, fact.incident)
    return s.put(thresholds=s.thresholds.set(fact.id, threshold), agenda=s.agenda.arm(key, due))


def evolve_escalation(s: State, fact: EscalationChanged) -> State:
    row = fact.row
    due = row.next_at if row.state == "running" else None
    stale = row.stale_at if row.state == "answered" else None
    agenda = s.agenda.arm(EscalationDue(row.id), due).arm(AcknowledgementStale(row.id), stale)
    d: Changes = {"escalations": s.escalations.set(row.id, row), "agenda": agenda}
    newest = s.ladders.get(row.scope)
    if newest is None or newest == row.id or _build_rank(s.escalations[newest]) <= _build_rank(row):
        d["ladders"] = s.ladders.set(row.scope, row.id)
    if (successor := row.superseded_by) is not None:
        before = insert_sorted(s.predecessors.get(successor, ()), row.id)
        d["predecessors"] = s.predecessors.set(successor, before)
    return s.put(**d)


def _build_rank(row: EscalationRow) -> tuple[Instant, bool, Level, str]:
    """Return the sort key among the escalations of one scope.

    The clock of an exercise may stand still: of two that started together the running one is newer.
    """
    return row.started_at, row.state not in ("superseded", "ended"), row.level, row.id


def evolve_notification(s: State, fact: NotificationPlanned) -> State:
    return s.put(calls=s.calls.set(fact.notification, fact)) if fact.escalation is not None else s


def trigger_measured(s: State, fact: TriggerMeasured) -> State:
    """Keep the values that were told of a trigger."""
    row = s.triggers.get(fact.row.id)
    if row is None:
        return s
    return s.put(triggers=s.triggers.set(row.id, copy_with(row, {"current": fact.row.current})))


def evolve_flag(s: State, fact: FlagChanged) -> State:
    row = fact.row
    agenda = s.agenda.arm(
        FlagDue(row.id), row.until if row.effective_from is None else row.effective_from
    )
    return s.put(
        flags=s.flags.set(row.id, row), agenda=agenda.arm(YellowDigestDue(row.id), row.digest_at)
    )


def evolve_task(s: State, row: TaskRow) -> State:
    of_kind, subject = s.open_tasks.get(row.kind, Map()), get_subject(row)
    if row.state in (TaskState.OPEN, TaskState.TAKEN):
        of_kind = of_kind.set(subject, row.id)
    elif of_kind.get(subject) == row.id:
        of_kind = of_kind.delete(subject)
    open_tasks = (
        s.open_tasks.set(row.kind, of_kind) if of_kind else without_key(s.open_tasks, row.kind)
    )
    return s.put(tasks=s.tasks.set(row.id, row), open_tasks=open_tasks)


def evolve_action(s: State, row: ActionRow) -> State:
    return s.put(
        actions=s.actions.set(row.id, row), agenda=s.agenda.arm(ActionDue(row.id), row.next_at)
    )


def get_subject(row: TaskRow) -> str:
    """Return the subject of a task: its words, else report, role, site or incident.

    One task is open per kind and subject.
    """
    return row.text_id or row.report or row.post or row.site or row.incident or ""


def evolve_handover(s: State, row: HandoverRow) -> State:
    return s.put(handovers=s.handovers.set(row.id, row))


def is_kept_handover(s: State, row: HandoverRow, before: Instant) -> bool:
    """Return whether a handover is still needed: open ones, recent ones, and the last number."""
    newest = max(one.number for one in s.handovers.values())
    is_open = row.state in OPEN_HANDOVER_STATES
    return is_open or row.changed_at >= before or row.number == newest


def evolve_maintenance(s: State, row: MaintenanceRow) -> State:
    old, agenda = s.maintenance.get(row.id), s.agenda
    if old is not None:
        agenda = agenda.arm(WindowDue(old.id, old.sweep), None)
    change = insert_sorted if row.state == "active" else remove_sorted
    return s.put(
        maintenance=s.maintenance.set(row.id, row),
        agenda=agenda.arm(WindowDue(row.id, row.sweep), row.next_at),
        active_windows=change(s.active_windows, row.id),
    )


def evolve_lease(s: State, row: LeaseRow) -> State:
    due = row.until if row.state == "held" else None
    return s.put(leases=s.leases.set(row.id, row), agenda=s.agenda.arm(LeaseDue(row.id), due))


def evolve_statement(s: State, row: StatementRow) -> State:
    return s.put(statements=s.statements.set(row.id, row))


def evolve_question(s: State, row: QuestionRow) -> State:
    return s.put(questions=s.questions.set(row.id, row))


def is_kept_statement(row: StatementRow, before: Instant) -> bool:
    """Return whether a statement is still needed: retracted and old ones are not."""
    return row.state is not StatementState.RETRACTED or row.changed_at >= before


def is_kept_question(row: QuestionRow, before: Instant) -> bool:
    """Return whether a question is still needed: answered and old ones are not."""
    return row.state is not QuestionState.ANSWERED or row.changed_at >= before


def evolve_obligation(s: State, row: ObligationRow) -> State:
    return s.put(
        obligations=s.obligations.set(row.id, row),
        agenda=s.agenda.arm(ObligationDue(row.id), row.next_at),
    )


def is_kept_clock(row: ObligationRow, before: Instant, incidents: Collection[str]) -> bool:
    """Return whether a clock is still needed.

    One that runs is never dropped. One that ended keeps a second one from its incident as long as
    the incident is known.
    """
    return (
        row.state is ObligationState.RUNNING
        or row.changed_at >= before
        or row.incident in incidents
    )
