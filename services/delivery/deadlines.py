"""Deadlines of delivery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, get_args

from schemas.words import Channel
from services.runtime.decider.deadlines import DeadlineKey, DeadlineKeys


class _SlashedKey(DeadlineKey):
    """Base of the keys: their text has slashes."""

    __slots__ = ()
    separator: ClassVar[str] = "/"


@dataclass(frozen=True, slots=True)
class HoldEnds(_SlashedKey):
    """The end of a hold of all sending."""

    head: ClassVar[str] = "hold"


@dataclass(frozen=True, slots=True)
class AttemptDue(_SlashedKey):
    """The missing outcome, the missing receipt or the time of an attempt."""

    head: ClassVar[str] = "attempt"
    notification: str
    number: int


@dataclass(frozen=True, slots=True)
class HeldMessageDue(_SlashedKey):
    """A notification that waited for the end of a hold."""

    head: ClassVar[str] = "held"
    notification: str


@dataclass(frozen=True, slots=True)
class OutcomeLost(_SlashedKey):
    """An open attempt becomes ambiguous, because a loss was declared."""

    head: ClassVar[str] = "loss"
    notification: str


@dataclass(frozen=True, slots=True)
class LaterMessageDue(_SlashedKey):
    """A notification that waited for a channel's hours or for a digest."""

    head: ClassVar[str] = "later"
    notification: str


@dataclass(frozen=True, slots=True)
class ChannelFree(_SlashedKey):
    """A provider takes the next messages that wait for its pace."""

    head: ClassVar[str] = "pace"
    channel: Channel


@dataclass(frozen=True, slots=True)
class CallOutDue(_SlashedKey):
    """A step of a call-out.

    The steps are `next` (people), `progress`, `remind`, `managers` and `withdraw` (after a stop).
    """

    head: ClassVar[str] = "callout"
    callout: str
    step: str


DeliveryDeadline = (
    HoldEnds
    | AttemptDue
    | HeldMessageDue
    | OutcomeLost
    | LaterMessageDue
    | ChannelFree
    | CallOutDue
)
"""Everything that may be due in delivery."""
KEYS: Final = DeadlineKeys[DeliveryDeadline](*get_args(DeliveryDeadline))
