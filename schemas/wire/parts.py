"""Join rows that readers see as one: a resource and its fields that change with every report."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from schemas.base import MESSAGES, PartFact


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
