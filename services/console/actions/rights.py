"""Decide which actions an account reads, asks for and answers. Rule D87, actions."""

from schemas.ranks import may_work_card, speaks_for_cell
from services.console.http.context import DecisionContext, is_limited
from services.console.http.decisions import get_author
from services.console.http.scopes import check_pole, check_sites
from services.console.read_model.reference_index import IndexedReference
from services.console.resources import Action
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal


def is_concerned(principal: Principal, action: Action, reference: IndexedReference) -> bool:
    """Return whether an account answers for an action: its person or place is the assignee's."""
    person = principal.person
    if person is not None and person in (action.person, action.accepted_by, action.requested_by):
        return True
    holder = reference.names.holders.get(person or "")
    if holder is not None and holder[:2] == (action.role, action.scope):
        return True
    if not may_work_card(principal.acting_role, action.role or ""):
        return False
    site = reference.sites.get(action.site or action.scope or "")
    scope = principal.scope
    if scope.sites:
        return site is not None and site.id in scope.sites
    pole = site.pole if site is not None else action.scope
    return not scope.poles or pole in scope.poles


def can_read_words(principal: Principal, action: Action, reference: IndexedReference) -> bool:
    """Return whether an account sees the words of an action.

    The cell and those who decide about incidents do, and the people concerned.
    """
    if principal.may(Permission.REPORT_RAW) or principal.may(Permission.INCIDENT_DECIDE):
        return True
    return principal.may(Permission.TASK_WORK) and is_concerned(principal, action, reference)


def list_scopes(principal: Principal, reference: IndexedReference) -> frozenset[str] | None:
    """Return the pôles and sites that an account asks people of; None without a limit."""
    scope = principal.scope
    if scope.sites:
        return frozenset(scope.sites)
    if not scope.poles:
        return None
    sites = (site.id for site in reference.sites.values() if site.pole in scope.poles)
    return frozenset({*scope.poles, *sites})


async def check_assignee(author: DecisionContext, assignee: str) -> None:
    """Refuse a limited author an assignee outside their sites and pôles.

    A director asks people of their own pôle.
    """
    if not is_limited(author.principal):
        return
    reference = await author.model.reference()
    holder = reference.names.holders.get(assignee)
    place = holder[1] if holder is not None else assignee.rpartition(":")[2]
    if place is not None and place in reference.sites:
        await check_sites(author, [place], "assignee")
    else:
        await check_pole(author, place, "assignee")


def is_answerable(principal: Principal, action: Action, reference: IndexedReference) -> bool:
    """Return whether an action is within an account's sites and pôles, or its own.

    A task of the rules without a site is open to all, as before.
    """
    scope = principal.scope
    if not (scope.sites or scope.poles):
        return True
    if action.kind != "request" and action.site is None:
        return True
    if is_concerned(principal, action, reference):
        return True
    site = reference.sites.get(action.site or action.scope or "")
    if scope.sites and (site is None or site.id not in scope.sites):
        return False
    pole = site.pole if site is not None else action.scope
    return not scope.poles or pole in scope.poles


def may_answer(principal: Principal, action: Action, reference: IndexedReference) -> bool:
    """Return whether the server takes an account's answer to an action.

    The cell answers for everybody; a task of the rules is open to its place.
    """
    if not is_answerable(principal, action, reference):
        return False
    if action.kind != "request" or speaks_for_cell(principal.acting_role):
        return True
    return is_concerned(principal, action, reference)


def may_cancel(principal: Principal, action: Action, reference: IndexedReference) -> bool:
    """Return whether an account may cancel an action, as the cell or as its author."""
    return is_answerable(principal, action, reference) and (
        speaks_for_cell(principal.acting_role) or get_author(principal) == action.requested_by
    )


async def check_action(author: DecisionContext, id: str) -> None:
    """Refuse a limited author an action outside their sites and pôles."""
    if not is_limited(author.principal):
        return
    reference = await author.model.reference()
    action = await author.model.action(id)
    if not is_answerable(author.principal, action, reference):
        raise ProblemError("out_of_scope", field="assignee")
