"""Incidents: how they open, grow, move reports, reopen and close. Rules D24 and D26.

A level that no incident explains opens one, too: without an incident nobody is called (rule D76).
"""

from collections.abc import Iterable
from typing import Any, Final

from schemas.alerts import IncidentRow, ReportChanged, ReportRow, Why
from schemas.base import Instant, copy_with
from schemas.catalogue.event_types import endangers_people
from schemas.crisis.causes import Cause
from schemas.topics import parse_realm
from schemas.words import Certainty, EventType, IncidentState, Level, MsgType
from services.alerts.causes.cause_lifecycle import ReportEffect, list_open_causes_beside
from services.alerts.decision import AlertsDecision
from services.alerts.evolve import OPEN
from services.alerts.incidents import zones
from services.alerts.incidents.correlation import Placement
from services.alerts.incidents.families import (
    UNKNOWN_NETWORK,
    build_fallback_key,
    find_own_key,
)
from services.alerts.levels.levels import CRISIS, TERRITORY, Rises
from services.alerts.reference.territory import CAUSELESS_TYPES, SILENT_REPORT_TYPES, format_day
from services.alerts.reports.report_facts import (
    are_windows_over,
    get_estimated_end,
    get_measure_name,
    get_site,
    is_confirmed,
    is_current_word,
    is_same_sender,
    is_site_report,
    is_value_held,
    is_withdrawn,
    list_communes,
    parse_number,
)

MOVED_PER_DEADLINE: Final = 60
"""Reports of a merged incident that one Transaction moves.

The size of a Transaction is limited, and an incident of weeks has hundreds of reports.
"""


def open_or_join(draft: AlertsDecision, row: ReportRow, placement: Placement) -> str | None:
    """Return the incident of a placement, opening it if it is new.

    An incident that holds only this report takes the new key instead. Rule D8, unknown sites.
    """
    if placement.opens is None:
        return placement.incident
    kind, key = placement.opens
    if kind == "power":
        key = f"cluster:{next(iter(list_communes(row, draft.territory)), '') or get_site(row) or row.id}"
    if (own := _find_incident_of_only_report(draft, row.id)) is not None:
        return draft.alter(own, "report", kind=kind, key=key).id
    incident = IncidentRow(
        id=draft.derive("incident"),
        number=_build_number(draft, row),
        kind=kind,
        key=key,
        state=IncidentState.OPEN,
        level=Level.N0,
        severity=0,
        certainty=Certainty.CONFIRMED,
        opened_at=row.occurred_at,
        known_at=row.recorded_at,
        updated_at=draft.now,
        version=0,
        last_at=row.occurred_at,
    )
    draft.put_incident(incident, "opened")
    return incident.id


def _find_incident_of_only_report(draft: AlertsDecision, report: str) -> str | None:
    """Return the open incident of a report that was judged before, if it holds no other report."""
    incident = draft.incident_of(report)
    if incident is None or draft.incident(incident).state not in OPEN:
        return None
    return incident if set(draft.state.incident_reports.get(incident, ())) == {report} else None


def remove_report(draft: AlertsDecision, incident: str, report: str) -> None:
    """Remove a report from the counts of its former incident, after it was judged again."""
    draft.alter(
        incident,
        "report",
        reports_count=max(draft.incident(incident).reports_count - 1, 0),
        updated_at=draft.now,
    )
    if get_measure_name(draft.state.reports[report]) == "customers_cut":
        count_customers(draft, incident)


def _build_number(draft: AlertsDecision, row: ReportRow) -> str:
    """Return a number like `92-2027-0211-01`: territory, local day, count of that day."""
    territory = parse_realm(draft.state.realm)[0]
    year, month, day = format_day(row.recorded_at).split("-")
    prefix = f"{territory}-{year}-{month}{day}"
    opened_count = draft.state.numbers.get(prefix, 0) + sum(
        1
        for i in draft.changed_incidents
        if i not in draft.state.incidents and draft.incident(i).number.startswith(prefix)
    )
    return f"{prefix}-{opened_count + 1:02d}"


