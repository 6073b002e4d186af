"""What the overview counts."""

from __future__ import annotations

from schemas.continuity import PlanRow
from schemas.words import PlanState
from services.console.sites.overview_queries import count_plans


def test_a_plan_that_recovers_is_in_effect_until_it_is_stood_down() -> None:
    """As the point de situation and the page of plans count it: its cards are still worked on."""
    rows = [
        PlanRow(id=f"P-{state}", state=state, decides="coordinateur_pca") for state in PlanState
    ]
    assert count_plans(rows) == {"plans_proposed": 1, "plans_active": 3}
