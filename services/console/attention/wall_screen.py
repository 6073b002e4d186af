"""Page `/mur`: the situation for a screen on a wall."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from schemas.words import PlanState, TaskState
from services.console.attention import cell_page as cell
from services.console.attention import wall_page as wall
from services.console.attention.cell_screen import FACTS_SHOWN
from services.console.attention.wall_page import CalmViews
from services.console.continuity.clocks import split_passed_clocks
from services.console.i18n import N_
from services.console.incidents import page as incident
from services.console.logbook.line_list import build_entries
from services.console.web.screen_context import (
    ScreenData,
    ScreenPage,
    load_escalation_view,
    load_lines,
    load_maps,
    name_pilots,
)


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
        x.queries.plans(state=(PlanState.PROPOSED,)),
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
        "units": wall.list_affected_poles(x.sites, overview.poles, x.names, x._),
        "plans": [
            p for p in incident.list_plans(plans.items, now, x.names, lang, x._) if p.to_decide
        ],
        "plans_shown": wall.PLANS_SHOWN,
        "breaks": split_passed_clocks(x.clocks, now),
        "clocks_shown": wall.CLOCKS_SHOWN,
        "ladder": ladder,
        "silent_shown": wall.SILENT_SHOWN,
        "staffing": staffing,
        "attention": attention,
        "rate": wall.draw_rate(overview.alarm_rate),
        "facts": build_entries(lines, x.names, x._, FACTS_SHOWN),
        "feeds": wall.list_feeds(overview.feeds, 6, x._),
        "calm": await _load_calm_views(x),
    }


async def _load_calm_views(x: ScreenData) -> CalmViews | None:
    """Return the content of a quiet wall; None as soon as anything is open."""
    overview = x.shell.overview
    if overview.level.level or overview.incidents:
        return None
    works = await x.queries.maintenance(state=("active", "planned"), limit=wall.WINDOWS_SHOWN)
    tasks = await x.queries.tasks(state=(TaskState.OPEN, TaskState.TAKEN))
    return CalmViews(
        wall.list_poles(overview.poles, x.names, x._), works.items, tasks.items[: wall.TASKS_SHOWN]
    )


PAGE: Final = ScreenPage("wall", "/mur", "wall.html", build_wall_page, N_("Mur"))
