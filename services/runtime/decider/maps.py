"""The persistent map of all states: `immutables.Map`, or rpds-py where it has no wheels.

See `docs/adr/0048-use-two-libraries-for-persistent-maps.md`.
"""

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from immutables import Map  # noqa: TID251
else:
    try:
        from immutables import Map  # noqa: TID251
    except ModuleNotFoundError:
        from services.runtime.decider.trie_map import Map

__all__ = ["Map", "set_or_drop"]
K = TypeVar("K")
V = TypeVar("V")


def set_or_drop(m: Map[K, V], key: K, value: V) -> Map[K, V]:
    """Set a value, or drop the key if the value is empty or zero.

    Otherwise a loaded state would not equal the dumped one.
    """
    if value:
        return m.set(key, value)
    return m.delete(key) if key in m else m
