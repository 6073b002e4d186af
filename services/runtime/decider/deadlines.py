"""Deadlines of a realm as a persistent priority queue (leftist heap).

The earliest deadline is at the root, arming costs O(log n).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from schemas.base import Instant
from services.runtime.decider.deadline_keys import DeadlineKey
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import Deadline

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
        """Return the time at which `key` is due, or None."""
        return self.due.get(str(key))

    @classmethod
    def restore(cls, due: Map[str, Instant]) -> Self:
        """Restore the deadlines from `due`. The heap is built from it and never stored."""
        made = cls()
        for key, at in due.items():
            made = made.arm(key, at)
        return made
