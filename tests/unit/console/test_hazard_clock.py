"""Hazard clocks: the hour and margin of each site, from readings, forecasts and announcements."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

import pytest

from schemas.base import HOUR_MS, MINUTE_MS, Instant
from services.console.hazards.clock import (
    FLOOD,
    HEAT,
    POWER,
    HazardReference,
    HazardWindow,
    find_closing,
    find_flood_plan,
    find_station,
    find_vigilance_plan,
    foresee_flood,
    foresee_windows,
    list_closures,
)
from services.console.hazards.river import (
    LevelPoint,
    RiverReading,
    find_crossing,
    foresee_river,
    parse_forecast,
)
from services.runtime.process.settings import REPOSITORY
from services.watch.connector import FeedBody, Memory
from tests.unit.console.held import reference as indexed_reference
from tests.unit.watch.samples import make_bodies, read

EVENTS: Final = REPOSITORY / "scenarios" / "scenario_events.csv"
TOLD_BEFORE_MS: Final = 6 * HOUR_MS
VAIN_SHARE: Final = 0.2


def at(text: str) -> Instant:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


NOW: Final = at("2027-01-25T18:00:00+01:00")
BASE: Final = "2027-01-25T17:00Z"


def reference() -> HazardReference:
    index = indexed_reference()
    return HazardReference(index.sites, index.activities, index.plans)


def steady(slope: float, level: float, hours: int = 12) -> list[RiverReading]:
    """Return a reading each hour up to now, along a straight line."""
    return [RiverReading(NOW - h * HOUR_MS, level - slope * h) for h in range(hours, -1, -1)]


def test_a_trend_gives_the_hour_and_its_margin() -> None:
    readings = steady(0.1, 4.3)
    course = foresee_river(readings, (), NOW)
    assert course is not None
    assert course.source == "trend"
    crossing = find_crossing(readings, course, 5.3)
    assert crossing is not None
    assert crossing.at == pytest.approx(NOW + 10 * HOUR_MS, abs=2 * MINUTE_MS)
    assert crossing.earliest == pytest.approx(NOW + 1 / 0.135 * HOUR_MS, abs=2 * MINUTE_MS)
    assert crossing.latest == pytest.approx(NOW + 1 / 0.065 * HOUR_MS, abs=2 * MINUTE_MS)
    assert crossing.margin is not None
    assert crossing.margin == crossing.latest - crossing.at


def test_a_level_above_the_upper_bound_has_no_hour() -> None:
    course = foresee_river(steady(0.02, 4.3), (), NOW)
    assert course is not None
    assert find_crossing([], course, 5.5) is not None
    assert find_crossing([], course, 5.7) is None


def test_a_forecast_of_the_publisher_has_priority_over_the_trend() -> None:
    readings = steady(0.1, 4.6)
    points = parse_forecast(f"{BASE} +6h=4.70/4.80/4.90 +12h=4.90/5.10/5.30", NOW)
    course = foresee_river(readings, points, NOW)
    assert course is not None
    assert (course.source, course.peak.likely) == ("forecast", 5.1)
    crossing = find_crossing(readings, course, 5.3)
    assert crossing is not None
    assert (crossing.at, crossing.latest) == (None, None), "only the upper bound reaches it"
    assert crossing.earliest == NOW + 12 * HOUR_MS


def test_a_passed_threshold_shows_its_time() -> None:
    readings = steady(0.1, 5.5)
    course = foresee_river(readings, (), NOW)
    assert course is not None
    crossing = find_crossing(readings, course, 5.25)
    assert crossing is not None
    assert crossing.is_reached
    assert crossing.at == NOW - 2 * HOUR_MS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+6h=4.7",
        "+6h=4.70/4.80/4.90 ",
        "+6h=4,70/4,80/4,90",
        "+12h=4.70/4.80/4.90 +6h=4.70/4.80/4.90",
        "+6h=nan/4.80/4.90",
        " ".join(f"+{n}h=4.70/4.80/4.90" for n in range(1, 20)),
    ],
)
def test_a_forecast_in_another_form_is_none(text: str) -> None:
    assert parse_forecast(text, NOW) == ()
    assert parse_forecast(f"{BASE} {text}", NOW) == ()


@pytest.mark.parametrize("base", ["2019-01-25T17:00Z", "2031-01-25T17:00Z", "2027-02-31T00:00Z"])
def test_a_forecast_with_the_clock_of_another_year_is_none(base: str) -> None:
    assert parse_forecast(f"{base} +6h=4.70/4.80/4.90", NOW) == ()


@pytest.mark.parametrize(
    "points",
    [
        [LevelPoint(NOW + 6 * HOUR_MS, 8.9, 9.0, 9.1)],
        [LevelPoint(NOW + 6 * HOUR_MS, 4.9, 4.7, 5.1)],
        [LevelPoint(NOW + 6 * HOUR_MS, 4.6, 4.7, 25.3)],
        [LevelPoint(NOW + 6 * HOUR_MS, -1.0, 4.7, 4.8)],
    ],
    ids=["spike", "bounds turned round", "another datum", "below zero"],
)
def test_an_implausible_forecast_leaves_the_trend(points: list[LevelPoint]) -> None:
    course = foresee_river(steady(0.02, 4.6), points, NOW)
    assert course is not None
    assert course.source == "trend"
    assert course.peak.high < 6.5


def test_one_spike_among_readings_does_not_turn_the_trend() -> None:
    readings = steady(0.02, 4.6)
    readings[5] = RiverReading(readings[5].at, 9.4)
    course = foresee_river(readings, (), NOW)
    assert course is not None
    assert course.peak.likely == pytest.approx(4.6 + 48 * 0.02, abs=0.05)


def test_a_river_without_fresh_readings_is_unknown() -> None:
    assert foresee_river([], (), NOW) is None
    old = [RiverReading(NOW - 13 * HOUR_MS, 6.0), RiverReading(at("2031-01-01T00:00:00Z"), 8.0)]
    assert foresee_river(old, (), NOW) is None
    assert foresee_flood(reference(), old, (), NOW) is None


def test_a_low_river_reaches_no_site() -> None:
    assert foresee_flood(reference(), steady(0.0, 1.12), (), NOW) is None


def test_each_exposed_site_has_its_hour_its_activities_and_its_deadlines() -> None:
    place = reference()
    forecast = foresee_flood(place, steady(0.05, 4.8), (), NOW)
    assert forecast is not None
    assert (forecast.hazard, forecast.plan) == (FLOOD, "PT-CRUE")
    exposed = {s.id: s.flood_exposure for s in place.sites.values()}
    states = {(exposed[clock.site], clock.state) for clock in forecast.sites}
    assert states == {
        ("oui", "expected"),
        ("tier1", "expected"),
        ("tier2", "expected"),
        ("tier3", "possible"),
    }
    first = forecast.sites[0]
    assert (first.state, first.threshold, exposed[first.site]) == ("expected", 5.3, "oui")
    assert first.at == pytest.approx(NOW + 10 * HOUR_MS, abs=2 * MINUTE_MS)
    assert first.prepare_by == first.earliest - 2 * HOUR_MS
    peopled = next(c for c in forecast.sites if c.close_by is not None)
    assert peopled.close_by == at("2027-01-26T07:00:00+01:00")
    pumps = {c.close_by for c in forecast.sites if place.sites[c.site].kind == "assainissement"}
    assert pumps == {None}, "a pumping station works on"
    assert first.activities
    assert forecast.steps[0].level == 4.6
    assert forecast.steps[0].crossing.is_reached


def test_closures_are_grouped_by_the_opening_before_which_they_are_due() -> None:
    forecast = foresee_flood(reference(), steady(0.05, 4.8), (), NOW)
    assert forecast is not None
    groups = list_closures(forecast.sites, (), NOW)
    assert groups[0].by == at("2027-01-26T07:00:00+01:00")
    one = groups[0].sites[0]
    less = list_closures(forecast.sites, {one}, NOW)
    assert one not in less[0].sites
    assert len(less[0].sites) == len(groups[0].sites) - 1


@pytest.mark.parametrize(
    ("water", "opening"),
    [
        ("2027-01-26T03:40:00+01:00", "2027-01-26T07:00:00+01:00"),
        ("2027-01-26T12:00:00+01:00", "2027-01-26T07:00:00+01:00"),
        ("2027-01-26T19:00:00+01:00", "2027-01-27T07:00:00+01:00"),
        ("2027-03-27T23:30:00+01:00", "2027-03-28T07:00:00+02:00"),
    ],
)
def test_a_site_stays_closed_from_the_opening_of_the_day_or_night_of_the_water(
    water: str, opening: str
) -> None:
    assert find_closing(at(water)) == at(opening)


def test_an_announced_cut_names_the_sites_without_a_generator_that_people_depend_on() -> None:
    start, end = at("2027-01-26T08:00:00Z"), at("2027-01-26T10:00:00Z")
    window = HazardWindow(start, end, "r1", confirmed=False)
    forecast = foresee_windows(reference(), POWER, [window], "PT-ELEC", NOW)
    assert forecast is not None
    sites = reference().sites
    assert forecast.sites
    assert not any(sites[clock.site].generator for clock in forecast.sites)
    assert {clock.state for clock in forecast.sites} == {"possible"}
    assert {(c.at, c.until, c.prepare_by) for c in forecast.sites} == {
        (start, end, start - HOUR_MS)
    }
    assert foresee_windows(reference(), POWER, [window], "PT-ELEC", end) is None


def test_a_short_cut_before_a_long_one_hides_no_site() -> None:
    """EcoWatt announces the red hours of a morning and of an evening together."""
    short = HazardWindow(NOW + HOUR_MS, NOW + 2 * HOUR_MS, "ecowatt")
    long = HazardWindow(NOW + 10 * HOUR_MS, NOW + 14 * HOUR_MS, "ecowatt")
    both = foresee_windows(reference(), POWER, [short, long], None, NOW)
    alone = foresee_windows(reference(), POWER, [long], None, NOW)
    first = foresee_windows(reference(), POWER, [short], None, NOW)
    assert both is not None
    assert alone is not None
    assert first is not None
    hours = {clock.site: (clock.earliest, clock.until) for clock in both.sites}
    soon = {clock.site for clock in first.sites}
    assert hours.keys() == {clock.site for clock in alone.sites}
    assert {hours[site] for site in soon} == {(short.start, short.end)}
    assert {hours[site] for site in hours.keys() - soon} == {(long.start, long.end)}


def test_heat_names_the_sites_that_vulnerable_people_depend_on() -> None:
    window = HazardWindow(NOW - HOUR_MS, None, "r1", colour="orange")
    forecast = foresee_windows(reference(), HEAT, [window], "PT-CANICULE", NOW)
    assert forecast is not None
    sites = reference().sites
    assert forecast.sites
    assert all(sites[clock.site].vulnerable_public >= 2 for clock in forecast.sites)
    assert {clock.state for clock in forecast.sites} == {"reached"}


def test_plans_are_found_by_their_triggers() -> None:
    plan = find_flood_plan(reference().plans)
    assert plan is not None
    assert find_station(plan) == "paris-austerlitz"
    assert find_vigilance_plan(reference().plans, "canicule") == "PT-CANICULE"
    assert find_vigilance_plan(reference().plans, "avalanches") is None


def load_flood() -> tuple[list[tuple[Instant, RiverReading]], dict[str, Instant]]:
    """Return S01's readings with their arrival, and the first report of each flooded site."""
    with EVENTS.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["scenario_id"] == "S01"]
    first_report = dict[str, Instant]()
    arrivals: list[tuple[Instant, RiverReading]] = []
    for row in rows:
        come = at(row["reported_at"] + "+01:00")
        if row["measure"] == "river_level":
            reading = RiverReading(at(row["occurred_at"] + "+01:00"), float(row["value"]))
            arrivals.append((come, reading))
        elif row["site_id"] and row["event_type"] in ("closure", "outage_power", "flooding"):
            first_report[row["site_id"]] = min(come, first_report.get(row["site_id"], come))
    return sorted(arrivals, key=lambda pair: pair[0]), first_report


