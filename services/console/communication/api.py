"""Routes for statements, questions and templates: `/statements`, `/questions`. Rule D91.

Texts go to the encrypted texts; commands carry their ids.
"""

from typing import Annotated, Any, Final

from fastapi import Depends, Query
from fastapi.responses import Response
from pydantic import AwareDatetime, Field

from schemas.crisis.communication import (
    AnswerQuestion,
    Audience,
    DraftStatement,
    PublishStatement,
    QuestionState,
    ReaddressStatement,
    ReceiveQuestion,
    RefuseStatement,
    RetractStatement,
    ReviseStatement,
    StatementState,
    SubmitStatement,
    ValidateStatement,
)
from services.console.communication.drafting import count_blanks
from services.console.communication.queries import (
    TITLE_FIELD,
    Question,
    Statement,
    StatementTemplate,
)
from services.console.http.answers import (
    DecisionRouter,
    Subject,
    require_text,
    send_decision,
    send_text,
)
from services.console.http.context import (
    Cursor,
    DecisionBody,
    DecisionContext,
    Limit,
    LogReader,
    Multiple,
    PageRequest,
    check_whole_territory,
    require_decision,
    set_etag,
)
from services.console.http.scopes import check_incident
from services.console.resources import Page
from services.runtime.http.problems import build_field_problem
from services.runtime.identity.permissions import Permission

router = DecisionRouter(prefix="/api/v1", tags=["communication"])
StatementAuthor = Annotated[DecisionContext, Depends(require_decision(Permission.STATEMENT_WRITE))]
QuestionAuthor = Annotated[DecisionContext, Depends(require_decision(Permission.NOTE_WRITE))]
LONGEST: Final = 4000
"""Characters of a statement, a question or an answer."""


class StatementRequest(DecisionBody):
    """A statement to draft: in words of one's own, or those of a template for an incident."""

    audience: Audience | None = Field(default=None, description="default: that of the template")
    plain: bool | None = Field(default=None, description="plain language (FALC)")
    title: str | None = Field(default=None, max_length=200)
    text: str | None = Field(default=None, max_length=LONGEST)
    template: str | None = Field(
        default=None, max_length=64, description="its words, when `text` is absent"
    )
    incident: str | None = Field(default=None, max_length=64)
    report: str | None = Field(
        default=None, max_length=64, description="the rumour that it answers"
    )
    question: str | None = Field(
        default=None, max_length=64, description="the question that it answers once published"
    )


class Revision(DecisionBody):
    """New words of a draft, or of a refused statement."""

    title: str | None = Field(default=None, max_length=200)
    text: str = Field(min_length=1, max_length=LONGEST)


class NewAudience(DecisionBody):
    """The new audience of a statement."""

    audience: Audience
    plain: bool | None = Field(
        default=None, description="plain language (FALC); as before if absent"
    )


class QuestionRequest(DecisionBody):
    """A question. Names and numbers belong in the text; it is encrypted and can be erased."""

    asker: Audience
    text: str = Field(min_length=1, max_length=LONGEST)
    incident: str | None = Field(default=None, max_length=64)
    occurred_at: AwareDatetime | None = Field(default=None, description="now when absent")
    due_at: AwareDatetime | None = Field(default=None, description="answer wanted by then")


class AnswerRequest(DecisionBody):
    """The answer to a question: a published statement, or other words."""

    statement: str | None = Field(default=None, max_length=64)
    text: str | None = Field(default=None, max_length=LONGEST)


async def check_statement_scope(author: DecisionContext, id: str) -> None:
    """Refuse a statement about an incident outside the author's scope.

    A statement without an incident speaks for the whole territory. Raises NotFound.
    """
    if author.principal.scope.sites or author.principal.scope.poles:
        statement = await author.model.statement(id)
        await check_incident(author, statement.incident)


STATEMENT = Subject(router, "/statements/{id}", "statement", StatementAuthor, check_statement_scope)


