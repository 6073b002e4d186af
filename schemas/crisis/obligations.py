"""Legal deadlines: obligations of the territory, and the clocks that they start in an incident.

A clock runs from the time when a matter became known. It ends with a proof or with the reason
why it does not apply. Rule D92.
"""

from enum import StrEnum
from typing import ClassVar, Final

from pydantic import Field

from schemas.base import Command, Instant, Model, RowFact, register_message
from schemas.crisis.communication import Signature


class LimitUnit(StrEnum):
    """Unit of a legal limit."""

    HOURS = "hours"
    DAYS = "days"
    WORKING_DAYS = "working_days"
    MONTHS = "months"


class ObligationLimit(Model):
    """Time that the law gives."""

    amount: int = Field(gt=0, le=1000)
    unit: LimitUnit


class Obligation(Model):
    """One obligation of the territory: its article, its authority, its limit.

    Rule D92.
    """

    id: str = Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str = Field(min_length=1, max_length=120)
    title_en: str = Field(min_length=1, max_length=120)
    basis: str = Field(min_length=1, max_length=400, description="article of the law")
    authority: str = Field(min_length=1, max_length=200)
    contact: str | None = Field(default=None, description="partner of `contacts.csv`")
    role: str = Field(description="role that declares, for the whole territory")
    limit: ObligationLimit
    without_delay: bool = Field(
        default=False,
        description="the law says without delay; `limit` is the objective of the territory",
    )
    counts_from: str = Field(min_length=1, max_length=200, description="event that starts the time")
    condition: str | None = Field(
        default=None, max_length=400, description="when the law asks for it"
    )
    plans: tuple[str, ...] = Field(
        default=(), description="plans with a trigger that starts the clock"
    )
    kinds: tuple[str, ...] = Field(
        default=(), description="families of incidents that start the clock"
    )
    after: str | None = Field(
        default=None, description="obligation whose declaration starts the clock"
    )
    claim: bool = Field(
        default=False,
        exclude_if=lambda claim: not claim,
        description="true for a declaration to an insurer: the costs of its incident belong to it",
    )
    draft_title: str = Field(min_length=1, max_length=200)
    draft: str = Field(min_length=1, max_length=4000, description="text with `{blanks}`")


class ObligationState(StrEnum):
    """State of a clock; it moves only along `OBLIGATION_MOVES`."""

    RUNNING = "running"
    DONE = "done"
    DISMISSED = "dismissed"


OBLIGATION_MOVES: Final[dict[str, dict[ObligationState, ObligationState]]] = {
    "reminded": {ObligationState.RUNNING: ObligationState.RUNNING},
    "overdue": {ObligationState.RUNNING: ObligationState.RUNNING},
    "done": {ObligationState.RUNNING: ObligationState.DONE},
    "dismissed": {ObligationState.RUNNING: ObligationState.DISMISSED},
}
"""Change → state before → state after. Every other move is refused."""


class ObligationRow(Model):
    """One clock: an obligation in an incident."""

    id: str
    obligation: str = Field(description="id in the territory's obligations")
    state: ObligationState
    incident: str | None = None
    role: str = Field(description="role that declares")
    plan: str | None = Field(default=None, description="plan with the trigger that started it")
    follows: str | None = Field(default=None, description="clock whose end started it")
    started: Signature | None = Field(default=None, description="None: a rule started it")
    started_at: Instant
    known_at: Instant = Field(description="time at which the matter became known")
    due_at: Instant
    next_at: Instant | None = Field(default=None, description="next reminder, or the limit")
    reminders: int = Field(default=0, description="1 from half of the limit on, 2 from 80 % on")
    reminded_at: Instant | None = None
    overdue_at: Instant | None = None
    done: Signature | None = None
    declared_at: Instant | None = Field(default=None, description="time of the declaration")
    dismissed: Signature | None = None
    text_id: str | None = Field(
        default=None, description="in `texts`: reference of the receipt, or why it does not apply"
    )
    changed_at: Instant
    version: int = 0

    @property
    def scope(self) -> None:
        """Return the scope of the role: the whole territory."""
        return


@register_message
class ObligationChanged(RowFact):
    """A clock changed.

    `change`: started, reminded, overdue, done, dismissed.
    """

    collection: ClassVar[str] = "obligations"
    row: ObligationRow
    change: str


@register_message
class StartObligation(Command):
    """Start the clock of an obligation: the author says when the matter became known."""

    obligation: str
    incident: str
    known_at: Instant


@register_message
class FulfilObligation(Command):
    """End a clock with its proof; the reference of the receipt is in `texts`."""

    clock: str
    text_id: str
    declared_at: Instant | None = Field(default=None, description="now when absent")
    expected: int | None = None


@register_message
class DismissObligation(Command):
    """End a clock that does not apply, with a reason."""

    clock: str
    expected: int | None = None
