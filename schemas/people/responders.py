"""Simulated answers in an exercise: lines of a responders file (docs/reference/responders.md)."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, ValidationError

from schemas.base import Model
from schemas.callouts import HeadcountAnswer
from schemas.delivery import AttemptRow, NotificationRow
from schemas.words import CardChange, Channel

ResponderLine = Mapping[str, str | int | float | bool | None]


class RespondersInvalid(ValueError):
    """Signal an invalid line of a responders file; the message names line and field."""


class Responder(Model):
    """One line: conditions and behaviour.

    All given conditions must hold. The first line that fits decides.
    """

    person: str | None = None
    role: str | None = None
    scope: str | None = None
    level: int | None = Field(default=None, ge=0, le=4)
    wave: int | None = Field(default=None, ge=1)
    channel: Channel | None = None
    outcome: Literal["received", "accepted", "failed", "ambiguous"] = Field(
        default="received",
        description="received; accepted = without a receipt; failed; ambiguous = unknown result",
    )
    answer: Literal["ack", "decline", "none"] = "none"
    says: HeadcountAnswer = Field(default=HeadcountAnswer.SAFE, description="answer to a headcount")
    cards: CardChange | None = Field(
        default=None, description="answer by number to a message that lists action cards"
    )
    after_s: float = Field(
        default=60,
        ge=0,
        le=7 * 86_400,
        description="simulated seconds from the attempt to the answer",
    )

    def fits(self, row: NotificationRow, attempt: AttemptRow) -> bool:
        """Return whether every given condition holds."""
        facts = {
            "person": row.person,
            "role": row.role,
            "scope": row.scope,
            "level": int(row.level),
            "wave": row.wave,
            "channel": attempt.channel,
        }
        return all(getattr(self, name) in (None, value) for name, value in facts.items())


def parse_responders(lines: Sequence[ResponderLine]) -> tuple[Responder, ...]:
    """Parse the lines of a responders file, already read from YAML.

    Raises RespondersInvalid with line and field.
    """
    responders = []
    for number, line in enumerate(lines, start=1):
        try:
            responders.append(Responder.model_validate(line))
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in fault["loc"]) or "line"
            raise RespondersInvalid(f"responder {number}: {where}: {fault['msg']}") from None
    return tuple(responders)