@router.get(
    "/statements", summary="List statements with their texts: those that wait for somebody first"
)
async def list_statements(
    reader: LogReader,
    state: Multiple[StatementState],
    audience: Multiple[Audience],
    incident: str | None = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Page[Statement]:
    return await reader.model.statements(
        state=state, audience=audience, incident=incident, limit=limit, cursor=cursor
    )


@router.get(
    "/statement-templates",
    operation_id="list_statement_templates",
    summary="List templates of the territory, filled with the known facts of an incident",
)
async def list_templates(
    reader: LogReader,
    part: PageRequest,
    incident: str | None = None,
    event: str | None = None,
    audience: Audience | None = None,
    plain: Annotated[bool | None, Query(description="plain language (FALC)")] = None,
) -> Page[StatementTemplate]:
    return part.of(
        await reader.model.statement_templates(
            incident=incident, event=event, audience=audience, plain=plain
        )
    )


@router.get("/statements/{id}", summary="Show one statement; its ETag is the version for If-Match")
async def get_statement(reader: LogReader, id: str, response: Response) -> Statement:
    statement = await reader.model.statement(id)
    set_etag(response, statement.version)
    return statement


@router.decision("/statements", "Draft a statement; its id is `statement` of the result")
async def draft_statement(author: StatementAuthor, body: StatementRequest) -> Response:
    author = author.within(body)
    await check_incident(author, body.incident)
    body = await fill_request(author, body)
    text = require_text(body.text, "text")
    return await send_text(
        author,
        body,
        "alerts",
        DraftStatement,
        text.strip(),
        more_texts=_name_title(body.title),
        blanks=count_blanks(body.title, text),
        plain=bool(body.plain),
    )


@router.decision(
    "/statements/{id}:revise",
    "Replace the words of a draft, or of a refused statement, which is a draft again",
    versioned=True,
)
async def revise_statement(author: StatementAuthor, id: str, body: Revision) -> Response:
    author = author.within(body)
    await check_statement_scope(author, id)
    text = require_text(body.text, "text")
    return await send_text(
        author,
        body,
        "alerts",
        ReviseStatement,
        text.strip(),
        more_texts=_name_title(body.title),
        statement=id,
        blanks=count_blanks(body.title, text),
    )


STATEMENT.forward(
    ":readdress",
    "Change the audience of a statement before its publication; it is a draft again",
    ReaddressStatement,
    body=NewAudience,
    versioned=True,
)
STATEMENT.forward(
    ":submit",
    "Submit a statement: ask communication to validate it",
    SubmitStatement,
    versioned=True,
)
STATEMENT.forward(
    ":validate",
    "Validate a statement, as communication and as another person than its authors",
    ValidateStatement,
    versioned=True,
)
STATEMENT.forward(
    ":refuse",
    "Refuse a statement, with a reason; its author may revise it",
    RefuseStatement,
    needs_reason=True,
    versioned=True,
)
STATEMENT.forward(
    ":publish",
    "Publish a statement; the question that it answers is answered",
    PublishStatement,
    versioned=True,
)
STATEMENT.forward(
    ":retract",
    "Retract a statement for good; a published one needs a reason",
    RetractStatement,
    versioned=True,
)


@router.get("/questions", summary="List questions with their texts: open ones first, by deadline")
async def list_questions(
    reader: LogReader,
    state: Multiple[QuestionState],
    asker: Multiple[Audience],
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Page[Question]:
    return await reader.model.questions(state=state, asker=asker, limit=limit, cursor=cursor)


@router.get("/questions/{id}", summary="Show one question; its ETag is the version for If-Match")
async def get_question(reader: LogReader, id: str, response: Response) -> Question:
    question = await reader.model.question(id)
    set_etag(response, question.version)
    return question


@router.decision("/questions", "Note a question; its id is `question` of the result")
async def receive_question(author: QuestionAuthor, body: QuestionRequest) -> Response:
    author = author.within(body)
    await check_incident(author, body.incident)
    return await send_text(
        author, body, "alerts", ReceiveQuestion, require_text(body.text, "text").strip()
    )


@router.decision(
    "/questions/{id}:answer",
    "Answer a question by a published statement or in other words",
    versioned=True,
)
async def answer_question(author: StatementAuthor, id: str, body: AnswerRequest) -> Response:
    author = author.within(body)
    check_whole_territory(author.principal)
    if body.text is None or not body.text.strip():
        if body.statement is None:
            require_text(body.text, "text")
        return await send_decision(author, body, "alerts", AnswerQuestion, question=id)
    return await send_text(author, body, "alerts", AnswerQuestion, body.text.strip(), question=id)


def _name_title(title: str | None) -> dict[str, str]:
    return {TITLE_FIELD: title} if title else {}


async def fill_request(author: DecisionContext, body: StatementRequest) -> StatementRequest:
    """Return the request with the words and audience of its template.

    Raises NotFound, ProblemError `invalid` (no such template, no audience).
    """
    values: dict[str, Any] = {}
    if body.template is not None:
        statement_templates = await author.model.statement_templates(
            incident=body.incident, id=body.template
        )
        if not statement_templates:
            raise build_field_problem(
                "template", "unknown", "ce modèle n’existe pas", "no such template"
            )
        template = statement_templates[0]
        values = {
            "audience": body.audience or template.audience,
            "plain": template.plain if body.plain is None else body.plain,
            "title": body.title or template.title,
            "text": body.text or template.text,
        }
    elif body.audience is None:
        raise build_field_problem("audience", "missing", "champ obligatoire", "required field")
    return body.model_copy(update=values)
