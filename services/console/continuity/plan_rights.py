"""List the plans, cards and arbitrations that an account may decide. Rules D49, D50 and D84."""

from collections.abc import Callable, Iterable
from typing import Final

from schemas.ranks import STRATEGY_ROLE, may_decide, may_decide_plan, may_work_card
from services.console.read_model.reference_index import IndexedReference
from services.console.resources import Activity
from services.runtime.identity.permissions import Permission, Role
from services.runtime.identity.principals import Principal

ROLES_FOR_ALL_CARDS: Final = frozenset({Role.ADMIN, Role.COORDINATOR, Role.CELL})
"""Roles that may work on the cards of every role."""


def may_work_card_of(principal: Principal, role: str) -> bool:
    """Return whether an account may work on the cards of a role; its scope is checked apart."""
    return principal.role in ROLES_FOR_ALL_CARDS or any(
        may_work_card(acting, role) for acting in (principal.role.value, principal.acting_role)
    )


def list_open_poles(principal: Principal, reference: IndexedReference) -> frozenset[str] | None:
    """Return the pôles of an account's scope, or of its sites; None: it has no limit."""
    scope = principal.scope
    if not scope.sites and not scope.poles:
        return None
    of_sites = (reference.sites[site].pole for site in scope.sites if site in reference.sites)
    return frozenset(scope.poles or of_sites)


def build_card_right(
    principal: Principal, reference: IndexedReference
) -> Callable[[str, str | None], bool]:
    """Return the rule whether an account works on the cards of a role and pôle."""
    within = list_open_poles(principal, reference)
    return lambda role, pole: (
        principal.may(Permission.CARD_WORK)
        and may_work_card_of(principal, role)
        and (within is None or pole is None or pole in within)
    )


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
    policy = reference.policy
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
