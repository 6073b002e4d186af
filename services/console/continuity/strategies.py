"""Fallback strategies on the page of plans: those in effect, and the next one to try. Rule D51."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.words import ActivityState
from services.console.continuity.clocks import short_activity
from services.console.i18n import Translator
from services.console.resources import Activity, Strategy
from services.console.texts.names import Names, short
from services.console.texts.strategies import SITE, strategy_name

SHOWN: Final = 12
"""Number of waiting activities on the page; the page of activities has the others."""
_HIT: Final = (ActivityState.INTERRUPTED, ActivityState.DEGRADED)


@dataclass(frozen=True, slots=True)
class InEffect:
    id: str
    activity: str
    name: str
    expected_pct: float
    place: str
    desks: int | None
    since: datetime


@dataclass(frozen=True, slots=True)
class NextOne:
    """A strategy that an activity could try now."""

    activity: str
    title: str
    strategy: str
    name: str
    capacity_pct: float
    mbco_pct: float
    moves: bool
    """True if the strategy needs a site."""


def in_effect(strategies: Iterable[Strategy], names: Names, _: Translator) -> list[InEffect]:
    """List the strategies in effect, newest first."""
    return [
        InEffect(
            s.id,
            s.activity,
            strategy_name(s.strategy, _),
            s.expected_capacity_pct,
            short(names.site(s.site)) if s.site else "",
            s.desks,
            s.started_at,
        )
        for s in strategies
        if s.state == "active"
    ]


def next_ones(activities: Iterable[Activity], _: Translator) -> list[NextOne]:
    """List the strategies to try next: most critical activity first, then largest shortfall."""
    hit = [a for a in activities if a.state in _HIT and a.next_strategy]
    hit.sort(key=lambda a: (a.criticality, a.capacity_pct - a.mbco_pct, a.id))
    return [
        NextOne(
            a.id,
            short_activity(a.name),
            str(a.next_strategy),
            strategy_name(str(a.next_strategy), _),
            a.capacity_pct,
            a.mbco_pct,
            str(a.next_strategy).startswith(SITE),
        )
        for a in hit[:SHOWN]
    ]
