"""The persistent map of all states: `immutables.Map`, or rpds-py where it has no wheels.

See `docs/adr/0048-use-two-libraries-for-persistent-maps.md`.
"""

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
