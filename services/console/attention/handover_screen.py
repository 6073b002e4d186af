"""Page `/releve`: changes since the last shift."""

import asyncio
from typing import Any, Final

from schemas.words import TaskState
from services.console.attention import handover_page as handover
from services.console.continuity.clocks import split_passed_clocks
from services.console.handover import screen as sheets
from services.console.handover.api import LONGEST_OBJECTIVE
from services.console.handover.queries import list_pilot_choices
from services.console.i18n import N_
from services.console.incidents import page as incident
from services.console.logbook.line_list import build_entries, is_written_by_person
from services.console.web import times
from services.console.web.screen_context import (
    LINE_LIMIT,
    ScreenData,
    ScreenPage,
    choose_known,
    load_escalation_view,
    load_lines,
)
from services.runtime.identity.permissions import Permission


async def build_handover_page(x: ScreenData) -> dict[str, Any]:
    """Build the values of the page."""
    lang, now = x.shell.lang, x.shell.now
    span = choose_known(x.request.query_params.get("depuis"), handover.SPANS, handover.DEFAULT_SPAN)
    staffing = await x.queries.cell_staffing()
    changes, tasks, journal, ladder, plans = await asyncio.gather(
        x.queries.changes(times.to_ms(handover.find_start(span, now))),
        x.queries.tasks(state=(TaskState.OPEN, TaskState.TAKEN)),
        load_lines(x, kinds=handover.KINDS, limit=LINE_LIMIT),
        load_escalation_view(x, None),
        x.queries.plans(),
    )
    lines = [
        line for line in journal if line.recorded_at > changes.since and is_written_by_person(line)
    ]
    return {
        "since": changes.since,
        "span": span,
        "spans": handover.SPANS,
        "tasks": tasks.items,
        "staffing": staffing,
        "sections": handover.list_sections(changes, x.names, x._),
        "ladder": ladder,
        "breaks": split_passed_clocks(x.clocks, now),
        "clocks_shown": handover.CLOCKS_SHOWN,
        "entries": build_entries(lines, x.names, x._, handover.LINES_SHOWN),
        "entries_more": len(lines) > handover.LINES_SHOWN,
        **await _load_handovers(x),
        "decisions": await x.queries.pending_decisions()
        if x.shell.reader.may(Permission.LOG_READ)
        else (),
        "plans": [
            p for p in incident.list_plans(plans.items, now, x.names, lang, x._) if p.to_decide
        ],
    }


async def _load_handovers(x: ScreenData) -> dict[str, Any]:
    """Load the handovers and the form for the next one; nothing without the right to the log."""
    shell = x.shell
    if not shell.reader.may(Permission.LOG_READ):
        return {"handovers": [], "open_handover": None, "may_draft": False}
    handovers = (await x.queries.handovers()).items
    open_one = sheets.find_open_handover(handovers)
    may_draft = sheets.may_write(shell) and open_one is None
    level = shell.overview.level.level
    pole_levels = {pole.id: pole.level for pole in shell.overview.poles}
    return {
        "handovers": handovers[: sheets.HANDOVERS_SHOWN],
        "open_handover": open_one,
        "may_draft": may_draft,
        "longest": LONGEST_OBJECTIVE,
        "choices": list_pilot_choices(x.reference, level, pole_levels, x._) if may_draft else [],
    }


PAGE: Final = ScreenPage("handover", "/releve", "handover.html", build_handover_page, N_("Relève"))