def add_report(
    draft: AlertsDecision,
    row: ReportRow,
    incident: str,
    effect: ReportEffect | None,
    first_time: bool = True,
) -> None:
    """Add a report to an incident. Only confirmed reports add members, communes and severity."""
    incident_row = draft.incident(incident)
    values: dict[str, Any] = {"updated_at": draft.now}
    if first_time:
        values["reports_count"] = incident_row.reports_count + 1
        values["duplicates_count"] = incident_row.duplicates_count + (
            effect is not None and effect.outcome == "same"
        )
    change = "report"
    if is_confirmed(row):
        change = _apply_report(draft, row, incident_row, effect, values)
    draft.put_incident(copy_with(incident_row, values), change)
    if incident_row.state is IncidentState.CLOSED and _is_reopening_news(
        row, incident_row, effect, values
    ):
        reopen_incident(draft, incident)


def _is_reopening_news(
    row: ReportRow, incident_row: IncidentRow, effect: ReportEffect | None, values: dict[str, Any]
) -> bool:
    """Return whether a report opens a closed incident again.

    Its cause must be open, and graver than was known when the incident was closed; a repetition
    undoes no decision. A report that makes no cause (a bulletin, a river) must be later than the
    closing and graver than the whole incident. Rule D26, closed incidents.
    """
    if effect is not None:
        return effect.graver
    return (
        row.type in CAUSELESS_TYPES
        and row.occurred_at >= (incident_row.closed_at or 0)
        and values.get("severity", 0) > incident_row.severity
    )


def _apply_report(
    draft: AlertsDecision,
    row: ReportRow,
    incident_row: IncidentRow,
    effect: ReportEffect | None,
    values: dict[str, Any],
) -> str:
    values["opened_at"] = min(incident_row.opened_at, row.occurred_at)
    if "planned" not in row.flags:
        values |= _build_counted_values(draft, row, incident_row)
    if endangers_people(row.type, row.severity) and row.msg_type is not MsgType.CANCEL:
        values["danger"] = True
    if is_new_danger(draft, row, effect):
        draft.more_danger.add(incident_row.id)
    if incident_row.kind != "power" or row.type is EventType.OUTAGE_POWER:
        values["last_at"] = max(incident_row.last_at or 0, row.occurred_at)
        values["communes"] = _add_communes(
            incident_row.communes, list_added_communes(draft, incident_row.kind, (row,))
        )
    if (key := _find_wider_key(draft, row, incident_row)) is not None:
        values["key"] = key
    if _announces_end(row):
        is_newest = row.occurred_at >= (incident_row.last_at or 0)
        values["estimated_end"] = (
            get_estimated_end(row)
            if is_newest
            else _find_estimated_end(_list_reports(draft, incident_row.id), row)
        )
    if effect is not None and effect.outcome != "over":
        values |= _build_persons(draft, incident_row, effect)
    site = get_site(row)
    if site is None or not _makes_member(row) or site in incident_row.members:
        return "report"
    values |= _build_member_values(draft, incident_row, site)
    return "member"


def _find_wider_key(draft: AlertsDecision, row: ReportRow, incident_row: IncidentRow) -> str | None:
    """Return the key that a report gives its incident: an isolation, or the network of a cut."""
    family, key = find_own_key(row, draft) or ("", "")
    if family != incident_row.kind or key == incident_row.key:
        return None
    is_wider = (family == "it" and key == "*") or (
        family == "water" and incident_row.key == UNKNOWN_NETWORK
    )
    return key if is_wider else None


def add_member(draft: AlertsDecision, incident: str, site: str) -> None:
    """Make a site a member of an incident by another word than a report of its own."""
    row = draft.incident(incident)
    if site not in row.members:
        draft.alter(
            incident,
            "member",
            updated_at=draft.now,
            **_build_member_values(draft, row, site),
        )


