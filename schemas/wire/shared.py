"""Share equal reference data between realms, and join rows that readers see as one.

Twenty exercises would otherwise hold twenty copies of every site, role and plan. A resource and its
fields that change with every report are two rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from schemas.base import MESSAGES, Model, PartFact

M = TypeVar("M", bound=Model)
_shared_objects: WeakValueDictionary[tuple[type[Model], bytes], Model] = WeakValueDictionary()


@cache
def part_collections() -> dict[str, str]:
    """Map each collection to the collection of its parts."""
    return {cls.part_of: cls.collection for cls in MESSAGES.values() if issubclass(cls, PartFact)}


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
