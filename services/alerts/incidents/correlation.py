"""Choose the incident of a report. The first rule that applies wins. Rules D21 to D26."""

from collections.abc import Callable
from dataclasses import dataclass

from schemas.alerts import IncidentRow, ReportRow
from schemas.catalogue.event_types import endangers_people
from schemas.crisis.causes import Cause
from schemas.words import EventType, IncidentState, MsgType
from services.alerts.decision import AlertsDecision
from services.alerts.evolve import OPEN
from services.alerts.incidents.families import (
    IncidentKey,
    Proximity,
    build_fallback_key,
    find_cluster,
    find_object_key,
    find_own_key,
    find_proximity,
)
from services.alerts.reference.territory import (
    ADDENDUM_WINDOW_MS,
    CLUSTER_MS,
    COLOURS,
    OFFER_MEASURES,
    SILENT_REPORT_TYPES,
)
from services.alerts.reports.report_facts import (
    get_measure_name,
    get_site,
    is_all_clear,
    is_confirmed,
    is_revocation,
    list_communes,
    list_objects,
)


@dataclass(frozen=True, slots=True)
class Placement:
    """The place of a report: an existing incident, a new one with a key, or none."""

    rule: str
    """Code of the rule, as shown (`D22:power`)."""
    incident: str | None = None
    opens: IncidentKey | None = None


NOWHERE = Placement("D24")


def choose_incident(row: ReportRow, cause: Cause | None, draft: AlertsDecision) -> Placement:
    """Choose the incident of a report. `cause` is the open cause that it repeats (rule D4)."""
    if (by_reference := _find_referenced_incident(row, draft)) is not None:
        return Placement("D21", by_reference)
    if (
        cause is not None
        and (incident := draft.resolve_incident(cause.incident)) is not None
        and draft.incident(incident).state in OPEN
    ):
        return Placement("D4", incident)
    key = find_own_key(row, draft)
    if (
        (key is None and row.type in SILENT_REPORT_TYPES)
        or is_all_clear(row)
        or is_revocation(row, draft.state.rules.flag_names)
    ):
        placement = _place_without_opening(row, draft)
        if placement is not NOWHERE or not _is_danger_alone(row):
            return placement
        return Placement("D24", opens=build_fallback_key(row, draft))
    if (
        key is not None
        and not _is_absorbed_absence(key, row, draft)
        and (own := _find_incident_by_key(key, row, draft)) is not None
    ):
        return Placement(f"D22:{own.kind}", own.id)
    reach, absorbing = _find_absorbing_incident(row, draft)
    if (
        key is None
        and reach is not Proximity.AREA
        and (by_cause := _find_incident_of_cause(row, draft)) is not None
    ):
        return Placement("D23", by_cause)
    if absorbing is not None:
        return Placement(f"D22:{absorbing.kind}", absorbing.id)
    if key is None and (member_incident := _find_incident_of_member(row, draft)) is not None:
        return Placement("D23", member_incident)
    if key is None and (same := _find_similar_incident(row, draft)) is not None:
        return Placement("D23", same.id)
    if (closed_incident := _find_closed_incident(key, row, draft)) is not None:
        return Placement("D26", closed_incident.id)
    if not can_open_incident(row):
        return NOWHERE
    return Placement("D22" if key else "D23", opens=key or build_fallback_key(row, draft))


def _is_danger_alone(row: ReportRow) -> bool:
    """Return whether an information tells of people in danger: it opens an incident. Rule D24."""
    return (
        row.type is EventType.INFO
        and endangers_people(row.type, row.severity)
        and can_open_incident(row)
    )


def _is_absorbed_absence(key: IncidentKey, row: ReportRow, draft: AlertsDecision) -> bool:
    """Return whether an absence belongs to snow or a strike instead. Rule D22, incident keys."""
    if key[0] != "absence":
        return False
    _, absorbing = _find_absorbing_incident(row, draft)
    return absorbing is not None and absorbing.kind in ("snow", "strike")


def can_open_incident(row: ReportRow) -> bool:
    """Return whether a report may open an incident.

    Rumours, unconfirmed reports, cancellations, and green and yellow bulletins may not (rule D24).
    Nor may a bulletin with a held colour (rule D76), because it is uncertain whether it is right.
    An `info` opens one only by a flag with a family of its own, or as a danger to people.
    """
    has_held_colour = row.type is EventType.WEATHER_ALERT and row.held is not None
    return (
        not has_held_colour
        and is_confirmed(row)
        and row.msg_type is not MsgType.CANCEL
        and row.colour not in COLOURS[:2]
    )


def _find_referenced_incident(row: ReportRow, draft: AlertsDecision) -> str | None:
    for reference in row.references:
        report = draft.state.reports.get(reference)
        incident = draft.resolve_incident(report.incident) if report else None
        if incident is not None and _is_accepting_reports(draft.incident(incident), row):
            return incident
    return None


