"""Resources of changes of the reference data. Rule D63."""

from __future__ import annotations

from pydantic import Field

from schemas.reference_changes import ChangeState, Foreseen, SectionDifference
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
            "true if it is proposed and its base is no longer in force: it can no longer be "
            "approved"
        )
    )
    effective_at: Time | None = Field(description="null = at the approval")
    in_force_at: Time | None
    cause: str | None = Field(description="reason of a failure: base_changed, load_under_way")
    release: bool = Field(
        description="true to release agents that are reassigned from or to a dropped site"
    )
    sections: list[SectionDifference]
    dropped_sites: list[str]
    foreseen: Foreseen | None = Field(description="null = no crisis was replayed")
    decisions: list[ChangeDecision] = Field(description="decisions, beginning with the proposal")
    version: int = Field(description="number of decisions; also the ETag")
