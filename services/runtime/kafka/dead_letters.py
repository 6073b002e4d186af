"""Dead letters: one form for everything that could not take effect, on topic `dead-letters`.

The key is the realm (`-` if none is known). There are three kinds. *refused*: the front refused an
authenticated sender. *unreadable*: a decider could not read its input, or it was for another realm.
*failed*: `decide` raised. The value is one line of JSON, a newline, and the original bytes. Bytes
that may hold free text are not here but encrypted in `texts`, under `text_id`.

The command line and the front read dead letters and replay a record.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import orjson

from schemas import wire as ce
from schemas.base import DAY_MS, END_OF_TIME, Instant
from schemas.topics import TOPICS_BY_NAME, partition_of
from services.runtime.kafka.clients import RecordHeaders, RecordProducer, format_time
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.process.machine import now_ms

TOPIC: Final = "dead-letters"
NO_REALM: Final = "-"
_LATEST: Final = END_OF_TIME - DAY_MS
"""A day before the last moment that every time zone can express."""


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
    def load(cls, raw: bytes) -> "DeadLetter":
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


class RecordGone(Exception):
    """The record of a dead letter is no longer on its topic."""


async def read_dead_letters(
    kafka: str, partitions: Iterable[int] = range(TOPICS_BY_NAME[TOPIC].partitions)
) -> AsyncIterator[DeadLetter]:
    """Yield all dead letters, each once, partition by partition in order. Raises KafkaError."""
    letter_ids: set[str] = set()
    async with PartitionReader(kafka) as reader:
        async for record in reader.read(TOPIC, await reader.bounds(TOPIC, partitions)):
            try:
                letter = DeadLetter.load(record.value or b"")
            except (ValueError, KeyError, TypeError):
                continue
            if letter.id not in letter_ids:
                letter_ids.add(letter.id)
                yield letter


def get_time(letter: DeadLetter) -> datetime:
    """Return the time of a dead letter, limited to the range that can be represented."""
    return datetime.fromtimestamp(min(max(letter.at, 0), _LATEST) / 1000, UTC)


def build_row(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter as a row without its bytes, for people and programs."""
    return {
        "id": letter.id,
        "lane": letter.lane.value,
        "service": letter.service,
        "realm": letter.realm,
        "at": get_time(letter).isoformat(timespec="milliseconds"),
        "code": letter.code,
        "detail": letter.detail,
        "input_id": letter.input_id,
        "input_type": letter.input_type,
        "source": letter.source,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "content_type": letter.content_type,
        "headers": letter.headers,
    }


def build_replay_headers(letter: DeadLetter, type: str | None = None) -> RecordHeaders:
    """Return the headers for replaying an input under its own id, with `type` replacing its type.

    They lack the place of a forwarded fact: the receiver's watermark has passed it, so the same
    place would count as a repetition. Their time is now, and the sender adds the mark of this
    installation.
    """
    headers = {
        name: value
        for name, value in letter.headers.items()
        if name not in (ce.CE_PLACE, ce.CE_PLACEHASH, ce.MARK)
    }
    if ce.CE_TIME in headers:
        headers[ce.CE_TIME] = format_time(now_ms())
    if type is not None:
        headers[ce.CE_TYPE] = type
    headers.setdefault(ce.CE_ID, letter.input_id or letter.id)
    return [(name, value.encode()) for name, value in headers.items()]


async def replay_record(
    kafka: str, letter: DeadLetter, new_value: bytes | None, marks: RecordHeaders | None = None
) -> tuple[int, int]:
    """Send a refused record to its topic again, with its original key and headers.

    `marks` are additional headers for a corrected value. Raises RecordGone, BrokerAway.
    """
    assert letter.topic is not None
    assert letter.partition is not None
    assert letter.offset is not None
    async with PartitionReader(kafka) as reader:
        record = (await reader.at(letter.topic, {letter.partition: letter.offset})).get(
            letter.partition
        )
    if record is None:
        raise RecordGone(f"{letter.topic}/{letter.partition} no longer has offset {letter.offset}")
    value = record.value if new_value is None else new_value
    headers = list(record.headers) + ([] if new_value is None else list(marks or ()))
    async with RecordProducer(kafka) as producer:
        return await producer.send_raw(letter.topic, letter.partition, record.key, value, headers)
