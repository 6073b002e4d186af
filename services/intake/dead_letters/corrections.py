"""A refused message that somebody changed before it was offered again: the report says who did, and counts as unconfirmed.

The front sets `CORRECTED_BY` while it routes such a message; the receiver writes it into the report, whatever the dialect.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

import orjson

from schemas.words import Certainty
from services.runtime.http.problems import ProblemError, fault
from services.runtime.identity.principals import Principal
from services.runtime.kafka.dead_letters import DeadLetter

CORRECTED_BY: Final[ContextVar[str | None]] = ContextVar("corrected_by", default=None)
"""Token of the person whose words the message holds; None while a message is its sender's own."""
HEADER: Final = "vigie_corrected_by"
"""Of a record that is offered again with another value."""
TOKEN_CHARS: Final = 64
UNREADABLE: Final = "not_json"
"""Code of a letter of which no field could be read: all of it may change."""


def token_of(author: Principal) -> str:
    """Return the token under which the log knows a person."""
    return author.person or author.id


def mark_correction(message: dict[str, Any]) -> None:
    """Write into a report's message who changed it, and take from it what only its source may say. Does nothing to a source's own."""
    by = CORRECTED_BY.get()
    if by is None:
        return
    message["corrected_by"] = by
    message.pop("acknowledges", None)
    if message.get("certainty", Certainty.CONFIRMED) != Certainty.RUMOUR:
        message["certainty"] = Certainty.UNCONFIRMED


def check_correction(letter: DeadLetter, original: bytes | None, corrected: bytes) -> None:
    """Refuse a corrected report that differs in a field that was not refused. Raises ProblemError `invalid`.

    An original that was erased, or that is no JSON object, has no fields to hold the new one to.
    """
    before, after = _fields_of(original), _fields_of(corrected)
    if letter.code == UNREADABLE or before is None or after is None:
        return
    refused = refused_fields(letter)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    why = (
        "n’avait pas été refusé : ce champ ne change pas",
        "was not refused: this field may not change",
    )
    if kept := sorted(changed - refused):
        raise ProblemError(
            "invalid", faults=tuple(fault(name[:64], "unchanged", *why) for name in kept[:20])
        )


def refused_fields(letter: DeadLetter) -> set[str]:
    """Return the fields of the body that the letter's detail names, without what lies below them."""
    named = (part.partition(": ") for part in letter.detail.split(", "))
    return {field.partition(".")[0] for field, separator, _ in named if separator}


def _fields_of(body: bytes | None) -> dict[str, Any] | None:
    try:
        document = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None
