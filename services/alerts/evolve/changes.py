"""Small steps on persistent indexes."""

from __future__ import annotations

from typing import Any

from services.runtime.decider.maps import Map

Changes = dict[str, Any]
"""Fields of the state with their new values."""


def set_or_drop(
    m: Map[str, tuple[str, ...]], key: str, values: tuple[str, ...]
) -> Map[str, tuple[str, ...]]:
    """Set the values of a key, or drop the key when there are none."""
    if values:
        return m.set(key, values)
    return m.delete(key) if key in m else m
