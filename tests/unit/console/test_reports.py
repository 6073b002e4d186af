"""Clients read the whole content of a report (D1)."""

from __future__ import annotations

import orjson

from services.console.read_model.store import build_realm_key
from tests.unit.console.held import browsing
from tests.unit.console.test_every_screen import REALM, crisis, report


async def test_a_report_shows_its_urgency_at_sending() -> None:
    realm_state = crisis()
    realm_state.put("reports", report() | {"urgency": "Immediate"})
    browser, _ = browsing(realm_state)
    answer = await browser.get(
        f"/api/v1/reports/{report()['id']}?realm={REALM}", accept="application/json"
    )
    assert (answer.status_code, answer.json()["urgency"]) == (200, "Immediate")


async def test_a_report_to_an_unopened_realm_is_refused_and_its_sender_informed() -> None:
    """It was `received` for ever."""
    browser, model = browsing(crisis())
    denial = {"state": "refused", "reason": "realm_unknown", "at": 1_000, "source_key": "source-1"}
    model.redis.hashes[build_realm_key("92~ex-nope", "lost")] = {"r-1": orjson.dumps(denial)}
    path = "/api/v1/reports/{}?realm=92~ex-nope"

    async def asked(role: str, id: str = "r-1", more: str = "") -> tuple[int, str]:
        answer = await browser.get(path.format(id) + more, role=role, accept="application/json")
        return answer.status_code, answer.json().get("reason") or answer.json()["code"]

    assert await asked("source") == await asked("cell") == (200, "realm_unknown")
    assert await asked("source@pmi-01") == (404, "resource_unknown"), "another's"
    assert await asked("cell", "r-2") == (404, "realm_unknown")
    assert await asked("cell", more="&as_of=999") == (404, "realm_unknown"), "nobody knew yet"


async def test_a_reopening_without_effect_names_the_newer_alert() -> None:
    """Its sender read «Reçu» while the site stayed shut."""
    realm_state = crisis()
    minute, start = 60_000, int(report()["occurred_at"])  # type: ignore[call-overload]
    site = realm_state.rows["sites"]["pmi-01"]
    cause = {
        "id": "c-1",
        "incident": "i-1",
        "type": "outage_power",
        "effect": "closed",
        "since": start,
        "certainty": "confirmed",
        "severity": 3,
        "loss_pct": 100.0,
        "reports": ["r-1", "r-late"],
    }
    realm_state.put("sites", {**site.model_dump(), "causes": [cause]})
    realm_state.put(
        "reports",
        report("r-late", occurred_at=start + 20 * minute, recorded_at=start + 40 * minute),
    )
    over = {"type": "reopening", "severity": 1, "lifts": ["outage_power"]}
    realm_state.put(
        "reports",
        report("r-before", occurred_at=start - minute, recorded_at=start + minute, **over),
    )
    realm_state.put(
        "reports", report("r-after", occurred_at=start + minute, recorded_at=start + minute, **over)
    )
    browser, _ = browsing(realm_state)

    async def newer(id: str) -> str | None:
        answer = await browser.get(f"/api/v1/reports/{id}?realm={REALM}", accept="application/json")
        return str(answer.json()["newer_alert_at"]) if answer.json()["newer_alert_at"] else None

    response = await browser.get(f"/api/v1/reports/r-1?realm={REALM}", accept="application/json")
    assert await newer("r-before") == response.json()["occurred_at"]
    assert await newer("r-after") is None, "what came later was not known"
    assert await newer("r-1") is None


async def test_the_form_says_where_its_site_comes_from_and_which_exercise_it_is() -> None:
    browser, _ = browsing(crisis())
    own = (await browser.get(f"/signaler?realm={REALM}", role="site_manager@pmi-01")).text
    assert "votre site" in own
    assert "rempli par le lien" not in own
    linked = (await browser.get(f"/signaler?realm={REALM}&site=pmi-01", role="cell")).text
    assert "rempli par le lien du site" in linked
    assert f"<span>{REALM}</span>" not in own


async def test_a_report_of_an_exercise_is_withdrawn_in_the_exercise() -> None:
    """The front takes the realm of a report from its body; the cause of a real site was lifted."""
    realm_state = crisis()
    realm_state.put("reports", report(source_key="site_manager-1", confirmation="unconfirmed"))
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/signalements/r-1?realm={REALM}", role="site_manager")).text
    assert 'value="Cancel"' in page
    assert f'data-body="{{&#34;realm&#34;: &#34;{REALM}&#34;}}"' in page.replace("&quot;", "&#34;")
