"""Zones of incidents, and silent sites in them. Rules D18 to D20."""

from collections.abc import Iterable
from typing import Final

from schemas.alerts import IncidentRow, ReportRow
from schemas.base import MINUTE_MS, Instant, copy_with
from schemas.crisis.causes import AllClearNoted, Cause, SilenceChanged, ZoneChanged
from schemas.words import EventType as T
from schemas.words import MsgType
from services.alerts.causes.cause_lifecycle import find_open_cause
from services.alerts.causes.restoration import (
    end_operator_outages,
    list_earlier_parts,
    list_places,
    list_places_of_cause,
)
from services.alerts.deadlines import AllClearDue, SilenceDue
from services.alerts.decision import AlertsDecision, open_task
from services.alerts.declarations.flags import is_declared, list_revocations
from services.alerts.evolve import OPEN
from services.alerts.incidents.families import find_own_key, get_river_level
from services.alerts.reference.territory import (
    ALL_CLEAR_MS,
    SILENCE_KEY,
    SILENT_REPORT_TYPES,
    ZONE_CUSTOMERS,
)
from services.alerts.reports.report_facts import (
    get_measure_name,
    get_site,
    is_all_clear,
    is_confirmed,
    is_current,
    is_current_word,
    list_communes,
    parse_number,
)
from services.alerts.state import SiteSilence, Zone

SITES_PER_DEADLINE: Final = 80
"""Sites that one deadline judges: their effects must fit into one Transaction."""
_HIDDEN_TYPES: Final = {
    "power": T.OUTAGE_POWER,
    "water": T.OUTAGE_WATER,
    "gas": T.GAS_LEAK,
    "security": T.SECURITY_INCIDENT,
}
"""Family → type of cause that an unknown site hides."""


def extend_zone(draft: AlertsDecision, row: ReportRow, incident_id: str) -> None:
    """Extend the zone of an incident by a confirmed report, and plan the check of its silent sites.

    Only families with a delay for silent sites have them judged. Rule D18, silent sites.
    """
    incident = draft.incident(incident_id)
    family = _get_silence_family(row, incident)
    minutes = _get_silence_delay(draft, family)
    if row.msg_type is MsgType.CANCEL or row.type is T.REOPENING or "planned" in row.flags:
        return  # a withdrawn, ended or announced trouble hits no site
    drawn_sites = _list_drawn_sites(row)
    if minutes is None and not drawn_sites:
        return
    zone = draft.state.zones.get(incident_id, Zone())
    communes, sites = _compute_growth(draft, row, incident, zone, family)
    sites = drawn_sites or sites
    waiting = (
        {s for batch in zone.batches.values() for s in batch} if family != incident.kind else ()
    )
    new = tuple(sorted({s for s in sites if s not in zone.sites or s in waiting}))
    if not new and communes == zone.communes:
        if not zone.batches and incident.state in OPEN:
            restart_silence_delay(draft, incident_id)
        return
    has_deadline = (
        new and minutes is not None and incident.state in OPEN
    )  # else judged when the incident is opened again
    _record_zone(
        draft,
        incident_id,
        communes,
        new,
        draft.now + (minutes or 0) * MINUTE_MS if has_deadline else None,
    )
    _update_zone_sites(draft, incident_id, new)


def restart_silence_delay(draft: AlertsDecision, incident_id: str) -> None:
    """Give the silent sites of an incident their delay once more.

    Closing the incident, planned works or the withdrawal of its reports had ended it.
    """
    zone, incident = draft.state.zones.get(incident_id, Zone()), draft.incident(incident_id)
    silent = tuple(s for s in sorted(zone.sites) if _is_silent(draft, s, incident.opened_at))
    if silent and (minutes := _get_silence_delay(draft, incident.kind)) is not None:
        _record_zone(draft, incident_id, zone.communes, silent, draft.now + minutes * MINUTE_MS)


def _get_silence_family(row: ReportRow, incident: IncidentRow) -> str:
    """Return the family with the silence rule for a report: that of its incident.

    A power cut that a flood absorbed counts as power. Rule D22, incident keys.
    """
    return (
        "power"
        if incident.kind == "flood" and get_measure_name(row) == "customers_cut"
        else incident.kind
    )


def _get_silence_delay(draft: AlertsDecision, family: str) -> int | None:
    """Return how long a site of the zone may be silent; None without such a rule.

    Rule D18, silent sites.
    """
    return draft.territory.silence_min(SILENCE_KEY.get(family, ""))


