"""Call-outs: one message to many people, with costs before and progress during the sending.

The people of a call-out are tokens with the channels of their directory entries. A headcount is a
call-out, too. Rule D37.
"""

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from schemas.base import Command, Fact, Instant, Message, Model, RowFact, register_message
from schemas.words import Channel, Level


class HeadcountAnswer(StrEnum):
    """Answer to "Are you safe?" in a headcount.

    Individual answers are kept apart, encrypted, for 30 days; logs only count them. Rule D37.
    """

    SAFE = "safe"
    HELP = "help"
    AWAY = "away"


HEADCOUNT_KEYS = {"1": HeadcountAnswer.SAFE, "2": HeadcountAnswer.HELP, "3": HeadcountAnswer.AWAY}
"""Key that people press or write → answer."""


def headcount_text_id(notification: str) -> str:
    """Return the id of a single headcount answer in `texts`."""
    return f"headcount-{notification}"


CHUNK_PEOPLE = 150
"""People per input and per Transaction, so that a Transaction stays below 256 KiB."""
AGENT = "agent"
"""Role of everybody of a site in headcounts and call-outs; no role of the territory."""


class Called(Model):
    """One person of a call-out, as a token, with usable channels."""

    person: str = Field(min_length=1, max_length=64)
    channels: tuple[Channel, ...] = Field(max_length=10)


class ChannelEstimate(Model):
    """Cost of a call-out on one channel, by the declared rates."""

    channel: Channel
    people: int
    seconds: int = Field(
        description=(
            "time until the last message is with the provider, after those that already wait"
        )
    )
    cost_cents: int
    parts: int = Field(
        default=1, description="messages per person that the provider counts; a long SMS is several"
    )


class CallOutRow(Model):
    """One call-out, in counts only; its people are in the notifications, as tokens."""

    id: str
    state: Literal["draft", "running", "stopped", "done"]
    kind: Literal["callout", "headcount"] = "callout"
    text_id: str = Field(description="id of the message in `texts`; empty for a headcount")
    decision: str | None = Field(
        default=None,
        description=(
            "id of the approved reassignments that it announces to the agents of its site, by count"
        ),
    )
    corrects: str | None = Field(default=None, description="id of the call-out that it corrects")
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
        default=0, description="people without any of the channels; they get no message"
    )
    estimates: tuple[ChannelEstimate, ...] = Field(default=(), description="estimates at drafting")
    cost_cents: int = Field(
        default=0, description="estimated cost; a repetition or another channel costs more"
    )
    handed: int = Field(
        default=0, description="people with a message that a provider accepted or a device received"
    )
    received: int = Field(
        default=0, description="people with a message on their device, or with an answer"
    )
    answered: int = 0
    failed: int = 0
    ambiguous: int = 0
    withdrawn: int = 0
    spent_cents: int = 0
    eta_at: Instant | None = Field(
        default=None,
        description="estimated time of the last handover to a provider, corrected meanwhile",
    )
    safe: int = Field(default=0, description='headcount: answers "1, in safety"')
    help: int = Field(default=0, description='headcount: answers "2, needs help"')
    away: int = Field(
        default=0, description='headcount: answers "3, not concerned or not available"'
    )
    reminded: int = Field(default=0, description="headcount: number of reminders so far")
    managers_called_at: Instant | None = Field(
        default=None,
        description="headcount: time at which managers were asked to find those without an answer",
    )


@register_message
class CallOutChanged(RowFact):
    collection: ClassVar[str] = "callouts"
    row: CallOutRow
    change: Literal["started", "stopped"] | None = Field(
        default=None, description="decision of a person; null: progress"
    )


@register_message
class CallOutListed(Fact):
    """People were added to a draft; they are not notified yet."""

    callout: str
    people: tuple[Called, ...] = Field(max_length=CHUNK_PEOPLE)


@register_message
class CallOutReleased(Fact):
    """The next people of the list have their notification."""

    callout: str
    count: int


@register_message
class DraftCallOut(Command):
    """Add one chunk of people to a call-out.

    The first chunk creates the draft; the one with `last` computes its cost.
    """

    callout: str
    kind: Literal["callout", "headcount"] = "callout"
    text_id: str = ""
    decision: str | None = Field(
        default=None, description="id of the approved reassignments that it announces"
    )
    corrects: str | None = Field(default=None, description="id of the call-out that it corrects")
    incident: str | None = None
    sites: tuple[str, ...] = ()
    level: Level = Level.N1
    danger: bool = False
    answer_expected: bool = False
    channels: tuple[Channel, ...] = Field(
        min_length=1, description="channels in order of preference"
    )
    people: tuple[Called, ...] = Field(max_length=CHUNK_PEOPLE)
    last: bool = False
    sms_parts: int = Field(
        default=1, ge=1, description="messages that the provider counts for the SMS to one person"
    )


@register_message
class StartCallOut(Command):
    callout: str


@register_message
class StopCallOut(Command):
    """Stop a call-out: nobody else is notified."""

    callout: str


@register_message
class HeadcountTallied(Message):
    """Counts of headcount answers, from the process that may read them.

    Counts are absolute; the newest replace all earlier ones.
    """

    callout: str
    safe: int = Field(ge=0)
    help: int = Field(ge=0)
    away: int = Field(ge=0)


@register_message
class HeadcountSaid(Message):
    """One simulated person answered a headcount (simulated realms only).

    The answer is counted without a name.
    """

    callout: str
    answer: HeadcountAnswer
