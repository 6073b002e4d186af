"""Page `/mur`: the situation for a screen on a wall."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from schemas.words import SiteStatus, TaskState
from services.console.attention import cell_page as cell
from services.console.attention.cell_screen import FACTS_SHOWN
from services.console.continuity.clocks import split_passed_clocks
from services.console.i18n import N_, Translator
from services.console.incidents import page as incident
from services.console.logbook.line_list import build_entries
from services.console.resources import AlarmRate, Feed, Maintenance, Pole, Site, Task
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames
from services.console.web.screen_context import (
    ScreenData,
    ScreenPage,
    load_escalation_view,
    load_lines,
    load_maps,
    name_pilots,
)

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
SILENT_FEED_S: Final = 1800


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


async def build_wall_page(x: ScreenData) -> dict[str, Any]:
    """Build `wall.html`. It shows no free text, so a kiosk may show it."""
    lang, now = x.shell.lang, x.shell.now
    overview = x.shell.overview
    main_incident = next(iter(overview.incidents), None)
    staffing = await x.queries.cell_staffing()
    attention = await x.queries.attention()
    lines, ladder, plans, maps = await asyncio.gather(
        load_lines(x, texts=False),
        load_escalation_view(x, main_incident.id if main_incident else None),
        x.queries.plans(),
        load_maps(x, size=30, labels=14, ratio=None),
    )
    why = next((r.text for r in overview.level.why if r.metric is not None), "")
    return {
        "incident": main_incident,
        "others": overview.incidents[1:4],
        "level_why": why,
        "pilot": name_pilots(x.reference, overview.level.level, x._),
        "whole": maps[0],
        "attribution": maps[2],
        "sites_total": len(x.sites),
        "legend": cell.count_statuses(x.sites),
        "units": list_affected_poles(x.sites, overview.poles, x.names, x._),
        "plans": [
            p for p in incident.list_plans(plans.items, now, x.names, lang, x._) if p.to_decide
        ],
        "plans_shown": PLANS_SHOWN,
        "breaks": split_passed_clocks(x.clocks, now),
        "clocks_shown": CLOCKS_SHOWN,
        "ladder": ladder,
        "silent_shown": SILENT_SHOWN,
        "staffing": staffing,
        "attention": attention,
        "rate": draw_rate(overview.alarm_rate),
        "facts": build_entries(lines, x.names, x._, FACTS_SHOWN),
        "feeds": list_feeds(overview.feeds, 6, x._),
        "calm": await _load_calm_views(x),
    }


async def _load_calm_views(x: ScreenData) -> CalmViews | None:
    """Return the content of a quiet wall; None as soon as anything is open."""
    overview = x.shell.overview
    if overview.level.level or overview.incidents:
        return None
    works = await x.queries.maintenance(state=("active", "planned"), limit=WINDOWS_SHOWN)
    tasks = await x.queries.tasks(state=(TaskState.OPEN, TaskState.TAKEN))
    return CalmViews(
        list_poles(overview.poles, x.names, x._), works.items, tasks.items[:TASKS_SHOWN]
    )


PAGE: Final = ScreenPage("wall", "/mur", "wall.html", build_wall_page, N_("Mur"))
