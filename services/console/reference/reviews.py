"""List the yearly reviews of plans, by owner and due date. Rule D86."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final

from schemas import reference as ref
from schemas.crisis.actions import OPEN_ACTION_STATES, ActionRow
from schemas.plans import PlanReview
from schemas.reference_changes import FieldValue, RecordKind
from services.console.read_model.reference_index import IndexedReference
from services.console.reference.resources import PlanReviewState

SOON_DAYS: Final = 60
STATES: Final = ("overdue", "due", "waiting", "current")
"""States in the order of urgency."""


def find_review(reference: IndexedReference, plan: str) -> PlanReview | None:
    """Return the review of a plan as it is in force."""
    contents = (s.contents for s in reference.sections if isinstance(s, ref.PlanContents))
    return next((c.review for part in contents for c in part if c.id == plan), None)


def build_confirmation(review: PlanReview, today: date) -> dict[str, FieldValue]:
    """Return the values of a plan that was reviewed today without a change."""
    month = today.month - 1 + review.every_months
    year, month = today.year + month // 12, month % 12 + 1
    due = date(year, month, min(today.day, _LAST_DAY))
    return {"reviewed_on": today.isoformat(), "review_due_on": due.isoformat()}


_LAST_DAY: Final = 28
"""Day that every month has."""


def build_reviews(
    reference: IndexedReference,
    open_edits: Mapping[tuple[RecordKind, str], str],
    actions: Iterable[ActionRow],
    today: date,
) -> list[PlanReviewState]:
    """List the reviews of all plans, the most urgent first."""
    open_actions = {(a.plan, a.assignee): a.id for a in actions if a.state in OPEN_ACTION_STATES}
    reviews = [
        _build_review(plan, review, open_edits, open_actions, today)
        for plan in reference.plans.values()
        if (review := find_review(reference, plan.id)) is not None
    ]
    return sorted(reviews, key=lambda one: (STATES.index(one.state), one.due_on, one.plan))


def _build_review(
    plan: ref.Plan,
    review: PlanReview,
    open_edits: Mapping[tuple[RecordKind, str], str],
    open_actions: Mapping[tuple[str | None, str], str],
    today: date,
) -> PlanReviewState:
    change = open_edits.get((RecordKind.PLAN, plan.id))
    owner = f"{review.owner_role}:{review.owner_pole}" if review.owner_pole else review.owner_role
    days = (review.next_on - today).days
    state = "overdue" if days < 0 else "due" if days <= SOON_DAYS else "current"
    return PlanReviewState(
        plan=plan.id,
        title=plan.title,
        pole=plan.pole,
        owner=owner,
        cards=len(plan.cards),
        reviewed_on=review.last_on,
        due_on=review.next_on,
        state="waiting" if change is not None else state,
        change=change,
        action=open_actions.get((plan.id, owner)),
    )
