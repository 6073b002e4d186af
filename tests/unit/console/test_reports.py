"""A report as clients read it: what its sender said is all there (DOMAIN D1)."""

from __future__ import annotations

from tests.unit.console.held import browsing
from tests.unit.console.test_every_screen import REALM, crisis, report


async def test_a_report_shows_the_urgency_that_it_was_sent_with() -> None:
    held = crisis()
    held.put("reports", report() | {"urgency": "Immediate"})
    browser, _ = browsing(held)
    answer = await browser.get(f"/api/v1/reports/{report()['id']}?realm={REALM}", accept="application/json")
    assert (answer.status_code, answer.json()["urgency"]) == (200, "Immediate")
