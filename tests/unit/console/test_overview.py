"""The overview counts plans in effect."""

from __future__ import annotations

from schemas.continuity import PlanRow
from schemas.words import PlanState
from services.console.sites.queries import count_plans


def test_a_recovering_plan_is_in_effect_until_it_is_stood_down() -> None:
    """The sitrep and the page of plans agree: its cards are still in progress."""
    rows = [
        PlanRow(id=f"P-{state}", state=state, decides="coordinateur_pca") for state in PlanState
    ]
    assert count_plans(rows) == {"plans_proposed": 1, "plans_active": 3}
