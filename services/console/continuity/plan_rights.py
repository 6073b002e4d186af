"""List the plans and arbitrations that an account may decide, for its screens. Rule D49."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.ranks import STRATEGY_ROLE, may_decide, may_decide_plan
from services.console.attention.queries import find_policy
from services.console.continuity.card_rights import list_open_poles
from services.console.read_model.reference_index import IndexedReference
from services.console.resources import Activity
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal


def list_own_plans(principal: Principal, reference: IndexedReference) -> frozenset[str]:
    """Return the plans that an account may decide, by its right, its rank and its pôles."""
    if not principal.may(Permission.PLAN_DECIDE):
        return frozenset()
    poles = list_open_poles(principal, reference)
    return frozenset(
        plan.id
        for plan in reference.plans.values()
        if may_decide_plan(principal.acting_role, plan.decides)
        and (poles is None or plan.pole in poles)
    )


def list_liftable_plans(
    principal: Principal, reference: IndexedReference, level: int
) -> frozenset[str]:
    """Return the plans that an account may stand down at a level of the territory. Rule D52.

    They are those that it may decide and, for a pilot of the level, all plans of its pôles.
    """
    own = list_own_plans(principal, reference)
    policy = find_policy(reference)
    pilots = {int(rule.level): rule.pilots for rule in policy.levels} if policy else {}
    if not principal.may(Permission.PLAN_DECIDE) or principal.acting_role not in pilots.get(
        level, ()
    ):
        return own
    poles = list_open_poles(principal, reference)
    return own | {
        plan.id for plan in reference.plans.values() if poles is None or plan.pole in poles
    }


def list_own_activities(
    principal: Principal, reference: IndexedReference, activities: Iterable[Activity]
) -> frozenset[str]:
    """Return the activities that an account may arbitrate."""
    if not principal.may(Permission.PLAN_DECIDE) or not may_decide(
        principal.acting_role, STRATEGY_ROLE
    ):
        return frozenset()
    poles = list_open_poles(principal, reference)
    return frozenset(a.id for a in activities if poles is None or a.pole in poles)
