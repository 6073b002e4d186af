"""Page `/exercice`: an exercise with its clock."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Final

from fastapi import Request

from services.console.exercises import page as player
from services.console.exercises.texts import announcements
from services.console.facilitation import page as facilitation
from services.console.facilitation.evaluation import hide_script
from services.console.i18n import N_
from services.console.incidents import page as incidents_page
from services.console.read_model.queries import Queries
from services.console.web import times
from services.console.web.access import PageMoved
from services.console.web.pages import WebPage
from services.console.web.screen_context import (
    build_page_context,
    load_escalation_view,
    load_screen_data,
)


async def build_player_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build `player.html`.

    Raises Elsewhere for a live realm; it has no clock to control.
    """
    x = await load_screen_data(queries, request, PAGE.name)
    realm, lang, now = x.shell.realm, x.shell.lang, x.shell.now
    if not realm.simulated:
        raise PageMoved("/realms")
    ladder, plans, tasks, stimuli, sheet = await asyncio.gather(
        load_escalation_view(x, None),
        x.queries.plans(),
        x.queries.tasks(),
        x.queries.stimuli(),
        x.queries.evaluation_sheet(),
    )
    lines = incidents_page.list_plans(plans.items, now, x.names, lang, x._)
    cards = incidents_page.list_plan_cards(plans.items, now, x.names, x._)
    waiting = [t for t in tasks.items if t.done_at is None]
    reference = await x.queries.reference()
    call = None
    if ladder is not None:
        called = await x.queries.notifications(escalation=ladder.id, limit=1)
        call = next(iter(called.items), None)
    return {
        **build_page_context(request, x),
        "realm": realm,
        "speeds": player.SPEEDS,
        "jumps": player.JUMPS_MIN,
        "coming": player.list_coming_deadlines(ladder, x.clocks, cards, waiting, now, x._),
        "score": player.compute_score(
            x.shell.overview.incidents, ladder, lines, cards, tasks.items, now, x._
        ),
        "stimuli": facilitation.build_stimulus_lines(
            hide_script(stimuli, x.shell.reader.principal), x.names, now, x._
        ),
        "marks": [x._(mark) for mark in facilitation.MARKS],
        "sheet": sheet,
        "roles": facilitation.build_role_lines(sheet, x._),
        "in_an_hour": times.minute_value(now + timedelta(hours=1)),
        "announcements": announcements(
            realm.name, realm.title_code, call, reference.said, now, x._
        ),
    }


PAGE: Final = WebPage(
    "player", "/exercice", "player.html", build_player_page, N_("Animer l’exercice"), personal=True
)
