"""Zones of incidents, and silent sites in them. Rules D18 to D20."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from schemas.alerts import DeadlineSettled, IncidentRow, ReportRow
from schemas.base import MINUTE_MS, Instant
from schemas.causes import AllClearNoted, Cause, SilenceChanged, ZoneChanged
from schemas.words import EventType as T
from schemas.words import MsgType
from services.alerts import tasks
from services.alerts.causes.restoration import end_operator_outages
from services.alerts.decision import Draft
from services.alerts.evolve import OPEN
from services.alerts.incidents.families import own_key, river_level
from services.alerts.reference import constants
from services.alerts.reports.report_facts import (
    as_number,
    communes_of,
    is_confirmed,
    is_current,
    measure_name,
    site_of,
)
from services.alerts.state import Silence, Zone

BATCH: Final = 80
"""Sites that one deadline judges: their effects must fit into one Transaction."""
_HIDES: Final = {
    "power": T.OUTAGE_POWER,
    "water": T.OUTAGE_WATER,
    "gas": T.GAS_LEAK,
    "security": T.SECURITY_INCIDENT,
}
"""Family → type of cause that an unknown site hides."""


def extend(draft: Draft, row: ReportRow, incident_id: str) -> None:
    """Extend the zone of an incident by a confirmed report, and plan the check of its silent sites.

    Only families with a delay for silent sites have them judged. Rule D18, silent sites.
    """
    incident = draft.incident(incident_id)
    family = _family(row, incident)
    minutes = _minutes(draft, family)
    if row.msg_type is MsgType.CANCEL or row.type is T.REOPENING or "planned" in row.flags:
        return  # a withdrawn, ended or announced trouble hits no site
    drawn = _drawn(row)
    if minutes is None and not drawn:
        return
    zone = draft.state.zones.get(incident_id, Zone())
    communes, sites = _grown(draft, row, incident, zone, family)
    sites = drawn or sites
    waiting = (
        {s for batch in zone.batches.values() for s in batch} if family != incident.kind else ()
    )
    new = tuple(sorted({s for s in sites if s not in zone.sites or s in waiting}))
    if not new and communes == zone.communes:
        return
    judged = (
        new and minutes is not None and incident.state in OPEN
    )  # else judged when the incident is opened again
    _put(
        draft,
        incident_id,
        communes,
        new,
        draft.now + (minutes or 0) * MINUTE_MS if judged else None,
    )
    _show(draft, incident_id, new)


def judge_again(draft: Draft, incident_id: str) -> None:
    """Give the silent sites of a reopened incident their delay once more. Closing had ended it."""
    zone, incident = draft.state.zones.get(incident_id, Zone()), draft.incident(incident_id)
    silent = tuple(s for s in sorted(zone.sites) if _is_silent(draft, s, incident.opened_at))
    if silent and (minutes := _minutes(draft, incident.kind)) is not None:
        _put(draft, incident_id, zone.communes, silent, draft.now + minutes * MINUTE_MS)


def _family(row: ReportRow, incident: IncidentRow) -> str:
    """Return the family with the silence rule for a report: that of its incident.

    A power cut that a flood absorbed counts as power. Rule D22, incident keys.
    """
    return (
        "power"
        if incident.kind == "flood" and measure_name(row) == "customers_cut"
        else incident.kind
    )


def _minutes(draft: Draft, family: str) -> int | None:
    """Return how long a site of the zone may be silent; None without such a rule.

    Rule D18, silent sites.
    """
    return draft.territory.silence_min(constants.SILENCE_KEY.get(family, ""))


def _put(
    draft: Draft,
    incident_id: str,
    communes: tuple[str, ...],
    sites: tuple[str, ...],
    due: Instant | None,
) -> None:
    for n in range(0, max(len(sites), 1), BATCH):
        draft.emit(
            ZoneChanged(
                incident=incident_id, communes=communes, sites=sites[n : n + BATCH], due_at=due
            )
        )


def _drawn(row: ReportRow) -> tuple[str, ...]:
    """Return the sites in the area that the report itself draws; it is finer than its communes."""
    return () if row.type in constants.MUTE_TYPES else row.sites


def _show(draft: Draft, incident_id: str, new: tuple[str, ...]) -> None:
    incident = draft.incident(incident_id)
    silent = tuple(sorted({*incident.zone_sites, *new} - set(incident.members)))
    if silent != incident.zone_sites:
        draft.alter(incident_id, "zone", zone_sites=silent)


def _grown(
    draft: Draft, row: ReportRow, incident: IncidentRow, zone: Zone, family: str
) -> tuple[tuple[str, ...], Iterable[str]]:
    """Return the communes of the zone and the sites in it after this report."""
    territory = draft.territory
    if family == "flood":
        if row.type is not T.FLOOD_LEVEL:
            return zone.communes, ()
        level = river_level(draft)
        return zone.communes, [
            site for site, threshold in territory.flooded_from.items() if threshold <= level
        ]
    if family == "gas":
        site = site_of(row)
        return zone.communes, territory.around(
            site
        ) if row.type is T.GAS_LEAK and site is not None else ()
    more = _more_communes(draft, row, incident, zone, family)
    if all(c in zone.communes for c in more):
        return zone.communes, ()
    communes = tuple(sorted({*zone.communes, *more}))
    return communes, [s for c in communes for s in territory.by_commune.get(c, ())]


def _more_communes(
    draft: Draft, row: ReportRow, incident: IncidentRow, zone: Zone, family: str
) -> tuple[str, ...]:
    communes = communes_of(row, draft.territory)
    match family:
        case "power" if site_of(row) is None:
            cut = (
                as_number(row.measure.value)
                if row.measure is not None and measure_name(row) == "customers_cut"
                else None
            )
            return (
                (communes or _named_before(draft, incident.id))
                if cut is not None and cut > constants.ZONE_CUSTOMERS
                else ()
            )
        case "power" if row.type is T.OUTAGE_POWER and (site := site_of(row)) is not None:
            here = draft.territory.sites.get(site)
            if here is None or here.commune in zone.communes:
                return ()
            members = set(incident.members)
            reporting = sum(
                site in members for site in draft.territory.by_commune.get(here.commune, ())
            )
            return (here.commune,) if reporting >= 2 else ()
        case "water" if site_of(row) is None and (own_key(row, draft) or ("",))[0] == "water":
            return communes
        case "security" if row.type in (T.SECURITY_INCIDENT, T.DAMAGE_REPORT) and row.severity >= 3:
            return communes
        case _:
            return ()


def _named_before(draft: Draft, incident: str) -> tuple[str, ...]:
    """Return the communes that the operator has named: a growing figure may not repeat them."""
    cuts = (
        r
        for r in draft.figures(incident)
        if is_confirmed(r) and site_of(r) is None and "cancelled" not in r.flags
    )
    return tuple(sorted({c for r in cuts for c in communes_of(r, draft.territory)}))


def move(draft: Draft, zone: Zone, into: str) -> None:
    """Move the zone of a merged incident to the other one.

    Pending judgements keep their times.
    """
    known = draft.state.zones.get(into, Zone())
    communes = tuple(sorted({*known.communes, *zone.communes}))
    waiting = {s for sites in zone.batches.values() for s in sites}
    seen = tuple(sorted(s for s in zone.sites if s not in waiting and s not in known.sites))
    draft.emit(ZoneChanged(incident=into, communes=communes, sites=seen))
    for due, sites in sorted(zone.batches.items()):
        draft.emit(
            ZoneChanged(
                incident=into,
                communes=communes,
                sites=tuple(s for s in sites if s not in known.sites),
                due_at=due,
            )
        )
    if zone.all_clear is not None and zone.all_clear_due is not None:
        draft.emit(AllClearNoted(incident=into, since=zone.all_clear, due_at=zone.all_clear_due))


def spoke_since(draft: Draft, site: str, since: Instant) -> bool:
    """Return whether the site sent a confirmed report since then, by recording time. Rule D18."""
    known = draft.state.sites.get(site)
    return known is not None and known.last_word_at is not None and known.last_word_at >= since


def judge_batch(draft: Draft, incident_id: str, due: Instant) -> None:
    """Show the sites of a batch as unknown if they sent nothing since the incident's first fact."""
    zone, incident = draft.state.zones[incident_id], draft.incident(incident_id)
    sites = zone.batches.get(due, ())
    draft.emit(DeadlineSettled(key=f"silence:{incident_id}:{due}"))
    for site in sites:
        if _is_silent(draft, site, incident.opened_at):
            _unknown(draft, site, "D18", incident)


