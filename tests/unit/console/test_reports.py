"""A report as clients read it: what its sender said is all there (DOMAIN D1)."""

from __future__ import annotations

import orjson

from services.console.store import of
from tests.unit.console.held import browsing
from tests.unit.console.test_every_screen import REALM, crisis, report


async def test_a_report_shows_the_urgency_that_it_was_sent_with() -> None:
    held = crisis()
    held.put("reports", report() | {"urgency": "Immediate"})
    browser, _ = browsing(held)
    answer = await browser.get(f"/api/v1/reports/{report()['id']}?realm={REALM}", accept="application/json")
    assert (answer.status_code, answer.json()["urgency"]) == (200, "Immediate")


async def test_a_report_to_a_realm_that_was_never_opened_was_refused_and_its_sender_hears_so() -> None:
    """It was `received` for ever."""
    browser, model = browsing(crisis())
    told = {"state": "refused", "reason": "realm_unknown", "at": 1_000, "source_key": "source-1"}
    model.redis.hashes[of("92~ex-nope", "lost")] = {"r-1": orjson.dumps(told)}
    path = "/api/v1/reports/{}?realm=92~ex-nope"

    async def asked(role: str, id: str = "r-1", more: str = "") -> tuple[int, str]:
        answer = await browser.get(path.format(id) + more, role=role, accept="application/json")
        return answer.status_code, answer.json().get("reason") or answer.json()["code"]

    assert await asked("source") == await asked("cell") == (200, "realm_unknown")
    assert await asked("source@pmi-01") == (404, "resource_unknown"), "another's"
    assert await asked("cell", "r-2") == (404, "realm_unknown")
    assert await asked("cell", more="&as_of=999") == (404, "realm_unknown"), "nobody knew yet"
