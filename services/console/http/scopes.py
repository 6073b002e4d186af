"""Check that a decision reaches only sites and pôles for which its author answers.

The realm is asked where the realm is read (`context.checked_realm`). Every check passes an author without a limit before it asks the read
model, and raises ProblemError `out_of_scope` otherwise. The author must already stand in the realm that the body names (`Author.within`).
"""

from __future__ import annotations

from collections.abc import Iterable

from services.console.http.context import Author, check_scope, check_whole_territory, is_limited
from services.console.read_model.queries import Queries
from services.runtime.http.problems import ProblemError
from services.runtime.identity.principals import Principal


async def check_incident(author: Author, incident: str | None) -> None:
    """Refuse an incident that concerns none of the author's sites and pôles. None: no incident, which is the whole territory's."""
    if not is_limited(author.principal):
        return
    if incident is None:
        check_whole_territory(author.principal, "incident")
        return
    found = await author.model.incident(author.realm, incident)
    check_scope(author.principal, sites=[*found.sites, *found.zone_sites], poles=found.poles)


async def check_sites(author: Author, sites: Iterable[str], field: str = "sites") -> None:
    """Refuse a list that names a site beyond the author's. An empty list means everybody: the whole territory's."""
    if is_limited(author.principal):
        await check_sites_of(author.principal, author.model, author.realm, sites, field)


async def check_sites_of(
    principal: Principal, model: Queries, realm: str, sites: Iterable[str], field: str = "sites"
) -> None:
    """Refuse as `check_sites`, for a reader without an author's context."""
    if not is_limited(principal):
        return
    named = set(sites)
    if not named:
        check_whole_territory(principal, field)
    scope = principal.scope
    if scope.sites and not named <= set(scope.sites):
        raise ProblemError("out_of_scope", field=field)
    if scope.poles and not await _poles_of(model, realm, named) <= set(scope.poles):
        raise ProblemError("out_of_scope", field=field)


async def check_pole(author: Author, pole: str | None, field: str = "pole") -> None:
    """Refuse a pôle that is not the author's. None: what belongs to no pôle is the whole territory's."""
    if not is_limited(author.principal):
        return
    if pole is None:
        check_whole_territory(author.principal, field)
        return
    if pole not in await own_poles(author):
        raise ProblemError("out_of_scope", field=field)


async def check_activity(author: Author, activity: str | None) -> None:
    """Refuse an activity of another pôle. An unknown one is for the decider to refuse."""
    if activity is None or not is_limited(author.principal):
        return
    known = (await author.model.reference(author.realm)).activities.get(activity)
    if known is not None:
        await check_pole(author, known.pole)


async def own_poles(author: Author) -> frozenset[str]:
    """Return the pôles for which the author answers: those of the scope, else those of its sites. Empty without a limit."""
    scope = author.principal.scope
    return frozenset(scope.poles or await _poles_of(author.model, author.realm, scope.sites))


async def _poles_of(model: Queries, realm: str, sites: Iterable[str]) -> set[str]:
    """Pôles of these sites; an unknown site stands for itself, which is no pôle of anybody."""
    known = (await model.reference(realm)).sites
    return {known[site].pole if site in known else f"site {site}" for site in sites}
