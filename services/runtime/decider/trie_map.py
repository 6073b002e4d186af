"""A persistent map on rpds-py, for interpreters without wheels of immutables.

It has the part of `immutables.Map` that Vigie uses, with the same meaning: a map never changes, a
change returns a new map that shares the rest, and the order of keys is undefined.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, Self, TypeVar

from rpds import HashTrieMap

K = TypeVar("K")
V = TypeVar("V")
_ABSENT: Any = object()


class Map(Mapping[K, V], Generic[K, V]):
    """A persistent mapping."""

    __slots__ = ("_trie",)

    def __init__(self, items: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        self._trie: Any = items._trie if isinstance(items, Map) else HashTrieMap(items)

    def set(self, key: K, value: V) -> Self:
        """Return a map with this value for the key."""
        return self._with(self._trie.insert(key, value))

    def delete(self, key: K) -> Self:
        """Return a map without the key. Raises KeyError."""
        return self._with(self._trie.remove(key))

    def update(self, items: Mapping[K, V] | Iterable[tuple[K, V]]) -> Self:
        """Return a map with these items added."""
        trie = self._trie
        for key, value in items.items() if isinstance(items, Mapping) else items:
            trie = trie.insert(key, value)
        return self._with(trie)

    def mutate(self) -> "Mutation[K, V]":
        """Return a collector for many changes.

        Usage: `with map.mutate() as changed: …; new = changed.finish()`.
        """
        return Mutation(self._trie)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of the key, or the default."""
        return self._trie.get(key, default)

    def items(self) -> Any:
        """Return all pairs."""
        return self._trie.items()

    def values(self) -> Any:
        return self._trie.values()

    def keys(self) -> Any:
        return self._trie.keys()

    def _with(self, trie: Any) -> Self:
        copy = object.__new__(type(self))
        copy._trie = trie
        return copy

    def __getitem__(self, key: K) -> V:
        return self._trie[key]  # type: ignore[no-any-return]

    def __contains__(self, key: object) -> bool:
        return key in self._trie

    def __iter__(self) -> Iterator[K]:
        return iter(self._trie)

    def __len__(self) -> int:
        return len(self._trie)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Map) and self._trie == other._trie

    def __hash__(self) -> int:
        return hash(self._trie)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (dict(self._trie.items()),))

    def __repr__(self) -> str:
        return f"Map({dict(self._trie.items())!r})"


class Mutation(Generic[K, V]):
    """Collected changes that become one map."""

    def __init__(self, trie: Any) -> None:
        self._trie = trie

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __setitem__(self, key: K, value: V) -> None:
        self._trie = self._trie.insert(key, value)

    def __delitem__(self, key: K) -> None:
        self._trie = self._trie.remove(key)

    def __getitem__(self, key: K) -> V:
        return self._trie[key]  # type: ignore[no-any-return]

    def __contains__(self, key: object) -> bool:
        return key in self._trie

    def get(self, key: K, default: Any = None) -> Any:
        """Return the value of the key, or the default."""
        return self._trie.get(key, default)

    def pop(self, key: K, default: Any = _ABSENT) -> Any:
        """Remove the key and return its value, or the default.

        Raises KeyError without a default.
        """
        value = self._trie.get(key, _ABSENT)
        if value is not _ABSENT:
            self._trie = self._trie.remove(key)
        elif default is _ABSENT:
            raise KeyError(key)
        return default if value is _ABSENT else value

    def finish(self) -> Map[K, V]:
        """Return the map with all changes."""
        copy: Map[K, V] = object.__new__(Map)
        copy._trie = self._trie
        return copy