def _is_accepting_reports(incident: IncidentRow, row: ReportRow) -> bool:
    """Return whether an incident takes reports: open, or closed less than 72 h ago. Rule D26."""
    if incident.state in OPEN:
        return True
    return (
        incident.closed_at is not None and row.recorded_at - incident.closed_at < ADDENDUM_WINDOW_MS
    )


def _find_incident_by_key(
    key: IncidentKey, row: ReportRow, draft: AlertsDecision
) -> IncidentRow | None:
    """Return the open incident with this key.

    An incident that was split off has another key and is never found. Rule D25, merge and split.
    """
    if key[0] == "power":
        return find_cluster(row, draft, _list_power_incidents(draft))
    same = _list_incidents_of_kind(key[0], draft)
    exact = next((i for i in same if i.key == key[1]), None) or _find_merge_target(key, draft)
    if exact is not None or key[0] != "it":
        return exact
    if key[1] == "*":  # an isolation takes the IT incident that led to it
        return min(same, key=lambda i: (-i.severity, i.opened_at, i.id), default=None)
    return next((i for i in same if i.key == "*"), None)


def _list_incidents_of_kind(kind: str, draft: AlertsDecision) -> list[IncidentRow]:
    return [i for i in draft.incidents(draft.open_incidents) if i.kind == kind]


def _list_power_incidents(draft: AlertsDecision) -> list[IncidentRow]:
    """Return the open power incidents, and those into which a person merged one.

    For the latter, any fact less than an hour ago is near enough. Rule D25, merge and split.
    """
    own = _list_incidents_of_kind("power", draft)
    return [
        *own,
        *(i for i in _list_merge_targets(lambda i: i.kind == "power", draft) if i not in own),
    ]


def _find_merge_target(key: IncidentKey, draft: AlertsDecision) -> IncidentRow | None:
    """Return the open incident that a person merged the one with this key into.

    Reports of the merged incident belong to it. Rule D25, merge and split.
    """
    return max(
        _list_merge_targets(lambda i: (i.kind, i.key) == key, draft),
        key=lambda i: (i.opened_at, i.id),
        default=None,
    )


def _list_merge_targets(
    which: Callable[[IncidentRow], bool], draft: AlertsDecision
) -> list[IncidentRow]:
    merged_ids = (i.id for i in draft.incidents(draft.state.merged_incidents) if which(i))
    heirs = {
        h: draft.incident(h) for i in merged_ids if (h := draft.resolve_incident(i)) is not None
    }
    return sorted((i for i in heirs.values() if i.state in OPEN), key=lambda i: (i.known_at, i.id))


def _find_similar_incident(row: ReportRow, draft: AlertsDecision) -> IncidentRow | None:
    """Return the open incident with the same key that holds a report of the same type and objects.

    Without it, each report on a commune or a road would open an incident. Only for reports without
    a site. Rule D23.
    """
    if get_site(row) is not None:
        return None
    kind, key = build_fallback_key(row, draft)
    for incident in draft.incidents(draft.open_incidents):
        if (incident.kind, incident.key) != (kind, key):
            continue
        reports = (
            draft.state.reports[r] for r in draft.state.incident_reports.get(incident.id, ())
        )
        if any(r.type is row.type and list_objects(r) == list_objects(row) for r in reports):
            return incident
    return None


def _find_incident_of_site(row: ReportRow, draft: AlertsDecision) -> str | None:
    return _find_incident_of_cause(row, draft) or _find_incident_of_member(row, draft)


def _find_incident_of_cause(row: ReportRow, draft: AlertsDecision) -> str | None:
    """Return the incident of the gravest open cause on the site. Rule D23, site causes."""
    site, state = get_site(row), draft.state
    if site is None:
        return None
    causes = [state.causes[c] for c in state.site_causes.get(site, ())]
    for cause in sorted(causes, key=lambda c: (-c.severity, -c.since, c.id)):
        incident = draft.resolve_incident(cause.incident)
        if incident is not None and draft.incident(incident).state in OPEN:
            return incident
    return None


def _find_incident_of_member(row: ReportRow, draft: AlertsDecision) -> str | None:
    """Return the newest open incident that the site is a member of.

    Its causes there may have ended.
    """
    incidents = [
        i
        for i in draft.incidents(draft.state.site_incidents.get(get_site(row) or "", ()))
        if i.state in OPEN
    ]
    return max(incidents, key=lambda i: (i.opened_at, i.id)).id if incidents else None


