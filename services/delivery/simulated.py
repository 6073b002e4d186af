"""What simulated recipients and providers say to an attempt (docs/reference/responders.md). Pure; used in simulated realms only.

By default every attempt is accepted and received at once, and nobody answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Literal

from pydantic import Field, ValidationError

from schemas.base import Message, Model
from schemas.commands import AnswerNotification
from schemas.delivery import AttemptOutcome, AttemptRow, NotificationChanged, NotificationRow, ReceiptReceived
from schemas.runtime import RealmOpened
from schemas.words import Answer, Channel
from services.runtime.conductor import Response
from services.runtime.transaction import FactRecord

SIMULATED_RUN: Final = "simulated"
"""Run id of outcomes in simulated realms, where no sender claims."""
Line = Mapping[str, str | int | float | bool | None]


class RespondersInvalid(ValueError):
    """A line of a responders file cannot be read; the text names line and field."""


class Responder(Model):
    """One line: whom it speaks for (all given conditions must hold) and what happens. The first line that fits decides."""

    person: str | None = None
    role: str | None = None
    scope: str | None = None
    level: int | None = Field(default=None, ge=0, le=4)
    wave: int | None = Field(default=None, ge=1)
    channel: Channel | None = None
    outcome: Literal["received", "accepted", "failed", "ambiguous"] = Field(
        default="received", description="received; accepted = no receipt comes; failed; ambiguous = nobody knows"
    )
    answer: Literal["ack", "decline", "none"] = "none"
    after_s: float = Field(default=60, ge=0, le=7 * 86_400, description="simulated seconds from the attempt to the answer")

    def fits(self, row: NotificationRow, attempt: AttemptRow) -> bool:
        """True when every condition given holds."""
        facts = {
            "person": row.person, "role": row.role, "scope": row.scope, "level": int(row.level), "wave": row.wave,
            "channel": attempt.channel,
        }  # fmt: skip
        return all(getattr(self, name) in (None, value) for name, value in facts.items())


_DEFAULT: Final = Responder()


def parse_responders(lines: Sequence[Line]) -> tuple[Responder, ...]:
    """The lines of a responders file (already read from YAML). Raises RespondersInvalid naming line and field."""
    responders = []
    for number, line in enumerate(lines, start=1):
        try:
            responders.append(Responder.model_validate(line))
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in fault["loc"]) or "line"
            raise RespondersInvalid(f"responder {number}: {where}: {fault['msg']}") from None
    return tuple(responders)


def responses(row: NotificationRow, responders: Sequence[Responder] = ()) -> list[tuple[int, Message]]:
    """(delay in ms, message) for the attempt of this row that waits, in order; nothing when none waits."""
    attempt = next((a for a in row.attempts if a.state == "planned"), None)
    if attempt is None:
        return []
    who = next((r for r in responders if r.fits(row, attempt)), _DEFAULT)
    word = "accepted" if who.outcome == "received" else who.outcome
    error = None if word == "accepted" else "simulated"
    said: list[tuple[int, Message]] = [
        (0, AttemptOutcome(notification=row.id, attempt=attempt.id, run=SIMULATED_RUN, outcome=word, error=error))
    ]
    if who.outcome == "received":
        said.append((0, ReceiptReceived(notification=row.id, attempt=attempt.id, state="received")))
    if who.answer != "none" and row.answer_expected and word == "accepted":
        answer = AnswerNotification(
            author=row.person,
            role=row.role,
            notification=row.id,
            person=row.person,
            answer=Answer(who.answer),
            channel=attempt.channel.value,
        )
        said.append((round(who.after_s * 1000), answer))
    return said


def respond(fact: FactRecord, realm: RealmOpened) -> list[Response]:
    """The conductor's responder: responses to one fact of delivery's log.

    Whoever opens a realm refuses responders that cannot be read (`parse_responders`); a realm that holds such all the same
    gets the default, so that it cannot stop the conductor for the others.
    """
    if fact.name != "NotificationChanged":
        return []
    row = NotificationChanged.model_validate(fact.data).row
    said = responses(row, _parsed(tuple(tuple(line.items()) for line in realm.responders)))
    attempt = row.attempts[-1].id if row.attempts else ""
    return [Response(f"{attempt}:{type(message).__name__}", delay, message) for delay, message in said]


@lru_cache(maxsize=64)
def _parsed(lines: tuple[tuple[tuple[str, str | int | float | bool | None], ...], ...]) -> tuple[Responder, ...]:
    try:
        return parse_responders([dict(line) for line in lines])
    except RespondersInvalid:
        return ()
