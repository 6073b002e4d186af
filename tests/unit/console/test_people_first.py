"""Screens show people in danger before other facts (D78, D79, D82)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from schemas.alerts import SiteRow
from services.console.attention.cell_page import build_site_line, group_lines
from services.console.i18n import get_translator
from services.console.read_model.shapes import Shaper
from services.console.sites.geometry import load_outlines
from tests.shipped import FOLDER
from tests.unit.console.held import browsing, reference
from tests.unit.console.test_every_screen import REALM, START, crisis, shown, site

COUNTED = {"found": 208, "expected": 214, "at": START, "report": "r-2"}


@pytest.mark.parametrize(
    ("status", "headcount", "said"),
    [
        ("sheltering", None, "confinés : personne ne sort"),
        ("evacuated", None, "comptage en cours"),
        ("evacuated", COUNTED, "comptage en cours : 208 sur 214"),
    ],
)
async def test_a_site_without_departures_is_marked_as_such(
    status: str, headcount: dict[str, object] | None, said: str
) -> None:
    realm_state = crisis()
    realm_state.put("sites", site() | {"status": status, "headcount": headcount})
    browser, _ = browsing(realm_state)
    assert said in await shown(browser, "/sites/pmi-01")
    assert said in await shown(browser, "/reaffectation")


async def test_agents_of_an_uncounted_site_are_shown_as_an_estimate() -> None:
    """D78: after an hour without a count the proposal rests on the staff planned there."""
    realm_state = crisis()
    realm_state.put("sites", site() | {"status": "evacuated"})
    realm_state.put(
        "proposals",
        {
            "id": "p-1",
            "number": 1,
            "state": "open",
            "reference": "v1",
            "requested_at": START,
            "computed_at": START,
            "sites_hit": 1,
            "elapsed_h": 1.0,
            "transit": True,
            "telework": True,
            "estimated": ["pmi-01"],
        },
    )
    browser, _ = browsing(realm_state)
    page = await shown(browser, "/reaffectation")
    assert "Effectif estimé" in page
    assert "comptage non fait" in page
    assert "Personne ne sort" not in page


async def test_a_proposed_headcount_is_one_button() -> None:
    """D79: on the page of the site, on the manager's own and in the cell."""
    realm_state = crisis()
    realm_state.put("sites", site() | {"status": "evacuated"})
    realm_state.put(
        "tasks",
        {
            "id": "t-1",
            "kind": "headcount",
            "state": "open",
            "opened_at": START,
            "site": "pmi-01",
            "incident": "i-1",
        },
    )
    browser, _ = browsing(realm_state)
    for path in ("/sites/pmi-01", "/?vue=taches"):
        page = await browser.get(f"{path}{'&' if '?' in path else '?'}realm={REALM}")
        assert "Recensement à lancer" in page.text
        assert 'action="/api/v1/headcounts"' in page.text
        assert '<input type="hidden" name="sites" value="pmi-01" data-type="list">' in page.text


async def test_a_site_with_a_complete_headcount_shows_no_headcount() -> None:
    realm_state = crisis()
    realm_state.put(
        "sites", site() | {"status": "evacuated", "headcount": COUNTED | {"found": 214}}
    )
    browser, _ = browsing(realm_state)
    assert "Personne ne sort" not in await shown(browser, "/reaffectation")


async def test_the_situation_report_names_affected_vulnerable_people() -> None:
    browser, _ = browsing(crisis())
    assert "Publics vulnérables touchés : " in await shown(browser, "/sitrep")


def test_sites_of_vulnerable_people_come_first_among_equals() -> None:
    """Closed at the same minute: a home for children before a sports ground, with any ids."""
    shape = Shaper(REALM, reference(), load_outlines(FOLDER), "fr")
    shut = {"status": "closed", "since": START, "capacity_pct": 0}
    lines = [
        build_site_line(
            shape.site(shape.reference.sites[id], SiteRow(id=id, **shut)),
            None,
            get_translator("fr"),
        )
        for id in ("log-01", "mdph-01", "par-01")
    ]
    (group,) = group_lines(lines, datetime.fromtimestamp(START / 1000, UTC), get_translator("fr"))
    assert group.lines[0].id == "mdph-01"


async def test_missing_people_stand_first_in_the_cell() -> None:
    """D79: missing people come before other danger and any clock, the most missing first."""
    realm_state = crisis()
    realm_state.put("sites", site("cen-1", type="gas_leak", effect="degraded", severity=5))
    realm_state.put("sites", site("clg-0921243B") | {"status": "sheltering"})
    realm_state.put("sites", site("pmi-02") | {"status": "evacuated"})
    realm_state.put("sites", site("pmi-03") | {"status": "evacuated", "headcount": COUNTED})
    realm_state.put(
        "sites",
        site("pmi-05")
        | {"status": "evacuated", "headcount": COUNTED | {"found": 0, "expected": 1460}},
    )
    realm_state.put(
        "sites", site("pmi-04") | {"status": "evacuated", "headcount": COUNTED | {"found": 214}}
    )
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/?realm={REALM}")).text
    rows = page.partition('id="rows"')[2].partition("</table>")[0]
    order = re.findall(r'data-site="([^"]+)"', rows)
    assert order[:3] == ["pmi-05", "pmi-03", "pmi-02"]
    assert order.index("pmi-01") == len(order) - 1
    assert "6 personnes non retrouvées" in rows
    assert "recensement\u00a0: 0 sur 1\u202f460" in rows, "nobody is missing before a first count"
    assert "recensement attendu" in rows
    assert rows.count("non retrouvée") == 2, "in the row of pmi-03 alone, and its title"
