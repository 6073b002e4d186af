"""Fallback strategies on the page of plans: those in effect, and the next one to try. Rule D51."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.words import ActivityState
from services.console.i18n import Translator
from services.console.resources import Activity, Strategy
from services.console.texts.names import TerritoryNames, shorten_activity_name, shorten_site_name
from services.console.texts.strategies import SITE_STRATEGY, name_strategy

ACTIVITIES_SHOWN: Final = 12
"""Number of waiting activities on the page; the page of activities has the others."""
_AFFECTED_STATES: Final = (ActivityState.INTERRUPTED, ActivityState.DEGRADED)


@dataclass(frozen=True, slots=True)
class ActiveStrategy:
    id: str
    activity: str
    title: str
    """Short name of the activity."""
    name: str
    """Name of the strategy."""
    expected_pct: float
    place: str
    desks: int | None
    since: datetime


@dataclass(frozen=True, slots=True)
class NextStrategy:
    """A strategy that an activity could try now."""

    activity: str
    title: str
    strategy: str
    name: str
    capacity_pct: float
    mbco_pct: float
    moves: bool
    """True if the strategy needs a site."""


def list_active_strategies(
    strategies: Iterable[Strategy], names: TerritoryNames, _: Translator
) -> list[ActiveStrategy]:
    """List the strategies in effect, newest first."""
    return [
        ActiveStrategy(
            s.id,
            s.activity,
            names.activity_short(s.activity, _.lang),
            name_strategy(s.strategy, _),
            s.expected_capacity_pct,
            shorten_site_name(names.site(s.site)) if s.site else "",
            s.desks,
            s.started_at,
        )
        for s in strategies
        if s.state == "active"
    ]


def list_next_strategies(activities: Iterable[Activity], _: Translator) -> list[NextStrategy]:
    """List the strategies to try next: most critical activity first, then largest shortfall."""
    hit = [a for a in activities if a.state in _AFFECTED_STATES and a.next_strategy]
    hit.sort(key=lambda a: (a.criticality, a.capacity_pct - a.mbco_pct, a.id))
    return [
        NextStrategy(
            a.id,
            a.short_name or shorten_activity_name(a.name),
            str(a.next_strategy),
            name_strategy(str(a.next_strategy), _),
            a.capacity_pct,
            a.mbco_pct,
            str(a.next_strategy).startswith(SITE_STRATEGY),
        )
        for a in hit[:ACTIVITIES_SHOWN]
    ]