def _record_zone(
    draft: AlertsDecision,
    incident_id: str,
    communes: tuple[str, ...],
    sites: tuple[str, ...],
    due_at: Instant | None,
) -> None:
    for n in range(0, max(len(sites), 1), SITES_PER_DEADLINE):
        draft.emit(
            ZoneChanged(
                incident=incident_id,
                communes=communes,
                sites=sites[n : n + SITES_PER_DEADLINE],
                due_at=due_at,
            )
        )


def _list_drawn_sites(row: ReportRow) -> tuple[str, ...]:
    """Return the sites in the area that the report itself draws; it is finer than its communes."""
    return () if row.type in SILENT_REPORT_TYPES else row.sites


def _update_zone_sites(draft: AlertsDecision, incident_id: str, new: tuple[str, ...]) -> None:
    incident = draft.incident(incident_id)
    silent = tuple(sorted({*incident.zone_sites, *new} - set(incident.members)))
    if silent != incident.zone_sites:
        draft.alter(incident_id, "zone", zone_sites=silent)


def _compute_growth(
    draft: AlertsDecision, row: ReportRow, incident: IncidentRow, zone: Zone, family: str
) -> tuple[tuple[str, ...], Iterable[str]]:
    """Return the communes of the zone and the sites in it after this report."""
    territory = draft.territory
    if family == "flood":
        if row.type is not T.FLOOD_LEVEL:
            return zone.communes, ()
        level = get_river_level(draft)
        return zone.communes, [
            site for site, threshold in territory.flooded_from.items() if threshold <= level
        ]
    if family == "gas":
        site = get_site(row)
        return zone.communes, territory.around(
            site
        ) if row.type is T.GAS_LEAK and site is not None else ()
    more = _list_added_communes(draft, row, incident, zone, family)
    if all(c in zone.communes for c in more):
        return zone.communes, ()
    communes = tuple(sorted({*zone.communes, *more}))
    return communes, [s for c in communes for s in territory.by_commune.get(c, ())]


def _list_added_communes(
    draft: AlertsDecision, row: ReportRow, incident: IncidentRow, zone: Zone, family: str
) -> tuple[str, ...]:
    communes = list_communes(row, draft.territory)
    match family:
        case "power" if get_site(row) is None:
            customers = (
                parse_number(row.measure.value)
                if row.measure is not None and get_measure_name(row) == "customers_cut"
                else None
            )
            return (
                (communes or _list_named_communes(draft, incident.id))
                if customers is not None and customers > ZONE_CUSTOMERS
                else ()
            )
        case "power" if row.type is T.OUTAGE_POWER and (site := get_site(row)) is not None:
            here = draft.territory.sites.get(site)
            if here is None or here.commune in zone.communes:
                return ()
            members = set(incident.members)
            reporting = sum(
                site in members for site in draft.territory.by_commune.get(here.commune, ())
            )
            return (here.commune,) if reporting >= 2 else ()
        case "water" if get_site(row) is None and (find_own_key(row, draft) or ("",))[0] == "water":
            return communes
        case "security" if row.type in (T.SECURITY_INCIDENT, T.DAMAGE_REPORT) and row.severity >= 3:
            return communes
        case _:
            return ()


def _list_named_communes(draft: AlertsDecision, incident: str) -> tuple[str, ...]:
    """Return the communes that the operator has named: a growing figure may not repeat them."""
    cuts = (
        r
        for r in draft.figures(incident)
        if is_confirmed(r) and get_site(r) is None and "cancelled" not in r.flags
    )
    return tuple(sorted({c for r in cuts for c in list_communes(r, draft.territory)}))


def move_zone(draft: AlertsDecision, zone: Zone, into: str) -> None:
    """Move the zone of a merged incident to the other one.

    Pending judgements keep their times.
    """
    target_zone = draft.state.zones.get(into, Zone())
    communes = tuple(sorted({*target_zone.communes, *zone.communes}))
    waiting = {s for sites in zone.batches.values() for s in sites}
    judged_sites = tuple(
        sorted(s for s in zone.sites if s not in waiting and s not in target_zone.sites)
    )
    draft.emit(ZoneChanged(incident=into, communes=communes, sites=judged_sites))
    for due_at, sites in sorted(zone.batches.items()):
        draft.emit(
            ZoneChanged(
                incident=into,
                communes=communes,
                sites=tuple(s for s in sites if s not in target_zone.sites),
                due_at=due_at,
            )
        )
    if zone.all_clear is not None and zone.all_clear_due is not None:
        draft.emit(AllClearNoted(incident=into, since=zone.all_clear, due_at=zone.all_clear_due))


