"""Plans, activities and partners are confirmed or changed once a year by their owners (D86)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from schemas.crisis.actions import ActionRow
from schemas.reference_changes import ProposeReference, RecordKind, ReferenceChangeRow
from services.console.reference.resources import RecordReview
from services.console.reference.reviews import (
    PARTNERS_TITLE,
    OpenReviewActions,
    build_confirmation,
    build_reviews,
    collect_actions,
    collect_confirmations,
)
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


def list_reviews(
    today: date, *actions: ActionRow, **more: Any
) -> dict[tuple[str, str], RecordReview]:
    open_actions = (
        collect_actions(actions, {}, frozenset()) if actions else OpenReviewActions({}, {})
    )
    arguments = {"open_edits": {}, "actions": open_actions, "confirmations": {}} | more
    return {(one.kind, one.id): one for one in build_reviews(reference(), today=today, **arguments)}


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
    review = list_reviews(today)["plan", PLAN]
    assert (review.state, review.due_on, review.owner) == (state, DUE, OWNER)


def test_a_plan_with_an_open_change_waits_for_its_approval() -> None:
    waiting = {(RecordKind.PLAN, PLAN): "c-1"}
    reviews = list(list_reviews(date(2027, 4, 1), open_edits=waiting).values())
    assert {one.id for one in reviews if one.state == "waiting"} == {PLAN}
    assert reviews[0].state == "overdue"


@pytest.mark.parametrize(("state", "asked"), [("requested", "ac-1"), ("done", None)])
def test_an_owner_is_asked_once(state: str, asked: str | None) -> None:
    reviews = list_reviews(DUE, action(state))
    assert reviews["plan", PLAN].action == asked
    assert reviews["activity", "SOL-01"].action == asked
    assert reviews["activity", "EDU-01"].action is None


@pytest.mark.parametrize(
    ("today", "due"),
    [
        (date(2027, 2, 11), "2028-02-11"),
        (date(2027, 8, 31), "2028-08-28"),
        (date(2027, 12, 1), "2028-12-01"),
    ],
)
def test_a_confirmation_dates_the_review_and_the_next_one(today: date, due: str) -> None:
    assert build_confirmation(reference(), RecordKind.PLAN, PLAN, today) == {
        "reviewed_on": today.isoformat(),
        "review_due_on": due,
    }


@pytest.mark.parametrize(
    ("kind", "id", "field", "owner"),
    [
        ("activity", "SOL-01", "reviewed_on", "directeur_pole:solidarites"),
        ("contact", "prefecture_cod", "verified_on", "liaison_cod"),
    ],
)
def test_an_activity_and_a_partner_are_due_until_somebody_confirms_them(
    kind: str, id: str, field: str, owner: str
) -> None:
    today = date(2027, 2, 11)
    review = list_reviews(today)[kind, id]
    assert (review.state, review.due_on, review.owner) == ("due", None, owner)
    assert build_confirmation(reference(), RecordKind(kind), id, today) == {field: "2027-02-11"}


def test_a_step_of_an_escalation_has_no_review() -> None:
    assert build_confirmation(reference(), RecordKind.STEP, "N1.1", DUE) is None


def test_the_owner_of_partners_is_asked_once_for_all_of_them() -> None:
    row = action().model_copy(update={"plan": None, "assignee": "liaison_cod"})
    open_actions = collect_actions([row], {"t": PARTNERS_TITLE}, frozenset({PARTNERS_TITLE}))
    reviews = list_reviews(DUE, actions=open_actions)
    assert reviews["contact", "prefecture_cod"].action == "ac-1"
    other = collect_actions([row], {"t": "Préparer la salle"}, frozenset({PARTNERS_TITLE}))
    assert list_reviews(DUE, actions=other)["contact", "prefecture_cod"].action is None


def test_a_confirmation_in_force_names_both_people() -> None:
    row = ReferenceChangeRow.model_validate(
        {
            "id": "c-1",
            "state": "in_force",
            "reference": "a" * 16,
            "base": "b" * 16,
            "sections": [],
            "decisions": [
                {"what": "proposed", "by": "ana", "role": "director", "at": START},
                {"what": "approved", "by": "ben", "role": "coordinator", "at": START + 1},
            ],
            "edit": {
                "kind": "plan",
                "id": PLAN,
                "fields": [{"field": "reviewed_on", "after": "2027-02-11"}],
            },
        }
    )
    (confirmation,) = collect_confirmations([row]).values()
    assert (confirmation.by, confirmation.approved_by) == ("ana", "ben")
    proposed = row.model_copy(update={"state": "proposed"})
    assert collect_confirmations([proposed]) == {}


async def test_a_confirmation_is_a_change_of_the_dates_alone() -> None:
    browser, _ = browsing(crisis())
    path = f"/api/v1/reference/reviews/plan/{PLAN}/confirm?realm={REALM}"
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


async def test_an_activity_is_confirmed_by_its_director_and_a_partner_is_not() -> None:
    browser, _ = browsing(crisis())
    role = "director@pole:solidarites"
    path = f"/api/v1/reference/reviews/activity/SOL-01/confirm?realm={REALM}"
    answer = await browser.post(path, {}, role=role)
    assert answer.status_code == 202, answer.text
    (command,) = browser.decisions.asked
    assert [(f.field, f.after) for f in command.edit.fields] == [("reviewed_on", "2027-02-11")]
    path = f"/api/v1/reference/reviews/contact/prefecture_cod/confirm?realm={REALM}"
    assert (await browser.post(path, {}, role=role)).status_code == 403
    path = f"/api/v1/reference/reviews/step/N1.1/confirm?realm={REALM}"
    assert (await browser.post(path, {}, role="coordinator")).status_code == 404


async def test_the_page_shows_progress_and_buttons_to_the_owner_alone() -> None:
    browser, _ = browsing(crisis())
    page = await shown(browser, "/revue", role="director@pole:solidarites")
    activities = sum(a.pole == "solidarites" for a in reference().activities.values())
    assert page.count("Confirmer sans changement") == 1 + activities
    total = 20 + len(reference().activities) + len(reference().names.suppliers)
    assert f"1 à jour sur {total}" in page
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
    assert "Confirmer sans changement : PCA du pôle Solidarités" not in page
