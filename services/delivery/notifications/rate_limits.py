"""Pace: the rate of each provider, the order of waiting messages, and fair shares. Pure.

A bucket of `burst` messages per channel fills at the declared rate. Danger to people and the first
page of an incident never wait, but take from the bucket, so the rate holds over time. Other
messages go by urgency; within one urgency, the groups (an escalation, a call-out) take turns,
however many messages each has (start-time fair queueing).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, Self, TypeVar

from schemas.base import Instant
from schemas.delivery import NotificationRow
from schemas.words import Channel
from services.delivery.notifications.channel_policies import ChannelPolicy
from services.runtime.decider.maps import Map

QUANTUM_MS: Final = 250
"""Waiting messages leave in groups of about this duration, because each tick costs an input."""


_V = TypeVar("_V")
_US: Final = 1000
"""Microseconds per millisecond."""


class MessageUrgency(IntEnum):
    """Order of messages. The first two never wait."""

    DANGER = 0
    FIRST_PAGE = 1
    CALL = 2
    ALARM = 3
    CAMPAIGN = 4


def get_urgency(row: NotificationRow) -> MessageUrgency:
    """Return the urgency of a message, regardless of the channel.

    A call-out about danger goes before others, but not faster than its provider.
    """
    if row.campaign is not None:
        return MessageUrgency.CALL if row.danger else MessageUrgency.CAMPAIGN
    if row.danger:
        return MessageUrgency.DANGER
    if row.answer_expected:
        return (
            MessageUrgency.FIRST_PAGE
            if row.wave == 1 and (row.cycle or 1) == 1
            else MessageUrgency.CALL
        )
    return MessageUrgency.ALARM


def is_never_waiting(row: NotificationRow) -> bool:
    """Check whether a message never waits: danger to people, and the first page of an incident."""
    return get_urgency(row) <= MessageUrgency.FIRST_PAGE


@dataclass(frozen=True, slots=True)
class WaitingMessage:
    """One message in a queue."""

    channel: Channel
    urgency: int
    tag: float
    """Virtual start: grows by one per message of the same group."""
    group: str
    danger: bool = False

    def place(self, id: str) -> tuple[int, float, str]:
        """Return the sort key of the message in its queue."""
        return (self.urgency, self.tag, id)


@dataclass(frozen=True, slots=True)
class ChannelPacing:
    """Buckets and queues of all channels.

    `queues` and `dangers` are derived from `waiting` and never stored.
    """

    full_at: Map[Channel, int] = Map()
    """Channel → time when its bucket is full again, in microseconds since the epoch.

    Whole numbers, so that no message is lost to rounding.
    """
    waiting: Map[str, WaitingMessage] = Map()
    virtual: Map[Channel, float] = Map()
    """Tag of the last message that left the queue."""
    finish: Map[str, float] = Map()
    """`channel/group` → tag of the group's next message."""
    queues: Map[Channel, tuple[tuple[int, float, str], ...]] = Map()
    dangers: Map[Channel, int] = Map()
    """Number of waiting messages about danger, which a hold does not stop."""

    def room(self, channel: Channel, policy: ChannelPolicy, now: Instant) -> int:
        """Return the number of messages that may be handed over now."""
        missing_us = max(0, self.full_at.get(channel, 0) - now * _US)
        return policy.burst - -(-missing_us // policy.interval_us)

    def opens_at(
        self, channel: Channel, policy: ChannelPolicy, *, held: bool = False
    ) -> Instant | None:
        """Return when the next group may leave the queue; None if no message may.

        During a hold, only danger may leave.
        """
        queue = self.queues.get(channel)
        if not queue or (held and not self.dangers.get(channel)):
            return None
        group = min(len(queue), policy.burst, max(1, QUANTUM_MS * _US // policy.interval_us))
        return -(
            -(self.full_at.get(channel, 0) - (policy.burst - group) * policy.interval_us) // _US
        )

    def is_open(
        self, row: NotificationRow, channel: Channel, policy: ChannelPolicy, now: Instant
    ) -> bool:
        """Check whether a message may be handed over now.

        It may if it never waits, or if the queue is empty and there is room.
        """
        return is_never_waiting(row) or (
            not self.queues.get(channel) and self.room(channel, policy, now) >= 1
        )

    def first(self, channel: Channel, count: int) -> tuple[str, ...]:
        """Return the next messages to leave."""
        return tuple(id for _, _, id in self.queues.get(channel, ())[:count])

    def handed(self, channel: Channel, policy: ChannelPolicy, at: Instant) -> Self:
        """Take one message from the bucket."""
        full = max(self.full_at.get(channel, 0), at * _US) + policy.interval_us
        return replace(self, full_at=self.full_at.set(channel, full))

    def joined(self, row: NotificationRow, channel: Channel) -> Self:
        """Add a message to the queue of the channel, behind the others of its group."""
        if row.id in self.waiting:
            return self
        group = row.campaign or row.escalation or row.incident or row.role
        key = f"{channel.value}/{group}"
        tag = max(self.virtual.get(channel, 0.0), self.finish.get(key, 0.0))
        one = WaitingMessage(channel, int(get_urgency(row)), tag, group, row.danger)
        queue, place = self.queues.get(channel, ()), one.place(row.id)
        at = bisect_left(queue, place)
        # Half the time of a list that becomes a tuple; there may be thousands.
        queue = queue[:at] + (place,) + queue[at:]  # noqa: RUF005
        return replace(
            self,
            waiting=self.waiting.set(row.id, one),
            finish=self.finish.set(key, tag + 1),
            queues=self.queues.set(channel, queue),
            dangers=_set_value(self.dangers, channel, self.dangers.get(channel, 0) + one.danger),
        )

    def left(self, id: str) -> Self:
        """Remove a message from its queue; an empty queue forgets the shares of its groups."""
        one = self.waiting.get(id)
        if one is None:
            return self
        queue = self.queues[one.channel]
        at = bisect_left(queue, one.place(id))
        rest = queue[:at] + queue[at + 1 :]
        virtual = self.virtual.set(one.channel, max(self.virtual.get(one.channel, 0.0), one.tag))
        finish = self.finish
        if not rest:
            virtual = virtual.set(one.channel, 0.0)
            finish = Map(
                {
                    key: tag
                    for key, tag in finish.items()
                    if not key.startswith(f"{one.channel.value}/")
                }
            )
        return replace(
            self,
            waiting=self.waiting.delete(id),
            virtual=virtual,
            finish=finish,
            queues=_set_value(self.queues, one.channel, rest),
            dangers=_set_value(
                self.dangers, one.channel, self.dangers.get(one.channel, 0) - one.danger
            ),
        )

    def dump(self) -> dict[str, list[tuple[str, object]]]:
        """Dump into JSON-able collections."""
        return {
            "full_at": [(c.value, at) for c, at in self.full_at.items()],
            "waiting": [
                (id, [w.channel.value, w.urgency, w.tag, w.group, w.danger])
                for id, w in self.waiting.items()
            ],
            "virtual": [(c.value, tag) for c, tag in self.virtual.items()],
            "finish": list(self.finish.items()),
        }

    @classmethod
    def load(cls, dumped: dict[str, list[tuple[str, object]]]) -> Self:
        """Restore from a dump."""
        waiting = {id: _load_waiting(value) for id, value in dumped.get("waiting", ())}
        queues: dict[Channel, list[tuple[int, float, str]]] = {}
        dangers: dict[Channel, int] = {}
        for id, one in waiting.items():
            queues.setdefault(one.channel, []).append(one.place(id))
            if one.danger:
                dangers[one.channel] = dangers.get(one.channel, 0) + 1
        return cls(
            Map({Channel(c): int(_check_number(at)) for c, at in dumped.get("full_at", ())}),
            Map(waiting),
            Map({Channel(c): _check_number(tag) for c, tag in dumped.get("virtual", ())}),
            Map({key: _check_number(tag) for key, tag in dumped.get("finish", ())}),
            Map({channel: tuple(sorted(places)) for channel, places in queues.items()}),
            Map(dangers),
        )


def _set_value(m: Map[Channel, _V], channel: Channel, value: _V) -> Map[Channel, _V]:
    """Set a value, or remove the channel if it is zero.

    Otherwise a loaded state would not equal the dumped one.
    """
    if value:
        return m.set(channel, value)
    return m.delete(channel) if channel in m else m


def _load_waiting(value: object) -> WaitingMessage:
    assert isinstance(value, (list, tuple))
    channel, urgent, tag, group, *danger = value
    return WaitingMessage(Channel(channel), int(urgent), float(tag), str(group), danger == [True])


def _check_number(value: object) -> int | float:
    assert isinstance(value, (int, float))
    return value
