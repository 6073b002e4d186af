"""The persistent map of all states: `immutables.Map` where it has wheels, else the same on rpds-py (docs/adr/0048)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from immutables import Map  # noqa: TID251
else:
    try:
        from immutables import Map  # noqa: TID251
    except ModuleNotFoundError:
        from services.runtime.decider.trie_map import Map

__all__ = ["Map"]