def _build_member_values(draft: AlertsDecision, row: IncidentRow, site: str) -> dict[str, Any]:
    """Return the members and the silent sites of an incident with one more member."""
    values: dict[str, Any] = {"members": tuple(sorted((*row.members, site)))}
    zone = draft.state.zones.get(row.id)
    if zone is not None and site in zone.sites:
        values["zone_sites"] = tuple(s for s in row.zone_sites if s != site)
    return values


def _build_counted_values(
    draft: AlertsDecision, row: ReportRow, incident_row: IncidentRow
) -> dict[str, Any]:
    """Return the severity and customers cut by a current report. Rule D9, planned events."""
    values: dict[str, Any] = {}
    if _gives_severity(row):
        values["severity"] = max(incident_row.severity, row.severity)
    if get_measure_name(row) == "customers_cut":
        values["customers_cut"] = _find_customers_cut(draft, incident_row, row)
    return values


def _gives_severity(row: ReportRow) -> bool:
    return (
        row.type not in SILENT_REPORT_TYPES
        and row.msg_type is not MsgType.CANCEL
        and not is_value_held(row)
    )


def count_announced_report(draft: AlertsDecision, row: ReportRow, incident: str) -> None:
    """Count an announced report from now on. Rule D9, planned events."""
    incident_row = draft.incident(incident)
    draft.put_incident(
        copy_with(
            incident_row,
            {"updated_at": draft.now, **_build_counted_values(draft, row, incident_row)},
        ),
        "report",
    )


def _is_repeating_cancel(draft: AlertsDecision, row: ReportRow) -> bool:
    """Return whether a Cancel only repeats the measure of the report that it withdraws. Rule D3."""
    return row.msg_type is MsgType.CANCEL and any(
        r.measure == row.measure for r in draft.find_reports(row.references)
    )


def recount_customers(draft: AlertsDecision, reports: Iterable[str]) -> None:
    """Recount the customers cut of the incidents of these reports.

    Call it when reports are withdrawn, or begin or cease to be current or planned works.
    """
    customer_reports = (
        r for r in draft.find_reports(reports) if get_measure_name(r) == "customers_cut"
    )
    for incident in dict.fromkeys(draft.incident_of(r.id) for r in customer_reports):
        if incident is not None:
            count_customers(draft, incident)


def recount_danger(draft: AlertsDecision, incident: str) -> None:
    """Clear the danger of an incident if all its reports of danger were withdrawn or denied.

    The danger of a report that is over, or replaced, stays: people may be hurt. Rule D3.
    """
    row = draft.incident(incident)
    reports = draft.find_reports(draft.state.incident_reports.get(incident, ()))
    if row.danger and not any(
        is_confirmed(r)
        and r.msg_type is not MsgType.CANCEL
        and "cancelled" not in r.flags
        and endangers_people(r.type, r.severity)
        for r in reports
    ):
        draft.alter(incident, "report", danger=False)


def recount_split(draft: AlertsDecision, incident: str) -> None:
    """Recount the severity, danger, end and customers of one part of a split incident. Rule D25."""
    reports = [r for r in _list_reports(draft, incident) if is_confirmed(r)]
    severities = (r.severity for r in reports if _gives_severity(r) and "planned" not in r.flags)
    draft.alter(
        incident,
        "report",
        severity=max(severities, default=0),
        estimated_end=_find_estimated_end(reports),
    )
    recount_danger(draft, incident)
    count_customers(draft, incident)


def count_customers(draft: AlertsDecision, incident: str) -> None:
    """Set the customers cut of an incident to the newest figure of its reports."""
    draft.alter(
        incident, "report", customers_cut=_find_customers_cut(draft, draft.incident(incident))
    )


def _find_customers_cut(
    draft: AlertsDecision, incident: IncidentRow, more: ReportRow | None = None
) -> float | None:
    """Return the newest figure that counts.

    An incident of planned works only shows their figure (rule D64). `more` is a report that is not
    recorded yet.
    """
    rows = (*draft.figures(incident.id), *((more,) if more is not None else ()))
    figures = [
        (r.occurred_at, r.recorded_at, r.id, figure)
        for r in rows
        if (figure := _get_figure(draft, r, incident)) is not None
    ]
    return max(figures)[3] if figures else None


