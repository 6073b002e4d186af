"""Merge incidents that are one: by a person's decision, or because a new report makes them one.

Rules D22, D24 and D25.
"""

from collections.abc import Iterator

from schemas.alerts import IncidentRow, ReportRow
from schemas.base import copy_with
from schemas.calling import EscalationRow
from schemas.words import EventType, IncidentState
from services.alerts.decision import AlertsDecision
from services.alerts.escalation import escalations, steps
from services.alerts.incidents import incident_lifecycle, zones
from services.alerts.incidents.families import (
    SPLIT_PREFIX,
    is_attack_report,
    is_in_cluster,
    is_near_cluster,
    list_attack_times,
    names_system,
)
from services.alerts.levels.levels import TERRITORY, Rises, latch_branches, list_latched_branches
from services.alerts.pipeline import update_derived_state
from services.alerts.reference.territory import IT_BY_ATTACK_MS
from services.alerts.reports import verification
from services.alerts.reports.report_facts import is_confirmed, is_current_word


def merge_into(draft: AlertsDecision, a: IncidentRow, b: IncidentRow) -> None:
    """Merge open incident A into open incident B, in one decision."""
    latched_branches = list_latched_branches(draft, a.id)
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
        _end_escalation(draft, own, into, b)
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
    latch_branches(draft, latched_branches, b.id)
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


def _end_escalation(
    draft: AlertsDecision, own: EscalationRow, into: EscalationRow | None, incident: IncidentRow
) -> None:
    """End the escalation of a merged incident.

    If that of the other incident stands, people that it has not called learn that theirs is over.
    """
    if into is None or into.level < own.level > incident.level:
        escalations.end_escalation(draft, own, into.id if into else None, why="merged")
        return
    called_again = steps.list_called_people(draft, into)
    escalations.end_escalation(draft, own, into.id, why="joined", called_again=called_again)


def merge_bridged_incidents(draft: AlertsDecision, report: str) -> None:
    """Merge the incidents that a report makes one. Rule D24, in any order of arrival."""
    row = draft.state.reports.get(report)
    if row is None or not is_confirmed(row):
        return
    _merge_bridged_clusters(draft, row)
    _merge_into_attack(draft, row)


def _merge_into_attack(draft: AlertsDecision, row: ReportRow) -> None:
    """Merge IT incidents without a named system into the cyberattack that a report tells of.

    They began within the 12 hours before it, or later. So do other attacks of its time. An incident
    that a person split off, or of planned works, stays. Rules D22 and D24.
    """
    if not is_attack_report(row):
        return  # Nearly always, and then no other incident need be looked at.
    attack = next((i for i in _list_it_incidents(draft) if i.id == row.incident), None)
    if attack is None:
        return
    attack = _merge_attacks(draft, row, attack)
    began_at = min(list_attack_times(attack, draft))
    for other in _list_it_incidents(draft):
        has_begun_before = other.opened_at < began_at - IT_BY_ATTACK_MS
        if other.id == attack.id or has_begun_before or _names_system(draft, other):
            continue
        merge_into(draft, other, draft.incident(attack.id))


def _merge_attacks(draft: AlertsDecision, row: ReportRow, attack: IncidentRow) -> IncidentRow:
    """Merge the cyberattacks with a report at most 12 hours from this one; return the whole.

    They are one attack on several systems. The smaller one goes into the larger one, and one that
    names no system into one that does.
    """
    near = [attack]
    for other in _list_it_incidents(draft):
        times = list_attack_times(other, draft)
        if other.id != attack.id and any(
            abs(row.occurred_at - time) <= IT_BY_ATTACK_MS for time in times
        ):
            near.append(other)
    order = sorted(_order_by_size(near), key=lambda i: not _names_system(draft, i))
    for incident in order[1:]:
        merge_into(draft, incident, draft.incident(order[0].id))
    return draft.incident(order[0].id)


