"""Changes of the reference data (D63): a proposal, a second person, an effective date. Rows, facts and commands.

A version is proposed whole, section by section, and kept until its change is over; nothing of it counts before it is in force.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from schemas.base import Command, Fact, Instant, Model, RowFact, message
from schemas.reference import Section, SectionCommand, SectionData

MOST_NAMED = 24
"""Rows of a section that a change names; it counts all."""
MOST_OPEN = 5
"""Changes of one realm that are proposed or approved at once: each holds a whole version."""


class ChangeState(StrEnum):
    PROPOSED = "proposed"
    APPROVED = "approved"
    IN_FORCE = "in_force"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    FAILED = "failed"


OPEN_CHANGES = frozenset({ChangeState.PROPOSED, ChangeState.APPROVED})


class SectionDifference(Model):
    """What one section changes, in rows of its file."""

    section: Section
    added: int = Field(default=0, ge=0)
    changed: int = Field(default=0, ge=0)
    dropped: int = Field(default=0, ge=0)
    named: tuple[str, ...] = Field(
        default=(),
        max_length=MOST_NAMED,
        description="the first of them, with `+`, `~` or `-` before their name: dropped, changed, added",
    )


class Foreseen(Model):
    """What the change would have done to recorded crises (`vigie whatif`), as the proposer's replay found it."""

    crises: int = Field(ge=0, description="replayed; 0: there were none")
    moved: int = Field(
        default=0, ge=0, description="in which anything would have come at another time"
    )
    earlier: int = Field(default=0, ge=0, description="calls of posts")
    later: int = Field(default=0, ge=0)
    lost: int = Field(default=0, ge=0, description="calls that would not have been made")
    added: int = Field(default=0, ge=0, description="calls that were not made")
    levels: int = Field(
        default=0, ge=0, description="levels reached at another time, or in one of both only"
    )
    plans: int = Field(default=0, ge=0, description="the same of states of plans")
    activities: int = Field(default=0, ge=0, description="the same of states of activities")
    unread: int = Field(default=0, ge=0, description="crises that could not be replayed any more")
    worse: tuple[str, ...] = Field(
        default=(),
        max_length=20,
        description="realms in which a post would have been called later, or no more",
    )


class ChangeDecision(Model):
    """What one person said."""

    what: Literal["proposed", "approved", "declined", "withdrawn"]
    by: str
    role: str
    at: Instant
    reason: str | None = Field(default=None, description="reference `text:<id>`")


class ReferenceChangeRow(Model):
    id: str
    state: ChangeState
    reference: str = Field(description="the version that it brings")
    base: str = Field(
        description="the version from which it starts: if another one comes into force before it, it does not"
    )
    effective_at: Instant | None = Field(default=None, description="None: when it is approved")
    release: bool = Field(
        default=False, description="agents reassigned from or to a site that it drops are released"
    )
    sections: tuple[SectionDifference, ...] = Field(description="those that differ from `base`")
    dropped_sites: tuple[str, ...] = ()
    foreseen: Foreseen | None = Field(default=None, description="None: no crisis was replayed")
    decisions: tuple[ChangeDecision, ...] = Field(min_length=1, description="the proposal first")
    cause: str | None = Field(
        default=None, description="why it failed: base_changed, load_under_way"
    )
    in_force_at: Instant | None = None
    version: int = Field(default=0, description="counts decisions")
    published: int = Field(default=0, description="sections of it that are published")
    judged: str | None = Field(
        default=None, description="up to this site everything is judged again under it"
    )
    next_at: Instant | None = None
    step: int = 0

    @property
    def proposed(self) -> ChangeDecision:
        return self.decisions[0]

    @property
    def ended_at(self) -> Instant:
        """When it came into force, or was decided last."""
        return self.in_force_at or self.decisions[-1].at


@message
class ReferenceDrafted(Fact):
    """A section of a version that is proposed, kept until its change is over."""

    reference: str
    data: SectionData
    drafted_at: Instant


@message
class ReferenceChangeRecorded(RowFact):
    """`change`: proposed, approved, declined, withdrawn, failed, publishing (one section more), in_force, judging (a batch of sites)."""

    collection: ClassVar[str] = "reference_changes"
    row: ReferenceChangeRow
    change: str


@message
class DraftReference(SectionCommand):
    """One section of a version that is going to be proposed. It has no effect by itself."""


@message
class ProposeReference(Command):
    """Propose the version whose sections were drafted. Another person approves it."""

    reference: str
    base: str = Field(description="the version with which it was compared")
    effective_at: Instant | None = None
    release: bool = False
    sections: tuple[SectionDifference, ...]
    dropped_sites: tuple[str, ...] = Field(default=(), max_length=2000)
    foreseen: Foreseen | None = None


class _Deciding(Command):
    change: str
    expected: int | None = None


@message
class ApproveReference(_Deciding):
    """A second person says yes: it comes into force at its effective time."""


@message
class DeclineReference(_Deciding):
    """A second person says no."""


@message
class WithdrawReference(_Deciding):
    """The proposer takes it back; or, once it is approved and not in force yet, anybody who may decide."""