def _get_figure(draft: AlertsDecision, row: ReportRow, incident: IncidentRow) -> float | None:
    """Return the customers cut that a report gives now; None if it does not count."""
    is_covered = draft.state.hushed.get(row.id) == "maintenance" and incident.quiet != "maintenance"
    if (
        row.measure is None
        or not is_confirmed(row)
        or is_covered
        or _is_repeating_cancel(draft, row)
    ):
        return None
    if not {"cancelled", "planned"}.isdisjoint(row.flags) or are_windows_over(
        row.effective, draft.now
    ):
        return None
    return parse_number(row.measure.value)


def _add_communes(communes: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return communes if all(c in communes for c in more) else tuple(sorted({*communes, *more}))


def list_added_communes(
    draft: AlertsDecision, kind: str, rows: Iterable[ReportRow]
) -> tuple[str, ...]:
    """Return the communes that these reports add to an incident of this family.

    For a power cut only reports of cuts count; a road or a train is no place of an incident.
    """
    counted_reports = (
        r
        for r in rows
        if is_confirmed(r)
        and r.msg_type is not MsgType.CANCEL
        and r.type is not EventType.TRANSPORT_DISRUPTION
    )
    reports = (r for r in counted_reports if kind != "power" or r.type is EventType.OUTAGE_POWER)
    return tuple(sorted({c for r in reports for c in list_communes(r, draft.territory)}))


def _announces_end(row: ReportRow) -> bool:
    """Return whether a report announces the end of its whole incident, and stands."""
    return (
        is_confirmed(row)
        and is_current_word(row)
        and get_estimated_end(row) is not None
        and (get_site(row) is None or get_measure_name(row) == "estimated_end")
    )


def _find_estimated_end(rows: Iterable[ReportRow], more: ReportRow | None = None) -> Instant | None:
    """Return the end of an incident that its newest report of one announces.

    `more` is a report that is not recorded yet. Rule D7, late reports.
    """
    announcements = [
        r for r in (*rows, *((more,) if more is not None else ())) if _announces_end(r)
    ]
    newest = max(announcements, key=lambda r: (r.occurred_at, r.recorded_at, r.id), default=None)
    return None if newest is None else get_estimated_end(newest)


def _makes_member(row: ReportRow) -> bool:
    """Return whether a report is one of a site, and stands."""
    return is_site_report(row) and is_current_word(row)


def _list_reports(draft: AlertsDecision, incident: str) -> list[ReportRow]:
    """Return the reports of an incident, with those that still move to it after a merge."""
    merged = (i for i in draft.state.merged_incidents if draft.resolve_incident(i) == incident)
    ids = (id for i in (incident, *merged) for id in draft.state.incident_reports.get(i, ()))
    return draft.find_reports(ids)


def is_error(draft: AlertsDecision, row: IncidentRow) -> bool:
    """Return whether all causes of an incident proved errors. Walks over all causes. Rule D3."""
    if row.over_since is None:
        return False
    causes = draft.state.causes.values()
    own_causes = [c for c in causes if draft.resolve_incident(c.incident) == row.id]
    return bool(own_causes) and all(is_withdrawn(c) for c in own_causes)


def recount_withdrawn(draft: AlertsDecision, incident: str) -> None:
    """Recount the facts of an incident after some of its reports proved an error.

    Its people, sites, communes, severity and announced end are those of the other reports. Without
    any, the last picture stays until a person closes it. Walks over all causes. Rule D3,
    cancellations.
    """
    row = draft.incident(incident)
    reports = [r for r in _list_reports(draft, incident) if is_confirmed(r) and is_current_word(r)]
    causes = [
        c
        for c in draft.state.causes.values()
        if draft.resolve_incident(c.incident) == incident and not is_withdrawn(c)
    ]
    told_sites = {get_site(r) for r in reports if _makes_member(r)} | {c.site for c in causes}
    members = tuple(site for site in row.members if site in told_sites)
    if not members and not causes:
        return
    communes = list_added_communes(draft, row.kind, reports)
    severities = [r.severity for r in reports if _gives_severity(r)]
    draft.alter(
        incident,
        "report",
        severity=max(severities, default=row.severity),
        members=members or row.members,
        communes=tuple(c for c in row.communes if c in communes) or row.communes,
        persons_concerned=count_persons(causes) or None,
        estimated_end=_find_estimated_end(reports),
    )


def _build_persons(
    draft: AlertsDecision, incident_row: IncidentRow, effect: ReportEffect
) -> dict[str, Any]:
    """Return the people concerned with a cause that a report opened or changed.

    A lower number replaces the former one, and a cause that replaces another one counts its people
    once. Rule D3, updates.
    """
    more = _count_added_persons(draft, effect)
    if more and not draft.ended:
        return {"persons_concerned": (incident_row.persons_concerned or 0) + more}
    if not more and (effect.cause.persons or 0) >= effect.persons_before:
        return {}
    causes = (
        c
        for c in draft.state.causes.values()
        if draft.resolve_incident(c.incident) == incident_row.id and not is_withdrawn(c)
    )
    return {"persons_concerned": count_persons(causes) or None}


def _count_added_persons(draft: AlertsDecision, effect: ReportEffect) -> int:
    """Return how many people a cause adds.

    Only the greatest of several causes on one site counts.
    """
    cause, state = effect.cause, draft.state
    others = [state.causes[c] for c in state.site_causes.get(cause.site or "", ()) if c != cause.id]
    before = max(
        (
            c.persons or 0
            for c in others
            if draft.resolve_incident(c.incident) == draft.resolve_incident(cause.incident)
        ),
        default=0,
    )
    return max((cause.persons or 0) - max(before, effect.persons_before), 0)


def count_persons(causes: Iterable[Cause]) -> int:
    """Return the people concerned by these causes; on each site only the greatest number counts."""
    most: dict[str, int] = {}
    for cause in causes:
        place = cause.site or cause.id
        most[place] = max(most.get(place, 0), cause.persons or 0)
    return sum(most.values())


def move_reports(draft: AlertsDecision, report_ids: Iterable[str], into: str) -> None:
    """Move reports to another incident by a person's decision. Rule D25, merge and split."""
    for row in [draft.state.reports[r] for r in report_ids]:
        why = (*row.why, Why(code="D25", args={"incident": into}, at=draft.now))
        draft.emit(ReportChanged(row=copy_with(row, {"incident": into, "why": why})))


def move_next_reports(draft: AlertsDecision, incident: str) -> None:
    """Move the next batch of reports of a merged incident.

    Their causes need no change: the merged incident leads to the other one.
    """
    into, remaining_reports = (
        draft.resolve_incident(incident),
        sorted(draft.state.incident_reports.get(incident, ())),
    )
    if into is not None:
        move_reports(draft, remaining_reports[:MOVED_PER_DEADLINE], into)
        draft.concerned.add(into)
    draft.alter(
        incident,
        "merged",
        reports_count=len(remaining_reports[MOVED_PER_DEADLINE:]) if into is not None else 0,
        updated_at=draft.now,
    )


def reopen_incident(draft: AlertsDecision, incident: str, by_person: bool = False) -> None:
    """Open an incident again, for a late report with an open cause or by decision.

    Rule D26, closed incidents.
    """
    incident_row = draft.incident(incident)
    values: dict[str, Any] = {
        "state": IncidentState.OPEN,
        "closed_at": None,
        "updated_at": draft.now,
    }
    if by_person:
        values["version"] = incident_row.version + 1
    draft.put_incident(copy_with(incident_row, values), "reopened")
    draft.reopened.add(incident)
    zones.restart_silence_delay(draft, incident)


def close_incident(draft: AlertsDecision, incident: str, at: Instant) -> None:
    """Close an incident by a person's decision.

    Its causes stay on their sites until they are lifted.
    """
    incident_row = draft.incident(incident)
    draft.put_incident(
        copy_with(
            incident_row,
            {
                "state": IncidentState.CLOSED,
                "closed_at": at,
                "updated_at": at,
                "version": incident_row.version + 1,
            },
        ),
        "closed",
    )


def list_open_causes(draft: AlertsDecision, incident: str) -> list[str]:
    """Return the open causes of an incident. Walks over all causes: use it for decisions only."""
    return [
        c.id
        for c in draft.state.causes.values()
        if c.lifted_at is None and draft.resolve_incident(c.incident) == incident
    ]


_ORDER_TYPES: Final = frozenset((EventType.EVACUATION, EventType.SHELTER_IN_PLACE))
"""Orders: where a danger is known, they are the answer to it."""


def is_new_danger(draft: AlertsDecision, row: ReportRow, effect: ReportEffect | None) -> bool:
    """Return whether a report adds a danger at another place, or of another kind at the same place.

    The incident is dangerous already. A repetition (rule D4), an ended danger (rule D7) or an
    announced one (rule D9) is none. Decided in
    `docs/adr/0040-call-again-when-people-are-in-danger.md`.
    """
    if (
        not endangers_people(row.type, row.severity)
        or effect is None
        or not (effect.outcome == "new" or effect.endangers)
        or not effect.cause.acting
    ):
        return False
    cause = effect.cause
    beside = (
        c
        for c in list_open_causes_beside(draft, cause)
        if c.id != cause.id and _is_at_same_place(draft, row, cause, c)
    )
    danger_types = {c.type for c in beside if c.acting and endangers_people(c.type, c.severity)}
    if row.type in _ORDER_TYPES:
        return not danger_types and row.msg_type is not MsgType.UPDATE
    return row.type not in danger_types


def _is_at_same_place(draft: AlertsDecision, row: ReportRow, cause: Cause, other: Cause) -> bool:
    """Return whether another cause of the site or incident is where the report's cause is.

    Two senders who name no place may tell of two places, unless one names the other's report.
    Rule D8, unknown places.
    """
    if cause.site is not None:
        return True
    if "place_missing" not in row.flags:
        return other.commune == cause.commune
    reports = draft.find_reports(other.reports)
    return any(r.id in row.references or is_same_sender(r, row) for r in reports)


def open_level_incident(draft: AlertsDecision, rises: Rises) -> None:
    """Open an incident for a level below N3 that rose by reports without one.

    From N3 on the territory has an escalation of its own.
    """
    if rises.territory is None or not Level.N0 < draft.level < CRISIS:
        return
    if any(draft.incident(i).level >= draft.level for i in draft.open_incidents):
        return
    row = draft.state.levels[TERRITORY]
    reports = _list_reports_without_incident(draft, row.why)
    if not reports:
        return
    incident = open_or_join(
        draft, reports[0], Placement("D76", opens=build_fallback_key(reports[0], draft))
    )
    assert incident is not None
    for report in reports:
        add_report(draft, report, incident, None)
        why = (
            *(w for w in report.why if w.code != "D24"),
            Why(code="D76", args={"incident": incident}),
        )
        draft.emit(ReportChanged(row=copy_with(report, {"incident": incident, "why": why})))
    rises.incidents.setdefault(incident, Level.N0)
    draft.alter(incident, "level", level=draft.level, why=row.why)


def _list_reports_without_incident(draft: AlertsDecision, why: tuple[Why, ...]) -> list[ReportRow]:
    """Return the reports behind a level that open no incident by themselves, oldest first."""
    reports_by_id = {r.id: r for w in why for r in draft.find_reports(w.reports)}
    free = (
        r
        for r in reports_by_id.values()
        if r.incident is None and is_confirmed(r) and r.type in SILENT_REPORT_TYPES
    )
    return sorted(free, key=lambda r: (r.recorded_at, r.id))
