"""Call-outs: many people told at once, with the arithmetic before and the progress during (delivery).

The people of a call-out come as tokens with the channels that their directory entries have; a headcount (D37) is a call-out too.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from schemas.base import Command, Fact, Instant, Message, Model, RowFact, message
from schemas.words import Channel, Level


class HeadcountAnswer(StrEnum):
    """« Êtes-vous en sécurité ? » (D37). Who said which is kept apart, encrypted, for 30 days; logs count."""

    SAFE = "safe"
    HELP = "help"
    AWAY = "away"


HEADCOUNT_KEYS = {"1": HeadcountAnswer.SAFE, "2": HeadcountAnswer.HELP, "3": HeadcountAnswer.AWAY}
"""As people press or write them."""


def headcount_text_id(notification: str) -> str:
    """Where the single answer of a headcount lies, in `texts`."""
    return f"headcount-{notification}"


CHUNK = 150
"""People per input and per Transaction: a Transaction stays below 256 KiB."""
AGENT = "agent"
"""Role of whoever is told as one of those who work there: no role of the territory."""


class Called(Model):
    """One person of a call-out, as a token, with the channels on which they can be reached."""

    person: str = Field(min_length=1, max_length=64)
    channels: tuple[Channel, ...] = Field(max_length=10)


class ChannelEstimate(Model):
    """What a call-out costs on one channel, by the declared rates."""

    channel: Channel
    people: int
    seconds: int = Field(
        description="until the last of them is handed to the provider, behind those who wait already"
    )
    cost_cents: int
    parts: int = Field(
        default=1, description="messages per person that the provider counts: a long SMS is several"
    )


class CallOutRow(Model):
    """One call-out. Counts only: who they are is in the notifications, as tokens."""

    id: str
    state: Literal["draft", "running", "stopped", "done"]
    kind: Literal["callout", "headcount"] = "callout"
    text_id: str = Field(description="the message, in `texts`; empty for a headcount")
    decision: str | None = Field(
        default=None,
        description="approval of reassignments of which it tells the agents of its site, by count",
    )
    corrects: str | None = Field(default=None, description="the call-out whose message it corrects")
    incident: str | None = None
    sites: tuple[str, ...] = ()
    level: Level
    danger: bool = False
    answer_expected: bool = False
    channels: tuple[Channel, ...] = ()
    by: str
    drafted_at: Instant
    started_at: Instant | None = None
    ended_at: Instant | None = None
    people: int = 0
    unreachable: int = Field(
        default=0, description="people without any of the channels: nobody will tell them"
    )
    estimates: tuple[ChannelEstimate, ...] = Field(default=(), description="as it was drafted")
    cost_cents: int = Field(
        default=0, description="estimated; with a repetition or another channel it costs more"
    )
    handed: int = Field(default=0, description="told: a provider took it, or the person has it")
    received: int = Field(default=0, description="on a device of the person, or answered")
    answered: int = 0
    failed: int = 0
    ambiguous: int = 0
    withdrawn: int = 0
    spent_cents: int = 0
    eta_at: Instant | None = Field(
        default=None, description="when the last one is handed over, corrected while it runs"
    )
    safe: int = Field(default=0, description="headcount: 1, in safety")
    help: int = Field(default=0, description="headcount: 2, needs help")
    away: int = Field(default=0, description="headcount: 3, not concerned or not available")
    reminded: int = Field(default=0, description="headcount: reminders so far")
    managers_called_at: Instant | None = Field(
        default=None, description="headcount: whoever has not answered is the manager's to find"
    )


@message
class CallOutChanged(RowFact):
    collection: ClassVar[str] = "callouts"
    row: CallOutRow


@message
class CallOutListed(Fact):
    """People were added to a draft. Nobody is told yet."""

    callout: str
    people: tuple[Called, ...] = Field(max_length=CHUNK)


@message
class CallOutReleased(Fact):
    """The next people of the list have their notification."""

    callout: str
    count: int


@message
class DraftCallOut(Command):
    """One chunk of people; the first one that arrives makes the draft, the one with `last` computes what it costs."""

    callout: str
    kind: Literal["callout", "headcount"] = "callout"
    text_id: str = ""
    decision: str | None = Field(
        default=None, description="approval of reassignments that it tells of"
    )
    corrects: str | None = Field(default=None, description="the call-out whose message it corrects")
    incident: str | None = None
    sites: tuple[str, ...] = ()
    level: Level = Level.N1
    danger: bool = False
    answer_expected: bool = False
    channels: tuple[Channel, ...] = Field(min_length=1, description="in order of preference")
    people: tuple[Called, ...] = Field(max_length=CHUNK)
    last: bool = False
    sms_parts: int = Field(
        default=1, ge=1, description="messages that the SMS to one person is counted as"
    )


@message
class StartCallOut(Command):
    callout: str


@message
class StopCallOut(Command):
    """Nobody else is told."""

    callout: str


@message
class HeadcountTallied(Message):
    """Counts of the single answers, from the process that may read them. Absolute: the newest stands."""

    callout: str
    safe: int = Field(ge=0)
    help: int = Field(ge=0)
    away: int = Field(ge=0)


@message
class HeadcountSaid(Message):
    """One simulated person has answered (simulated realms only): counted, and nobody is named."""

    callout: str
    answer: HeadcountAnswer
