"""Handover of the crisis cell: one page that the outgoing and the incoming person sign.

The objective is free text in `texts`. The page is frozen when the outgoing person signs it: the log
holds its hash, so that both sign the same. Rule D115.
"""

from enum import StrEnum
from typing import ClassVar, Final

from pydantic import Field

from schemas.base import Command, Instant, Model, RowFact, register_message
from schemas.crisis.communication import Signature
from schemas.words import Level


class HandoverState(StrEnum):
    """State of a handover; it moves only along `HANDOVER_MOVES`."""

    DRAFT = "draft"
    SIGNED = "signed"
    ACCEPTED = "accepted"
    WITHDRAWN = "withdrawn"


HANDOVER_MOVES: Final[dict[str, dict[HandoverState, HandoverState]]] = {
    "revised": {
        HandoverState.DRAFT: HandoverState.DRAFT,
        HandoverState.SIGNED: HandoverState.DRAFT,
    },
    "signed": {HandoverState.DRAFT: HandoverState.SIGNED},
    "accepted": {HandoverState.SIGNED: HandoverState.ACCEPTED},
    "withdrawn": {
        HandoverState.DRAFT: HandoverState.WITHDRAWN,
        HandoverState.SIGNED: HandoverState.WITHDRAWN,
    },
}
"""Change → state before → state after. Every other move is refused."""
OPEN_HANDOVER_STATES: Final = frozenset({HandoverState.DRAFT, HandoverState.SIGNED})


class HandoverPage(Model):
    """The frozen page of a handover, and the figures that its message tells."""

    text_id: str = Field(description="in `texts`: the page without the objective")
    sha256: str
    as_of: Instant
    counts: dict[str, int] = Field(default_factory=dict)
    next_at: Instant | None = Field(default=None, description="the next deadline on the page")


class HandoverRow(Model):
    """One handover. `text_id` changes with each revision, so a signed objective cannot change."""

    id: str
    number: int
    state: HandoverState
    text_id: str = Field(description="in `texts`: the objective")
    recipients: tuple[str, ...] = Field(
        description="roles, `<role>:<pôle or site>`, persons or sites that get the message"
    )
    level: Level
    drafted: Signature
    revised: Signature | None = None
    page: HandoverPage | None = Field(default=None, description="set while it is signed")
    signed: Signature | None = Field(default=None, description="by the outgoing person")
    accepted: Signature | None = Field(default=None, description="by the incoming person")
    withdrawn: Signature | None = None
    reason: str | None = Field(default=None, description="reference `text:<id>`: why withdrawn")
    changed_at: Instant
    version: int = 0


@register_message
class HandoverChanged(RowFact):
    """A handover changed.

    `change`: drafted, revised, signed, accepted, withdrawn.
    """

    collection: ClassVar[str] = "handovers"
    row: HandoverRow
    change: str


@register_message
class DraftHandover(Command):
    """Draft a handover; its objective is in `texts`."""

    text_id: str
    recipients: tuple[str, ...] = Field(min_length=1, max_length=20)


@register_message
class ReviseHandover(Command):
    """Change the objective or the recipients; a signature is void after that."""

    handover: str
    text_id: str | None = None
    recipients: tuple[str, ...] | None = Field(default=None, min_length=1, max_length=20)
    expected: int | None = None


@register_message
class SignHandover(Command):
    """Sign as the outgoing person, and freeze the page."""

    handover: str
    page: HandoverPage
    expected: int | None = None


@register_message
class AcceptHandover(Command):
    """Sign as the incoming person."""

    handover: str
    expected: int | None = None


@register_message
class WithdrawHandover(Command):
    """Withdraw a handover that is not accepted; the reason is in `texts`."""

    handover: str
    expected: int | None = None
