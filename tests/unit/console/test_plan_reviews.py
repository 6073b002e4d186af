"""Each plan is confirmed or changed once a year by its owner (D86)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from schemas.crisis.actions import ActionRow
from schemas.plans import PlanReview
from schemas.reference_changes import ProposeReference, RecordKind
from services.console.reference.reviews import build_confirmation, build_reviews
from tests.unit.console.held import browsing, reference
from tests.unit.console.test_every_screen import REALM, START, crisis, realm, shown

PLAN = "PCA-solidarites"
OWNER = "directeur_pole:solidarites"
DUE = date(2027, 3, 31)
"""Next review of the shipped plans."""


def action(state: str = "requested", plan: str = PLAN) -> ActionRow:
    return ActionRow.model_validate(
        {
            "id": "ac-1",
            "state": state,
            "text_id": "t",
            "assignee": OWNER,
            "role": "directeur_pole",
            "scope": "solidarites",
            "plan": plan,
            "priority": "normal",
            "requested_by": "p-1",
            "requested_role": "coordinator",
            "requested_at": START,
            "due_at": START + 1,
        }
    )


@pytest.mark.parametrize(
    ("today", "state"),
    [
        (date(2027, 4, 1), "overdue"),
        (DUE, "due"),
        (date(2027, 1, 30), "due"),
        (date(2027, 1, 29), "current"),
    ],
)
def test_a_review_is_due_sixty_days_ahead_and_overdue_a_day_after(today: date, state: str) -> None:
    reviews_by_plan = {one.plan: one for one in build_reviews(reference(), {}, [], today)}
    assert (
        reviews_by_plan[PLAN].state,
        reviews_by_plan[PLAN].due_on,
        reviews_by_plan[PLAN].owner,
    ) == (state, DUE, OWNER)


def test_a_plan_with_an_open_change_waits_for_its_approval() -> None:
    waiting = {(RecordKind.PLAN, PLAN): "c-1"}
    reviews = build_reviews(reference(), waiting, [], date(2027, 4, 1))
    assert {one.plan for one in reviews if one.state == "waiting"} == {PLAN}
    assert reviews[0].state == "overdue"


@pytest.mark.parametrize(("state", "asked"), [("requested", "ac-1"), ("done", None)])
def test_an_owner_is_asked_once(state: str, asked: str | None) -> None:
    reviews = build_reviews(reference(), {}, [action(state)], DUE)
    assert {one.plan: one.action for one in reviews}[PLAN] == asked


@pytest.mark.parametrize(
    ("today", "months", "due"),
    [
        (date(2027, 2, 11), 12, "2028-02-11"),
        (date(2027, 8, 31), 6, "2028-02-28"),
        (date(2027, 12, 1), 1, "2028-01-01"),
    ],
)
def test_a_confirmation_dates_the_review_and_the_next_one(
    today: date, months: int, due: str
) -> None:
    review = PlanReview(owner_role="directeur_pole", next_on=DUE, every_months=months)
    assert build_confirmation(review, today) == {
        "reviewed_on": today.isoformat(),
        "review_due_on": due,
    }


async def test_a_confirmation_is_a_change_of_the_dates_alone() -> None:
    browser, _ = browsing(crisis())
    path = f"/api/v1/reference/reviews/{PLAN}/confirm?realm={REALM}"
    answer = await browser.post(path, {}, role="director@pole:solidarites")
    assert answer.status_code == 202, answer.text
    (command,) = browser.decisions.asked
    assert isinstance(command, ProposeReference)
    assert command.edit is not None
    assert [(f.field, f.after) for f in command.edit.fields] == [
        ("reviewed_on", "2027-02-11"),
        ("review_due_on", "2028-02-11"),
    ]
    assert command.reason is not None


async def test_the_page_shows_progress_and_two_buttons_to_the_owner_alone() -> None:
    browser, _ = browsing(crisis())
    page = await shown(browser, "/revue", role="director@pole:solidarites")
    assert page.count("Confirmer sans changement") == 1
    assert "1 plan à jour sur 20" in page
    assert "Confirmer sans changement" not in await shown(browser, "/revue", role="observer")


async def test_a_plan_under_change_offers_no_second_confirmation() -> None:
    realm_state = realm()
    change: dict[str, Any] = {
        "id": "c-1",
        "state": "proposed",
        "reference": "a" * 16,
        "base": "b" * 16,
        "sections": [],
        "decisions": [{"what": "proposed", "by": "ana", "role": "director", "at": START}],
        "edit": {
            "kind": "plan",
            "id": PLAN,
            "fields": [{"field": "reviewed_on", "before": None, "after": "2027-02-11"}],
        },
    }
    realm_state.put("reference_changes", change)
    browser, _ = browsing(realm_state)
    page = await shown(browser, "/revue", role="director@pole:solidarites")
    assert "changement à approuver" in page
    assert "Confirmer sans changement" not in page
