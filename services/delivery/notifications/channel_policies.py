"""Limits, doubt, costs and pace of each channel. Pure.

The territory declares them (`canaux.yaml`), or these hold. They choose the channels of a planned
notification and their order. Part of the logic version: a change here is a change of
`DeliveryDecider.logic`.

A bucket of `burst` messages per channel fills at the declared rate. Danger to people and the first
page of an incident never wait, but take from the bucket, so the rate holds over time. Other
messages go by urgency; within one urgency, the groups (an escalation, a call-out) take turns,
however many messages each has (start-time fair queueing).
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Final, Self
from zoneinfo import ZoneInfo

from schemas.base import MINUTE_MS, Instant
from schemas.calling import NotificationPlanned
from schemas.delivery import NotificationRow
from schemas.reference import ChannelRules
from schemas.words import Channel, NotificationState
from services.runtime.decider.maps import Map, set_or_drop

PARIS: Final = ZoneInfo("Europe/Paris")


def choose_channels(
    preferred_channels: Sequence[Channel], verified_channels: Iterable[Channel]
) -> tuple[Channel, ...]:
    """Return the step's channels that are verified for the person, then e-mail and webhook.

    The order is that of the step. Other verified channels are not used: a step with `app, sms` does
    not ring a phone at night (D36).
    """
    mine = set(verified_channels)
    return tuple(dict.fromkeys(c for c in (*preferred_channels, *FALLBACK_CHANNELS) if c in mine))


def build_planned_row(
    event: NotificationPlanned, verified_channels: Iterable[Channel], lost_at: Instant | None
) -> NotificationRow:
    """Build the first row of a notification, without an attempt.

    Its channels stay as they are now, even if the roster changes.
    """
    return NotificationRow(
        id=event.notification,
        incident=event.incident,
        escalation=event.escalation,
        wave=event.wave,
        cycle=event.cycle,
        level=event.level,
        previous_level=event.previous_level,
        role=event.role,
        scope=event.scope,
        person=event.person,
        channels=choose_channels(event.channels, verified_channels),
        state=NotificationState.PLANNED,
        template=event.template,
        values=event.values,
        answer_expected=event.answer_expected,
        danger=event.danger,
        planned_at=event.planned_at,
        ack_by=event.ack_by,
        quiet_until=event.quiet_until,
        possible_duplicate=lost_at is not None and event.planned_at <= lost_at,
    )


class DoubtPolicy(StrEnum):
    """Treatment of an attempt that may or may not have been made."""

    AT_LEAST_ONCE = "at_least_once"
    """Rather twice than never: a new attempt, marked `possible_duplicate`."""
    AT_MOST_ONCE = "at_most_once"
    """The channel is not tried again for this notification: "perhaps not sent"."""


@dataclass(frozen=True, slots=True)
class ChannelHours:
    """Hours when information may use a channel: local minutes of the day, and Sundays.

    Calls and danger pass at all hours.
    """

    from_min: int
    to_min: int
    sundays: bool

    def opens(self, now: Instant) -> Instant:
        """Return `now` if it is open, else the next opening."""
        local = datetime.fromtimestamp(now / 1000, PARIS)
        if self._is_open(local):
            return now
        day = local.replace(hour=0, minute=0, second=0, microsecond=0)
        for later in range(3):
            at = (day + timedelta(days=later)).replace(
                hour=self.from_min // 60, minute=self.from_min % 60
            )
            if at > local and self._is_open(at):
                return round(at.timestamp() * 1000)
        raise AssertionError("no Monday follows a Sunday")

    def _is_open(self, local: datetime) -> bool:
        return self.from_min <= local.hour * 60 + local.minute < self.to_min and (
            self.sundays or local.isoweekday() != 7
        )


@dataclass(frozen=True, slots=True)
class ChannelPolicy:
    limit_ms: int
    """L: time limit of the provider call, on the sender's monotonic clock from before the claim."""
    grace_ms: int
    """G: time for the outcome to arrive.

    An attempt without an outcome is ambiguous at the claim's append time + L + G.
    """
    doubt: DoubtPolicy
    receipt_ms: int | None
    """Time to wait for a receipt before the next channel is tried; None: there are no receipts."""
    tries: int
    """Attempts on this channel for one notification, the first one included."""
    per_minute: float = 600.0
    """Messages that the provider takes per minute."""
    burst: int = 20
    """Messages that the provider takes at once."""
    cost_cents: float = 0.0
    """Cost of one message, for the estimates of a call-out."""
    hours: ChannelHours | None = None
    """Hours in which information may use it; None: always."""

    @property
    def interval_us(self) -> int:
        """Microseconds between two messages at the declared rate."""
        return max(1, round(MINUTE_MS * 1000 / self.per_minute))

    @property
    def outcome_ms(self) -> int:
        """L + G."""
        return self.limit_ms + self.grace_ms


