"""Page `/exercice`: an exercise with its clock, and texts to send to real people about it.

The texts cover its start, its end and a call. Vigie sends none of them by itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from schemas.callouts import AGENT
from schemas.delivery import NotificationRow
from schemas.topics import parse_realm
from schemas.words import Level, NotificationState
from services.console.exercises import page as player
from services.console.facilitation import page as facilitation
from services.console.facilitation.evaluation import hide_script
from services.console.i18n import N_, Translator
from services.console.incidents import page as incidents_page
from services.console.resources import Notification
from services.console.web import times
from services.console.web.access import PageMoved
from services.console.web.screen_context import ScreenData, ScreenPage, load_escalation_view
from services.messages import MessageNames, compose_message, load_phrases
from services.messages.names import TERRITORY


@dataclass(frozen=True, slots=True)
class Announcement:
    """A text to copy."""

    title: str
    text: str


def announcements(
    realm: str,
    title: str,
    call: Notification | None,
    names: MessageNames,
    now: datetime,
    _: Translator,
) -> list[Announcement]:
    """Return the texts for the start, the newest call and the end of an exercise.

    `call` is a call of the running escalation.
    """
    here, words = (
        replace(names, territory=TERRITORY.get(parse_realm(realm)[0], "")),
        load_phrases(_.lang),
    )
    start = NotificationRow(
        id="",
        level=Level.N0,
        role=AGENT,
        person="",
        state=NotificationState.PLANNED,
        template="exercise_start",
        values={"exercise": title},
        answer_expected=False,
        planned_at=times.to_ms(now),
    )
    rows = [(N_("Début (DEBEX)"), start)]
    if call is not None:
        wave = {
            "template": "exercise_wave",
            "level": call.level,
            "role": call.role,
            "values": call.values,
        }
        limit = None if call.ack_by is None else times.to_ms(call.ack_by)
        rows.append(
            (
                N_("Appel, si vous appelez vraiment les joueurs"),
                start.model_copy(update=wave | {"ack_by": limit}),
            )
        )
    rows.append((N_("Fin (FINEX)"), start.model_copy(update={"template": "exercise_end"})))
    return [
        Announcement(_(name), compose_message(row, here, words, None).sms) for name, row in rows
    ]


async def build_player_page(x: ScreenData) -> dict[str, Any]:
    """Build `player.html`.

    Raises Elsewhere for a live realm; it has no clock to control.
    """
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
        notifications = await x.queries.notifications(escalation=ladder.id, limit=1)
        call = next(iter(notifications.items), None)
    return {
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
            realm.name, realm.title_code, call, reference.message_names, now, x._
        ),
    }


PAGE: Final = ScreenPage(
    "player", "/exercice", "player.html", build_player_page, N_("Animer l’exercice"), personal=True
)