def _names_system(draft: AlertsDecision, incident: IncidentRow) -> bool:
    """Return whether a report of an incident names a system or a network."""
    reports = draft.find_reports(draft.state.incident_reports.get(incident.id, ()))
    return any(map(names_system, reports))


def _order_by_size(incidents: list[IncidentRow]) -> list[IncidentRow]:
    """Return incidents that become one, the one that stays first."""
    return sorted(incidents, key=lambda i: (-i.level, -len(i.members), i.opened_at, i.id))


def _list_it_incidents(draft: AlertsDecision) -> list[IncidentRow]:
    return [
        incident
        for incident in draft.incidents(draft.open_incidents)
        if incident.kind == "it"
        and incident.quiet is None
        and not incident.key.startswith(SPLIT_PREFIX)
    ]


def _merge_bridged_clusters(draft: AlertsDecision, row: ReportRow) -> None:
    """Merge the power incidents that a new cut makes one, directly or by another cut.

    The order in which sites report does not decide how many incidents there are: a cut also widens
    its incident in time and place, which may bring it near to a cut that was known before. The
    smaller one goes into the larger one; an incident that a person split off, or of planned works,
    stays. Rules D22 and D24.
    """
    if row.type is not EventType.OUTAGE_POWER and "D22:power" not in {w.code for w in row.why}:
        return
    clusters = [
        incident
        for incident in draft.incidents(draft.open_incidents)
        if incident.kind == "power"
        and incident.quiet is None
        and not incident.key.startswith(SPLIT_PREFIX)
    ]
    whole = next((incident for incident in clusters if incident.id == row.incident), None)
    if whole is None or len(clusters) == 1:
        return
    bridged, others = [whole], [incident for incident in clusters if incident is not whole]
    while others:
        near = [i for i in others if _is_bridged(draft, row, i, whole, bridged)]
        if not near:
            break
        bridged += near
        others = [incident for incident in others if incident not in near]
        whole = _unite_clusters(bridged)
    order = _order_by_size(bridged)
    for incident in order[1:]:
        merge_into(draft, incident, draft.incident(order[0].id))


def _is_bridged(
    draft: AlertsDecision,
    row: ReportRow,
    other: IncidentRow,
    whole: IncidentRow,
    bridged: list[IncidentRow],
) -> bool:
    """Return whether a cut of one power incident is on a member site of the other, or near it."""
    if is_near_cluster(row, draft, other):
        return True
    return _are_near_places(draft, whole, other) and (
        any(is_in_cluster(cut, draft, whole) for cut in _list_cuts(draft, other))
        or any(is_in_cluster(cut, draft, other) for i in bridged for cut in _list_cuts(draft, i))
    )


def _are_near_places(draft: AlertsDecision, one: IncidentRow, other: IncidentRow) -> bool:
    """Return whether two power incidents may be near in place, without a look at each cut."""
    if not (one.communes and other.communes) or not frozenset(one.communes).isdisjoint(
        other.communes
    ):
        return True
    return any(not draft.territory.near(site).isdisjoint(other.members) for site in one.members)


def _list_cuts(draft: AlertsDecision, incident: IncidentRow) -> Iterator[ReportRow]:
    for report in draft.find_reports(draft.state.incident_reports.get(incident.id, ())):
        is_cut = report.type is EventType.OUTAGE_POWER and "planned" not in report.flags
        if is_cut and is_confirmed(report) and is_current_word(report):
            yield report


def _unite_clusters(clusters: list[IncidentRow]) -> IncidentRow:
    """Return the first incident with the times and places of all."""
    return copy_with(
        clusters[0],
        {
            "opened_at": min(i.opened_at for i in clusters),
            "last_at": max(i.last_at or i.opened_at for i in clusters),
            "members": tuple({site for i in clusters for site in i.members}),
            "communes": tuple({commune for i in clusters for commune in i.communes}),
        },
    )
