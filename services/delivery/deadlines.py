"""Deadlines of delivery."""

from dataclasses import dataclass
from typing import ClassVar, Final, get_args

from schemas.words import Channel
from services.runtime.decider.protocol import DeadlineKey, DeadlineKeys


class _SlashedKey(DeadlineKey):
    """Base of the keys: their text has slashes."""

    __slots__ = ()
    separator: ClassVar[str] = "/"


@dataclass(frozen=True, slots=True)
class HoldEnds(_SlashedKey, head="hold"):
    """The end of a hold of all sending."""


@dataclass(frozen=True, slots=True)
class AttemptDue(_SlashedKey, head="attempt"):
    """The missing outcome, the missing receipt or the time of an attempt."""

    notification: str
    number: int


@dataclass(frozen=True, slots=True)
class HeldMessageDue(_SlashedKey, head="held"):
    """A notification that waited for the end of a hold."""

    notification: str


@dataclass(frozen=True, slots=True)
class OutcomeLost(_SlashedKey, head="loss"):
    """An open attempt becomes ambiguous, because a loss was declared."""

    notification: str


@dataclass(frozen=True, slots=True)
class LaterMessageDue(_SlashedKey, head="later"):
    """A notification that waited for a channel's hours or for a digest."""

    notification: str


@dataclass(frozen=True, slots=True)
class ChannelFree(_SlashedKey, head="pace"):
    """A provider takes the next messages that wait for its pace."""

    channel: Channel


@dataclass(frozen=True, slots=True)
class CallOutDue(_SlashedKey, head="callout"):
    """A step of a call-out.

    The steps are `next` (people), `progress`, `remind`, `managers` and `withdraw` (after a stop).
    """

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
