"""Narrow the demands for attention to the pôles of a director. Rule D77."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from typing import Final, TypeVar

from schemas.ranks import POLE_DIRECTOR_ROLE
from services.console.attention.rows import DemandRows

POLE_ROLES: Final = frozenset({POLE_DIRECTOR_ROLE, "suppleant_directeur_pole"})
"""Roles that each pôle has."""
_K = TypeVar("_K")
_V = TypeVar("_V")


def narrow_to_poles(
    facts: DemandRows, poles: Container[str], pole_of: Mapping[str, str]
) -> DemandRows:
    """Return the rows that concern these pôles; `pole_of` maps a site to its pôle.

    A row without a site or pôle concerns everybody. The directors of these pôles are told of
    danger at their sites.
    """

    def is_near(sites: tuple[str, ...]) -> bool:
        return not sites or any(pole_of.get(site) in poles for site in sites)

    def is_owned(pole: str | None) -> bool:
        return pole is None or pole in poles

    incidents = _filter(facts.incidents, lambda row: is_near(row.members))
    return replace(
        facts,
        incidents=incidents,
        escalations=_filter(
            facts.escalations,
            lambda row: not row.incidents or any(id in incidents for id in row.incidents),
        ),
        tasks=_filter(facts.tasks, lambda row: is_near((row.site,) if row.site else ())),
        plans=_filter(facts.plans, lambda row: is_owned(row.pole)),
        alarms=_filter(facts.alarms, lambda row: is_owned(row.pole)),
        callouts=_filter(facts.callouts, lambda row: is_near(row.sites)),
        actions=_filter(
            facts.actions, lambda row: is_owned(pole_of.get(row.scope or "", row.scope))
        ),
        danger_roles=POLE_ROLES,
    )


def _filter(rows: Mapping[_K, _V], is_kept: Callable[[_V], bool]) -> dict[_K, _V]:
    return {id: row for id, row in rows.items() if is_kept(row)}
