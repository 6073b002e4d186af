"""What screens say of people in danger before anything else (D78)."""

from __future__ import annotations

import pytest

from tests.unit.console.held import browsing
from tests.unit.console.test_every_screen import START, crisis, shown, site

COUNTED = {"found": 208, "expected": 214, "at": START, "report": "r-2"}


@pytest.mark.parametrize(
    ("status", "headcount", "said"),
    [
        ("sheltering", None, "confinés : personne ne sort"),
        ("evacuated", None, "comptage en cours"),
        ("evacuated", COUNTED, "comptage en cours : 208 sur 214"),
    ],
)
async def test_a_site_that_nobody_leaves_says_so(status: str, headcount: dict[str, object] | None, said: str) -> None:
    held = crisis()
    held.put("sites", site() | {"status": status, "headcount": headcount})
    browser, _ = browsing(held)
    assert said in await shown(browser, "/sites/pmi-01")
    assert said in await shown(browser, "/reaffectation")


async def test_a_site_where_everybody_was_found_says_nothing_of_it() -> None:
    held = crisis()
    held.put("sites", site() | {"status": "evacuated", "headcount": COUNTED | {"found": 214}})
    browser, _ = browsing(held)
    assert "Personne ne sort" not in await shown(browser, "/reaffectation")
