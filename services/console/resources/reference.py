"""Changes of the reference data (D63)."""

from __future__ import annotations

from pydantic import Field

from schemas.reference import Section
from schemas.reference_changes import ChangeState
from services.console.resources.base import Resource, Time


class SectionDifference(Resource):
    """What one section changes, in rows of its file."""

    section: Section
    added: int
    changed: int
    dropped: int
    named: list[str] = Field(description="the first of them, with `-`, `~` or `+` before their name")


class Foreseen(Resource):
    """What it would have done to recorded crises, as the proposer's replay found it."""

    crises: int
    moved: int = Field(description="crises in which anything would have come at another time")
    earlier: int = Field(description="calls of posts")
    later: int
    lost: int = Field(description="calls that would not have been made")
    added: int
    levels: int
    plans: int
    activities: int
    unread: int = Field(description="crises that could not be replayed")
    worse: list[str] = Field(description="realms in which a post would have been called later, or no more")


class ChangeDecision(Resource):
    """What one person said."""

    what: str = Field(description="proposed, approved, declined, withdrawn")
    by: str
    role: str
    at: Time
    reason: str | None = Field(description="for roles that may read free text")


class ReferenceChange(Resource):
    """A change of the reference data: a proposal, a second person, an effective time."""

    id: str
    realm: str
    state: ChangeState
    reference: str = Field(description="the version that it brings")
    base: str = Field(description="the version from which it starts")
    outdated: bool = Field(description="proposed, and its base is no longer in force: it cannot be approved any more")
    effective_at: Time | None = Field(description="null: when it is approved")
    in_force_at: Time | None
    cause: str | None = Field(description="why it failed: base_changed, load_under_way")
    release: bool = Field(description="agents reassigned from or to a site that it drops are released")
    sections: list[SectionDifference]
    dropped_sites: list[str]
    foreseen: Foreseen | None = Field(description="null: no crisis was replayed")
    decisions: list[ChangeDecision] = Field(description="the proposal first")
    version: int = Field(description="counts decisions; also the ETag")