DEFAULT_POLICIES: Final = Map(
    {
        Channel.APP: ChannelPolicy(
            20_000, 10_000, DoubtPolicy.AT_LEAST_ONCE, receipt_ms=1 * MINUTE_MS, tries=2
        ),
        Channel.SMS: ChannelPolicy(
            30_000, 15_000, DoubtPolicy.AT_LEAST_ONCE, receipt_ms=3 * MINUTE_MS, tries=2
        ),
        # a second call would cut into the first: the person may be about to press the key
        Channel.VOICE: ChannelPolicy(
            60_000, 30_000, DoubtPolicy.AT_MOST_ONCE, receipt_ms=2 * MINUTE_MS, tries=2
        ),
        # the same Message-ID and the same webhook-id: receivers fold duplicates
        Channel.EMAIL: ChannelPolicy(
            30_000, 15_000, DoubtPolicy.AT_LEAST_ONCE, receipt_ms=None, tries=3
        ),
        Channel.WEBHOOK: ChannelPolicy(
            15_000, 10_000, DoubtPolicy.AT_LEAST_ONCE, receipt_ms=None, tries=3
        ),
        # a negative result of apprise may hide a message that was taken
        Channel.CHAT: ChannelPolicy(
            20_000, 10_000, DoubtPolicy.AT_LEAST_ONCE, receipt_ms=None, tries=2
        ),
    }
)


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """Rules in force in a realm."""

    channels: Map[Channel, ChannelPolicy]
    digest_ms: int = 10 * MINUTE_MS
    """Interval between bundled messages. Rule D36."""
    budget_per_hour: int = 6
    """Messages to one person in an hour before they are bundled. Rule D36."""
    reminders_ms: tuple[int, ...] = (10 * MINUTE_MS, 20 * MINUTE_MS, 40 * MINUTE_MS)
    """Times of headcount reminders from its start. Rule D37."""
    managers_ms: int = 30 * MINUTE_MS
    """Time from the start of a headcount until managers are called. Rule D37."""
    close_pct: float = 98.0
    """Share of answers at which a headcount closes. Rule D37."""


DEFAULT_RULES: Final = DeliveryRules(DEFAULT_POLICIES)


def compile_policies(rules: ChannelRules) -> Map[Channel, ChannelPolicy]:
    """Return the policies of the territory; a channel that it omits keeps the default."""
    policies = dict(DEFAULT_POLICIES)
    for rule in rules.channels:
        hours = rule.information_hours
        policies[rule.channel] = ChannelPolicy(
            limit_ms=rule.limit_s * 1000,
            grace_ms=rule.grace_s * 1000,
            doubt=DoubtPolicy(rule.doubt),
            receipt_ms=None if rule.receipt_s is None else rule.receipt_s * 1000,
            tries=rule.tries,
            per_minute=rule.per_minute,
            burst=rule.burst,
            cost_cents=rule.cost_cents,
            hours=None
            if hours is None
            else ChannelHours(hours.from_min, hours.to_min, hours.sundays),
        )
    return Map(policies)


FALLBACK_CHANNELS: Final = (Channel.EMAIL, Channel.WEBHOOK, Channel.CHAT)
"""Tried after the channels of the step, if verified for the person."""
_PAUSES_MS: Final = (30_000, 2 * MINUTE_MS)
LONGEST_ASKED_PAUSE_MS: Final = 10 * MINUTE_MS
"""Longest pause that a provider can ask for, because somebody waits for the message."""


def get_pause_ms(tries: int) -> int:
    """Return the pause before the next attempt on a channel that failed `tries` times (≥ 1).

    Other channels do not wait for it.
    """
    return _PAUSES_MS[min(tries, len(_PAUSES_MS)) - 1]


QUANTUM_MS: Final = 250
"""Waiting messages leave in groups of about this duration, because each tick costs an input."""


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
    """Buckets and queues of all channels. `queues` and `dangers` are derived from `waiting`."""

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
        self, channel: Channel, policy: ChannelPolicy, *, is_held: bool = False
    ) -> Instant | None:
        """Return when the next group may leave the queue; None if no message may.

        During a hold, only danger may leave.
        """
        queue = self.queues.get(channel)
        if not queue or (is_held and not self.dangers.get(channel)):
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

    def spend_token(self, channel: Channel, policy: ChannelPolicy, at: Instant) -> Self:
        """Take one message from the bucket."""
        full = max(self.full_at.get(channel, 0), at * _US) + policy.interval_us
        return replace(self, full_at=self.full_at.set(channel, full))

    def add_to_queue(self, row: NotificationRow, channel: Channel) -> Self:
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
            dangers=set_or_drop(self.dangers, channel, self.dangers.get(channel, 0) + one.danger),
        )

    def remove_from_queue(self, id: str) -> Self:
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
            queues=set_or_drop(self.queues, one.channel, rest),
            dangers=set_or_drop(
                self.dangers, one.channel, self.dangers.get(one.channel, 0) - one.danger
            ),
        )
