"""CloudEvents headers and places of records, parts of rows, and shared objects.

Every record on an input or public topic has the realm as key, JSON data as value and the headers
below. `ce_time` is ISO 8601 and only informs; in a live realm the broker's append time is the
clock.

Realms share equal reference data: twenty exercises would otherwise hold twenty copies of every
site, role and plan. A resource and its fields that change with every report are two rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from schemas.base import Model, PartFact, load_messages

CE_SPECVERSION = "ce_specversion"
CE_ID = "ce_id"
CE_SOURCE = "ce_source"
CE_TYPE = "ce_type"
CE_TIME = "ce_time"
CONTENT_TYPE = "content-type"
CE_AT = "ce_at"
"""Logical time in ms, simulated realms only.

`recorded_at` from the player, `t` of a StepTo, or the time of the transaction.
"""
CE_PLACE = "ce_place"
"""`service/partition/history/seq/ordinal` of a forwarded fact in its source log."""
CE_PLACEHASH = "ce_placehash"
"""Hex hash of the source log record that holds the fact."""
CE_CORRELATION = "ce_correlationid"
"""Id of the first input of the causal chain (a report, a command)."""
CE_CAUSATION = "ce_causationid"
"""Id of the fact or input that directly caused this one."""
CE_TRACEPARENT = "ce_traceparent"
"""W3C trace context of the hop that wrote the record, only while tracing is on.

CloudEvents extension Distributed Tracing. No rule reads it.
"""

MARK = "vigie_mark"
"""HMAC-SHA256 (hex) of an input, with the key of the installation.

It covers topic, key, value and all other headers.
"""
_shared_objects: WeakValueDictionary[tuple[type[Model], bytes], Model] = WeakValueDictionary()


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Place of a forwarded fact in its source log; ordered within (service, partition)."""

    service: str
    partition: int
    history: int
    seq: int
    ordinal: int

    def __str__(self) -> str:
        return f"{self.service}/{self.partition}/{self.history}/{self.seq}/{self.ordinal}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Parse the result of str().

        Raises ValueError.
        """
        service, *numbers = text.split("/")
        partition, history, seq, ordinal = (int(n) for n in numbers)
        return cls(service, partition, history, seq, ordinal)


M = TypeVar("M", bound=Model)


@cache
def part_collections() -> dict[str, str]:
    """Map each collection to the collection of its parts."""
    classes = load_messages().values()
    return {cls.part_of: cls.collection for cls in classes if issubclass(cls, PartFact)}


@cache
def whole_collections() -> dict[str, str]:
    """Map each collection of parts to the collection of the whole."""
    return {part: whole for whole, part in part_collections().items()}


def join_part(row: Mapping[str, Any], part: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the row with the fields of its part, if it has one."""
    return {**row, **part} if part is not None else dict(row)


def share_object(data: M) -> M:
    """Return `data`, or an equal object that is already in memory.

    Models are immutable, so sharing is invisible. Costs milliseconds for a large section.
    """
    shared_object = _shared_objects.setdefault(
        (type(data), blake2b(data.model_dump_json().encode(), digest_size=16).digest()), data
    )
    assert isinstance(shared_object, type(data))
    return shared_object
