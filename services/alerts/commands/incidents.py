"""Decisions about incidents: close, reopen, merge, split. Rules D25 and D26."""

from collections.abc import Collection
from typing import Final

from schemas import commands as c
from schemas.alerts import IncidentRow, ReportRow, TaskChanged
from schemas.base import copy_with
from schemas.catalogue.event_types import endangers_people
from schemas.words import IncidentState, Level, MsgType
from services.alerts import actions
from services.alerts.causes.cause_lifecycle import record_with_deadline
from services.alerts.decision import (
    AlertsDecision,
    get_incident,
    get_report,
    require_open,
    sort_by_id,
)
from services.alerts.declarations import area_orders, flags
from services.alerts.escalation import escalations, steps
from services.alerts.incidents import incident_lifecycle, zones
from services.alerts.incidents.families import SPLIT_PREFIX
from services.alerts.incidents.merging import merge_into
from services.alerts.levels.levels import CRISIS, latch_branches, list_latched_branches
from services.alerts.levels.metrics.people import list_headcounts
from services.alerts.pipeline import update_derived_state
from services.alerts.reports import verification
from services.alerts.reports.report_facts import get_site
from services.runtime.decider.command_checks import require_reason
from services.runtime.decider.protocol import CommandResult, RefusedCommand

MAX_SPLIT_REPORTS: Final = 100
"""Most reports that one decision splits off.

With their causes they form one log record: 1.2 kB each, of at most 256 kB.
"""


def resolve(draft: AlertsDecision, command: c.ResolveIncident) -> CommandResult:
    incident = require_open(get_incident(draft, command.incident, command.expected))
    open_causes = incident_lifecycle.list_open_causes(draft, incident.id)
    if open_causes and not (command.force and command.reason):
        raise RefusedCommand(
            409, "causes_open" if not command.force else "reason_required", causes=len(open_causes)
        )
    if not command.reason and (missing := _count_missing_people(draft, incident.id)):
        raise RefusedCommand(409, "people_missing", people=missing)
    incident_lifecycle.close_incident(draft, incident.id, draft.now)
    verification.close_place_questions(draft, incident.id, "closed")
    area_orders.close_questions(draft, incident.id)
    actions.cancel_actions(draft, incident.id, command.author, command.reason)
    own = steps.find_escalation(draft, incident.id)
    if own is not None:
        escalations.end_escalation(draft, own, None, "ended", "closed")
    crisis = escalations.find_ended_crisis(draft, incident.id)
    if crisis is not None and crisis.state == "running":
        escalations.end_escalation(draft, crisis, None, "ended", "closed")
    if crisis is not None and draft.level < CRISIS:
        escalations.thank(draft, crisis)
    update_derived_state(draft)
    return {
        "incident": incident.id,
        "state": "closed",
        "version": draft.state.incidents[incident.id].version,
    }


def _count_missing_people(draft: AlertsDecision, incident: str) -> int:
    """Return how many people the headcounts of an incident have not found. Rule D37, headcount."""
    return sum(
        max(0, round((r.value_of or 0) - r.value))
        for r in list_headcounts(draft, incident).values()
    )


def reopen(draft: AlertsDecision, command: c.ReopenIncident) -> CommandResult:
    incident = get_incident(draft, command.incident)
    if incident.state is not IncidentState.CLOSED:
        raise RefusedCommand(409, "incident_not_closed", state=incident.state.value)
    incident_lifecycle.reopen_incident(draft, incident.id, by_person=True)
    update_derived_state(draft, draft.state.rules.topics)
    return {
        "incident": incident.id,
        "state": "open",
        "version": draft.state.incidents[incident.id].version,
    }


def merge(draft: AlertsDecision, command: c.MergeIncidents) -> CommandResult:
    """Merge an incident into another one.

    Its members move, its escalation is superseded, and the higher level holds; later correlation
    follows the merge. Rule D25, merge and split.
    """
    a, b = (
        require_open(get_incident(draft, command.incident, command.expected)),
        require_open(get_incident(draft, command.into)),
    )
    if a.id == b.id:
        raise RefusedCommand(409, "same_incident")
    require_reason(command)
    merge_into(draft, a, b)
    return {"incident": b.id, "merged": a.id, "version": draft.state.incidents[b.id].version}


