"""Deadlines of one realm, earliest first."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import Self

from schemas.base import Instant
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import Deadline


@dataclass(frozen=True, slots=True)
class DeadlineQueue:
    """Deadlines by key, in order.

    `order` is derived from `due` and never stored. There is at most one deadline per activity, plan
    and dependency: a few hundred. The hash of the state holds both fields, so their form stays.
    """

    due: Map[str, Instant] = Map()
    order: tuple[tuple[Instant, str], ...] = ()

    def changed(self, changes: dict[str, Instant | None]) -> Self:
        """Return a copy with these deadlines set (an instant) or removed (None)."""
        due, order = self.due, list(self.order)
        for key, at in changes.items():
            before = due.get(key)
            if before is not None:
                del order[bisect_left(order, (before, key))]
                due = due.delete(key)
            if at is not None:
                insort(order, (at, key))
                due = due.set(key, at)
        return type(self)(due, tuple(order))

    def first(self) -> Deadline | None:
        """Return the earliest deadline; ties go by key."""
        return Deadline(*self.order[0]) if self.order else None

    @classmethod
    def restore(cls, due: Map[str, Instant]) -> Self:
        """Build the agenda from these deadlines."""
        return cls(due, tuple(sorted((at, key) for key, at in due.items())))
