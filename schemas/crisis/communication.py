"""Statements of the territory, and the questions that it is asked.

Words are in `texts`; logs hold references, codes and states. Rule D91.
"""

from enum import StrEnum
from typing import ClassVar, Final

from pydantic import Field

from schemas.base import Command, Instant, Model, RowFact, register_message


class Audience(StrEnum):
    """People that a statement is for, or that a question comes from."""

    AGENTS = "agents"
    FAMILIES = "families"
    USERS = "users"
    ELECTED = "elected"
    PRESS = "press"


class StatementState(StrEnum):
    """State of a statement; it moves only along `STATEMENT_MOVES`."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    VALIDATED = "validated"
    PUBLISHED = "published"
    REFUSED = "refused"
    RETRACTED = "retracted"


STATEMENT_MOVES: Final[dict[str, dict[StatementState, StatementState]]] = {
    "revised": {
        StatementState.DRAFT: StatementState.DRAFT,
        StatementState.REFUSED: StatementState.DRAFT,
    },
    "readdressed": {
        StatementState.DRAFT: StatementState.DRAFT,
        StatementState.SUBMITTED: StatementState.DRAFT,
        StatementState.VALIDATED: StatementState.DRAFT,
        StatementState.REFUSED: StatementState.DRAFT,
    },
    "submitted": {StatementState.DRAFT: StatementState.SUBMITTED},
    "validated": {StatementState.SUBMITTED: StatementState.VALIDATED},
    "refused": {StatementState.SUBMITTED: StatementState.REFUSED},
    "published": {StatementState.VALIDATED: StatementState.PUBLISHED},
    "retracted": {
        StatementState.DRAFT: StatementState.RETRACTED,
        StatementState.SUBMITTED: StatementState.RETRACTED,
        StatementState.VALIDATED: StatementState.RETRACTED,
        StatementState.PUBLISHED: StatementState.RETRACTED,
        StatementState.REFUSED: StatementState.RETRACTED,
    },
}
"""Change → state before → state after. Every other move is refused."""


class QuestionState(StrEnum):
    OPEN = "open"
    ANSWERED = "answered"


class Signature(Model):
    """A person's step in the life of a statement."""

    by: str
    role: str
    at: Instant


class StatementRow(Model):
    """One statement. `text_id` changes with each revision, so a validated text cannot change."""

    id: str
    state: StatementState
    audience: Audience
    plain: bool = Field(default=False, description="plain language (FALC)")
    template: str | None = Field(default=None, description="id in the territory's templates")
    incident: str | None = None
    report: str | None = Field(default=None, description="the rumour that it answers")
    question: str | None = Field(default=None, description="the question that it answers")
    text_id: str
    blanks: int = Field(default=0, description="blanks of the template that are not filled yet")
    drafted: Signature
    revised: Signature | None = None
    readdressed: Signature | None = Field(default=None, description="last change of the audience")
    submitted: Signature | None = None
    validated: Signature | None = None
    refused: Signature | None = None
    published: Signature | None = None
    retracted: Signature | None = None
    reason: str | None = Field(
        default=None, description="reference `text:<id>`: why it was refused or retracted"
    )
    changed_at: Instant
    version: int = 0


class QuestionRow(Model):
    """One question that somebody asked the territory."""

    id: str
    state: QuestionState
    asker: Audience
    text_id: str
    incident: str | None = None
    asked_at: Instant
    due_at: Instant | None = Field(default=None, description="the asker wants an answer by then")
    noted: Signature
    answered: Signature | None = None
    answer_text_id: str | None = None
    statement: str | None = Field(default=None, description="the statement that answers it")
    changed_at: Instant
    version: int = 0


@register_message
class StatementChanged(RowFact):
    """A statement changed.

    `change`: drafted, revised, readdressed, submitted, validated, refused, published, retracted.
    """

    collection: ClassVar[str] = "statements"
    row: StatementRow
    change: str


@register_message
class QuestionChanged(RowFact):
    """A question was received or answered.

    `change`: received, answered.
    """

    collection: ClassVar[str] = "questions"
    row: QuestionRow
    change: str


@register_message
class DraftStatement(Command):
    """Draft a statement; its text is in `texts`."""

    text_id: str
    blanks: int = Field(default=0, ge=0)
    audience: Audience
    plain: bool = False
    template: str | None = None
    incident: str | None = None
    report: str | None = None
    question: str | None = None


@register_message
class ReviseStatement(Command):
    """Replace the text of a draft, or of a refused statement, which becomes a draft again."""

    statement: str
    text_id: str
    blanks: int = Field(default=0, ge=0)
    expected: int | None = None


@register_message
class ReaddressStatement(Command):
    """Change the audience of a statement before its publication; it becomes a draft again."""

    statement: str
    audience: Audience
    plain: bool | None = Field(default=None, description="plain language; null = as before")
    expected: int | None = None


@register_message
class SubmitStatement(Command):
    """Ask the communication function to validate a draft without blanks."""

    statement: str
    expected: int | None = None


@register_message
class ValidateStatement(Command):
    """Validate a submitted statement; its authors may not."""

    statement: str
    expected: int | None = None


@register_message
class RefuseStatement(Command):
    """Refuse a submitted statement, with a reason."""

    statement: str
    expected: int | None = None


@register_message
class PublishStatement(Command):
    """Publish a validated statement; the question that it answers is answered."""

    statement: str
    expected: int | None = None


@register_message
class RetractStatement(Command):
    """Retract a statement for good; a published one needs a reason."""

    statement: str
    expected: int | None = None


@register_message
class ReceiveQuestion(Command):
    """Note a question of the press, of families, users, agents or elected people."""

    text_id: str
    asker: Audience
    incident: str | None = None
    occurred_at: Instant | None = None
    due_at: Instant | None = None


@register_message
class AnswerQuestion(Command):
    """Answer a question by a published statement, or in other words that are in `texts`."""

    question: str
    statement: str | None = None
    text_id: str | None = None
    expected: int | None = None
