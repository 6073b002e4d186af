"""Build the directory page (annuaire). Rule D89."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.console.attention.cell_page import fold_text
from services.console.directory.resources import Partner, RoleHolders
from services.console.resources import Site

SITE_ROLES_SHOWN: Final = 40
"""Roles of sites that a search lists."""


@dataclass(frozen=True, slots=True)
class DirectoryView:
    """The directory as the page shows it, filtered by a search."""

    territory: Sequence[RoleHolders]
    poles: Sequence[RoleHolders]
    sites: Sequence[RoleHolders]
    sites_more: int
    domains: Mapping[str, Sequence[Partner]]
    """Domain → its partners."""
    to_complete: int
    """Partners without any number, in the whole directory."""
    partners: int
    all_domains: Sequence[str]


def build_directory_view(
    items: Iterable[RoleHolders],
    partners: Sequence[Partner],
    poles: Iterable[str],
    sites: Iterable[Site],
    q: str,
    domain: str,
) -> DirectoryView:
    """Group roles and partners; roles of sites are shown only to a search."""
    pole_ids, communes = set(poles), {s.id: s.commune_name for s in sites}
    matching_roles = [
        i for i in items if _matches(q, i.role_name, i.scope_name, communes.get(i.scope or ""))
    ]
    at_sites = (
        [i for i in matching_roles if i.scope is not None and i.scope not in pole_ids] if q else []
    )
    matching_partners = [
        p
        for p in partners
        if domain in ("", p.domain) and _matches(q, p.organisation, p.function, p.domain, p.when)
    ]
    by_domain: dict[str, list[Partner]] = {}
    for partner in matching_partners:
        by_domain.setdefault(partner.domain, []).append(partner)
    return DirectoryView(
        territory=[i for i in matching_roles if i.scope is None],
        poles=[i for i in matching_roles if i.scope in pole_ids],
        sites=at_sites[:SITE_ROLES_SHOWN],
        sites_more=max(0, len(at_sites) - SITE_ROLES_SHOWN),
        domains=by_domain,
        to_complete=sum(p.state == "to_complete" for p in partners),
        partners=len(partners),
        all_domains=list(dict.fromkeys(p.domain for p in partners)),
    )


def _matches(q: str, *texts: str | None) -> bool:
    """Return whether each word of a search stands somewhere in the texts."""
    haystack = fold_text(" ".join(text for text in texts if text))
    return all(word in haystack for word in fold_text(q).split())
