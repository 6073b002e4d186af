"""Changes of the reference data: proposal, approval by a second person, effective date.

A version is proposed whole, section by section, and kept until its change is over. It has no effect
before it is in force. Rule D63.
"""

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from schemas.base import Command, Fact, Instant, Model, RowFact, register_message
from schemas.reference import Section, SectionCommand, SectionData

MAX_NAMED_ROWS = 24
"""Most rows of a section that a change names; it counts all."""
MAX_OPEN_CHANGES = 5
"""Most proposed or approved changes of one realm; each holds a whole version."""
MAX_OPEN_EDITS = 100
"""Most proposed or approved edits of one realm; each holds the fields of one record."""
MAX_EDITED_FIELDS = 40


class ChangeState(StrEnum):
    PROPOSED = "proposed"
    APPROVED = "approved"
    IN_FORCE = "in_force"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    FAILED = "failed"


OPEN_CHANGES = frozenset({ChangeState.PROPOSED, ChangeState.APPROVED})


class SectionDifference(Model):
    """Changes of one section, in rows of its file."""

    section: Section
    added: int = Field(default=0, ge=0)
    changed: int = Field(default=0, ge=0)
    dropped: int = Field(default=0, ge=0)
    named: tuple[str, ...] = Field(
        default=(),
        max_length=MAX_NAMED_ROWS,
        description="first rows by name, with `-` (dropped), `~` (changed) or `+` (added) in front",
    )


class PlanTime(Model):
    """Time at which a plan is proposed or activated in a replayed crisis, with and without."""

    realm: str
    plan: str
    state: str = Field(description="proposed, active")
    before: Instant | None = Field(description="null: never")
    after: Instant | None = Field(description="null: never")


class Foreseen(Model):
    """Effect on recorded crises, as the proposer's replay (`vigie whatif`) found it."""

    crises: int = Field(ge=0, description="number of crises replayed; 0 = there were none")
    moved: int = Field(default=0, ge=0, description="number of crises with any change of time")
    earlier: int = Field(
        default=0, ge=0, description="number of calls that would have come earlier"
    )
    later: int = Field(default=0, ge=0)
    lost: int = Field(default=0, ge=0, description="number of calls that would not have been made")
    added: int = Field(default=0, ge=0, description="number of additional calls")
    levels: int = Field(
        default=0,
        ge=0,
        description="number of levels reached at another time, or in one of both only",
    )
    plans: int = Field(
        default=0,
        ge=0,
        description="number of plan states reached at another time, or in one of both only",
    )
    activities: int = Field(
        default=0,
        ge=0,
        description="number of activity states reached at another time, or in one of both only",
    )
    unread: int = Field(
        default=0, ge=0, description="number of crises that can no longer be replayed"
    )
    worse: tuple[str, ...] = Field(
        default=(), max_length=20, description="realms with a role called later, or no longer"
    )
    plan_times: tuple[PlanTime, ...] = Field(
        default=(),
        max_length=20,
        exclude_if=lambda times: not times,
        description="plans proposed or activated at another time, or in one of both only",
    )


class ChangeDecision(Model):
    """One decision of a person on a change."""

    what: Literal["proposed", "approved", "declined", "withdrawn"]
    by: str
    role: str
    at: Instant
    reason: str | None = Field(default=None, description="reference `text:<id>`")


class RecordKind(StrEnum):
    """Kind of a record of the reference data that people edit by itself. Rule D86."""

    CONTACT = "contact"
    PLAN = "plan"
    CARD = "card"
    ACTIVITY = "activity"
    STEP = "step"
    ON_CALL = "on_call"
    ROTATION = "rotation"
    TRIGGER = "trigger"
    STAFFING = "staffing"
    REASSIGNMENT = "reassignment"


class RecordAction(StrEnum):
    """Effect of an edit on its record."""

    CHANGE = "change"
    CREATE = "create"
    WITHDRAW = "withdraw"


FieldValue = str | bool | int | float | tuple[str, ...] | None


class FieldChange(Model):
    """One field of a record, before and after."""

    field: str = Field(max_length=64)
    before: FieldValue = None
    after: FieldValue = None


