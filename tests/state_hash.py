"""One hash for the folded state of a log, equal for equal states in every process and machine.

A restore, a fork and a later release must reproduce it. It walks the state itself, not its dump,
and sorts unordered collections. It leaves out fields that do not count for equality (indexes made
from other fields) and fields at their default, so a state class may get new fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterable, Mapping
from enum import Enum
from hashlib import sha256
from typing import Any

import orjson
from pydantic import BaseModel

from schemas.topics import log_topic
from services.runtime.decider.machine import Machine
from services.runtime.decider.protocol import AppliedIds, Decider
from services.runtime.log.chain import ChainView, create_empty_view, fold_record
from services.runtime.log.partition_reader import PartitionReader


def compute_state_hash(view: ChainView[Any]) -> str:
    """Return the SHA-256 of the position and of each realm's clock, seen ids and domain state.

    The position counts with (history, seq, hash).
    """
    realms = [
        [
            name,
            state.lineage,
            state.now,
            state.closed,
            _list_ids(state.seen),
            _canonicalize(state.domain),
        ]
        for name, state in sorted(view.realms.items())
    ]
    at = view.position
    return sha256(
        orjson.dumps([at.history, at.seq, at.hash, realms], option=orjson.OPT_SORT_KEYS)
    ).hexdigest()


def _list_ids(seen: AppliedIds) -> list[str]:
    """Return the seen ids in order of arrival, or their digests for a closed realm."""
    if seen.compact is not None:
        return [seen.compact.hex()]
    return [
        *(id for n in range(seen.first, seen.last) for id in seen.pages[n].ids),
        *seen.open_ids(),
    ]


def fold_records(decider: Decider[Any], records: Iterable[tuple[int, bytes]]) -> ChainView[Any]:
    """Fold these (offset, bytes) records of one log partition from its beginning. Raises Stop."""
    machine, view = Machine(decider), create_empty_view()
    for offset, raw in records:
        view = fold_record(machine, view, offset, raw)
    return view


async def fold_log(
    kafka: str, decider: Decider[Any], partition: int, *, until_seq: int | None = None
) -> ChainView[Any]:
    """Fold a log partition on a broker up to `until_seq`. Raises Stop, KafkaError."""
    machine, view = Machine(decider), create_empty_view()
    async for offset, raw in _read_records(kafka, log_topic(decider.service), partition):
        if until_seq is not None and view.position.seq >= until_seq:
            break
        view = fold_record(machine, view, offset, raw)
    return view


async def _read_records(kafka: str, topic: str, partition: int) -> AsyncIterator[tuple[int, bytes]]:
    async with PartitionReader(kafka) as reader:
        async for record in reader.read(topic, await reader.bounds(topic, [partition])):
            yield record.offset, record.value


def _canonicalize(value: Any) -> Any:
    """Return a JSON-able value without any order that is not part of the value."""
    if isinstance(value, Mapping):
        return _sort_values(
            [_canonicalize(key), _canonicalize(content)] for key, content in value.items()
        )
    if isinstance(value, frozenset | set):
        return _sort_values(_canonicalize(one) for one in value)
    if isinstance(value, list | tuple):
        return [_canonicalize(one) for one in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseModel):
        fields = type(value).model_fields.items()
        field_values = (
            (name, getattr(value, name), field.get_default(call_default_factory=True))
            for name, field in fields
        )
        return {
            name: _canonicalize(content)
            for name, content, default in field_values
            if content != default
        }
    if dataclasses.is_dataclass(value):
        content = (
            (f.name, getattr(value, f.name), _get_default(f))
            for f in dataclasses.fields(value)
            if f.init and f.compare
        )
        return {name: _canonicalize(one) for name, one, default in content if one != default}
    return value


def _get_default(field: dataclasses.Field[Any]) -> Any:
    return (
        field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    )


def _sort_values(values: Iterable[Any]) -> list[Any]:
    return sorted(values, key=lambda one: orjson.dumps(one, option=orjson.OPT_SORT_KEYS))
