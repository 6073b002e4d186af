"""Compute the hazard clock of each site: hour, margin, deadlines before it. Rule D124. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import cos, hypot, radians
from typing import Final
from zoneinfo import ZoneInfo

from schemas.base import HOUR_MS, Instant
from schemas.predicates import list_measured
from schemas.reference import Activity, Plan, Site
from services.console.hazards.river import (
    Crossing,
    LevelPoint,
    RiverCourse,
    RiverReading,
    find_crossing,
    foresee_river,
)

FLOOD, POWER, HEAT, SNOW = "flood", "power", "heat", "snow"
PARIS: Final = ZoneInfo("Europe/Paris")
OPENS_H, CLOSES_H = 7, 19
"""Hours of the day between which buildings are open."""
FLOOD_LEAD_MS: Final = 2 * HOUR_MS
"""Time that barriers, cellars and files need before the water."""
CUT_LEAD_MS: Final = HOUR_MS
VIGILANCES: Final = {"canicule": HEAT, "neige-verglas": SNOW}
RINGING: Final = frozenset({"orange", "rouge"})
VULNERABLE: Final = 2
"""Least `vulnerable_public` that makes a site exposed to heat and cuts."""
SITE_STRATEGY: Final = "SR-SITE"
MOST_CRITICAL: Final = 1
CUT_H: Final = 2.0
"""Length of a cut without an announced end."""


@dataclass(frozen=True, slots=True)
class HazardWindow:
    """Announced time of a cut or a vigilance."""

    start: Instant
    end: Instant | None
    report: str
    colour: str | None = None
    confirmed: bool = True

    @property
    def hours(self) -> float:
        return CUT_H if self.end is None else (self.end - self.start) / HOUR_MS


@dataclass(frozen=True, slots=True)
class SiteClock:
    """One site that a hazard reaches."""

    site: str
    hazard: str
    state: str
    """`reached`, `expected`, or `possible` (only at the upper bound)."""
    at: Instant | None
    earliest: Instant
    latest: Instant | None
    margin: Instant | None
    until: Instant | None
    threshold: float | None
    prepare_by: Instant | None
    close_by: Instant | None
    """Opening before which the site has to stay closed."""
    activities: tuple[str, ...]
    """Activities on the site, the most critical first."""


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One threshold of the plan and its measure."""

    level: float
    text: str
    crossing: Crossing

    @property
    def state(self) -> str:
        return name_state(self.crossing)


@dataclass(frozen=True, slots=True)
class HazardForecast:
    """One hazard with its sites, the soonest first."""

    hazard: str
    plan: str | None
    source: str
    """`forecast`, `trend` or `announced`."""
    sites: tuple[SiteClock, ...]
    course: RiverCourse | None = None
    dry_sites: int = 0
    """Number of exposed sites that a flood does not reach."""
    steps: tuple[PlanStep, ...] = ()
    windows: tuple[HazardWindow, ...] = ()


@dataclass(frozen=True, slots=True)
class Closure:
    """Sites that have to stay closed from the same opening on."""

    by: Instant
    sites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HazardReference:
    """Reference data that hazard clocks read."""

    sites: Mapping[str, Site]
    activities: Mapping[str, Activity]
    plans: Mapping[str, Plan]

    def list_activities(self, site: Site) -> tuple[str, ...]:
        """Return the activities of a site, the most critical first."""
        here = [a for a in self.activities.values() if site.kind in a.site_kinds]
        return tuple(a.id for a in sorted(here, key=lambda a: (a.criticality, a.rto_h, a.id)))

    def fears_cut(self, site: Site, hours: float) -> bool:
        """Return whether a cut breaks an RTO of criticality 1 here, or hits vulnerable people."""
        return site.vulnerable_public >= VULNERABLE or any(
            site.kind in a.site_kinds and a.criticality == MOST_CRITICAL and a.rto_h < hours
            for a in self.activities.values()
        )


