"""Resources of changes of the reference data. Rule D63."""

from datetime import date

from pydantic import Field

from schemas.reference_changes import (
    ChangeState,
    FieldChange,
    FieldValue,
    Foreseen,
    RecordEdit,
    RecordKind,
    SectionDifference,
)
from services.console.resource_base import Resource, Time


class ChangeDecision(Resource):
    """The decision of one person."""

    what: str = Field(description="proposed, approved, declined, withdrawn")
    by: str
    role: str
    at: Time
    reason: str | None = Field(description="free text, for roles that may read it")


class ReferenceChange(Resource):
    """A change of the reference data: proposal, decisions, and time of publication."""

    id: str
    realm: str
    state: ChangeState
    reference: str = Field(description="version that it brings")
    base: str = Field(description="version from which it starts")
    outdated: bool = Field(
        description=(
            "true if it is proposed and its base is no longer in force, or the record that it "
            "edits has changed since: it can no longer be approved"
        )
    )
    effective_at: Time | None = Field(description="null = at the approval")
    in_force_at: Time | None
    cause: str | None = Field(
        description="reason of a failure: base_changed, load_under_way, site_in_incident"
    )
    release: bool = Field(
        description="true to release agents that are reassigned from or to a dropped site"
    )
    sections: list[SectionDifference]
    dropped_sites: list[str]
    foreseen: Foreseen | None = Field(description="null = no crisis was replayed")
    edit: RecordEdit | None = Field(
        default=None, description="change of one record; null = of a whole version"
    )
    decisions: list[ChangeDecision] = Field(description="decisions, beginning with the proposal")
    version: int = Field(description="number of decisions; also the ETag")


class RecordEntry(Resource):
    """A record of the reference data that people may edit by itself. Rule D86."""

    kind: RecordKind
    id: str = Field(description="a card: `PLAN.CARD`")
    name: str
    pole: str | None = Field(description="pôle that owns it; null = the whole territory")
    change: str | None = Field(description="open change of this record; null = there is none")


class RecordChoice(Resource):
    """A possible value of a field."""

    id: str
    name: str


class RecordFieldState(Resource):
    """A field of a record, with its label and its values."""

    name: str
    label: str
    widget: str = Field(
        description=(
            "text, lines, number, date, clock, choice, choices, ordered (one choice each), or "
            "conditions (alternatives, each a JSON list of comparisons)"
        )
    )
    value: FieldValue
    required: bool
    most: int = Field(description="most characters, or lines of text")
    choices: list[RecordChoice] = Field(description="possible values; empty = any")


class RecordState(RecordEntry):
    """A record as it is in force, ready to be edited."""

    reference: str = Field(description="version in force")
    seen: str = Field(description="digest of its values; send it with a proposal")
    fields: list[RecordFieldState]


class RecordForm(Resource):
    """Fields of a new record of one kind."""

    kind: RecordKind
    fields: list[RecordFieldState]


class DutySpan(Resource):
    """Span in which the people on call for a place stay the same, before and after a change."""

    start: Time
    end: Time
    before: list[str]
    after: list[str]
    by: str = Field(
        description="source after the change: override, swap, calendar, rotation, roster, none"
    )
    is_changed: bool
    is_new_gap: bool = Field(description="somebody was on call, and nobody would be")


class PlaceCoverage(Resource):
    """Holder or deputy of a role over the next days."""

    role: str
    scope: str | None
    role_name: str
    place: str = Field(description="holder, deputy")
    spans: list[DutySpan]


class CoverageGap(Resource):
    """Gap of readiness that a change makes."""

    kind: str
    text: str
    person: str | None
    start: Time
    end: Time


class Coverage(Resource):
    """Effect of a change on the people on call in the next days. Rules D34, D38."""

    start: Time
    end: Time
    places: list[PlaceCoverage]
    gaps: list[CoverageGap] = Field(description="gaps that the role does not have without it")
    uncovered_h: float = Field(description="hours more in which nobody is on call")


class RecordPreview(Resource):
    """Effect of a change of a record before it is proposed."""

    fields: list[FieldChange]
    coverage: Coverage | None = Field(
        description="who is on call in the next 14 days; null: the record is no schedule"
    )
    foreseen: Foreseen | None = Field(
        description="effect on recorded crises; null: not asked for, or no rule reads the fields"
    )


class RecordReview(Resource):
    """Yearly review of a plan and its cards, an activity or a partner. Rule D86."""

    kind: RecordKind = Field(description="plan, activity, contact")
    id: str
    title: str
    pole: str | None
    owner: str = Field(description="role, or `role:pôle`; whom an action asks for the review")
    cards: int = Field(description="cards of a plan")
    reviewed_on: date | None
    confirmed_by: str | None = Field(
        description="who proposed the last confirmation; null: it came with the data"
    )
    approved_by: str | None
    due_on: date | None = Field(description="null: nobody has confirmed it yet")
    state: str = Field(
        description=(
            "overdue, due (within 60 days, or never confirmed), waiting (a change to approve), "
            "current"
        )
    )
    change: str | None = Field(description="open change of the record")
    action: str | None = Field(description="open action that asks the owner for the review")


class RecordReviews(Resource):
    """Yearly reviews of records, the most urgent first."""

    items: list[RecordReview]