def shrink_zone(draft: AlertsDecision, incident_id: str) -> None:
    """Drop the silent sites of an incident that its remaining reports do not hit. Rule D25."""
    incident = draft.incident(incident_id)
    if incident.zone_sites:
        affected_sites = _list_affected_sites(draft, incident)
        draft.alter(
            incident_id,
            "zone",
            zone_sites=tuple(s for s in incident.zone_sites if s in affected_sites),
        )


def has_reported_since(draft: AlertsDecision, site: str, since: Instant) -> bool:
    """Return whether the site sent a confirmed report since then, by recording time. Rule D18."""
    site_row = draft.state.sites.get(site)
    return (
        site_row is not None
        and site_row.last_word_at is not None
        and site_row.last_word_at >= since
    )


def on_silence_due(draft: AlertsDecision, incident_id: str, due_at: Instant) -> None:
    """Show the sites of a batch as unknown if they sent nothing since the incident's first fact.

    Planned works surprise no neighbour: they start the delay when they end too late. Rule D64.
    Trouble that was an error or is over hits nobody. Rules D3 and D18.
    """
    zone, incident = draft.state.zones[incident_id], draft.incident(incident_id)
    sites = zone.batches.get(due_at, ())
    draft.settle_deadline(SilenceDue(incident_id, due_at))
    if incident.quiet == "maintenance":
        return
    affected_sites = _list_affected_sites(draft, incident)
    for site in sites:
        if site in affected_sites and _is_silent(draft, site, incident.opened_at):
            _mark_unknown(draft, site, "D18", incident)


def _list_affected_sites(draft: AlertsDecision, incident: IncidentRow) -> frozenset[str]:
    """Return the sites that the trouble of an incident hits still. Rule D18, silent sites.

    Trouble holds while its cause is open, an order while its flag does, a cut of power until the
    newest figure is 0, a flood by the present level of the river. If an Update lowered the
    severity, the lower one counts (rule D3).
    """
    sites = set[str]()
    for row in draft.find_reports(draft.state.incident_reports.get(incident.id, ())):
        if not (is_confirmed(row) and is_current_word(row) and _is_holding(draft, row, incident)):
            continue
        cause, ended_places = find_open_cause(draft, row), _list_ended_places(draft, row)
        severity = row.severity if cause is None else min(row.severity, cause.severity)
        present = copy_with(row, {"severity": severity})
        for family in SILENCE_KEY:  # a merged incident has reports of several families
            _, hit_sites = _compute_growth(draft, present, incident, Zone(), family)
            sites.update(s for s in row.sites or hit_sites if s not in ended_places)
    return frozenset(sites)


def _list_ended_places(draft: AlertsDecision, row: ReportRow) -> frozenset[str]:
    """Return the places for which the trouble of a report is over, not for all of them.

    Their reopening, or the end of the order there, waits for the others; or an Update names others.
    Rules D3 and D16.
    """
    if get_site(row) is not None:
        return frozenset()
    cause, name = find_open_cause(draft, row), get_measure_name(row)
    ends = list_earlier_parts(draft, cause) if cause is not None else []
    left = frozenset[str]()
    if cause is not None and cause.site is None:
        left = list_places(row, draft.territory) - list_places_of_cause(draft, cause)
    if name in draft.state.rules.flag_names:
        ends += list_revocations(draft, f"flag:{name}")
    later = (end for end in ends if end.occurred_at >= row.occurred_at)
    return left.union(*(list_places(end, draft.territory) for end in later))


def _is_holding(draft: AlertsDecision, row: ReportRow, incident: IncidentRow) -> bool:
    """Return whether the trouble that a report tells of is not over. Rule D18, silent sites."""
    if "planned" in row.flags or row.type is T.REOPENING:
        return False
    if row.type is T.FLOOD_LEVEL:
        return True
    if get_measure_name(row) == "customers_cut" and get_site(row) is None:
        figures = [r for r in draft.figures(incident.id) if is_current(r)]
        newest = max(figures, key=lambda r: (r.occurred_at, r.recorded_at), default=row)
        return not is_all_clear(newest)
    return find_open_cause(draft, row) is not None or is_declared(draft, row)


