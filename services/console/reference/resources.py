"""Resources of changes of the reference data. Rule D63."""

from __future__ import annotations

from pydantic import Field

from schemas.reference_changes import ChangeState, Foreseen, SectionDifference
from services.console.resources.base import Resource, Time


class ChangeDecision(Resource):
    """The decision of one person."""

    what: str = Field(description="proposed, approved, declined, withdrawn")
    by: str
    role: str
    at: Time
    reason: str | None = Field(description="for roles that may read free text")


class ReferenceChange(Resource):
    """A change of the reference data: proposal, decisions, and time of publication."""

    id: str
    realm: str
    state: ChangeState
    reference: str = Field(description="the version that it brings")
    base: str = Field(description="the version from which it starts")
    outdated: bool = Field(
        description="proposed, and its base is no longer in force: it cannot be approved any more"
    )
    effective_at: Time | None = Field(description="null: when it is approved")
    in_force_at: Time | None
    cause: str | None = Field(description="why it failed: base_changed, load_under_way")
    release: bool = Field(
        description="agents reassigned from or to a site that it drops are released"
    )
    sections: list[SectionDifference]
    dropped_sites: list[str]
    foreseen: Foreseen | None = Field(description="null: no crisis was replayed")
    decisions: list[ChangeDecision] = Field(description="the proposal first")
    version: int = Field(description="counts decisions; also the ETag")
