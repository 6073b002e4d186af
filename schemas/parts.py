"""Rows that readers see as one: a resource, and the fields of it that move with every report."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from schemas.base import MESSAGES, PartFact


@cache
def part_collections() -> dict[str, str]:
    """Return collection → collection of its parts."""
    return {cls.part_of: cls.collection for cls in MESSAGES.values() if issubclass(cls, PartFact)}


@cache
def whole_collections() -> dict[str, str]:
    """Return collection of parts → the collection that they are part of."""
    return {part: whole for whole, part in part_collections().items()}


def join_part(row: Mapping[str, Any], part: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the row as readers see it: with the fields of its part, if it has one."""
    return {**row, **part} if part is not None else dict(row)
