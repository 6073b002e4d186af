"""Limits, doubt and costs of each channel: declared by the territory (`canaux.yaml`), or these.

They choose the channels of a planned notification and their order. Part of the logic version: a
change here is a change of `DeliveryDecider.logic`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

from schemas.base import MINUTE_MS, Instant
from schemas.calling import NotificationPlanned
from schemas.delivery import NotificationRow
from schemas.reference import ChannelRules
from schemas.words import Channel, NotificationState

PARIS: Final = ZoneInfo("Europe/Paris")


def choose_channels(
    preferred_channels: Sequence[Channel], verified: Iterable[Channel]
) -> tuple[Channel, ...]:
    """Return the step's channels that are verified for the person, then e-mail and webhook.

    The order is that of the step. Other verified channels are not used: a step with `app, sms` does
    not ring a phone at night (D36).
    """
    mine = set(verified)
    return tuple(dict.fromkeys(c for c in (*preferred_channels, *FALLBACK_CHANNELS) if c in mine))


def build_planned_row(
    planned: NotificationPlanned, verified: Iterable[Channel], lost_at: Instant | None
) -> NotificationRow:
    """Build the first row of a notification, without an attempt.

    Its channels stay as they are now, even if the roster changes.
    """
    return NotificationRow(
        id=planned.notification,
        incident=planned.incident,
        escalation=planned.escalation,
        wave=planned.wave,
        cycle=planned.cycle,
        level=planned.level,
        previous_level=planned.previous_level,
        role=planned.role,
        scope=planned.scope,
        person=planned.person,
        channels=choose_channels(planned.channels, verified),
        state=NotificationState.PLANNED,
        template=planned.template,
        values=planned.values,
        answer_expected=planned.answer_expected,
        danger=planned.danger,
        planned_at=planned.planned_at,
        ack_by=planned.ack_by,
        quiet_until=planned.quiet_until,
        possible_duplicate=lost_at is not None and planned.planned_at <= lost_at,
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


DEFAULT_POLICIES: Final = MappingProxyType(
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

    channels: Mapping[Channel, ChannelPolicy]
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


def compile_policies(rules: ChannelRules) -> Mapping[Channel, ChannelPolicy]:
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
    return MappingProxyType(policies)


def dump_rules(rules: DeliveryRules) -> dict[str, Any]:
    """Dump the rules into JSON-able values."""
    return {
        "channels": {c.value: asdict(p) for c, p in rules.channels.items()},
        "digest_ms": rules.digest_ms,
        "budget": rules.budget_per_hour,
        "headcount": [list(rules.reminders_ms), rules.managers_ms, rules.close_pct],
    }


def load_rules(dumped: Mapping[str, Any]) -> DeliveryRules:
    """Restore rules from a dump."""
    channels = {}
    for channel, values in dumped["channels"].items():
        hours = values["hours"]
        policy_values = values | {
            "doubt": DoubtPolicy(values["doubt"]),
            "hours": None if hours is None else ChannelHours(**hours),
        }
        channels[Channel(channel)] = ChannelPolicy(**policy_values)
    reminders, managers_ms, close_pct = dumped["headcount"]
    return DeliveryRules(
        MappingProxyType(channels),
        dumped["digest_ms"],
        dumped["budget"],
        tuple(reminders),
        managers_ms,
        close_pct,
    )


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
