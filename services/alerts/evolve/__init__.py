"""Compute the state after one fact. Every fact of this logic is applied; nothing is decided here.

Each row fact replaces the row and updates the indexes that are derived from it. The order of
independent facts does not matter for an index, so loading a dump means evolving its rows again
(`rebuild_indexes`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from schemas.alerts import (
    DeadlineSettled,
    FlagChanged,
    HistoryForgotten,
    IncidentChanged,
    IncidentReported,
    LevelChanged,
    MetricChanged,
    ReportChanged,
    ReportRead,
    SiteReported,
    SiteStatusChanged,
    TaskChanged,
    ThresholdChanged,
    TriggerChanged,
    TriggerMeasured,
)
from schemas.base import Fact
from schemas.calling import AnswerRecorded, EscalationChanged, NotificationPlanned
from schemas.crisis.actions import OPEN_ACTION_STATES, ActionChanged
from schemas.crisis.causes import (
    AllClearNoted,
    CauseChanged,
    SilenceChanged,
    SiteMarked,
    ZoneChanged,
)
from schemas.crisis.communication import QuestionChanged, StatementChanged
from schemas.crisis.handovers import HandoverChanged
from schemas.crisis.maintenance import LeaseChanged, MaintenanceChanged
from schemas.crisis.obligations import ObligationChanged
from schemas.crisis.stimuli import StimulusChanged
from schemas.oncall import (
    CellShift,
    DutyChanged,
    LaddersDrilled,
    ReachabilityChanged,
    ReadinessProved,
)
from schemas.people.attendance import AttendanceChanged, CellStaffingChanged
from schemas.reference import UNDECIDED_SECTIONS, ReferencePublished
from schemas.reference_changes import OPEN_CHANGES, ReferenceChangeRecorded, ReferenceDrafted
from schemas.runtime import DeadlineFailed
from schemas.wire.shared import share_object
from services.alerts.deadlines import (
    AllClearDue,
    HistoryDue,
    ReadinessDue,
    ShiftLimitNear,
    SilenceDue,
)
from services.alerts.evolve.causes import evolve_cause, evolve_cause_fact
from services.alerts.evolve.crisis import (
    OPEN,
    evolve_action,
    evolve_escalation,
    evolve_flag,
    evolve_handover,
    evolve_incident,
    evolve_incident_counts,
    evolve_lease,
    evolve_maintenance,
    evolve_notification,
    evolve_obligation,
    evolve_question,
    evolve_statement,
    evolve_task,
    evolve_threshold,
    is_kept_clock,
    is_kept_handover,
    is_kept_question,
    is_kept_statement,
    trigger_measured,
)
from services.alerts.evolve.oncall import (
    build_rota,
    evolve_answer,
    evolve_attendance,
    evolve_cell_shift,
    evolve_duty,
    evolve_reachability,
    evolve_readiness,
    evolve_roster,
    evolve_staffing,
)
from services.alerts.evolve.reference_changes import evolve_change, evolve_draft
from services.alerts.evolve.reports import build_arrival_key, evolve_report, report_read
from services.alerts.evolve.sites import (
    evolve_all_clear,
    evolve_marks,
    evolve_settled_deadline,
    evolve_silence,
    evolve_site_contact,
    evolve_zone,
    update_counts,
)
from services.alerts.levels.rulebook import get_rulebook
from services.alerts.state import State
from services.runtime.decider.deadlines import Deadlines
from services.runtime.decider.maps import Map

__all__ = ["OPEN", "evolve", "rebuild_indexes"]

_V = TypeVar("_V")


def evolve_reference(s: State, fact: ReferencePublished) -> State:
    """Store a section; the last one puts the version in force.

    Sections that no rule of alerts reads are not kept: every snapshot would carry them.
    """
    staged = (
        s.staged
        if fact.data.section in UNDECIDED_SECTIONS
        else s.staged.set(fact.data.section.value, fact.data)
    )
    if not fact.last:
        return s.put(staged=staged)
    s = s.put(
        version=fact.reference,
        sections=s.sections.update(staged),
        staged=Map(),
        published_at=fact.published_at,
    )
    return evolve_roster(rebuild_indexes(s), fact.published_at)


def rebuild_indexes(s: State) -> State:
    """Rebuild all indexes from the rows, after loading a dump or a change of version."""
    sections = Map({name: share_object(data) for name, data in s.sections.items()})
    new = State(s.realm, s.lineage, s.version, sections, s.staged)
    new = new.put(
        rules=get_rulebook(s.version, sections),
        spent=s.spent,
        forget_at=s.forget_at,
        marks=s.marks,
        silences=s.silences,
        zones=s.zones,
        duties=s.duties,
        reach=s.reach,
        published_at=s.published_at,
        taken=s.taken,
        readiness=s.readiness,
        prove_at=s.prove_at,
        drilled=s.drilled,
        shifts=s.shifts,
        attendance=s.attendance,
        drafted=s.drafted,
        statements=s.statements,
        questions=s.questions,
        stimuli=s.stimuli,
        handovers=s.handovers,
    )
    new = new.put(rota=build_rota(new))
    counts_: Map[tuple[str, str, str], int] = Map()
    for site, marks in s.marks.items():
        counts_ = update_counts(new, counts_, site, Map(), marks)
    agenda = Deadlines()
    for incident, zone in s.zones.items():
        for due in zone.batches:
            agenda = agenda.arm(SilenceDue(incident, due), due)
        agenda = agenda.arm(AllClearDue(incident), zone.all_clear_due)
    new = new.put(
        counts=counts_,
        agenda=agenda,
        sites=s.sites,
        levels=s.levels,
        triggers=s.triggers,
        calls=s.calls,
        metrics=s.metrics,
    )
    for row in sorted(s.reports.values(), key=build_arrival_key):
        new = evolve_report(new, row)
    for cause in s.causes.values():
        new = evolve_cause(new, cause)
    new = _add_scheduled_rows(new, s)
    for incident_row in s.incidents.values():
        new = evolve_incident(new, incident_row)
    for id, t in s.thresholds.items():
        new = evolve_threshold(
            new,
            ThresholdChanged(
                id=id, held=True, since=t.since, below_since=t.below_since, incident=t.incident
            ),
        )
    for escalation in s.escalations.values():
        new = evolve_escalation(new, EscalationChanged(row=escalation, change="loaded"))
    for flag in s.flags.values():
        new = evolve_flag(new, FlagChanged(row=flag))
    for task in s.tasks.values():
        new = evolve_task(new, task)
    for action in s.actions.values():
        new = evolve_action(new, action)
    if s.staffing is not None:
        new = evolve_staffing(new, s.staffing)
    agenda = new.agenda.arm(ReadinessDue(), s.prove_at)
    for shift in s.shifts.values():
        agenda = agenda.arm(ShiftLimitNear(shift.person), shift.warn_at)
    for key, due in s.spent.items():
        agenda = agenda.arm(key, None) if agenda.due.get(key) == due else agenda
    return new.put(agenda=agenda.arm(HistoryDue(), s.forget_at))


def _add_scheduled_rows(new: State, s: State) -> State:
    """Add the rows with deadlines of their own: windows, leases, changes, legal deadlines."""
    for window in s.maintenance.values():
        new = evolve_maintenance(new, window)
    for lease in s.leases.values():
        new = evolve_lease(new, lease)
    for change in s.reference_changes.values():
        new = evolve_change(new, change)
    for clock in s.obligations.values():
        new = evolve_obligation(new, clock)
    return new


def evolve_forgotten_history(s: State, fact: HistoryForgotten) -> State:
    """Drop old closed incidents, and old reports without an incident.

    Their rows in the read model stay.
    """
    referenced_incidents = _add_merge_targets(
        s,
        {c.incident for c in s.causes.values() if c.lifted_at is None}
        | _list_escalated_incidents(s),
    )
    gone = {
        i
        for i, row in s.incidents.items()
        if row.state not in OPEN and (row.closed_at or 0) < fact.closed_before
    } - referenced_incidents
    proposed = {c.reference for c in s.reference_changes.values() if c.state in OPEN_CHANGES}
    held_alerts = {
        r for lease in s.leases.values() if lease.state == "held" for r in (lease.id, lease.claim)
    }
    reports = _keep_if(
        s.reports,
        lambda r: (
            r.recorded_at >= fact.reported_before
            or r.id in held_alerts
            or (r.incident is not None and r.incident not in gone)
        ),
    )
    gone -= {r.incident for r in reports.values()}
    remaining_incidents = frozenset(s.incidents) - gone
    causes = _keep_if(
        s.causes, lambda c: c.lifted_at is None or any(r in reports for r in c.reports)
    )
    actions = _keep_if(
        s.actions,
        lambda a: a.state in OPEN_ACTION_STATES or (a.ended_at or 0) >= fact.reported_before,
    )
    ended = {
        e
        for e, row in s.escalations.items()
        if row.state != "running"
        and (
            (row.incidents and gone.issuperset(row.incidents))
            or (row.action is not None and row.action not in actions)
        )
    }
    return rebuild_indexes(
        s.put(
            reports=reports,
            causes=causes,
            incidents=_keep_if(s.incidents, lambda i: i.id not in gone),
            zones=Map({i: z for i, z in s.zones.items() if i not in gone}),
            escalations=_keep_if(s.escalations, lambda e: e.id not in ended),
            calls=_keep_if(s.calls, lambda c: c.escalation not in ended),
            tasks=_keep_if(
                s.tasks, lambda t: t.done_at is None or t.done_at >= fact.reported_before
            ),
            actions=actions,
            leases=_keep_if(s.leases, lambda a: a.id in reports and a.claim in reports),
            maintenance=_keep_if(
                s.maintenance, lambda w: w.state != "over" or w.changed_at >= fact.reported_before
            ),
            drafted=_keep_if(
                s.drafted, lambda d: d.reference in proposed or d.drafted_at >= fact.reported_before
            ),
            reference_changes=_keep_if(
                s.reference_changes,
                lambda c: c.state in OPEN_CHANGES or c.ended_at >= fact.reported_before,
            ),
            spent=Map({key: due for key, due in s.spent.items() if due >= fact.reported_before}),
            forget_at=fact.next_at,
            statements=_keep_if(s.statements, lambda m: is_kept_statement(m, fact.reported_before)),
            questions=_keep_if(s.questions, lambda q: is_kept_question(q, fact.reported_before)),
            obligations=_keep_if(
                s.obligations, lambda o: is_kept_clock(o, fact.reported_before, remaining_incidents)
            ),
            handovers=_keep_if(s.handovers, lambda h: is_kept_handover(s, h, fact.reported_before)),
            duties=_keep_if(s.duties, lambda d: d.end >= fact.reported_before),
            taken=_keep_if(s.taken, lambda at: at >= fact.reported_before),
        )
    )


def _add_merge_targets(s: State, incidents: set[str | None]) -> set[str | None]:
    """Add the incidents that these were merged into, along the whole chain."""
    for incident in list(incidents):
        row = s.incidents.get(incident or "")
        while row is not None and row.merged_into is not None:
            incidents.add(row.merged_into)
            row = s.incidents.get(row.merged_into)
    return incidents


def _list_escalated_incidents(s: State) -> set[str | None]:
    """Return the incidents of escalations that have not ended: an answer is for all of them."""
    return {
        i
        for e in s.escalations.values()
        if e.state in ("running", "answered", "exhausted")
        for i in e.incidents
    }


def _keep_if(m: Map[str, _V], keep: Callable[[_V], bool]) -> Map[str, _V]:
    return Map({key: value for key, value in m.items() if keep(value)})


_EVOLVE: Final[dict[type[Fact], Callable[[State, Any], State]]] = {
    ReportChanged: lambda s, f: evolve_report(s, f.row),
    ReportRead: report_read,
    CauseChanged: evolve_cause_fact,
    SiteMarked: evolve_marks,
    SiteStatusChanged: lambda s, f: s.put(sites=s.sites.set(f.row.id, f.row)),
    SiteReported: evolve_site_contact,
    SilenceChanged: evolve_silence,
    ZoneChanged: evolve_zone,
    AllClearNoted: evolve_all_clear,
    IncidentChanged: lambda s, f: evolve_incident(s, f.row),
    IncidentReported: evolve_incident_counts,
    LevelChanged: lambda s, f: s.put(levels=s.levels.set(f.row.id, f.row)),
    ThresholdChanged: evolve_threshold,
    TriggerChanged: lambda s, f: s.put(triggers=s.triggers.set(f.row.id, f.row)),
    TriggerMeasured: trigger_measured,
    FlagChanged: evolve_flag,
    EscalationChanged: evolve_escalation,
    NotificationPlanned: evolve_notification,
    TaskChanged: lambda s, f: evolve_task(s, f.row),
    ActionChanged: lambda s, f: evolve_action(s, f.row),
    MaintenanceChanged: lambda s, f: evolve_maintenance(s, f.row),
    LeaseChanged: lambda s, f: evolve_lease(s, f.row),
    StatementChanged: lambda s, f: evolve_statement(s, f.row),
    QuestionChanged: lambda s, f: evolve_question(s, f.row),
    ObligationChanged: lambda s, f: evolve_obligation(s, f.row),
    StimulusChanged: lambda s, f: s.put(stimuli=s.stimuli.set(f.row.id, f.row)),
    HandoverChanged: lambda s, f: evolve_handover(s, f.row),
    MetricChanged: lambda s, f: s.put(metrics=s.metrics.set(f.key, f)),
    ReferencePublished: evolve_reference,
    ReferenceDrafted: evolve_draft,
    ReferenceChangeRecorded: lambda s, f: evolve_change(s, f.row),
    DutyChanged: lambda s, f: evolve_duty(s, f.row),
    ReachabilityChanged: lambda s, f: evolve_reachability(s, f.row),
    ReadinessProved: lambda s, f: evolve_readiness(s, f.row),
    LaddersDrilled: lambda s, f: s.put(drilled=f.row.id),
    AnswerRecorded: evolve_answer,
    CellShift: evolve_cell_shift,
    AttendanceChanged: lambda s, f: evolve_attendance(s, f.row),
    CellStaffingChanged: lambda s, f: evolve_staffing(s, f.row),
    HistoryForgotten: evolve_forgotten_history,
    DeadlineSettled: lambda s, f: evolve_settled_deadline(s, f.key),
    DeadlineFailed: lambda s, f: evolve_settled_deadline(
        s.put(spent=s.spent.set(f.key, f.due)), f.key
    ),
}


def evolve(state: State, fact: Fact) -> State:
    """Return the state after `fact`; facts without a trace in the state are ignored."""
    step = _EVOLVE.get(type(fact))
    return state if step is None else step(state, fact)
