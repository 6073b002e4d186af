"""Dead letters: one form for everything that could not take effect, on topic `dead-letters`.

The key is the realm (`-` if none is known). There are three kinds. *refused*: the front refused an
authenticated sender. *unreadable*: a decider could not read its input, or it was for another realm.
*failed*: `decide` raised. The value is one line of JSON, a newline, and the original bytes. Bytes
that may hold free text are not here but encrypted in `texts`, under `text_id`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import orjson

from schemas.base import Instant
from schemas.topics import TOPICS_BY_NAME, partition_of

TOPIC: Final = "dead-letters"
NO_REALM: Final = "-"


class DeadLetterKind(StrEnum):
    REFUSED = "refused"
    UNREADABLE = "unreadable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    id: str
    """Derived from its cause, so that a repeated delivery is recognised."""
    lane: DeadLetterKind
    service: str
    realm: str
    at: Instant
    code: str
    """Stable: a code of `InputRefused`, `input_failed`, or the code of a problem document."""
    detail: str
    """One sentence without personal data: fields and reasons, never values."""
    input_id: str | None = None
    input_type: str | None = None
    """Wire type of the input; at the front the integration."""
    source: str | None = None
    """Principal or CloudEvents source that sent it."""
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    content_type: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """Headers of the original record, needed for a replay; never credentials."""
    text_id: str | None = None
    """Id of the original bytes, encrypted in `texts`."""
    body: bytes | None = None
    """The original bytes, if they come from an input topic."""

    @property
    def key(self) -> bytes:
        return (self.realm or NO_REALM).encode()

    @property
    def lane_partition(self) -> int:
        """Partition of the record: that of the realm."""
        return partition_of(self.realm or NO_REALM, TOPICS_BY_NAME[TOPIC].partitions)

    def dump(self) -> bytes:
        """Return the value of the Kafka record."""
        head = {name: value for name in _HEAD if (value := getattr(self, name)) is not None}
        return orjson.dumps(head | {"has_body": self.body is not None}) + b"\n" + (self.body or b"")

    @classmethod
    def load(cls, raw: bytes) -> DeadLetter:
        """Parse a record value. Raises ValueError, KeyError or TypeError on other bytes."""
        line, _, body = raw.partition(b"\n")
        head = orjson.loads(line)
        if not isinstance(head, dict):
            raise TypeError("no dead letter")
        has_body = head.pop("has_body")
        return cls(
            **(head | {"lane": DeadLetterKind(head["lane"]), "body": body if has_body else None})
        )


_HEAD: Final = tuple(name for name in DeadLetter.__dataclass_fields__ if name != "body")
