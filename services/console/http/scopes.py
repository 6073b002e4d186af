"""Check that a decision reaches only sites and pôles within its author's scope.

The scope of realms is checked where the realm is read (`context.check_realm`). Every check admits
an author without a limit before it queries the read model, and otherwise raises ProblemError
`out_of_scope`. The author must already be in the realm of the body (`DecisionContext.within`).
"""

from collections.abc import Iterable

from services.console.http.context import (
    DecisionContext,
    check_scope,
    check_whole_territory,
    is_limited,
)
from services.console.read_model.queries import Queries
from services.console.resources import Site
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal


async def check_incident(author: DecisionContext, incident: str | None) -> None:
    """Refuse an incident outside the author's sites and pôles: those hit, and those of its zone.

    A decision without an incident belongs to the whole territory.
    """
    if not is_limited(author.principal):
        return
    if incident is None:
        check_whole_territory(author.principal, "incident")
        return
    row, poles = await author.model.incident(incident), set[str]()
    if author.principal.scope.poles:
        poles = {*row.poles, *await _find_poles(author.model, author.realm, row.zone_sites)}
    check_scope(author.principal, sites=[*row.sites, *row.zone_sites], poles=poles)


async def check_call(author: DecisionContext, incident: str) -> None:
    """Refuse to answer for an incident outside the author's scope.

    A crisis calls the directors of all pôles: each may answer, hit or not.
    """
    if may_answer_crisis(author.principal) and await author.model.has_called_directors(incident):
        return
    await check_incident(author, incident)


def may_answer_crisis(principal: Principal) -> bool:
    """Return whether a crisis may call this account beyond its scope: that of a director."""
    return principal.role is Role.DIRECTOR and bool(principal.scope.poles)


async def check_sites(author: DecisionContext, sites: Iterable[str], field: str = "sites") -> None:
    """Refuse a list with a site outside the author's scope.

    An empty list means everybody, which belongs to the whole territory.
    """
    if is_limited(author.principal):
        await check_sites_of(author.principal, author.model, author.realm, sites, field)


async def check_sites_of(
    principal: Principal, model: Queries, realm: str, sites: Iterable[str], field: str = "sites"
) -> None:
    """Check sites like `check_sites`, for a reader without an author's context."""
    if not is_limited(principal):
        return
    site_ids = set(sites)
    if not site_ids:
        check_whole_territory(principal, field)
    scope = principal.scope
    if scope.sites and not site_ids <= set(scope.sites):
        raise ProblemError("out_of_scope", field=field)
    if scope.poles and not await _find_poles(model, realm, site_ids) <= set(scope.poles):
        raise ProblemError("out_of_scope", field=field)


async def check_pole(author: DecisionContext, pole: str | None, field: str = "pole") -> None:
    """Refuse a pôle outside the author's scope. A missing one belongs to the whole territory."""
    if not is_limited(author.principal):
        return
    if pole is None:
        check_whole_territory(author.principal, field)
        return
    if pole not in await list_own_poles(author):
        raise ProblemError("out_of_scope", field=field)


async def check_activity(author: DecisionContext, activity: str | None) -> None:
    """Refuse an activity of another pôle; the decider refuses unknown ones."""
    if activity is None or not is_limited(author.principal):
        return
    activity_row = (await author.model.reference()).activities.get(activity)
    if activity_row is not None:
        await check_pole(author, activity_row.pole)


async def list_own_poles(author: DecisionContext) -> frozenset[str]:
    """Return the pôles of the author's scope, or else of its sites; empty without a limit."""
    scope = author.principal.scope
    return frozenset(scope.poles or await _find_poles(author.model, author.realm, scope.sites))


async def _find_poles(model: Queries, realm: str, sites: Iterable[str]) -> set[str]:
    """Return the pôles of these sites; an unknown site counts as a pôle that matches none."""
    territory_sites = (await model.of(realm).reference()).sites
    return {
        territory_sites[site].pole if site in territory_sites else f"site {site}" for site in sites
    }


def is_near_site(principal: Principal, site: Site) -> bool:
    """Tell whether the account is limited to this site, or to its pôle."""
    scope = principal.scope
    return site.id in scope.sites or (not scope.sites and site.pole in scope.poles)