def _is_silent(draft: Draft, site: str, since: Instant) -> bool:
    """Return whether a site sent nothing since then, and is not yet shown as silent.

    A site that is unknown because of an unconfirmed report counts as silent: denying the report is
    no report of the site.
    """
    known = draft.state.silences.get(site)
    return (known is None or known.rule == "unconfirmed") and not spoke_since(draft, site, since)


def _unknown(draft: Draft, site: str, rule: str, incident: IncidentRow) -> None:
    hides = T.OUTAGE_POWER if rule == "D20" else _HIDES.get(incident.kind)
    draft.emit(
        SilenceChanged(site=site, rule=rule, incident=incident.id, since=draft.now, hides=hides)
    )
    draft.doubtful.add(site)
    tasks.ask(draft, "verify_site", site=site, incident=incident.id)
    draft.unheard[site] = incident.id


def hides(draft: Draft, silence: Silence, cause: Cause) -> bool:
    """Return whether a silence hides a cause: that of the same outage and incident.

    Rule D14, site status.
    """
    return cause.type is silence.hides and draft.standing(cause.incident) == draft.standing(
        silence.incident
    )


def ends(draft: Draft, silence: Silence, word: Instant) -> bool:
    """Return whether a report is new enough to end a silence.

    It must be recorded no earlier than the all-clear or the incident's first fact. A report that is
    confirmed later counts from its recording. Rule D19, end of silence.
    """
    if silence.rule == "D20":
        return word >= silence.since - constants.ALL_CLEAR_MS
    incident = draft.standing(silence.incident) if silence.rule == "D18" else None
    return incident is None or word >= draft.incident(incident).opened_at


