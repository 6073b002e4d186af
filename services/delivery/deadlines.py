"""Deadlines of delivery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from schemas.words import Channel
from services.runtime.decider.deadline_keys import DeadlineKey, DeadlineKeys


class DeliveryDeadline(DeadlineKey):
    """Something due in delivery."""

    __slots__ = ()
    separator: ClassVar[str] = "/"


@dataclass(frozen=True, slots=True)
class HoldEnds(DeliveryDeadline):
    """The end of a hold of all sending."""

    head: ClassVar[str] = "hold"


@dataclass(frozen=True, slots=True)
class AttemptDue(DeliveryDeadline):
    """The missing outcome, the missing receipt or the time of an attempt."""

    head: ClassVar[str] = "attempt"
    notification: str
    number: int


@dataclass(frozen=True, slots=True)
class HeldMessageDue(DeliveryDeadline):
    """A notification that waited for the end of a hold."""

    head: ClassVar[str] = "held"
    notification: str


@dataclass(frozen=True, slots=True)
class OutcomeLost(DeliveryDeadline):
    """An open attempt becomes ambiguous, because a loss was declared."""

    head: ClassVar[str] = "loss"
    notification: str


@dataclass(frozen=True, slots=True)
class LaterMessageDue(DeliveryDeadline):
    """A notification that waited for a channel's hours or for a digest."""

    head: ClassVar[str] = "later"
    notification: str


@dataclass(frozen=True, slots=True)
class ChannelFree(DeliveryDeadline):
    """A provider takes the next messages that wait for its pace."""

    head: ClassVar[str] = "pace"
    channel: Channel


@dataclass(frozen=True, slots=True)
class CallOutDue(DeliveryDeadline):
    """A step of a call-out.

    The steps are `next` (people), `progress`, `remind`, `managers` and `withdraw` (after a stop).
    """

    head: ClassVar[str] = "callout"
    callout: str
    step: str


KEYS: Final = DeadlineKeys[DeliveryDeadline](
    HoldEnds,
    AttemptDue,
    HeldMessageDue,
    OutcomeLost,
    LaterMessageDue,
    ChannelFree,
    CallOutDue,
)
