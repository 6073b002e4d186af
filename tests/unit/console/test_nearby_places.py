"""The choice of a fallback site names the nearest ones, with travel and CO2 (D61)."""

from __future__ import annotations

import re

import pytest

from schemas.reference import Staffing
from services.console.continuity.nearby_places import NEARBY_PLACES, list_nearby_places
from services.continuity.reassignment.model.tables import ReferenceTables
from services.travel import estimate_way
from tests.shipped import territory
from tests.unit.console.held import browsing
from tests.unit.console.test_every_screen import REALM, START, clocked, realm

SITES = {site.id: site for site in territory().sites}
STAFFING = next(s for s in territory().sections if isinstance(s, Staffing))


@pytest.mark.parametrize("transit", [True, False])
def test_a_way_is_that_of_the_planner(transit: bool) -> None:
    tables = ReferenceTables(SITES.values(), STAFFING)
    ways = tables.ways(transit)
    start = tables.site_index["cen-1"]
    for id, site in SITES.items():
        way = estimate_way(SITES["cen-1"], site, transit=transit)
        end = tables.site_index[id]
        assert (way.minutes, way.grams) == (ways.minutes[start, end], ways.grams[start, end])


def test_the_nearest_hosts_come_first_counted_from_the_lost_sites() -> None:
    cell = next(c for c in STAFFING.cells if c.staff)
    hosts = [id for id in SITES if id != cell.site]
    places = list_nearby_places(cell.activity, STAFFING, SITES, {cell.site}, hosts, transit=True)
    ways = {id: estimate_way(SITES[cell.site], SITES[id], transit=True) for id in hosts}
    assert len(places) == NEARBY_PLACES
    assert [place.minutes for place in places] == sorted(w.minutes for w in ways.values())[:5]
    assert all(place.kg == round(ways[place.site].grams / 1000, 1) for place in places)


def test_equally_near_hosts_stand_by_their_co2_and_a_lost_site_is_none() -> None:
    """By car, both are nine minutes away; 300 m more are 0.2 kg more."""
    cell = next(c for c in STAFFING.cells if c.staff)
    lost = SITES[cell.site]
    sites = {cell.site: lost} | {
        id: lost.model_copy(update={"id": id, "lat": lost.lat + metres / 111_195})
        for id, metres in (("a", 1268), ("b", 965))
    }
    hosts = ["a", cell.site, "b"]
    places = list_nearby_places(cell.activity, STAFFING, sites, (), hosts, transit=False)
    assert len({place.minutes for place in places}) == 1
    assert [(place.site, place.kg) for place in places] == [("b", 0.5), ("a", 0.7)]


def test_an_activity_without_staff_has_no_nearest_site() -> None:
    assert not list_nearby_places("none", STAFFING, SITES, (), SITES, transit=True)


async def test_the_page_of_plans_names_the_nearest_sites_beside_the_choice() -> None:
    """It listed sites by name alone, though the planner knew the way to each."""
    realm_state = realm()
    activity = next(a for a in territory().activities if a.strategies[0].startswith("SR-SITE"))
    realm_state.put("activities", clocked(activity.id, START, next_strategy=activity.strategies[0]))
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/plans?realm={REALM}")).text
    form = page[page.index('id="fallback"') :].partition("</section>")[0]
    assert "CO₂ par agent et par jour" in form
    assert len(re.findall(r"<li>[^<]+\s:\s\d+\smin, [\d,]+\skg de CO₂</li>", form)) == NEARBY_PLACES