def check_warnings(
    known: list[tuple[Instant, RiverReading]], first_report: dict[str, Instant], peak: float
) -> None:
    """Check that each flooded site is told in time, and that few are closed in vain."""
    warning_times: dict[str, Instant] = {}
    closed: dict[str, float] = {}
    place, readings = reference(), list[RiverReading]()
    for come, reading in known:
        readings.append(reading)
        forecast = foresee_flood(place, readings, (), come)
        for clock in forecast.sites if forecast else ():
            if clock.state == "expected":
                warning_times.setdefault(clock.site, come)
                if clock.close_by is not None and clock.close_by - come <= 12 * HOUR_MS:
                    assert clock.threshold is not None
                    closed.setdefault(clock.site, clock.threshold)
    exposed = {id for id, site in place.sites.items() if site.flood_exposure != "non"}
    flooded = exposed & first_report.keys()
    late = {
        id for id in flooded if first_report[id] - warning_times.get(id, 1 << 60) < TOLD_BEFORE_MS
    }
    assert len(flooded) > 40
    assert late == set()
    vain = [id for id, level in closed.items() if level > peak]
    assert len(closed) > 50
    assert len(vain) <= VAIN_SHARE * len(closed)


def test_in_the_flood_scenario_each_site_is_warned_six_hours_before() -> None:
    """S01, from its river readings alone: without a forecast the trend gives the hour."""
    arrivals, first_report = load_flood()
    check_warnings(arrivals, first_report, max(reading.level for _, reading in arrivals))


