"""Slots for provider calls: attempts that a run may have claimed and not finished at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from schemas.delivery import NotificationRow
from schemas.words import Channel
from services.delivery.notifications.rate_limits import is_never_waiting

SlotRoom = tuple[str, Channel, bool]
"""Each channel of a realm has two rooms: one for messages that never wait, one for the rest.

So a provider that is slower than declared keeps no danger behind a call-out, and no realm behind
the calls of another. Rule D140.
"""


def get_room(realm: str, row: NotificationRow) -> SlotRoom:
    """Return the room where the newest attempt of this notification needs a slot."""
    return realm, row.attempts[-1].channel, is_never_waiting(row)


@dataclass
class CallSlots:
    """Slots in use, at most `calls_at_once` in each room."""

    calls_at_once: int
    _rooms: dict[str, SlotRoom] = field(default_factory=dict)
    """Attempt → the room in which it holds a slot."""
    _taken: Counter[SlotRoom] = field(default_factory=Counter)

    def take(self, attempt: str, room: SlotRoom) -> bool:
        """Take a slot for the attempt; return False if the room is full."""
        if attempt in self._rooms:
            return True
        if not self.has_place(room):
            return False
        self._rooms[attempt] = room
        self._taken[room] += 1
        return True

    def has_place(self, room: SlotRoom) -> bool:
        """Check whether the room has a free slot."""
        return self._taken[room] < self.calls_at_once

    def free(self, attempt: str) -> None:
        """Free the slot of an attempt; without effect if it holds none."""
        room = self._rooms.pop(attempt, None)
        if room is not None:
            self._taken[room] -= 1

    def keep(self, needed: Collection[str]) -> None:
        """Free the slots of all other attempts."""
        for attempt in [one for one in self._rooms if one not in needed]:
            self.free(attempt)
