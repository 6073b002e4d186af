"""No page leads to a site that is under an order to leave or to shelter. Rules D78 and D102."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.console.held import Browser, Held, browsing
from tests.unit.console.test_every_screen import NOW, REALM, START, realm, shown

FALLBACK = "sit-02"
"""Computer room in Rueil-Malmaison, a fallback site of the crisis cell."""


def area_order(*sites: str, **changes: Any) -> dict[str, Any]:
    """Return an order to leave Rueil-Malmaison, with the sites inside."""
    return {
        "id": "o-1",
        "incident": None,
        "order": "evacuated",
        "report": "r-1",
        "source": "prefecture",
        "ordered_at": NOW - 60_000,
        "communes": ("92063",),
        "sites": sites,
        **changes,
    }


def strategy(**changes: Any) -> dict[str, Any]:
    return {
        "id": "EOM-04/1",
        "activity": "EOM-04",
        "strategy": "SR-SITE:salle de repli",
        "state": "active",
        "expected_capacity_pct": 90,
        "site": FALLBACK,
        "desks": 4,
        "started_at": START,
        "started_by": "p-1",
        **changes,
    }


def ordered(*sites: str, **changes: Any) -> Held:
    realm_state = realm()
    realm_state.put("area_orders", area_order(*sites, **changes))
    realm_state.put("strategies", strategy())
    return realm_state


async def _read_fallbacks(browser: Browser) -> str:
    page = (await browser.get(f"/plans?realm={REALM}")).text
    return page[page.index('id="fallback"') :].partition("</section>")[0]


async def test_a_strategy_in_the_area_of_an_order_warns_of_its_site() -> None:
    """The row showed a green tick and the number of desks."""
    browser, _ = browsing(ordered(FALLBACK))
    card = await _read_fallbacks(browser)
    assert "N’envoyez personne à Salle informatique de secours" in card


async def test_a_strategy_outside_of_the_area_or_after_the_order_says_nothing() -> None:
    for order in (ordered(FALLBACK, outside=(FALLBACK,)), ordered(FALLBACK, ended_at=NOW)):
        browser, _ = browsing(order)
        assert "N’envoyez personne" not in await _read_fallbacks(browser)


async def test_a_strategy_that_leads_into_danger_is_danger_in_the_queue() -> None:
    browser, _ = browsing(ordered(FALLBACK))
    queue = (await browser.get(f"/api/v1/attention?realm={REALM}")).json()["queue"]
    assert [(row["kind"], row["urgency"]) for row in queue] == [("strategy_dangerous", 1)]
    page = await shown(browser, "/")
    assert "Une stratégie de repli envoie des personnes là où tient une consigne" in page


async def test_a_site_in_the_area_of_an_order_is_no_choice_for_a_fallback() -> None:
    """The list of sites to choose named it with the open ones; the decision was refused."""
    browser, _ = browsing(ordered(FALLBACK, "gym-04", outside=("gym-04",)))
    page = (await browser.get(f"/plans?realm={REALM}")).text
    options = dict(re.findall(r'data-id="([^"]+)"([^>]*)>', page))
    assert "disabled" in options[FALLBACK]
    assert "disabled" not in options["gym-04"]


async def test_the_page_of_a_site_names_the_order_for_its_area_first() -> None:
    """It said «Normal» alone, and the order stood below among the tasks."""
    browser, _ = browsing(ordered(FALLBACK))
    page = await shown(browser, f"/sites/{FALLBACK}")
    order = page.index("Consigne d’évacuation, Rueil-Malmaison")
    assert "n’y envoyez personne" in page[order : order + 120]
    assert order < page.index("Pourquoi cet état")
    browser, _ = browsing(ordered(FALLBACK, outside=(FALLBACK,)))
    assert "n’y envoyez personne" not in await shown(browser, f"/sites/{FALLBACK}")


def _line(state: str = "dispatched", needed: int = 4) -> dict[str, Any]:
    """Return an order to four agents of pmi-01 to work at sst-01."""
    return {
        "id": "l-1",
        "site": "pmi-01",
        "activity": "SOL-01",
        "metier": "agent_accueil",
        "supply": "releasable",
        "need_site": "sst-01",
        "need_activity": "SOL-01",
        "need_metier": "agent_accueil",
        "place": "sst-01",
        "count": 4,
        "criticality": 1,
        "proposal": "p-1",
        "decision": "d-1",
        "state": state,
        "needed": needed,
        "approved_by": "dgs",
        "approved_role": "director",
        "approved_at": START,
        "dispatched_at": START,
        "rules": ["D49"],
    }


@pytest.mark.parametrize(
    ("manager", "line", "inside", "order", "warning"),
    [
        ("pmi-01", _line(), "sst-01", "evacuated", "N’envoyez personne à "),
        ("sst-01", _line(), "sst-01", "evacuated", "Personne ne vient : une consigne"),
        ("pmi-01", _line(), "pmi-01", "sheltering", "Personne ne part : une consigne"),
        ("pmi-01", _line("arrived", 0), "pmi-01", "evacuated", "Personne ne revient à "),
        ("sst-01", _line("arrived", 0), "pmi-01", "evacuated", "Personne ne revient à "),
    ],
)
async def test_an_order_keeps_agents_where_they_are_on_the_page_of_both_managers(
    manager: str, line: dict[str, Any], inside: str, order: str, warning: str
) -> None:
    """Only the manager of the agents read it, and only about the place where they go."""
    realm_state = realm()
    realm_state.put("reassignments", line)
    realm_state.put("area_orders", area_order(inside, order=order))
    browser, _ = browsing(realm_state)
    page = await shown(browser, "/mes-sites", role=f"site_manager@{manager}")
    assert page.count(warning) == 2, "in the strip «Et maintenant ?», and in the order"
    realm_state.put("area_orders", area_order(inside, order=order, ended_at=NOW))
    browser, _ = browsing(realm_state)
    assert warning not in await shown(browser, "/mes-sites", role=f"site_manager@{manager}")


async def test_agents_of_a_sheltering_site_do_not_leave_on_the_page_of_the_cell() -> None:
    realm_state = realm()
    realm_state.put("reassignments", _line())
    realm_state.put("area_orders", area_order("pmi-01", order="sheltering"))
    browser, _ = browsing(realm_state)
    assert "confinement : personne ne part" in await shown(browser, "/reaffectation")
    realm_state.put("area_orders", area_order("pmi-01"))
    browser, _ = browsing(realm_state)
    assert "personne ne part" not in await shown(browser, "/reaffectation"), "they have to leave"