class RecordEdit(Model):
    """Change, beginning or end of one record. It holds without the version that it was made on."""

    kind: RecordKind
    id: str = Field(
        max_length=128,
        description=(
            "id of the record; a card: `PLAN.CARD`; a step: `LADDER.WAVE`; an on-call role: "
            "`ROLE` or `ROLE:SCOPE`; a rotation: that, place and first day; a trigger: `PLAN.N` and "
            "its level; staff: `ACTIVITY.SITE.METIER`; a rule of reassignment: its activity"
        ),
    )
    fields: tuple[FieldChange, ...] = Field(
        min_length=1,
        max_length=MAX_EDITED_FIELDS,
        description="a new record: all fields; a withdrawn one: all, without a value after",
    )
    action: RecordAction = Field(
        default=RecordAction.CHANGE, exclude_if=lambda action: action is RecordAction.CHANGE
    )

    def is_about(self, other: "RecordEdit") -> bool:
        """Return whether both change the same record."""
        return (self.kind, self.id) == (other.kind, other.id)


class PreparedVersion(Model):
    """Version in force with one edit applied, as drafted for its approval."""

    reference: str
    base: str = Field(description="version in force when it was prepared")
    sections: tuple[SectionDifference, ...]


class ReferenceChangeRow(Model):
    id: str
    state: ChangeState
    reference: str = Field(description="version that it brings")
    base: str = Field(
        description=(
            "version from which it starts; the change fails if another version comes into force "
            "first"
        )
    )
    effective_at: Instant | None = Field(
        default=None, description="effective time; null = at approval"
    )
    release: bool = Field(
        default=False,
        description="true to release agents that are reassigned from or to a dropped site",
    )
    sections: tuple[SectionDifference, ...] = Field(description="sections that differ from `base`")
    dropped_sites: tuple[str, ...] = ()
    foreseen: Foreseen | None = Field(
        default=None, description="effect on recorded crises; null = none was replayed"
    )
    decisions: tuple[ChangeDecision, ...] = Field(
        min_length=1, description="decisions, beginning with the proposal"
    )
    edit: RecordEdit | None = Field(
        default=None,
        exclude_if=lambda edit: edit is None,
        description="change of one record; its version is prepared at the approval",
    )
    cause: str | None = Field(
        default=None,
        description="reason of a failure: base_changed, load_under_way, site_in_incident",
    )
    in_force_at: Instant | None = None
    version: int = Field(default=0, description="number of decisions")
    published: int = Field(default=0, description="number of published sections")
    judged: str | None = Field(default=None, description="last site that was judged anew under it")
    next_at: Instant | None = None
    step: int = 0

    @property
    def proposal(self) -> ChangeDecision:
        return self.decisions[0]

    @property
    def ended_at(self) -> Instant:
        """Time when it came into force, or of the last decision."""
        return self.in_force_at or self.decisions[-1].at


@register_message
class ReferenceDrafted(Fact):
    """A section of a proposed version, kept until its change is over."""

    reference: str
    data: SectionData
    drafted_at: Instant


@register_message
class ReferenceChangeRecorded(RowFact):
    """A change of the reference data was decided or moved on.

    `change`: proposed, approved, declined, withdrawn, failed, publishing (one section more),
    in_force, judging (a batch of sites).
    """

    collection: ClassVar[str] = "reference_changes"
    row: ReferenceChangeRow
    change: str


@register_message
class DraftReference(SectionCommand):
    """Draft one section of a version to propose; it has no effect by itself."""


@register_message
class ProposeReference(Command):
    """Propose the version of the drafted sections; another person approves it."""

    reference: str
    base: str = Field(description="version with which it was compared")
    effective_at: Instant | None = None
    release: bool = False
    sections: tuple[SectionDifference, ...]
    dropped_sites: tuple[str, ...] = Field(default=(), max_length=2000)
    foreseen: Foreseen | None = None
    edit: RecordEdit | None = Field(
        default=None,
        exclude_if=lambda edit: edit is None,
        description="change of one record, without drafted sections",
    )


class _Deciding(Command):
    change: str
    expected: int | None = None


@register_message
class ApproveReference(_Deciding):
    """Approve a change, as a second person; it comes into force at its effective time."""

    prepared: PreparedVersion | None = Field(
        default=None,
        exclude_if=lambda prepared: prepared is None,
        description="version with the edit; only for a change of one record",
    )


@register_message
class DeclineReference(_Deciding):
    """Decline a change, as a second person."""


@register_message
class WithdrawReference(_Deciding):
    """Withdraw a change.

    The proposer may do so; once it is approved and not yet in force, so may everybody allowed to
    decide.
    """