def find_level(known: list[tuple[Instant, RiverReading]], when: Instant) -> float:
    """Return the level at a time, on a straight line between two readings."""
    points = sorted((reading.at, reading.level) for _, reading in known)
    for (begin, low), (end, high) in pairwise(points):
        if begin <= when <= end and end > begin:
            return low + (high - low) * (when - begin) / (end - begin)
    return points[-1][1]


def build_river_bodies(
    known: list[tuple[Instant, RiverReading]], when: Instant
) -> dict[str, FeedBody]:
    """Return a body of Hub'Eau at a time: the last hour, each quarter of an hour."""
    rows = [
        {
            "code_station": "F700000103",
            "grandeur_hydro": "H",
            "date_obs": f"{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "resultat_obs": round(find_level(known, moment) * 1000, 1),
        }
        for moment in range(when - HOUR_MS, when + 1, 15 * MINUTE_MS)
    ]
    return make_bodies({"data": rows}, "hubeau")


def test_in_the_flood_scenario_the_feed_of_the_river_warns_each_site_six_hours_before() -> None:
    """S01 through the connector: bodies of Hub'Eau, fetched each half hour."""
    arrivals, first_report = load_flood()
    begin = min(reading.at for _, reading in arrivals)
    end = max(reading.at for _, reading in arrivals)
    memory: Memory = {}
    posted: list[tuple[Instant, RiverReading]] = []
    for when in range(begin + HOUR_MS, end + 1, 30 * MINUTE_MS):
        fetched = datetime.fromtimestamp((when + 5 * MINUTE_MS) / 1000, UTC)
        feed_reading = read("hydro-levels", build_river_bodies(arrivals, when), fetched, memory)
        memory = feed_reading.memory
        for post in feed_reading.posts:
            if post.body.get("certainty") != "unconfirmed":
                level = float(post.body["measure"]["value"])
                reading = RiverReading(at(post.body["occurred_at"]), level)
                posted.append((when + 5 * MINUTE_MS, reading))
    assert len(posted) > 50
    check_warnings(posted, first_report, max(reading.level for _, reading in arrivals))
