"""Deadlines of a realm: their typed keys, and a persistent priority queue (leftist heap).

A domain has one frozen dataclass per kind of deadline, and one `DeadlineKeys` with all of them. Its
code arms and matches these values; only this module knows their text, which is in logs and
snapshots and so never changes. In the queue the earliest deadline is at the root; arming costs
O(log n).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import ClassVar, Generic, Self, TypeVar, get_type_hints

from schemas.base import Instant
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import Deadline


class DeadlineKey:
    """Base of the keys. Fields are strings, numbers or a `StrEnum`.

    Only the first field may contain the separator.
    """

    __slots__ = ()
    head: ClassVar[str]
    """Name of the kind, first part of the text."""
    separator: ClassVar[str] = ":"

    def __init_subclass__(cls, *, head: str | None = None) -> None:
        """Set the head; `dataclass` makes a class with slots again, without arguments."""
        if head is not None:
            cls.head = head

    def __str__(self) -> str:
        """Return the text in logs and snapshots."""
        parts = [str(getattr(self, name)) for name, _ in _list_fields(type(self))]
        return self.separator.join((self.head, *parts))


K = TypeVar("K", bound=DeadlineKey)


class DeadlineKeys(Generic[K]):
    """All kinds of deadlines of a domain, which share their separator."""

    def __init__(self, *kinds: type[K]) -> None:
        self._kinds = {kind.head: kind for kind in kinds}
        if len(self._kinds) < len(kinds):
            raise ValueError("two kinds of deadlines have the same head")
        (self._separator,) = {kind.separator for kind in kinds}

    def parse(self, text: str) -> K:
        """Return the key with this text. Raises ValueError for the text of no kind."""
        head, _, rest = text.partition(self._separator)
        if (kind := self._kinds.get(head)) is None:
            raise ValueError(f"there is no deadline {text!r}")
        types = [type_ for _, type_ in _list_fields(kind)]
        parts = rest.rsplit(self._separator, len(types) - 1) if types else []
        return kind(*(type_(part) for type_, part in zip(types, parts, strict=True)))


_FIELDS: dict[type, list[tuple[str, type]]] = {}


def _list_fields(kind: type[DeadlineKey]) -> list[tuple[str, type]]:
    """Return name and type of each field."""
    if (field_types := _FIELDS.get(kind)) is None:
        hints = get_type_hints(kind)
        field_types = [(field.name, hints[field.name]) for field in fields(kind)]  # type: ignore[arg-type]
        _FIELDS[kind] = field_types
    return field_types


_Heap = tuple[int, Instant, str, "_Heap | None", "_Heap | None"]
"""(rank, due, key, left, right).

A key may occur more than once; only the entry that `due` names is valid.
"""


def _merge_heaps(a: _Heap | None, b: _Heap | None) -> _Heap | None:
    if a is None:
        return b
    if b is None:
        return a
    if (b[1], b[2]) < (a[1], a[2]):
        a, b = b, a
    left, right = a[3], _merge_heaps(a[4], b)
    if (left[0] if left else 0) < (right[0] if right else 0):
        left, right = right, left
    return ((right[0] if right else 0) + 1, a[1], a[2], left, right)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Deadlines by key. Ties fire in the order of keys."""

    due: Map[str, Instant] = field(default_factory=Map)
    heap: _Heap | None = field(default=None, compare=False, repr=False)

    def arm(self, key: DeadlineKey | str, due: Instant | None) -> Self:
        """Return the deadlines with `key` moved to `due`; None disarms it."""
        key = str(key)
        if self.due.get(key) == due:
            return self
        if due is None:
            return self._cleaned(self.due.delete(key), self.heap)
        return self._cleaned(
            self.due.set(key, due), _merge_heaps(self.heap, (1, due, key, None, None))
        )

    def first(self) -> Deadline | None:
        """Return the earliest deadline, or None."""
        return Deadline(self.heap[1], self.heap[2]) if self.heap else None

    def _cleaned(self, due: Map[str, Instant], heap: _Heap | None) -> Self:
        while heap is not None and due.get(heap[2]) != heap[1]:
            heap = _merge_heaps(heap[3], heap[4])
        return type(self)(due, heap)

    def disarm(self, key: DeadlineKey | str) -> Self:
        """Return the deadlines without `key`."""
        return self.arm(key, None)

    def due_of(self, key: DeadlineKey | str) -> Instant | None:
        """Return when `key` is due, or None."""
        return self.due.get(str(key))

    @classmethod
    def restore(cls, due: Map[str, Instant]) -> Self:
        """Restore the deadlines from `due`. The heap is built from it and never stored."""
        made = cls()
        for key, at in due.items():
            made = made.arm(key, at)
        return made
