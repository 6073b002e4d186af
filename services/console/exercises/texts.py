"""Texts that an organiser may send to real people about an exercise.

They cover its start, its end and a call. Vigie sends none of them by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from schemas.callouts import AGENT
from schemas.delivery import NotificationRow
from schemas.realms import parse_realm
from schemas.words import Level, NotificationState
from services.console.i18n import N_, Translator
from services.console.resources import Notification
from services.console.web import times
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