def find_flood_plan(plans: Mapping[str, Plan]) -> Plan | None:
    """Return the plan with the levels that reach sites."""
    return next((plan for plan in plans.values() if plan.zone_by_threshold_m), None)


def find_station(plan: Plan) -> str | None:
    """Return the station of the level that triggers a plan."""
    for trigger in plan.triggers:
        for condition in list_measured(trigger.when):
            if condition.metric == "river_level":
                return str(condition.args.get("station", "")) or None
    return None


def find_vigilance_plan(plans: Mapping[str, Plan], phenomenon: str) -> str | None:
    """Return the plan that a vigilance of this phenomenon triggers."""
    for plan in plans.values():
        for trigger in plan.triggers:
            if any(m.args.get("phenomenon") == phenomenon for m in list_measured(trigger.when)):
                return plan.id
    return None


def foresee_flood(
    territory: HazardReference,
    readings: Sequence[RiverReading],
    forecast: Sequence[LevelPoint],
    now: Instant,
) -> HazardForecast | None:
    """Return the clock of every site that the river reaches; None if it is unknown or low."""
    plan = find_flood_plan(territory.plans)
    course = None if plan is None else foresee_river(readings, forecast, now)
    if plan is None or course is None:
        return None
    crossings = {
        level: find_crossing(readings, course, level)
        for level in {*plan.zone_by_threshold_m.values(), *map(float, plan.thresholds_m)}
    }
    exposed = [
        (site, level, crossings[level])
        for site in territory.sites.values()
        if (level := plan.zone_by_threshold_m.get(site.flood_exposure)) is not None
    ]
    clocks = [
        _clock_flooded(territory, site, level, crossing)
        for site, level, crossing in exposed
        if crossing is not None
    ]
    steps = tuple(
        PlanStep(level, text, crossing)
        for level, text in sorted((float(k), v) for k, v in plan.thresholds_m.items())
        if (crossing := crossings[level]) is not None
    )
    if not clocks and not steps:
        return None
    dry_sites = len(exposed) - len(clocks)
    return HazardForecast(FLOOD, plan.id, course.source, _sort(clocks), course, dry_sites, steps)


def name_state(crossing: Crossing) -> str:
    """Return `reached`, `expected`, or `possible` if only the upper bound reaches it."""
    if crossing.is_reached:
        return "reached"
    return "possible" if crossing.at is None else "expected"


def _clock_flooded(
    territory: HazardReference, site: Site, level: float, crossing: Crossing
) -> SiteClock:
    ahead, state = not crossing.is_reached, name_state(crossing)
    has_people = site.staff > 0 or site.public_capacity > 0
    return SiteClock(
        site=site.id,
        hazard=FLOOD,
        state=state,
        at=crossing.at,
        earliest=crossing.earliest,
        latest=crossing.latest,
        margin=crossing.margin,
        until=None,
        threshold=level,
        prepare_by=crossing.earliest - FLOOD_LEAD_MS if ahead else None,
        close_by=find_closing(crossing.earliest) if state == "expected" and has_people else None,
        activities=territory.list_activities(site),
    )


def foresee_windows(
    territory: HazardReference,
    hazard: str,
    windows: Sequence[HazardWindow],
    plan: str | None,
    now: Instant,
) -> HazardForecast | None:
    """Return the clock of every site exposed to an announced cut, heat or snow.

    Its hour is that of the first window that matters there: a short cut may come before a long one.
    """
    ahead = sorted(
        (w for w in windows if w.end is None or w.end > now), key=lambda w: (w.start, w.report)
    )
    if not ahead:
        return None
    clocks = []
    for site in territory.sites.values():
        reaching = (w for w in ahead if _is_exposed(territory, site, hazard, w.hours))
        if (window := next(reaching, None)) is not None:
            clocks.append(_clock_announced(territory, site, hazard, window, now))
    return HazardForecast(hazard, plan, "announced", _sort(clocks), windows=tuple(ahead))


