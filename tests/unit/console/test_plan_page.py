"""The page of plans offers the decisions still open after the first one."""

from __future__ import annotations

import pytest

from schemas.words import PlanState
from tests.unit.console.held import browsing
from tests.unit.console.test_every_screen import MINUTE, NOW, REALM, crisis, incident, shown

DAY = 24 * 60 * MINUTE


def _plan(state: PlanState, **changes: object) -> dict[str, object]:
    return {
        "id": "PT-ELEC",
        "state": state,
        "level": 2,
        "decides": "coordinateur_pca",
        "proposed_at": NOW - DAY,
        "trigger_since": NOW - DAY,
        "decided_at": NOW - DAY,
        "decided_by": "p-1",
        "version": 3,
        "incident": "i-1",
        **changes,
    }


@pytest.mark.parametrize(
    ("state", "verbs"),
    [
        (PlanState.VALID, {"activate"}),
        (PlanState.POSTPONED, {"activate", "refuse"}),
        (PlanState.REFUSED, {"activate"}),
        (PlanState.LIFTED, {"activate", "retex-closed"}),
        (PlanState.PROPOSED, {"activate", "refuse", "postpone"}),
    ],
)
async def test_a_deciding_role_can_activate_after_a_refusal(
    state: PlanState, verbs: set[str]
) -> None:
    realm_state = crisis()
    realm_state.put("plans", _plan(state))
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/plans?realm={REALM}")).text
    offered = {
        verb
        for verb in ("activate", "refuse", "postpone", "retex-closed", "stand-down")
        if f'action="/api/v1/plans/PT-ELEC/{verb}"' in page
    }
    assert offered == verbs
    watching = (await browser.get(f"/plans?realm={REALM}", role="observer")).text
    assert "/api/v1/plans/PT-ELEC/" not in watching


@pytest.mark.parametrize(("state", "offers"), [("open", True), ("closed", False)])
async def test_a_closed_incident_offers_no_decision_on_its_plans(state: str, offers: bool) -> None:
    """Its button « Activer » was refused: the incident of a plan must be open (rule D49)."""
    realm_state = crisis()
    realm_state.put("incidents", incident("i-9", state=state))
    realm_state.put("plans", _plan(PlanState.PROPOSED, incident="i-9"))
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/incidents/i-9?realm={REALM}")).text
    assert "/plans/PT-ELEC" in page
    assert ('action="/api/v1/plans/PT-ELEC/activate"' in page) is offers


@pytest.mark.parametrize("holds", [True, False])
async def test_a_postponed_plan_shows_its_return_while_its_trigger_holds(holds: bool) -> None:
    """Rule D49: it lapses at its time if the trigger has ended."""
    realm_state = crisis()
    postponed = {"postponed_until": NOW + 90 * MINUTE, "trigger_held": holds}
    realm_state.put("plans", _plan(PlanState.POSTPONED, **postponed))
    browser, _ = browsing(realm_state)
    assert ("revient 12:10" in (page := await shown(browser, "/plans"))) is holds
    assert "Différé mer. 10/02 10:40" in page


async def test_the_page_of_a_proposed_plan_says_why_and_since_when() -> None:
    """The next step of a director leads there; the reason stood on another page."""
    realm_state = crisis()
    why = {
        "code": "predicate",
        "metric": "sites_with_cause",
        "args": {"cause": "outage_power"},
        "op": ">=",
        "threshold": 3,
        "value": 4,
        "at": NOW - DAY,
    }
    realm_state.put("plans", _plan(PlanState.PROPOSED, why=(why,), decided_at=None))
    browser, _ = browsing(realm_state)
    page = (await shown(browser, "/plans/PT-ELEC")).replace("\u00a0", " ")
    assert "4 (≥ 3)" in page
    assert "en attente depuis" in page


async def test_cards_of_another_day_are_due_and_done_at_an_hour() -> None:
    """A flood lasts for weeks: « due ven. 12/02 » says no hour."""
    cards = (
        {"id": "ELE-F01", "role": "cellule_logistique", "due_at": NOW + DAY},
        {
            "id": "ELE-F02",
            "role": "cellule_logistique",
            "due_at": NOW - DAY,
            "state": "done",
            "at": NOW - DAY,
        },
    )
    realm_state = crisis()
    realm_state.put("plans", _plan(PlanState.ACTIVE, cards=cards))
    browser, _ = browsing(realm_state)
    page = await shown(browser, "/plans")
    assert "ven. 12/02 à 10:40" in page
    assert "faite mer. 10/02 10:40" in page
    assert "comptées depuis le mer. 10/02 à 10:40" in page
