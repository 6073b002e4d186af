"""Mark corrected replays of refused messages: they name the author and count as unconfirmed.

The front sets `CORRECTED_BY` while it routes such a message. The receiver writes it into the report
of any integration.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

import orjson

from services.runtime.http.problems import ProblemError, build_fault
from services.runtime.identity.principals import Principal
from services.runtime.kafka.dead_letters import DeadLetter

CORRECTED_BY: Final[ContextVar[str | None]] = ContextVar("corrected_by", default=None)
"""Token of the person that corrected the message; None for an unchanged one."""
CORRECTOR_HEADER: Final = "vigie_corrected_by"
"""Kafka header of a record that is replayed with a corrected value."""
TOKEN_CHARS: Final = 64
UNREADABLE_CODE: Final = "not_json"
"""Code of a dead letter without readable fields: all of it may change."""


def get_author_token(author: Principal) -> str:
    """Return the token of a person in the log."""
    return author.person or author.id


def check_correction(letter: DeadLetter, original: bytes | None, new_body: bytes) -> None:
    """Refuse a correction that changes a field that was not refused. Raises ProblemError `invalid`.

    Without a readable original, all fields may change.
    """
    before, after = _parse_fields(original), _parse_fields(new_body)
    if letter.code == UNREADABLE_CODE or before is None or after is None:
        return
    refused_fields = list_refused_fields(letter)
    changed_fields = {
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    }
    why = (
        "n’avait pas été refusé : ce champ ne change pas",
        "was not refused: this field may not change",
    )
    if unchangeable := sorted(changed_fields - refused_fields):
        raise ProblemError(
            "invalid",
            faults=tuple(build_fault(name[:64], "unchanged", *why) for name in unchangeable[:20]),
        )


def list_refused_fields(letter: DeadLetter) -> set[str]:
    """Return the top-level fields named in the detail of a dead letter."""
    field_parts = (part.partition(": ") for part in letter.detail.split(", "))
    return {field.partition(".")[0] for field, separator, _ in field_parts if separator}


def _parse_fields(body: bytes | None) -> dict[str, Any] | None:
    try:
        document = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None
