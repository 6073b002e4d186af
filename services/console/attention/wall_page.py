"""Build the wall screen: readable from five metres in five seconds.

It shows the sites hit, the deadlines and the missing answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.words import SiteStatus
from services.console.i18n import Translator
from services.console.resources import AlarmRate, Feed, Maintenance, Pole, Site, Task
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames

CLOCKS_SHOWN: Final = 6
SILENT_SHOWN: Final = 5
PLANS_SHOWN: Final = 5
WINDOWS_SHOWN: Final = 8
TASKS_SHOWN: Final = 8
UNIT: Final = 18
UNITS_WIDTH: Final = 400
_ORDER: Final = (
    SiteStatus.EVACUATED,
    SiteStatus.SHELTERING,
    SiteStatus.CLOSED,
    SiteStatus.DEGRADED,
    SiteStatus.UNKNOWN,
)


@dataclass(frozen=True, slots=True)
class UnitRow:
    """One pôle, with a shape for each site that is not normal."""

    name: str
    units: Sequence[SiteStatus]
    step: float
    """Distance between shapes, smaller if there are many."""
    affected_count: int
    total: int


def list_affected_poles(
    sites: Sequence[Site], poles: Sequence[Pole], names: TerritoryNames, _: Translator
) -> list[UnitRow]:
    """List the pôles with a site that is not normal; central sites of several pôles first."""
    rows = []
    for pole, name in names.pole_titles((p.id for p in poles), _).items():
        mine = [s for s in sites if s.pole == pole]
        hit = sorted(
            (s.status for s in mine if s.status is not SiteStatus.NORMAL), key=_ORDER.index
        )
        if hit:
            rows.append(UnitRow(name, hit, min(UNIT, UNITS_WIDTH / len(hit)), len(hit), len(mine)))
    return rows


@dataclass(frozen=True, slots=True)
class PoleRow:
    """One pôle on a day without a crisis."""

    name: str
    capacity_pct: float
    mbco_pct: float
    normal: int
    total: int
    below: int
    """Activities below their minimum."""


def list_poles(poles: Sequence[Pole], names: TerritoryNames, _: Translator) -> list[PoleRow]:
    """List every pôle under its title for the wall."""
    titles = names.pole_titles((p.id for p in poles), _)
    return [
        PoleRow(
            titles[p.id],
            p.capacity_pct,
            p.mbco_pct,
            p.sites.get(SiteStatus.NORMAL, 0),
            p.sites_total,
            p.activities_below,
        )
        for p in poles
    ]


@dataclass(frozen=True, slots=True)
class RateBar:
    x: float
    height: float


def draw_rate(rate: AlarmRate) -> list[RateBar]:
    """Draw the demands for attention of the last hour per 10 minutes; the highest bar is 40."""
    top = max([*rate.series, rate.bearable])
    return [RateBar(44.0 * k, round(40.0 * n / top, 1)) for k, n in enumerate(rate.series)]


@dataclass(frozen=True, slots=True)
class WallFeedLine:
    name: str
    last_at: datetime
    quiet: bool


SILENT_FEED_S: Final = 1800


def _format_feed_name(feed: Feed, _: Translator) -> str:
    if feed.id in world.FEED:
        return _(world.FEED[feed.id])
    return (
        world.name_source(feed.id, _)
        if feed.kind == "source"
        else w.translate_code(w.CHANNEL, feed.id, _)
    )


def list_feeds(feeds: Sequence[Feed], limit: int, _: Translator) -> list[WallFeedLine]:
    """List sources and channels by their last message, newest first."""
    lines = [
        WallFeedLine(_format_feed_name(f, _), f.last_at, f.silent_s > SILENT_FEED_S)
        for f in sorted(feeds, key=lambda f: f.silent_s)
    ]
    return lines[:limit]


@dataclass(frozen=True, slots=True)
class CalmViews:
    """The views that the wall shows in turn while there is no open incident."""

    poles: Sequence[PoleRow]
    windows: Sequence[Maintenance]
    tasks: Sequence[Task]
