"""Compute the state after one fact. Every fact of this logic is applied; nothing is decided here.

Each row fact replaces the row and updates the indexes that are derived from it. The order of
independent facts does not matter for an index, so loading a dump means evolving its rows again
(`reload`).
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
from schemas.causes import AllClearNoted, CauseChanged, SilenceChanged, SiteMarked, ZoneChanged
from schemas.maintenance import LeaseChanged, MaintenanceChanged
from schemas.oncall import (
    CellShift,
    DutyChanged,
    LaddersDrilled,
    ReachabilityChanged,
    ReadinessProved,
)
from schemas.reference import ReferencePublished, Section
from schemas.reference_changes import OPEN_CHANGES, ReferenceChangeRecorded, ReferenceDrafted
from schemas.runtime import DeadlineFailed
from schemas.shared import shared
from services.alerts.evolve.causes import cause_changed, cause_recorded
from services.alerts.evolve.crisis import (
    OPEN,
    escalation_changed,
    flag_changed,
    incident_changed,
    incident_reported,
    notification_planned,
    task_changed,
    threshold_changed,
    trigger_measured,
)
from services.alerts.evolve.maintenance import lease_changed, maintenance_changed
from services.alerts.evolve.oncall import (
    answer_recorded,
    cell_shift,
    duty_changed,
    reachability_changed,
    readiness_proved,
    roster_changed,
    rota_of,
)
from services.alerts.evolve.reference_changes import change_recorded, reference_drafted
from services.alerts.evolve.reports import arrival, report_changed, report_read
from services.alerts.evolve.sites import (
    all_clear_noted,
    counted,
    deadline_settled,
    silence_changed,
    site_marked,
    site_reported,
    zone_changed,
)
from services.alerts.levels.rulebook import rulebook_of
from services.alerts.state import State
from services.runtime.decider.deadlines import Agenda
from services.runtime.decider.maps import Map

__all__ = ["OPEN", "evolve", "reload"]

_V = TypeVar("_V")


def reference_published(s: State, fact: ReferencePublished) -> State:
    """Store a section; the last one puts the version in force.

    The staffing section is not kept: no rule of alerts reads it, and every snapshot would carry it.
    """
    staged = (
        s.staged
        if fact.data.section is Section.STAFFING
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
    return roster_changed(reload(s), fact.published_at)


def reload(s: State) -> State:
    """Rebuild all indexes from the rows, after loading a dump or a change of version."""
    sections = Map({name: shared(data) for name, data in s.sections.items()})
    new = State(s.realm, s.lineage, s.version, sections, s.staged)
    new = new.put(
        rules=rulebook_of(s.version, sections),
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
        drafted=s.drafted,
    )
    new = new.put(rota=rota_of(new))
    counts_: Map[tuple[str, str, str], int] = Map()
    for site, marks in s.marks.items():
        counts_ = counted(new, counts_, site, Map(), marks)
    agenda = Agenda()
    for incident, zone in s.zones.items():
        for due in zone.batches:
            agenda = agenda.arm(f"silence:{incident}:{due}", due)
        agenda = agenda.arm(f"allclear:{incident}", zone.all_clear_due)
    new = new.put(
        counts=counts_,
        agenda=agenda,
        sites=s.sites,
        levels=s.levels,
        triggers=s.triggers,
        calls=s.calls,
        metrics=s.metrics,
    )
    for row in sorted(s.reports.values(), key=arrival):
        new = report_changed(new, row)
    for cause in s.causes.values():
        new = cause_changed(new, cause)
    new = _planned(new, s)
    for incident_row in s.incidents.values():
        new = incident_changed(new, incident_row)
    for id, t in s.thresholds.items():
        new = threshold_changed(
            new,
            ThresholdChanged(
                id=id, held=True, since=t.since, below_since=t.below_since, incident=t.incident
            ),
        )
    for escalation in s.escalations.values():
        new = escalation_changed(new, EscalationChanged(row=escalation, change="loaded"))
    for flag in s.flags.values():
        new = flag_changed(new, FlagChanged(row=flag))
    for task in s.tasks.values():
        new = task_changed(new, task)
    agenda = new.agenda.arm("prove", s.prove_at)
    for shift in s.shifts.values():
        agenda = agenda.arm(f"relief:{shift.person}", shift.warn_at)
    for key, due in s.spent.items():
        agenda = agenda.arm(key, None) if agenda.due.get(key) == due else agenda
    return new.put(agenda=agenda.arm("forget", s.forget_at))


def _planned(new: State, s: State) -> State:
    """Add the rows with deadlines of their own: maintenance windows, leases, reference changes."""
    for window in s.maintenance.values():
        new = maintenance_changed(new, window)
    for lease in s.leases.values():
        new = lease_changed(new, lease)
    for change in s.reference_changes.values():
        new = change_recorded(new, change)
    return new


def history_forgotten(s: State, fact: HistoryForgotten) -> State:
    """Drop old closed incidents, and old reports without an incident.

    Their rows in the read model stay.
    """
    held = _with_heirs(
        s, {c.incident for c in s.causes.values() if c.lifted_at is None} | _called_for(s)
    )
    gone = {
        i
        for i, row in s.incidents.items()
        if row.state not in OPEN and (row.closed_at or 0) < fact.closed_before
    } - held
    proposed = {c.reference for c in s.reference_changes.values() if c.state in OPEN_CHANGES}
    held_alerts = {
        r for lease in s.leases.values() if lease.state == "held" for r in (lease.id, lease.claim)
    }
    reports = _kept(
        s.reports,
        lambda r: (
            r.recorded_at >= fact.reported_before
            or r.id in held_alerts
            or (r.incident is not None and r.incident not in gone)
        ),
    )
    gone -= {r.incident for r in reports.values()}
    causes = _kept(s.causes, lambda c: c.lifted_at is None or any(r in reports for r in c.reports))
    ended = {
        e
        for e, row in s.escalations.items()
        if row.state != "running" and row.incidents and gone.issuperset(row.incidents)
    }
    return reload(
        s.put(
            reports=reports,
            causes=causes,
            incidents=_kept(s.incidents, lambda i: i.id not in gone),
            zones=Map({i: z for i, z in s.zones.items() if i not in gone}),
            escalations=_kept(s.escalations, lambda e: e.id not in ended),
            calls=_kept(s.calls, lambda c: c.escalation not in ended),
            tasks=_kept(s.tasks, lambda t: t.done_at is None or t.done_at >= fact.reported_before),
            leases=_kept(s.leases, lambda a: a.id in reports and a.claim in reports),
            maintenance=_kept(
                s.maintenance, lambda w: w.state != "over" or w.changed_at >= fact.reported_before
            ),
            drafted=_kept(
                s.drafted, lambda d: d.reference in proposed or d.drafted_at >= fact.reported_before
            ),
            reference_changes=_kept(
                s.reference_changes,
                lambda c: c.state in OPEN_CHANGES or c.ended_at >= fact.reported_before,
            ),
            spent=Map({key: due for key, due in s.spent.items() if due >= fact.reported_before}),
            forget_at=fact.next_at,
            duties=_kept(s.duties, lambda d: d.end >= fact.reported_before),
            taken=_kept(s.taken, lambda at: at >= fact.reported_before),
        )
    )


def _with_heirs(s: State, incidents: set[str | None]) -> set[str | None]:
    """Add the incidents that these were merged into, along the whole chain."""
    for incident in list(incidents):
        row = s.incidents.get(incident or "")
        while row is not None and row.merged_into is not None:
            incidents.add(row.merged_into)
            row = s.incidents.get(row.merged_into)
    return incidents


def _called_for(s: State) -> set[str | None]:
    """Return the incidents of escalations that have not ended: an answer is for all of them."""
    return {
        i
        for e in s.escalations.values()
        if e.state in ("running", "answered", "exhausted")
        for i in e.incidents
    }


def _kept(m: Map[str, _V], keep: Callable[[_V], bool]) -> Map[str, _V]:
    return Map({key: value for key, value in m.items() if keep(value)})


_EVOLVE: Final[dict[type[Fact], Callable[[State, Any], State]]] = {
    ReportChanged: lambda s, f: report_changed(s, f.row),
    ReportRead: report_read,
    CauseChanged: cause_recorded,
    SiteMarked: site_marked,
    SiteStatusChanged: lambda s, f: s.put(sites=s.sites.set(f.row.id, f.row)),
    SiteReported: site_reported,
    SilenceChanged: silence_changed,
    ZoneChanged: zone_changed,
    AllClearNoted: all_clear_noted,
    IncidentChanged: lambda s, f: incident_changed(s, f.row),
    IncidentReported: incident_reported,
    LevelChanged: lambda s, f: s.put(levels=s.levels.set(f.row.id, f.row)),
    ThresholdChanged: threshold_changed,
    TriggerChanged: lambda s, f: s.put(triggers=s.triggers.set(f.row.id, f.row)),
    TriggerMeasured: trigger_measured,
    FlagChanged: flag_changed,
    EscalationChanged: escalation_changed,
    NotificationPlanned: notification_planned,
    TaskChanged: lambda s, f: task_changed(s, f.row),
    MaintenanceChanged: lambda s, f: maintenance_changed(s, f.row),
    LeaseChanged: lambda s, f: lease_changed(s, f.row),
    MetricChanged: lambda s, f: s.put(metrics=s.metrics.set(f.key, f)),
    ReferencePublished: reference_published,
    ReferenceDrafted: reference_drafted,
    ReferenceChangeRecorded: lambda s, f: change_recorded(s, f.row),
    DutyChanged: lambda s, f: duty_changed(s, f.row),
    ReachabilityChanged: lambda s, f: reachability_changed(s, f.row),
    ReadinessProved: lambda s, f: readiness_proved(s, f.row),
    LaddersDrilled: lambda s, f: s.put(drilled=f.row.id),
    AnswerRecorded: answer_recorded,
    CellShift: cell_shift,
    HistoryForgotten: history_forgotten,
    DeadlineSettled: lambda s, f: deadline_settled(s, f.key),
    DeadlineFailed: lambda s, f: deadline_settled(s.put(spent=s.spent.set(f.key, f.due)), f.key),
}


def evolve(state: State, fact: Fact) -> State:
    """Return the state after `fact`; facts without a trace in the state are ignored."""
    step = _EVOLVE.get(type(fact))
    return state if step is None else step(state, fact)
