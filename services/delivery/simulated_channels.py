"""Responses of simulated recipients and providers to an attempt. Pure.

Used in simulated realms only. By default every attempt is accepted and received at once, and nobody
answers. See `docs/reference/responders.md`.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from schemas.base import Message
from schemas.callouts import HeadcountSaid
from schemas.commands import AnswerCards, AnswerNotification
from schemas.crisis.area_orders import AREA_ORDER
from schemas.delivery import AttemptOutcome, NotificationChanged, NotificationRow, ReceiptReceived
from schemas.people.responders import Responder, RespondersInvalid, parse_responders
from schemas.runtime import RealmOpened
from schemas.words import Answer, CardChange, Channel
from services.messages.composition import read_card_list
from services.runtime.log.transaction import FactRecord
from services.runtime.simulation.conductor import SimulatedResponse

SIMULATED_RUN: Final = "simulated"
"""Run id of outcomes in simulated realms, where no sender claims."""

SIMULATED_REASON: Final = "simulated"
"""Reason for which a simulated person skips cards."""
_DEFAULT: Final = Responder()


def build_responses(
    row: NotificationRow, responders: Sequence[Responder] = ()
) -> list[tuple[int, Message]]:
    """Return each (delay in ms, message) for the waiting attempt of this row, in order."""
    attempt = next((a for a in row.attempts if a.state == "planned"), None)
    if attempt is None:
        return []
    who = next((r for r in responders if r.fits(row, attempt)), _DEFAULT)
    word = "accepted" if who.outcome == "received" else who.outcome
    error = None if word == "accepted" else "simulated"
    responses: list[tuple[int, Message]] = [
        (
            0,
            AttemptOutcome(
                notification=row.id,
                attempt=attempt.id,
                run=SIMULATED_RUN,
                outcome=word,
                error=error,
            ),
        )
    ]
    if who.outcome == "received":
        responses.append(
            (0, ReceiptReceived(notification=row.id, attempt=attempt.id, state="received"))
        )
    is_asked = row.answer_expected and row.template != AREA_ORDER  # a yes would evacuate a site
    if who.answer != "none" and is_asked and word == "accepted":
        answer = AnswerNotification(
            author=row.person,
            role=row.role,
            notification=row.id,
            person=row.person,
            answer=Answer(who.answer),
            channel=attempt.channel.value,
        )
        responses.append((round(who.after_s * 1000), answer))
        if who.answer == "ack" and row.template == "headcount" and row.campaign is not None:
            responses.append(
                (round(who.after_s * 1000), HeadcountSaid(callout=row.campaign, answer=who.says))
            )
    cards = read_card_list(row) if attempt.channel is Channel.SMS and word == "accepted" else ()
    if who.cards is not None and cards:
        reply = AnswerCards(
            author=row.person,
            role=row.role,
            reason=SIMULATED_REASON if who.cards is CardChange.SKIP else None,
            notification=row.id,
            person=row.person,
            change=who.cards,
            numbers=tuple(range(1, len(cards) + 1)),
            channel=attempt.channel.value,
        )
        responses.append((round(who.after_s * 1000), reply))
    return responses


def respond_to_fact(fact: FactRecord, realm: RealmOpened) -> list[SimulatedResponse]:
    """Respond for the conductor to one fact of delivery's log.

    Opening a realm refuses invalid responders (`parse_responders`). A realm that has such all the
    same gets the default, so that it cannot stop the conductor for the others.
    """
    if fact.name != "NotificationChanged":
        return []
    row = NotificationChanged.model_validate(fact.data).row
    responses = build_responses(
        row, _parse_responders(tuple(tuple(line.items()) for line in realm.responders))
    )
    attempt = row.attempts[-1].id if row.attempts else ""
    return [
        SimulatedResponse(f"{attempt}:{type(message).__name__}", delay, message)
        for delay, message in responses
    ]


@lru_cache(maxsize=64)
def _parse_responders(
    lines: tuple[tuple[tuple[str, str | int | float | bool | None], ...], ...],
) -> tuple[Responder, ...]:
    try:
        return parse_responders([dict(line) for line in lines])
    except RespondersInvalid:
        return ()
