"""Resources of statements, questions and templates."""

from __future__ import annotations

from pydantic import Field

from schemas.crisis.communication import Audience, QuestionState, StatementState
from services.console.resource_base import Resource, Time


class Signed(Resource):
    """A person's step: token, role and time."""

    by: str
    role: str
    at: Time


class Statement(Resource):
    """A statement of the territory, and its way to publication. Rule D91."""

    id: str
    realm: str
    state: StatementState
    audience: Audience
    plain: bool = Field(description="plain language (FALC)")
    template: str | None
    incident: str | None
    report: str | None = Field(description="the rumour that it answers")
    question: str | None = Field(description="the question that it answers")
    title: str | None
    text: str | None = Field(description="null on the live stream, and when it was erased")
    blanks: int = Field(description="blanks to fill before it can be submitted")
    drafted: Signed
    revised: Signed | None
    readdressed: Signed | None = Field(description="last change of the audience")
    submitted: Signed | None
    validated: Signed | None
    refused: Signed | None
    published: Signed | None
    retracted: Signed | None
    reason: str | None = Field(description="why it was refused or retracted")
    changed_at: Time
    version: int = Field(description="counts decisions; also the ETag")
    moves: list[str] = Field(description="what may follow: submitted, validated, …")


class Question(Resource):
    """A question that somebody asked the territory. Rule D91."""

    id: str
    realm: str
    state: QuestionState
    asker: Audience
    text: str | None
    incident: str | None
    asked_at: Time
    due_at: Time | None
    late: bool = Field(description="still open after `due_at`")
    noted: Signed
    answered: Signed | None
    answer: str | None
    statement: str | None = Field(description="the statement that answers it")
    changed_at: Time
    version: int


class StatementTemplate(Resource):
    """A template of the territory, filled with the known facts of an incident."""

    id: str
    realm: str
    event: str = Field(description="family of incidents, or `any`")
    audience: Audience
    plain: bool
    title: str
    text: str
    blanks: list[str] = Field(description="what a person has to fill, as it stands in the text")