def _is_silent(draft: AlertsDecision, site: str, since: Instant) -> bool:
    """Return whether a site sent nothing since then, and is not yet shown as silent.

    A site that is unknown because of an unconfirmed report counts as silent: denying the report is
    no report of the site.
    """
    silence = draft.state.silences.get(site)
    return (silence is None or silence.rule == "unconfirmed") and not has_reported_since(
        draft, site, since
    )


def _mark_unknown(draft: AlertsDecision, site: str, rule: str, incident: IncidentRow) -> None:
    hides = T.OUTAGE_POWER if rule == "D20" else _HIDDEN_TYPES.get(incident.kind)
    draft.emit(
        SilenceChanged(site=site, rule=rule, incident=incident.id, since=draft.now, hides=hides)
    )
    draft.doubtful.add(site)
    open_task(draft, "verify_site", site=site, incident=incident.id)
    draft.unheard[site] = incident.id


def is_hidden(draft: AlertsDecision, silence: SiteSilence, cause: Cause) -> bool:
    """Return whether a silence hides a cause: that of the same outage and incident.

    Rule D14, site status.
    """
    return cause.type is silence.hides and draft.resolve_incident(
        cause.incident
    ) == draft.resolve_incident(silence.incident)


def is_silence_over(draft: AlertsDecision, silence: SiteSilence, word: Instant) -> bool:
    """Return whether a report is new enough to end a silence.

    It must be recorded no earlier than the all-clear or the incident's first fact. A report that is
    confirmed later counts from its recording. Rule D19, end of silence.
    """
    if silence.rule == "D20":
        return word >= silence.since - ALL_CLEAR_MS
    incident = draft.resolve_incident(silence.incident) if silence.rule == "D18" else None
    return incident is None or word >= draft.incident(incident).opened_at


def note_all_clear(draft: AlertsDecision, row: ReportRow, incident_id: str) -> None:
    """Apply the operator's all-clear, and judge silent sites an hour later.

    A repeated all-clear does not move that time. Rule D20, operator all-clear.
    """
    end_operator_outages(draft, incident_id, row)
    if draft.state.zones.get(incident_id, Zone()).all_clear is None:
        draft.emit(
            AllClearNoted(incident=incident_id, since=draft.now, due_at=draft.now + ALL_CLEAR_MS)
        )


def is_newest_figure(draft: AlertsDecision, row: ReportRow, incident: str) -> bool:
    """Return whether the report gives the newest current number of customers cut.

    Rule D7, late reports.
    """
    if get_measure_name(row) != "customers_cut" or "planned" in row.flags:
        return False
    return not any(
        is_current(r) and r.occurred_at > row.occurred_at for r in draft.figures(incident)
    )


def revoke_all_clear(draft: AlertsDecision, incident: str) -> None:
    """Revoke the all-clear, because customers are cut again."""
    zone = draft.state.zones.get(incident)
    if zone is not None and zone.all_clear is not None:
        draft.settle_deadline(AllClearDue(incident))


def on_all_clear_due(draft: AlertsDecision, incident_id: str) -> None:
    """Show sites as unknown that stayed silent since the all-clear and have no other cause.

    Their causes stay open. Works in batches.
    """
    zone, incident = draft.state.zones[incident_id], draft.incident(incident_id)
    since, state = zone.all_clear or draft.now, draft.state
    draft.settle_deadline(AllClearDue(incident_id))
    silent: list[str] = []
    for site in incident.members:
        causes = [c for c in (state.causes[c] for c in state.site_causes.get(site, ())) if c.acting]
        only_that = bool(causes) and all(_is_outage_of(draft, c, incident_id) for c in causes)
        if only_that and _is_silent(draft, site, since):
            silent.append(site)
    for site in silent[:SITES_PER_DEADLINE]:
        _mark_unknown(draft, site, "D20", incident)
    if (
        len(silent) > SITES_PER_DEADLINE
    ):  # judge the rest at the next millisecond, when this batch is already unknown
        draft.emit(AllClearNoted(incident=incident_id, since=since, due_at=draft.now + 1))


def _is_outage_of(draft: AlertsDecision, cause: Cause, incident_id: str) -> bool:
    return cause.type is T.OUTAGE_POWER and draft.resolve_incident(cause.incident) == incident_id
