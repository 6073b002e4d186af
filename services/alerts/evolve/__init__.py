"""Compute the state after one fact. Every fact of this logic is applied; nothing is decided here.

Each row fact replaces the row and updates the indexes that are derived from it. The order of
independent facts does not matter for an index, so loading a dump means evolving its rows again
(`rebuild_indexes`).
"""

from bisect import bisect_left
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, Final, TypeVar

from schemas.alerts import (
    DeadlineSettled,
    FlagChanged,
    HistoryForgotten,
    IncidentChanged,
    IncidentReported,
    IncidentRow,
    LevelChanged,
    MetricChanged,
    ReportChanged,
    ReportRead,
    SiteReported,
    SiteStatusChanged,
    TaskChanged,
    TaskRow,
    ThresholdChanged,
    TriggerChanged,
    TriggerMeasured,
)
from schemas.base import Fact, Instant, copy_with
from schemas.calling import AnswerRecorded, EscalationChanged, EscalationRow, NotificationPlanned
from schemas.crisis.actions import OPEN_ACTION_STATES, ActionChanged, ActionRow
from schemas.crisis.area_orders import AREA_ORDER, AreaOrderChanged, AreaOrderRow
from schemas.crisis.causes import (
    AllClearNoted,
    CauseChanged,
    SilenceChanged,
    SiteMarked,
    ZoneChanged,
)
from schemas.crisis.communication import (
    QuestionChanged,
    QuestionRow,
    QuestionState,
    StatementChanged,
    StatementRow,
    StatementState,
)
from schemas.crisis.handovers import OPEN_HANDOVER_STATES, HandoverChanged, HandoverRow
from schemas.crisis.maintenance import LeaseChanged, LeaseRow, MaintenanceChanged, MaintenanceRow
from schemas.crisis.obligations import ObligationChanged, ObligationRow, ObligationState
from schemas.crisis.publication import PublicationChanged
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
from schemas.reference_changes import (
    OPEN_CHANGES,
    ReferenceChangeRecorded,
    ReferenceChangeRow,
    ReferenceDrafted,
)
from schemas.runtime import DeadlineFailed
from schemas.wire import share_object
from schemas.words import IncidentState, Level, TaskState
from services.alerts.deadlines import (
    AcknowledgementStale,
    ActionDue,
    AllClearDue,
    AreaOrderDue,
    EscalationDue,
    FlagDue,
    HistoryDue,
    LeaseDue,
    MoveDue,
    ObligationDue,
    ReadinessDue,
    ReferenceChangeDue,
    ShiftLimitNear,
    SilenceDue,
    ThresholdRearmed,
    WindowDue,
    YellowDigestDue,
)
from services.alerts.evolve.causes import (
    evolve_all_clear,
    evolve_cause,
    evolve_cause_fact,
    evolve_marks,
    evolve_settled_deadline,
    evolve_silence,
    evolve_site_contact,
    evolve_zone,
    update_counts,
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
from services.alerts.evolve.reports import build_arrival_key, evolve_read_report, evolve_report
from services.alerts.levels.rulebook import get_rulebook
from services.alerts.reference.territory import REARM_MS
from services.alerts.rows import Changes
from services.alerts.state import State, Threshold, insert_sorted, remove_key, remove_sorted
from services.runtime.decider.maps import Map, set_or_drop
from services.runtime.decider.protocol import Deadlines

_KEPT_CLOSED: Final = 64
_OVER_STATES: Final = frozenset(("superseded", "ended"))


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
        is_closed = row.state is IncidentState.CLOSED
        ids = (
            {*s.closed_incidents, row.id}
            if is_closed
            else {i for i, r in incidents.items() if r.state is IncidentState.CLOSED}
        )
        d["closed_incidents"] = tuple(sorted(ids, key=lambda i: (incidents[i].closed_at or 0, i)))[
            -_KEPT_CLOSED:
        ]
    is_open = row.state in OPEN
    is_covered = is_open and (row.quiet == "maintenance" or not row.severity)
    for name, belongs in (
        ("covered_incidents", is_covered),
        ("wide_incidents", is_open and row.kind != "site"),
        ("cut_incidents", is_open and row.customers_cut is not None),
    ):
        members: Map[str, None] = getattr(s, name)
        if belongs != (row.id in members):
            d[name] = members.set(row.id, None) if belongs else members.delete(row.id)
    before, after = (old.members if old else ()), row.members
    if before is not after and before != after:
        index, come = s.site_incidents, set(after).difference(before)
        former_sites = (
            set(before).difference(after) if len(before) + len(come) != len(after) else set[str]()
        )
        for site in come:
            index = index.set(site, insert_sorted(index.get(site, ()), row.id))
        for site in former_sites:
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
        for due_at in zone.batches:
            agenda = agenda.arm(SilenceDue(incident, due_at), None)
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
        return s.put(thresholds=remove_key(s.thresholds, fact.id), agenda=s.agenda.arm(key, None))
    rearm_at = None if fact.below_since is None else fact.below_since + REARM_MS
    threshold = Threshold(fact.since, fact.below_since, fact.incident)
    return s.put(
        thresholds=s.thresholds.set(fact.id, threshold), agenda=s.agenda.arm(key, rearm_at)
    )


def evolve_escalation(s: State, fact: EscalationChanged) -> State:
    row = fact.row
    due_at = row.next_at if row.state == "running" else None
    stale = row.stale_at if row.state == "answered" else None
    agenda = s.agenda.arm(EscalationDue(row.id), due_at).arm(AcknowledgementStale(row.id), stale)
    d: Changes = {"escalations": s.escalations.set(row.id, row), "agenda": agenda}
    newest = s.ladders.get(row.scope)
    if newest == row.id and row.state in _OVER_STATES:
        d["ladders"] = s.ladders.set(row.scope, _find_newest_over(s, row))
    elif newest is None or _build_rank(s.escalations[newest]) <= _build_rank(row):
        d["ladders"] = s.ladders.set(row.scope, row.id)
    if (successor := row.superseded_by) is not None:
        before = insert_sorted(s.predecessors.get(successor, ()), row.id)
        d["predecessors"] = s.predecessors.set(successor, before)
    return s.put(**d)


def _find_newest_over(s: State, row: EscalationRow) -> str:
    """Return the newest of the escalations that started together with one that is over."""
    together = (
        other
        for other in s.escalations.values()
        if (other.scope, other.started_at) == (row.scope, row.started_at) and other.id != row.id
    )
    return max((row, *together), key=_build_rank).id


def _build_rank(row: EscalationRow) -> tuple[Instant, bool, Level, str]:
    """Return the sort key among the escalations of one scope.

    The clock of an exercise may stand still: of two that started together the running one is newer.
    """
    return row.started_at, row.state not in _OVER_STATES, row.level, row.id


def evolve_notification(s: State, fact: NotificationPlanned) -> State:
    is_call = fact.escalation is not None or fact.template == AREA_ORDER
    is_warning = fact.passed_over is not None
    return s.put(calls=s.calls.set(fact.notification, fact)) if is_call or is_warning else s


def evolve_measured_trigger(s: State, fact: TriggerMeasured) -> State:
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
        s.open_tasks.set(row.kind, of_kind) if of_kind else remove_key(s.open_tasks, row.kind)
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


def evolve_area_order(s: State, row: AreaOrderRow) -> State:
    return s.put(
        area_orders=s.area_orders.set(row.id, row),
        agenda=s.agenda.arm(AreaOrderDue(row.id), row.next_at),
    )


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
    due_at = row.until if row.state == "held" else None
    return s.put(leases=s.leases.set(row.id, row), agenda=s.agenda.arm(LeaseDue(row.id), due_at))


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


KEPT_DRAFTS: Final = 3
"""Drafted versions without a proposal that are kept.

Drafting and proposing follow each other at once, so older ones were abandoned.
"""


def evolve_draft(s: State, fact: ReferenceDrafted) -> State:
    drafts = s.drafted.set(f"{fact.reference}/{fact.data.section}", fact)
    newest: dict[str, int] = {}
    open_references = {
        row.reference for row in s.reference_changes.values() if row.state in OPEN_CHANGES
    }
    for draft in drafts.values():
        if draft.reference not in open_references:
            newest[draft.reference] = max(draft.drafted_at, newest.get(draft.reference, 0))
    others = sorted(
        (version for version in newest if version != fact.reference),
        key=lambda version: (newest[version], version),
    )
    return s.put(drafted=_drop_versions(drafts, set(others[: 1 - KEPT_DRAFTS])))


def evolve_change(s: State, row: ReferenceChangeRow) -> State:
    old, agenda, drafts = s.reference_changes.get(row.id), s.agenda, s.drafted
    if old is not None:
        agenda = agenda.arm(ReferenceChangeDue(old.id, old.step), None)
        if old.state in OPEN_CHANGES and row.state not in OPEN_CHANGES:
            drafts = _drop_versions(drafts, {row.reference})
    return s.put(
        reference_changes=s.reference_changes.set(row.id, row),
        agenda=agenda.arm(ReferenceChangeDue(row.id, row.step), row.next_at),
        drafted=drafts,
    )


def _drop_versions(
    drafts: Map[str, ReferenceDrafted], versions: set[str]
) -> Map[str, ReferenceDrafted]:
    return (
        Map({key: draft for key, draft in drafts.items() if draft.reference not in versions})
        if versions
        else drafts
    )


_V = TypeVar("_V")


def evolve_reference(s: State, fact: ReferencePublished) -> State:
    """Store a section; the last one puts the version in force.

    Sections that no rule of alerts reads are not kept: every snapshot would carry them.
    """
    staged_sections = (
        s.staged
        if fact.data.section in UNDECIDED_SECTIONS
        else s.staged.set(fact.data.section.value, fact.data)
    )
    if not fact.last:
        return s.put(staged=staged_sections)
    s = s.put(
        version=fact.reference,
        sections=s.sections.update(staged_sections),
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
        past_shifts=s.past_shifts,
        attendance=s.attendance,
        drafted=s.drafted,
        statements=s.statements,
        questions=s.questions,
        publications=s.publications,
        stimuli=s.stimuli,
        handovers=s.handovers,
    )
    new = new.put(rota=build_rota(new))
    counts_: Map[tuple[str, str, str], int] = Map()
    for site, marks in s.marks.items():
        counts_ = update_counts(new, counts_, site, Map(), marks)
    agenda = Deadlines()
    for incident, zone in s.zones.items():
        for due_at in zone.batches:
            agenda = agenda.arm(SilenceDue(incident, due_at), due_at)
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
    for key, due_at in s.spent.items():
        agenda = agenda.arm(key, None) if agenda.due.get(key) == due_at else agenda
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
    for order in s.area_orders.values():
        new = evolve_area_order(new, order)
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
    forgotten_incidents = {
        i
        for i, row in s.incidents.items()
        if row.state not in OPEN and (row.closed_at or 0) < fact.closed_before
    } - referenced_incidents
    open_references = {c.reference for c in s.reference_changes.values() if c.state in OPEN_CHANGES}
    held_alerts = {
        r for lease in s.leases.values() if lease.state == "held" for r in (lease.id, lease.claim)
    }
    kept_ids = frozenset(fact.kept)
    kept_tasks = {t.id for t in s.tasks.values() if not kept_ids.isdisjoint(t.candidates)}
    reports = _keep_if(
        s.reports,
        lambda r: (
            r.recorded_at >= fact.reported_before
            or r.id in held_alerts
            or r.id in kept_ids
            or (r.incident is not None and r.incident not in forgotten_incidents)
        ),
    )
    forgotten_incidents -= {r.incident for r in reports.values()}
    remaining_incidents = frozenset(s.incidents) - forgotten_incidents
    causes = _keep_if(
        s.causes, lambda c: c.lifted_at is None or any(r in reports for r in c.reports)
    )
    actions = _keep_if(
        s.actions,
        lambda a: a.state in OPEN_ACTION_STATES or (a.ended_at or 0) >= fact.reported_before,
    )
    ended_escalations = {
        e
        for e, row in s.escalations.items()
        if row.state != "running"
        and (
            (row.incidents and forgotten_incidents.issuperset(row.incidents))
            or (row.action is not None and row.action not in actions)
        )
    }
    return rebuild_indexes(
        s.put(
            reports=reports,
            causes=causes,
            incidents=_keep_if(s.incidents, lambda i: i.id not in forgotten_incidents),
            zones=Map({i: z for i, z in s.zones.items() if i not in forgotten_incidents}),
            escalations=_keep_if(s.escalations, lambda e: e.id not in ended_escalations),
            calls=_keep_if(
                s.calls,
                lambda c: (
                    c.planned_at >= fact.reported_before or c.values.get("task") in kept_tasks
                    if c.escalation is None
                    else c.escalation not in ended_escalations
                ),
            ),
            tasks=_keep_if(
                s.tasks,
                lambda t: (
                    t.done_at is None or t.done_at >= fact.reported_before or t.id in kept_tasks
                ),
            ),
            actions=actions,
            leases=_keep_if(s.leases, lambda a: a.id in reports and a.claim in reports),
            maintenance=_keep_if(
                s.maintenance, lambda w: w.state != "over" or w.changed_at >= fact.reported_before
            ),
            drafted=_keep_if(
                s.drafted,
                lambda d: d.reference in open_references or d.drafted_at >= fact.reported_before,
            ),
            reference_changes=_keep_if(
                s.reference_changes,
                lambda c: c.state in OPEN_CHANGES or c.ended_at >= fact.reported_before,
            ),
            spent=Map(
                {key: due_at for key, due_at in s.spent.items() if due_at >= fact.reported_before}
            ),
            forget_at=fact.next_at,
            past_shifts=_keep_if(
                s.past_shifts, lambda shift: (shift.ended_at or 0) >= fact.reported_before
            ),
            statements=_keep_if(s.statements, lambda m: is_kept_statement(m, fact.reported_before)),
            questions=_keep_if(s.questions, lambda q: is_kept_question(q, fact.reported_before)),
            obligations=_keep_if(
                s.obligations, lambda o: is_kept_clock(o, fact.reported_before, remaining_incidents)
            ),
            area_orders=_keep_if(s.area_orders, lambda o: o.id in causes),
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
    ReportRead: evolve_read_report,
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
    TriggerMeasured: evolve_measured_trigger,
    FlagChanged: evolve_flag,
    EscalationChanged: evolve_escalation,
    NotificationPlanned: evolve_notification,
    TaskChanged: lambda s, f: evolve_task(s, f.row),
    ActionChanged: lambda s, f: evolve_action(s, f.row),
    MaintenanceChanged: lambda s, f: evolve_maintenance(s, f.row),
    LeaseChanged: lambda s, f: evolve_lease(s, f.row),
    StatementChanged: lambda s, f: s.put(statements=s.statements.set(f.row.id, f.row)),
    QuestionChanged: lambda s, f: s.put(questions=s.questions.set(f.row.id, f.row)),
    PublicationChanged: lambda s, f: s.put(publications=s.publications.set(f.row.id, f.row)),
    ObligationChanged: lambda s, f: evolve_obligation(s, f.row),
    StimulusChanged: lambda s, f: s.put(stimuli=s.stimuli.set(f.row.id, f.row)),
    HandoverChanged: lambda s, f: s.put(handovers=s.handovers.set(f.row.id, f.row)),
    AreaOrderChanged: lambda s, f: evolve_area_order(s, f.row),
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