def _find_absorbing_incident(
    row: ReportRow, draft: AlertsDecision
) -> tuple[Proximity | None, IncidentRow | None]:
    """Return the nearest open incident that absorbs the report, and how near it is.

    Several hazards of the whole territory do not absorb it, unless one of them is a strike. Rule
    D23, site causes.
    """
    site = get_site(row)
    absorbers: list[tuple[Proximity, IncidentRow]] = []
    for incident in draft.incidents_around(site):
        if incident.kind == "site" and site not in incident.members:
            continue
        reach = find_proximity(incident, row, draft)
        if reach is not None:
            absorbers.append((reach, incident))
    if not absorbers:
        return None, None
    nearest = max(reach for reach, _ in absorbers)
    candidates = [i for reach, i in absorbers if reach is nearest]
    if all(i.kind == "it" for i in candidates):
        return nearest, min(candidates, key=lambda i: (i.opened_at, i.id))
    if nearest is Proximity.TERRITORY and len(candidates) > 1:
        hazard = _choose_strike_or_hazard(row, candidates)
        return (None, None) if hazard is None else (nearest, hazard)
    return nearest, max(candidates, key=lambda i: (i.opened_at, i.id))


def _choose_strike_or_hazard(row: ReportRow, incidents: list[IncidentRow]) -> IncidentRow | None:
    """Return the strike of the day of a report, else the only other hazard; of an absence the snow.

    Violence keeps what may be its own. Rule D22, strikes.
    """
    strikes = [i for i in incidents if i.kind == "strike"]
    others = [i for i in incidents if i.kind != "strike"]
    if row.type is EventType.STAFF_SHORTAGE:
        others = [i for i in others if i.kind == "snow"]
    elif not strikes or len(others) > 1 or any(i.kind == "security" for i in others):
        return None
    return max(strikes or others, key=lambda i: (i.opened_at, i.id), default=None)


def _place_without_opening(row: ReportRow, draft: AlertsDecision) -> Placement:
    """Place a report that opens nothing (`info`, `headcount`, `reopening`).

    It joins by the causes that it lifts, by its object, or by its site.
    """
    site, state = get_site(row), draft.state
    if site is not None and row.type is EventType.REOPENING:
        lifted_causes = [
            state.causes[c]
            for c in state.site_causes.get(site, ())
            if state.causes[c].type in row.lifts
        ]
        for cause in sorted(lifted_causes, key=lambda c: (-c.severity, c.id)):
            if (incident := draft.resolve_incident(cause.incident)) is not None and draft.incident(
                incident
            ).state in OPEN:
                return Placement("D23", incident)
    key = find_object_key(row, draft)
    if (
        key is not None
        and (own := _find_incident_by_key(key, row, draft) or _find_power_incident(key, row, draft))
        is not None
    ):
        return Placement(f"D22:{own.kind}", own.id)
    if (by_site := _find_incident_of_site(row, draft)) is not None:
        return Placement("D23", by_site)
    if (
        row.type is EventType.HEADCOUNT
        and (absorbing := _find_absorbing_incident(row, draft)[1]) is not None
    ):
        return Placement(f"D22:{absorbing.kind}", absorbing.id)
    if get_measure_name(row) in OFFER_MEASURES and is_confirmed(row):
        open_ = list(draft.incidents(draft.open_incidents))
        if open_:
            return Placement(
                "D23", max(open_, key=lambda i: (i.level, i.severity, i.opened_at, i.id)).id
            )
    return NOWHERE


def _find_power_incident(
    key: IncidentKey, row: ReportRow, draft: AlertsDecision
) -> IncidentRow | None:
    """Return the incident that an operator's report on power belongs to.

    The operator may report long after the last cut and name no place. Candidates are power
    incidents and others that absorbed a cut (rule D22): the newest of the same communes, else the
    only one.
    """
    if key[0] != "power":
        return None
    own = _list_power_incidents(draft)
    power = [
        *own,
        *(
            i
            for i in draft.incidents(draft.open_incidents)
            if i.id in draft.state.figures and i not in own
        ),
    ]
    communes = frozenset(list_communes(row, draft.territory))
    there = [i for i in power if not communes.isdisjoint(i.communes)]
    if there:
        return max(there, key=lambda i: (i.opened_at, i.id))
    return power[0] if len(power) == 1 and not communes else None


def _find_closed_incident(
    key: IncidentKey | None, row: ReportRow, draft: AlertsDecision
) -> IncidentRow | None:
    """Return the incident, closed less than 72 h ago, that a late report joins by its time.

    Rule D26, closed incidents.
    """
    site = get_site(row)
    for incident in draft.incidents(reversed(draft.state.closed_incidents)):
        if incident.state is not IncidentState.CLOSED or not _is_accepting_reports(incident, row):
            continue
        if not incident.opened_at - CLUSTER_MS <= row.occurred_at <= (incident.closed_at or 0):
            continue
        same_key = (
            key is not None
            and incident.kind == key[0]
            and (key[0] == "power" or incident.key == key[1])
        )
        if same_key and key is not None and key[0] != "power":
            return incident
        if (
            site is not None
            and site in incident.members
            and (key is None or same_key or find_proximity(incident, row, draft) is not None)
        ):
            return incident
        if same_key and not frozenset(incident.communes).isdisjoint(
            list_communes(row, draft.territory)
        ):
            return incident
    return None
