"""Collect the inputs of hazard clocks from one snapshot. Rule D124."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from schemas import alerts as a
from schemas import continuity as c
from schemas.base import MINUTE_MS, Instant
from schemas.crisis.area_orders import AreaOrderRow, list_barred_sites
from schemas.words import CardState, EventType, MsgType, SiteStatus
from services.console import resources as r
from services.console.hazards import clock as clocks
from services.console.hazards import resources as h
from services.console.hazards.river import LevelPoint, RiverReading, parse_forecast
from services.console.read_model.query_base import OpenedRealm, QueryBase, get_snapshot_time
from services.console.read_model.shapes import OPEN_STATES
from services.console.read_model.snapshot import RealmSnapshot
from services.console.resource_base import to_datetime, to_optional_datetime

RIVER: Final = "river_level"
KEY_HOLDER: Final = "responsable_site"
FLOOD_KIND: Final = "flood"
_DOUBTED: Final = frozenset({"measure_unentitled", "to_confirm", "cancelled", "future"})
_OUT: Final = frozenset({SiteStatus.CLOSED, SiteStatus.EVACUATED, SiteStatus.SHELTERING})
_WAITING: Final = frozenset({CardState.TO_DO, CardState.DOING})


@dataclass(frozen=True, slots=True)
class HazardFacts:
    """Rows of one snapshot that hazard clocks read."""

    flags: Mapping[str, a.FlagRow]
    reports: Mapping[str, a.ReportRow]
    announced_cuts: tuple[a.ReportRow, ...]
    """Reports of cuts that a person has to verify, or has verified."""


def list_readings(reports: Iterable[a.ReportRow], station: str) -> list[RiverReading]:
    """Return the confirmed readings of a station; doubted and withdrawn ones are left out."""
    readings_by_time = {}
    for row in reports:
        measure = row.measure
        if measure is None or measure.name != RIVER or measure.object is None:
            continue
        if f"station:{station}" not in measure.object.split("|"):
            continue
        level = measure.value
        if isinstance(level, bool) or not isinstance(level, int | float):
            continue
        if row.confirmation != "confirmed" or row.msg_type is MsgType.CANCEL:
            continue
        if _DOUBTED.isdisjoint(row.flags):
            readings_by_time[row.occurred_at] = RiverReading(row.occurred_at, float(level))
    return [readings_by_time[at] for at in sorted(readings_by_time)]


def read_flag_forecast(
    flags: Mapping[str, a.FlagRow], station: str, now: Instant
) -> tuple[LevelPoint, ...]:
    """Return the forecast that the publisher declared for a station."""
    row = flags.get(f"forecast:{station}")
    return parse_forecast(str(row.value), now) if row is not None else ()


def foresee_hazards(
    territory: clocks.HazardReference, facts: HazardFacts, now: Instant
) -> list[clocks.HazardForecast]:
    """Return the hazards ahead, the soonest first."""
    forecasts = []
    plan = clocks.find_flood_plan(territory.plans)
    station = None if plan is None else clocks.find_station(plan)
    if station is not None:
        readings = list_readings(facts.reports.values(), station)
        forecast = read_flag_forecast(facts.flags, station, now)
        forecasts.append(clocks.foresee_flood(territory, readings, forecast, now))
    cuts = [
        clocks.HazardWindow(
            window.start, window.end, row.id, confirmed=row.confirmation == "confirmed"
        )
        for row in facts.announced_cuts
        for window in row.effective
    ]
    hint = next((row.plan_hint.split()[0] for row in facts.announced_cuts if row.plan_hint), None)
    forecasts.append(
        clocks.foresee_windows(
            territory, clocks.POWER, cuts, hint if hint in territory.plans else None, now
        )
    )
    for phenomenon, hazard in clocks.VIGILANCES.items():
        windows = _list_vigilance_windows(facts, phenomenon)
        of_plan = clocks.find_vigilance_plan(territory.plans, phenomenon)
        forecasts.append(clocks.foresee_windows(territory, hazard, windows, of_plan, now))
    ahead = [one for one in forecasts if one is not None]
    return sorted(ahead, key=lambda one: _find_first(one, now))


def _find_first(one: clocks.HazardForecast, now: Instant) -> Instant:
    return min((s.earliest for s in one.sites if s.state != "reached"), default=now)


def _list_vigilance_windows(facts: HazardFacts, phenomenon: str) -> list[clocks.HazardWindow]:
    flag = facts.flags.get(f"vigilance:{phenomenon}")
    if flag is None or flag.value not in clocks.RINGING:
        return []
    windows = [
        clocks.HazardWindow(window.start, window.end, id, colour=str(flag.value))
        for id in flag.reports
        if id in facts.reports
        for window in facts.reports[id].effective
    ]
    if windows:
        return windows
    start = flag.effective_from or flag.since
    return [clocks.HazardWindow(start, flag.until, flag.id, colour=str(flag.value))]


async def read_hazard_facts(picture: RealmSnapshot) -> HazardFacts:
    """Read the flags and the reports behind them, of open floods and of announced cuts."""
    flags = await picture.rows(a.FlagRow)
    report_ids = {
        id
        for row in flags.values()
        if row.id.startswith(("river:", "vigilance:", "forecast:"))
        for id in row.reports
    }
    incidents = await picture.rows(a.IncidentRow)
    for incident in incidents.values():
        if incident.kind == FLOOD_KIND and incident.state in OPEN_STATES:
            report_ids.update(await picture.reports_of(incident.id))
    tasks = (await picture.rows(a.TaskRow)).values()
    verification_ids = {
        id for t in tasks if t.kind == "verify_report" for id in a.list_asked_reports(t)
    }
    reports = await picture.some(a.ReportRow, sorted(report_ids | verification_ids))
    announced_cuts = tuple(
        row
        for id in sorted(verification_ids)
        if (row := reports.get(id)) is not None
        and row.type is EventType.OUTAGE_POWER
        and row.site is None
        and row.effective
        and not {"superseded", "cancelled"} & set(row.flags)
        and row.confirmation != "denied"
    )
    return HazardFacts(flags, reports, announced_cuts)


class HazardQueries(QueryBase):
    """Queries about hazard clocks."""

    async def hazards(self) -> h.HazardClocks:
        """Return the hazards ahead with the clock of each site."""
        view = await self.read()
        return h.HazardClocks(items=await self.shape_hazards(view))

    async def shape_hazards(self, view: OpenedRealm) -> list[h.Hazard]:
        """Return the hazards of an open snapshot."""
        reference = view.picture.reference
        territory = clocks.HazardReference(reference.sites, reference.activities, reference.plans)
        now = get_snapshot_time(view.picture)
        facts = await read_hazard_facts(view.picture)
        forecasts = foresee_hazards(territory, facts, now)
        if not forecasts:
            return []
        sites = await view.picture.rows(a.SiteRow)
        plans = await view.picture.rows(c.PlanRow)
        out = frozenset(id for id, row in sites.items() if row.status in _OUT)
        orders = (await view.picture.rows(AreaOrderRow)).values()
        barred = list_barred_sites(orders)
        return [_shape(view, territory, one, out, barred, plans) for one in forecasts]


def _shape(
    view: OpenedRealm,
    territory: clocks.HazardReference,
    one: clocks.HazardForecast,
    out: frozenset[str],
    barred: frozenset[str],
    plans: Mapping[str, c.PlanRow],
) -> h.Hazard:
    static = None if one.plan is None else territory.plans.get(one.plan)
    cards: list[r.Card] = []
    if static is not None:
        cards = view.shape.plan(static, plans.get(static.id)).cards
    course, now = one.course, get_snapshot_time(view.picture)
    refuges = clocks.find_refuges(territory, one.sites, one.hazard, out | barred)
    return h.Hazard.from_row(
        one,
        plan_title=static.title if static else None,
        level_m=course.level if course else None,
        level_at=to_datetime(course.points[0].at) if course else None,
        peak_m=round(course.peak.likely, 2) if course else None,
        peak_at=to_datetime(course.peak.at) if course else None,
        sites=[_shape_site(territory, s, out, refuges.get(s.site)) for s in one.sites],
        steps=[
            h.HazardStep(
                level_m=step.level,
                text=step.text,
                state=step.state,
                at=to_optional_datetime(step.crossing.at),
                margin_min=_to_minutes(step.crossing.margin),
            )
            for step in one.steps
        ],
        windows=[h.HazardNotice.from_row(w, to=to_optional_datetime(w.end)) for w in one.windows],
        closures=[
            h.HazardClosure(by=to_datetime(group.by), sites=list(group.sites))
            for group in clocks.list_closures(one.sites, out, now)
        ],
        cards=[h.HazardCard.from_row(card) for card in cards if card.state in _WAITING],
    )


def _shape_site(
    territory: clocks.HazardReference,
    clock: clocks.SiteClock,
    out: frozenset[str],
    refuge: str | None,
) -> h.HazardSite:
    site = territory.sites[clock.site]
    return h.HazardSite(
        site=site.id,
        name=site.name,
        commune=site.commune_name,
        state=clock.state,
        at=to_optional_datetime(clock.at),
        margin_min=_to_minutes(clock.margin),
        earliest=to_datetime(clock.earliest),
        latest=to_optional_datetime(clock.latest),
        until=to_optional_datetime(clock.until),
        threshold_m=clock.threshold,
        prepare_by=to_optional_datetime(clock.prepare_by),
        close_by=to_optional_datetime(clock.close_by),
        closed=site.id in out,
        activities=[
            h.HazardActivity(id=id, name=one.name, criticality=one.criticality)
            for id in clock.activities
            if (one := territory.activities.get(id)) is not None
        ],
        refuge=refuge,
        keys=KEY_HOLDER,
    )


def _to_minutes(margin: Instant | None) -> int | None:
    return None if margin is None else round(margin / MINUTE_MS)
