"""Routes for lessons learned and improvement actions: `/retex` and `/improvements`. Rule D53."""

from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, Field

from schemas.commands import AddImprovement, CloseImprovement
from services.console.documents.document import Document
from services.console.documents.formats import (
    DOCUMENT_RESPONSES,
    DocumentFormat,
    make_document_response,
)
from services.console.http.answers import (
    DecisionRouter,
    Subject,
    require_text,
    send_decision,
    send_text,
)
from services.console.http.context import (
    DecisionBody,
    DecisionContext,
    LogReader,
    PageRequest,
    is_limited,
    require_decision,
)
from services.console.http.fair_queue import ExpensiveWork
from services.console.http.scopes import check_incident
from services.console.resources import Improvement, Page
from services.runtime.identity.permissions import Permission

router = DecisionRouter(prefix="/api/v1", tags=["lessons learned"])
SitrepAuthor = Annotated[DecisionContext, Depends(require_decision(Permission.SITREP_WRITE))]


class ImprovementRequest(DecisionBody):
    text: str = Field(min_length=1, max_length=2000)
    owner: str = Field(
        max_length=64, description="role, as in the territory's policy, that owns it"
    )
    due_at: AwareDatetime
    incident: str | None = Field(default=None, max_length=64)


@router.get(
    "/retex",
    response_model=Document,
    responses=DOCUMENT_RESPONSES,
    summary="Show the lessons learned of an incident or of the realm, from the log",
)
async def get_retex(
    reader: LogReader,
    request: Request,
    incident: Annotated[str | None, Query(max_length=64)] = None,
    form: DocumentFormat = "json",
) -> Response:
    langs = ("fr", "en") if form == "json" else (reader.lang,)
    costs: ExpensiveWork = request.app.state.costs
    async with costs.documents.hold_place(reader.principal.id):
        document = await reader.model.draft_retex(incident=incident, langs=langs)
        return await make_document_response(
            request, document, form, reader.lang, name=f"retex-{reader.realm}"
        )


@router.get("/improvements", summary="List improvement actions: open ones first, next due first")
async def list_improvements(reader: LogReader, part: PageRequest) -> Page[Improvement]:
    return part.of((await reader.model.improvements()).items)


@router.decision("/improvements", "Decide an action: a task of the role that owns it")
async def add_improvement(author: SitrepAuthor, body: ImprovementRequest) -> Response:
    author = author.within(body)
    require_text(body.text, "text")
    await check_incident(author, body.incident)
    if body.incident is not None:
        await author.model.incident(
            body.incident
        )  # an action of an unknown incident would appear in no document
    return await send_text(author, body, "continuity", AddImprovement, body.text)


async def _check_improvement_scope(author: DecisionContext, id: str) -> None:
    """Refuse actions of incidents outside the author's scope.

    The decider refuses unknown actions.
    """
    if not is_limited(author.principal):
        return
    for action in (await author.model.improvements()).items:
        if action.id == id:
            await check_incident(author, action.incident)


IMPROVEMENT = Subject(
    router,
    "/improvements/{id}",
    "improvement",
    SitrepAuthor,
    _check_improvement_scope,
    "continuity",
)


IMPROVEMENT.forward(
    "/done", "Complete an improvement action", CloseImprovement, operation_id="complete_improvement"
)


@router.decision("/improvements/{id}/drop", "Drop an improvement action, with a reason")
async def drop_improvement(author: SitrepAuthor, id: str, body: DecisionBody) -> Response:
    await _check_improvement_scope(author.within(body), id)
    require_text(body.reason)
    return await send_decision(
        author, body, "continuity", CloseImprovement, improvement=id, dropped=True
    )
