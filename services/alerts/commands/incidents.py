"""Decisions about incidents: close, reopen, merge, split. Rules D25 and D26."""

from typing import Final

from schemas import commands as c
from schemas.alerts import IncidentRow, ReportRow, ThresholdChanged
from schemas.base import Instant, copy_with
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
from services.alerts.declarations import area_orders
from services.alerts.escalation import escalations, steps
from services.alerts.incidents import incident_lifecycle, zones
from services.alerts.incidents.families import is_near_cluster
from services.alerts.levels.levels import CRISIS, TERRITORY, Rises
from services.alerts.levels.metrics.people import list_headcounts
from services.alerts.pipeline import update_derived_state
from services.alerts.reference.territory import SILENT_REPORT_TYPES
from services.alerts.reports import verification
from services.alerts.reports.report_facts import get_measure_name, get_site, is_confirmed
from services.runtime.decider.command_checks import require_reason
from services.runtime.decider.protocol import CommandResult, RefusedCommand

SPLIT_PREFIX: Final = "split:"
"""Begin of the key of an incident that a person split off."""
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
    crisis = escalations.ended_crisis(draft, incident.id)
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


def merge_into(draft: AlertsDecision, a: IncidentRow, b: IncidentRow) -> None:
    """Merge open incident A into open incident B, in one decision."""
    latched_branches = _list_latched_branches(draft, a.id)
    report_ids, zone = (
        sorted(draft.state.incident_reports.get(a.id, ())),
        draft.state.zones.get(a.id),
    )
    later = len(report_ids[incident_lifecycle.MOVED_PER_DEADLINE :])
    own = steps.find_escalation(draft, a.id)
    if own is not None:
        crisis = steps.find_escalation(draft, TERRITORY)
        into = steps.find_escalation(draft, b.id) or (
            crisis if crisis is not None and b.id in crisis.incidents else None
        )
        escalations.end_escalation(draft, own, into.id if into else None, why="merged")
    members = tuple(sorted({*a.members, *b.members}))
    draft.put_incident(
        copy_with(
            a,
            {
                "state": IncidentState.MERGED,
                "merged_into": b.id,
                "closed_at": draft.now,
                "updated_at": draft.now,
                "version": a.version + 1,
                "members": (),
                "zone_sites": (),
                "reports_count": later,
            },
        ),
        "merged",
    )
    draft.put_incident(
        copy_with(
            b,
            {
                "level": max(a.level, b.level),
                "severity": max(a.severity, b.severity),
                "members": members,
                "zone_sites": tuple(sorted({*a.zone_sites, *b.zone_sites} - set(members))),
                "communes": tuple(sorted({*a.communes, *b.communes})),
                "opened_at": min(a.opened_at, b.opened_at),
                "last_at": max(a.last_at or 0, b.last_at or 0),
                "danger": a.danger or b.danger,
                "reports_count": a.reports_count + b.reports_count,
                "duplicates_count": a.duplicates_count + b.duplicates_count,
                "persons_concerned": (a.persons_concerned or 0) + (b.persons_concerned or 0)
                or None,
                "estimated_end": max(
                    (x for x in (a.estimated_end, b.estimated_end) if x is not None), default=None
                ),
                "customers_cut": max(
                    (x for x in (a.customers_cut, b.customers_cut) if x is not None), default=None
                ),
                "why": (*b.why, *a.why) if a.level > b.level else b.why,
                "version": b.version + 1,
                "updated_at": draft.now,
            },
        ),
        "merged",
    )
    draft.flush()
    _latch_branches(draft, latched_branches, b.id)
    incident_lifecycle.move_reports(
        draft, report_ids[: incident_lifecycle.MOVED_PER_DEADLINE], b.id
    )
    if zone is not None:
        zones.move_zone(draft, zone, b.id)
    communes = {*a.communes, *b.communes}
    if members or not communes.isdisjoint(draft.territory.communes):
        verification.close_place_questions(draft, b.id, "placed")
    draft.regrouped.add(b.id)
    for site in members:
        draft.doubtful.add(site)
    draft.concerned.add(b.id)
    update_derived_state(draft, draft.state.rules.topics)
    escalation = steps.find_escalation(draft, b.id)
    waits = own is not None and own.state != "answered" and escalation is None
    if waits or (a.level > b.level and (escalation is None or escalation.level < a.level)):
        escalations.update_escalations(draft, Rises(incidents={b.id: b.level}))
    draft.flush()


def merge_bridged_clusters(draft: AlertsDecision, report: str) -> None:
    """Merge the power incidents that a new cut is near to: they are one cut.

    The order in which sites report does not decide how many incidents there are. The smaller one
    goes into the larger one; an incident that a person split off, or of planned works, stays. Rules
    D22 and D24.
    """
    row = draft.state.reports.get(report)
    if row is None or not is_confirmed(row) or "D22:power" not in {w.code for w in row.why}:
        return
    clusters = [
        incident
        for incident in draft.incidents(draft.open_incidents)
        if incident.kind == "power"
        and incident.quiet is None
        and not incident.key.startswith(SPLIT_PREFIX)
        and (incident.id == row.incident or is_near_cluster(row, draft, incident))
    ]
    if row.incident not in {incident.id for incident in clusters}:
        return
    order = sorted(clusters, key=lambda i: (-i.level, -len(i.members), i.opened_at, i.id))
    for incident in order[1:]:
        merge_into(draft, incident, draft.incident(order[0].id))


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
    severe = (
        r.severity
        for r in confirmed_reports
        if r.type not in SILENT_REPORT_TYPES and "planned" not in r.flags
    )
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
            severity=max(severe, default=0),
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
    _latch_branches(
        draft,
        {
            id: since
            for id, since in _list_latched_branches(draft, a.id).items()
            if _parse_level(id) > a.level
        },
        new,
    )
    incident_lifecycle.move_reports(draft, [r.id for r in chosen_reports], new)
    if any(get_measure_name(r) == "customers_cut" for r in chosen_reports):
        for incident in (a.id, new):
            incident_lifecycle.count_customers(draft, incident)
    for cause in moved_causes:
        record_with_deadline(draft, copy_with(cause, {"incident": new}))
    draft.concerned.update((a.id, new))
    for site in members:
        draft.doubtful.add(site)
    draft.regrouped.add(new)
    update_derived_state(draft, draft.state.rules.topics)
    return {"incident": new, "from": a.id}


def _list_latched_branches(draft: AlertsDecision, incident: str) -> dict[str, Instant]:
    """Return the level branches that hold or held for an incident, with their beginning."""
    branches = (
        (id.partition("@"), t) for id, t in draft.state.thresholds.items() if t.incident == incident
    )
    return {branch: t.since for (branch, _, scope), t in branches if scope == incident}


def _latch_branches(draft: AlertsDecision, branches: dict[str, Instant], incident: str) -> None:
    """Record these branches as latched for another incident.

    They do not raise its level again. Rule D31, latched levels.
    """
    for branch, since in sorted(branches.items()):
        id = f"{branch}@{incident}"
        if id not in draft.state.thresholds:
            draft.emit(ThresholdChanged(id=id, held=True, since=since, incident=incident))


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