def all_clear(draft: Draft, row: ReportRow, incident_id: str) -> None:
    """Apply the operator's all-clear, and judge silent sites an hour later.

    A repeated all-clear does not move that time. Rule D20, operator all-clear.
    """
    end_operator_outages(draft, incident_id, row)
    if draft.state.zones.get(incident_id, Zone()).all_clear is None:
        draft.emit(
            AllClearNoted(
                incident=incident_id, since=draft.now, due_at=draft.now + constants.ALL_CLEAR_MS
            )
        )


def is_newest_figure(draft: Draft, row: ReportRow, incident: str) -> bool:
    """Return whether the report gives the newest current number of customers cut.

    Rule D7, late reports.
    """
    if measure_name(row) != "customers_cut" or "planned" in row.flags:
        return False
    return not any(
        is_current(r) and r.occurred_at > row.occurred_at for r in draft.figures(incident)
    )


def take_back(draft: Draft, incident: str) -> None:
    """Revoke the all-clear, because customers are cut again."""
    zone = draft.state.zones.get(incident)
    if zone is not None and zone.all_clear is not None:
        draft.emit(DeadlineSettled(key=f"allclear:{incident}"))


def judge_all_clear(draft: Draft, incident_id: str) -> None:
    """Show sites as unknown that stayed silent since the all-clear and have no other cause.

    Their causes stay open. Works in batches.
    """
    zone, incident = draft.state.zones[incident_id], draft.incident(incident_id)
    since, state = zone.all_clear or draft.now, draft.state
    draft.emit(DeadlineSettled(key=f"allclear:{incident_id}"))
    silent: list[str] = []
    for site in incident.members:
        causes = [c for c in (state.causes[c] for c in state.site_causes.get(site, ())) if c.acting]
        only_that = bool(causes) and all(_is_outage_of(draft, c, incident_id) for c in causes)
        if only_that and _is_silent(draft, site, since):
            silent.append(site)
    for site in silent[:BATCH]:
        _unknown(draft, site, "D20", incident)
    if (
        len(silent) > BATCH
    ):  # judge the rest at the next millisecond, when this batch is already unknown
        draft.emit(AllClearNoted(incident=incident_id, since=since, due_at=draft.now + 1))


def _is_outage_of(draft: Draft, cause: Cause, incident_id: str) -> bool:
    return cause.type is T.OUTAGE_POWER and draft.standing(cause.incident) == incident_id
