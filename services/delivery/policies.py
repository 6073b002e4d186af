"""What each channel promises. Part of the logic version: a change here is a change of `DeliveryDecider.logic`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from schemas.base import MINUTE_MS
from schemas.words import Channel


class Doubt(StrEnum):
    """What an attempt means of which nobody knows whether it was made."""

    AT_LEAST_ONCE = "at_least_once"
    """Told perhaps twice rather than perhaps never: a new attempt, marked `possible_duplicate`."""
    AT_MOST_ONCE = "at_most_once"
    """This channel is not tried again for this notification: "perhaps not sent"."""


@dataclass(frozen=True, slots=True)
class ChannelPolicy:
    limit_ms: int
    """L: a sender must have ended its provider call within this time from before it sent the claim, on its monotonic clock."""
    grace_ms: int
    """G: time for the outcome to travel. An attempt without outcome is ambiguous at the claim's append time + L + G."""
    doubt: Doubt
    receipt_ms: int | None
    """Without a receipt within this time the next channel is tried; None = the channel gives no receipts."""
    tries: int
    """Attempts on this channel for one notification, the first one included."""

    @property
    def outcome_ms(self) -> int:
        """L + G."""
        return self.limit_ms + self.grace_ms


POLICIES: Final = MappingProxyType(
    {
        Channel.APP: ChannelPolicy(20_000, 10_000, Doubt.AT_LEAST_ONCE, receipt_ms=1 * MINUTE_MS, tries=2),
        Channel.SMS: ChannelPolicy(30_000, 15_000, Doubt.AT_LEAST_ONCE, receipt_ms=3 * MINUTE_MS, tries=2),
        # a second call would cut into the first: the person may be about to press the key
        Channel.VOICE: ChannelPolicy(60_000, 30_000, Doubt.AT_MOST_ONCE, receipt_ms=2 * MINUTE_MS, tries=2),
        # the same Message-ID and the same webhook-id: receivers fold duplicates
        Channel.EMAIL: ChannelPolicy(30_000, 15_000, Doubt.AT_LEAST_ONCE, receipt_ms=None, tries=3),
        Channel.WEBHOOK: ChannelPolicy(15_000, 10_000, Doubt.AT_LEAST_ONCE, receipt_ms=None, tries=3),
        # a no of apprise may hide a message that was taken
        Channel.CHAT: ChannelPolicy(20_000, 10_000, Doubt.AT_LEAST_ONCE, receipt_ms=None, tries=2),
    }
)
FALLBACK: Final = (Channel.EMAIL, Channel.WEBHOOK, Channel.CHAT)
"""Tried after the channels of the wave, when verified for the person."""
_PAUSES_MS: Final = (30_000, 2 * MINUTE_MS)


def pause_ms(tries: int) -> int:
    """Pause before the next attempt on a channel that failed `tries` times (≥ 1). Other channels do not wait for it."""
    return _PAUSES_MS[min(tries, len(_PAUSES_MS)) - 1]