def _clock_announced(
    territory: HazardReference, site: Site, hazard: str, window: HazardWindow, now: Instant
) -> SiteClock:
    lead = CUT_LEAD_MS if hazard == POWER else FLOOD_LEAD_MS
    is_reached = window.start <= now and window.confirmed
    return SiteClock(
        site=site.id,
        hazard=hazard,
        state="reached" if is_reached else "expected" if window.confirmed else "possible",
        at=window.start,
        earliest=window.start,
        latest=window.start,
        margin=None,
        until=window.end,
        threshold=None,
        prepare_by=None if is_reached else window.start - lead,
        close_by=None,
        activities=territory.list_activities(site),
    )


def _is_exposed(territory: HazardReference, site: Site, hazard: str, hours: float) -> bool:
    """Return whether a hazard of the whole territory that lasts some hours matters at a site."""
    match hazard:
        case "power":
            return not site.generator and territory.fears_cut(site, hours)
        case "heat":
            return site.vulnerable_public >= VULNERABLE
        case _:
            return site.kitchen is not None or site.vulnerable_public >= VULNERABLE


def _sort(clocks: Sequence[SiteClock]) -> tuple[SiteClock, ...]:
    order = {"expected": 0, "possible": 1, "reached": 2}
    return tuple(sorted(clocks, key=lambda c: (order[c.state], c.earliest, c.site)))


def find_closing(earliest: Instant) -> Instant:
    """Return the opening from which a site stays closed, since the water comes that day or night.

    Water by day: the opening of that day. Water at night: the next opening.
    """
    local = datetime.fromtimestamp(earliest / 1000, PARIS)
    opening = local.replace(hour=OPENS_H, minute=0, second=0, microsecond=0)
    if local.hour >= CLOSES_H:
        opening = (opening.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=PARIS)
    return round(opening.timestamp() * 1000)


def list_closures(
    clocks: Sequence[SiteClock], closed_sites: Collection[str], now: Instant
) -> tuple[Closure, ...]:
    """Group the sites that are still to be closed by the opening before which it is due."""
    groups: dict[Instant, list[str]] = {}
    for clock in clocks:
        if clock.close_by is not None and clock.site not in closed_sites:
            groups.setdefault(max(clock.close_by, now), []).append(clock.site)
    return tuple(Closure(by, tuple(sites)) for by, sites in sorted(groups.items()))


def find_refuges(
    territory: HazardReference, clocks: Sequence[SiteClock], hazard: str, out: Collection[str]
) -> dict[str, str]:
    """Return the nearest site that may take the people of each site.

    It is of a kind that the strategies of its activities name, is open, has places, and the hazard
    does not reach it.
    """
    reached_sites = {clock.site for clock in clocks}
    free = [
        site
        for site in territory.sites.values()
        if site.id not in reached_sites
        and site.id not in out
        and site.places > 0
        and (site.flood_exposure == "non" if hazard == FLOOD else True)
    ]
    refuges = {}
    for clock in clocks:
        site = territory.sites[clock.site]
        kinds = _list_fallback_kinds(territory, clock.activities)
        hosts = [host for host in free if host.kind in kinds]
        if hosts:
            refuges[site.id] = min(
                hosts, key=lambda host: (_measure_distance(site, host), host.id)
            ).id
    return refuges


def _list_fallback_kinds(territory: HazardReference, activities: Sequence[str]) -> set[str]:
    """Return the kinds of site that activities may move to."""
    return {
        kind.strip()
        for id in activities
        for strategy in territory.activities[id].strategies
        if strategy.startswith(f"{SITE_STRATEGY}:")
        for kind in strategy.partition(":")[2].split("|")
    }


def _measure_distance(a: Site, b: Site) -> float:
    """Return a distance that orders sites of one département."""
    return hypot(a.lat - b.lat, (a.lon - b.lon) * cos(radians(a.lat)))