def split(draft: AlertsDecision, command: c.SplitIncident) -> CommandResult:
    """Split chosen reports off into a new incident, with the causes that only they report.

    Rule D25, merge and split.
    """
    a = require_open(get_incident(draft, command.incident, command.expected))
    chosen_reports = [get_report(draft, r) for r in dict.fromkeys(command.reports)]
    if not chosen_reports or any(
        draft.resolve_incident(r.incident) != a.id for r in chosen_reports
    ):
        raise RefusedCommand(409, "report_elsewhere")
    if len(chosen_reports) == len(draft.state.incident_reports.get(a.id, ())):
        raise RefusedCommand(409, "nothing_left")
    if len(chosen_reports) > MAX_SPLIT_REPORTS:
        raise RefusedCommand(409, "too_many_reports", most=MAX_SPLIT_REPORTS)
    require_reason(command)
    ids = {r.id for r in chosen_reports}
    new = draft.derive("incident")
    first = min(chosen_reports, key=lambda r: (r.occurred_at, r.id))
    remaining_reports = [
        r for r in _list_remaining_reports(draft, a.id, ids) if r.confirmation == "confirmed"
    ]
    left_members, left_communes = (
        {get_site(r) for r in remaining_reports},
        incident_lifecycle.list_added_communes(draft, a.kind, remaining_reports),
    )
    confirmed_reports = [
        r
        for r in chosen_reports
        if r.confirmation == "confirmed" and r.msg_type is not MsgType.CANCEL
    ]
    members = tuple(
        sorted(
            {
                s
                for r in chosen_reports
                if r.confirmation == "confirmed" and (s := get_site(r)) is not None
            }
        )
    )
    causes = draft.state.causes.values()
    moved_causes = sort_by_id(
        x
        for x in causes
        if draft.resolve_incident(x.incident) == a.id and x.reports and set(x.reports) <= ids
    )
    persons = incident_lifecycle.count_persons(moved_causes)
    draft.put_incident(
        copy_with(
            a,
            {
                "version": a.version + 1,
                "updated_at": draft.now,
                "members": tuple(m for m in a.members if m in left_members),
                "communes": tuple(x for x in a.communes if x in left_communes),
                "reports_count": a.reports_count - len(chosen_reports),
                "persons_concerned": max((a.persons_concerned or 0) - persons, 0) or None,
            },
        ),
        "split",
    )
    draft.put_incident(
        IncidentRow(
            id=new,
            number=f"{a.number}-{a.version + 1}",
            kind=a.kind,
            key=f"{SPLIT_PREFIX}{new}",
            state=IncidentState.OPEN,
            level=Level.N0,
            severity=0,
            danger=any(endangers_people(r.type, r.severity) for r in confirmed_reports),
            certainty=a.certainty,
            opened_at=first.occurred_at,
            known_at=draft.now,
            updated_at=draft.now,
            version=0,
            members=members,
            communes=incident_lifecycle.list_added_communes(draft, a.kind, chosen_reports),
            reports_count=len(chosen_reports),
            persons_concerned=persons or None,
            last_at=max(r.occurred_at for r in chosen_reports),
        ),
        "split",
    )
    draft.flush()
    latch_branches(
        draft,
        {
            id: since
            for id, since in list_latched_branches(draft, a.id).items()
            if _parse_level(id) > a.level
        },
        new,
    )
    incident_lifecycle.move_reports(draft, [r.id for r in chosen_reports], new)
    for cause in moved_causes:
        record_with_deadline(draft, copy_with(cause, {"incident": new}))
    flags.move_flags(draft, ids, new)
    _move_tasks(draft, a.id, new, ids, set(members) - left_members)
    for incident in (a.id, new):
        incident_lifecycle.recount_split(draft, incident)
    for row in sorted(confirmed_reports, key=lambda r: (r.occurred_at, r.id)):
        zones.extend_zone(draft, row, new)
    zones.shrink_zone(draft, a.id)
    draft.concerned.update((a.id, new))
    for site in members:
        draft.doubtful.add(site)
    draft.regrouped.add(new)
    update_derived_state(draft, draft.state.rules.topics)
    return {"incident": new, "from": a.id}


def _move_tasks(
    draft: AlertsDecision,
    incident: str,
    into: str,
    reports: Collection[str],
    sites: Collection[str],
) -> None:
    """Move the open tasks about split reports, and about sites that only these name."""
    open_tasks = (draft.state.tasks[t] for m in draft.state.open_tasks.values() for t in m.values())
    for task in sort_by_id(open_tasks):
        is_moved = task.report in reports if task.report else task.site in sites
        if is_moved and draft.resolve_incident(task.incident) == incident:
            draft.emit(TaskChanged(row=copy_with(task, {"incident": into})))


def _parse_level(branch: str) -> int:
    return int(branch.partition("#")[0].removeprefix("N"))


def _list_remaining_reports(
    draft: AlertsDecision, incident: str, excluded_ids: set[str]
) -> list[ReportRow]:
    return [
        draft.state.reports[r]
        for r in draft.state.incident_reports.get(incident, ())
        if r not in excluded_ids
    ]
