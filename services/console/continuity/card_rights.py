"""Decide which cards an account may work on. Rules D50 and D84."""

from __future__ import annotations

from typing import Final

from schemas.ranks import may_work_card
from services.console.read_model.reference_index import IndexedReference
from services.runtime.identity.permissions import Role
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
