"""Zones of incidents, and silence in them (D18–D20)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from schemas.alerts import AllClearNoted, Cause, DeadlineSettled, IncidentRow, ReportRow, SilenceChanged, ZoneChanged
from schemas.base import MINUTE_MS, Instant
from schemas.words import EventType as T
from schemas.words import MsgType
from services.alerts import rules, tasks
from services.alerts.causes import end_operator_outages
from services.alerts.claims import as_number, communes_of, measure_name, site_of
from services.alerts.draft import Draft
from services.alerts.families import river_level
from services.alerts.state import Zone

BATCH: Final = 80
"""Sites judged by one deadline: what they cause must fit into one Transaction."""
_HIDES: Final = {"power": T.OUTAGE_POWER, "water": T.OUTAGE_WATER, "gas": T.GAS_LEAK, "security": T.SECURITY_INCIDENT}
"""Family → type whose closed or degraded an unknown site no longer shows."""


def extend(draft: Draft, row: ReportRow, incident_id: str) -> None:
    """Grow the zone of an incident by a confirmed report; its silent sites will be judged N minutes from now, where its family has such a rule."""
    incident = draft.incident(incident_id)
    minutes = draft.territory.silence_min(rules.SILENCE_KEY.get(incident.kind, ""))
    drawn = _drawn(row)
    if minutes is None and not drawn:
        return
    zone = draft.state.zones.get(incident_id, Zone())
    communes, sites = _grown(draft, row, incident, zone)
    sites = drawn or sites
    new = tuple(sorted({s for s in sites if s not in zone.sites}))
    if not new and communes == zone.communes:
        return
    due = None if minutes is None else draft.now + minutes * MINUTE_MS
    for n in range(0, max(len(new), 1), BATCH):
        draft.emit(ZoneChanged(incident=incident_id, communes=communes, sites=new[n : n + BATCH], due_at=due if new else None))
    _show(draft, incident_id, new)


def _drawn(row: ReportRow) -> tuple[str, ...]:
    """Sites in the area that the report itself draws: finer than its communes. What is announced or withdrawn hits nobody yet."""
    silent = row.type in rules.MUTE_TYPES or row.msg_type is MsgType.CANCEL or "planned" in row.flags
    return () if silent else row.sites


def _show(draft: Draft, incident_id: str, new: tuple[str, ...]) -> None:
    incident = draft.incident(incident_id)
    silent = tuple(sorted({*incident.zone_sites, *new} - set(incident.members)))
    if silent != incident.zone_sites:
        draft.alter(incident_id, "zone", zone_sites=silent)


def _grown(draft: Draft, row: ReportRow, incident: IncidentRow, zone: Zone) -> tuple[tuple[str, ...], Iterable[str]]:
    """Communes of the zone, and sites in it, after this report."""
    territory = draft.territory
    if incident.kind == "flood":
        if row.type is not T.FLOOD_LEVEL:
            return zone.communes, ()
        level = river_level(draft)
        return zone.communes, [site for site, threshold in territory.flooded_from.items() if threshold <= level]
    if incident.kind == "gas":
        site = site_of(row)
        return zone.communes, territory.around(site) if row.type is T.GAS_LEAK and site is not None else ()
    more = _more_communes(draft, row, incident)
    if all(c in zone.communes for c in more):
        return zone.communes, ()
    communes = tuple(sorted({*zone.communes, *more}))
    return communes, [s for c in communes for s in territory.by_commune.get(c, ())]


def _more_communes(draft: Draft, row: ReportRow, incident: IncidentRow) -> tuple[str, ...]:
    communes = communes_of(row, draft.territory)
    match incident.kind:
        case "power" if row.type is T.OUTAGE_POWER:
            site = site_of(row)
            if site is None:
                cut = as_number(row.measure.value) if row.measure is not None and measure_name(row) == "customers_cut" else None
                return communes if cut is not None and cut > rules.ZONE_CUSTOMERS else ()
            commune = draft.territory.sites[site].commune
            reporting = sum(1 for m in incident.members if (known := draft.territory.sites.get(m)) and known.commune == commune)
            return (commune,) if reporting >= 2 else ()
        case "water" if site_of(row) is None:
            return communes
        case "security" if row.type in (T.SECURITY_INCIDENT, T.DAMAGE_REPORT) and row.severity >= 3:
            return communes
        case _:
            return ()


def spoke_since(draft: Draft, site: str, since: Instant) -> bool:
    """D18: any confirmed word of the site, by the time it was recorded."""
    known = draft.state.sites.get(site)
    return known is not None and known.last_word_at is not None and known.last_word_at >= since


def judge_batch(draft: Draft, incident_id: str, due: Instant) -> None:
    """N minutes are over: sites of the batch without a word since the incident's first fact become unknown."""
    zone, incident = draft.state.zones[incident_id], draft.incident(incident_id)
    sites = zone.batches.get(due, ())
    draft.emit(DeadlineSettled(key=f"silence:{incident_id}:{due}"))
    for site in sites:
        if site not in draft.state.silences and not spoke_since(draft, site, incident.opened_at):
            _unknown(draft, site, "D18", incident)


def _unknown(draft: Draft, site: str, rule: str, incident: IncidentRow) -> None:
    draft.emit(SilenceChanged(site=site, rule=rule, incident=incident.id, since=draft.now, hides=_HIDES.get(incident.kind)))
    draft.doubtful.add(site)
    tasks.ask(draft, "verify_site", site=site, incident=incident.id)


def all_clear(draft: Draft, row: ReportRow, incident_id: str) -> None:
    """D20: the operator says all restored. What stays silent is judged an hour later."""
    end_operator_outages(draft, incident_id, row)
    draft.emit(AllClearNoted(incident=incident_id, since=draft.now, due_at=draft.now + rules.ALL_CLEAR_MS))


def judge_all_clear(draft: Draft, incident_id: str) -> None:
    """Sites whose only cause is that outage and that stayed silent since the all-clear become unknown; their causes stay open."""
    zone, incident = draft.state.zones[incident_id], draft.incident(incident_id)
    since, state = zone.all_clear or draft.now, draft.state
    draft.emit(DeadlineSettled(key=f"allclear:{incident_id}"))
    for site in incident.members:
        causes = [state.causes[c] for c in state.site_causes.get(site, ())]
        only_that = bool(causes) and all(_is_outage_of(draft, c, incident_id) for c in causes)
        if only_that and site not in state.silences and not spoke_since(draft, site, since):
            _unknown(draft, site, "D20", incident)


def _is_outage_of(draft: Draft, cause: Cause, incident_id: str) -> bool:
    return cause.type is T.OUTAGE_POWER and draft.standing(cause.incident) == incident_id
