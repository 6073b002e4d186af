"""Hazard clocks on the cell page, on the pages of plans and sites, in the report and in the API."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from schemas.base import HOUR_MS, MINUTE_MS
from tests.unit.console.held import Held, browsing
from tests.unit.console.test_every_screen import NOW, REALM, incident, realm, report, shown

STATION = "station:paris-austerlitz"


def reading(n: int, level: float, hours_ago: float, **changes: Any) -> dict[str, object]:
    measure = {"name": "river_level", "value": level, "unit": "m", "object": STATION}
    at = NOW - round(hours_ago * HOUR_MS)
    fields = {
        "site": None,
        "type": "flood_level",
        "source": "vigicrues",
        "incident": "i-f",
        "measure": measure,
        "occurred_at": at,
        "recorded_at": at,
    }
    return report(f"f-{n}", **(fields | changes))


def flood(rise_m: float = 0.05, **more: dict[str, object]) -> Held:
    """Return the Seine at 5.15 m, 5 cm more each hour: parks on islands in three hours."""
    realm_state = realm()
    realm_state.put(
        "incidents", incident("i-f", kind="flood", key="flood", members=(), communes=())
    )
    for n in range(7):
        realm_state.put("reports", reading(n, 5.15 - rise_m * n, n))
    for row in more.values():
        realm_state.put("reports", row)
    return realm_state


def find_parks(held: Held) -> list[str]:
    return [s.id for s in held.reference.sites.values() if s.flood_exposure == "oui"]


async def read_items(held: Held) -> list[dict[str, Any]]:
    browser, _ = browsing(held)
    answer = await browser.get(f"/api/v1/hazards?realm={REALM}")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_no_refuge_lies_in_the_area_of_an_order() -> None:
    """D102: a hazard clock named the nearest open site, in streets that people had to leave."""
    realm_state = flood()
    (item,) = await read_items(realm_state)
    refuges = {site["refuge"] for site in item["sites"]} - {None}
    assert refuges
    order: dict[str, object] = {
        "id": "o-1",
        "incident": None,
        "order": "evacuated",
        "report": "r-1",
        "source": "prefecture",
        "ordered_at": NOW,
        "sites": sorted(refuges),
    }
    realm_state.put("area_orders", order)
    (item,) = await read_items(realm_state)
    assert refuges.isdisjoint(site["refuge"] for site in item["sites"])


async def test_the_api_gives_hour_margin_deadlines_and_actions_of_each_site() -> None:
    realm_state = flood()
    (item,) = await read_items(realm_state)
    assert (item["hazard"], item["plan"], item["source"]) == ("flood", "PT-CRUE", "trend")
    assert (item["level_m"], item["steps"][0]["level_m"]) == (5.15, 4.6)
    first = item["sites"][0]
    assert first["site"] in find_parks(realm_state)
    assert first["state"] == "expected"
    assert first["margin_min"] == pytest.approx(96, abs=10)
    assert first["activities"]
    assert first["keys"] == "responsable_site"
    assert first["prepare_by"] < first["earliest"] < first["at"] < first["latest"]
    assert item["closures"][0]["sites"]
    assert {card["state"] for card in item["cards"]} == {"to_do"}


async def test_a_school_may_move_to_the_nearest_site_that_is_dry() -> None:
    realm_state = flood()
    (item,) = await read_items(realm_state)
    sites = realm_state.reference.sites
    refuges = {s["site"]: s["refuge"] for s in item["sites"] if s["refuge"]}
    assert refuges
    assert all(sites[host].flood_exposure == "non" for host in refuges.values())


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", ("Crue : heure de chaque site", "eau ", "± ", "Fermer ", "5,15 m maintenant")),
        ("/plans", ("Heure de chaque site : Crue", "préparer avant", "clés : ", "Fermer ")),
        ("/sitrep", ("Crue : 5,15 m maintenant", "d’après la tendance des relevés", "Fermer ")),
    ],
)
async def test_pages_show_the_hour_and_the_actions_before_it(
    path: str, words: tuple[str, ...]
) -> None:
    browser, _ = browsing(flood())
    page = await shown(browser, path)
    for word in words:
        assert word in page, word


async def test_the_sentence_counts_each_site_that_the_page_lists() -> None:
    """It left out those under water: «13 attendus, 23 possibles» stood above 61 sites."""
    realm_state = flood(higher=reading(7, 6.2, 0))
    (hazard,) = await read_items(realm_state)
    counts = Counter(site["state"] for site in hazard["sites"])
    assert counts["reached"] > 1
    browser, _ = browsing(realm_state)
    page = await shown(browser, "/plans")
    assert f"{counts['reached']} sites atteints" in page


async def test_the_sites_of_the_plan_are_those_of_the_clock_and_those_that_stay_dry() -> None:
    """The plan of the flood sent cards to 88 sites, the clock beside it counted 61."""
    realm_state = flood(rise_m=0.03)
    (hazard,) = await read_items(realm_state)
    assert hazard["dry_sites"] > 0
    browser, _ = browsing(realm_state)
    page = await shown(browser, "/plans/PT-CRUE")
    assert f"{len(hazard['sites']) + hazard['dry_sites']} sites reçoivent leurs fiches" in page
    count = f"{hazard['dry_sites']} sites exposés que l’eau n’atteint pas"
    assert count in await shown(browser, "/plans")


async def test_a_site_shows_its_own_hour() -> None:
    realm_state = flood()
    browser, _ = browsing(realm_state)
    assert "eau " in await shown(browser, f"/sites/{find_parks(realm_state)[0]}")
    dry = next(s.id for s in realm_state.reference.sites.values() if s.flood_exposure == "non")
    assert "préparer avant" not in await shown(browser, f"/sites/{dry}")


async def test_pages_are_in_english_too() -> None:
    browser, _ = browsing(flood())
    page = (await browser.get(f"/?realm={REALM}", lang="en")).text
    assert "Flood: time of each site" in page
    assert "Close " in page


LIES: dict[str, dict[str, Any]] = {
    "spike to confirm": {"flags": ("to_confirm",)},
    "unentitled": {"flags": ("measure_unentitled",)},
    "held": {"confirmation": "unconfirmed"},
    "withdrawn": {"flags": ("cancelled",)},
    "another station": {"object": "station:chatou"},
    "no number": {"value": "8.90"},
    "truth": {"value": True},
    "clock of the future": {"hours_ago": -400.0},
}


@pytest.mark.parametrize("lie", LIES, ids=str)
async def test_a_false_reading_moves_no_clock(lie: str) -> None:
    honest = await read_items(flood())
    false_reading = dict(LIES[lie])
    measure = {
        "name": "river_level",
        "value": false_reading.pop("value", 8.9),
        "unit": "m",
        "object": false_reading.pop("object", STATION),
    }
    row = reading(99, 8.9, false_reading.pop("hours_ago", 0.2), measure=measure, **false_reading)
    assert await read_items(flood(lie=row)) == honest


async def test_a_forecast_of_the_publisher_is_followed() -> None:
    realm_state = flood()
    made = "2027-02-11T09:00Z"
    realm_state.put(
        "flags",
        {
            "id": "forecast:paris-austerlitz",
            "value": f"{made} +6h=5.20/5.25/5.40 +12h=5.30/5.40/5.60",
            "since": NOW - 40 * MINUTE_MS,
            "reports": (),
        },
    )
    (item,) = await read_items(realm_state)
    assert (item["source"], item["peak_m"]) == ("forecast", 5.4)


async def test_an_announced_cut_and_a_heatwave_have_their_clocks() -> None:
    realm_state = realm()
    window = ({"start": NOW + 20 * HOUR_MS, "end": NOW + 22 * HOUR_MS},)
    cut = report(
        "cut",
        site=None,
        incident=None,
        source="rte",
        confirmation="unconfirmed",
        plan_hint="PT-ELEC",
        effective=window,
    )
    realm_state.put("reports", cut)
    realm_state.put(
        "tasks",
        {"id": "t-1", "kind": "verify_report", "state": "open", "opened_at": NOW, "report": "cut"},
    )
    heat = {"start": NOW + 2 * HOUR_MS, "end": NOW + 30 * HOUR_MS}
    realm_state.put(
        "reports",
        report(
            "heat",
            site=None,
            incident=None,
            type="weather_alert",
            source="meteo_france",
            phenomenon="canicule",
            colour="orange",
            effective=(heat,),
        ),
    )
    realm_state.put(
        "flags", {"id": "vigilance:canicule", "value": "orange", "since": NOW, "reports": ("heat",)}
    )
    forecasts_by_hazard = {item["hazard"]: item for item in await read_items(realm_state)}
    assert list(forecasts_by_hazard) == ["heat", "power"], "the soonest first"
    assert forecasts_by_hazard["power"]["plan"] == "PT-ELEC"
    assert {s["state"] for s in forecasts_by_hazard["power"]["sites"]} == {"possible"}
    assert forecasts_by_hazard["heat"]["plan"] == "PT-CANICULE"
    assert {s["state"] for s in forecasts_by_hazard["heat"]["sites"]} == {"expected"}
    browser, _ = browsing(realm_state)
    page = await shown(browser, "/")
    assert "Coupure d’électricité annoncée" in page
    assert "(à confirmer)" in page


async def test_a_calm_day_has_no_clock() -> None:
    realm_state = realm()
    assert await read_items(realm_state) == []
    browser, _ = browsing(realm_state)
    assert "heure de chaque site" not in await shown(browser, "/")
