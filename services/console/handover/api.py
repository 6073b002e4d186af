"""Routes for handovers of the crisis cell: `/handovers`. Rule D115.

A draft follows the facts; the signature of the outgoing person freezes its page.
"""

import asyncio
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.responses import Response
from pydantic import Field

from schemas.crisis.handovers import (
    AcceptHandover,
    DraftHandover,
    HandoverPage,
    ReviseHandover,
    SignHandover,
    WithdrawHandover,
)
from services.console.documents.document import Document, hash_document
from services.console.documents.formats import (
    DOCUMENT_RESPONSES,
    DocumentFormat,
    make_document_response,
)
from services.console.documents.sitreps_api import sign_document
from services.console.handover.queries import Handover
from services.console.http.answers import (
    DecisionRouter,
    Subject,
    find_repeated_answer,
    require_text,
    send_decision,
    send_text,
)
from services.console.http.context import (
    DecisionBody,
    DecisionContext,
    LogReader,
    PageRequest,
    require_decision,
    set_etag,
)
from services.console.http.decisions import CommandDispatcher
from services.console.http.fair_queue import ExpensiveWork
from services.console.i18n import get_translator
from services.console.proof.api import read_partners
from services.console.resources import Page
from services.runtime.identity.permissions import Permission

router = DecisionRouter(prefix="/api/v1/handovers", tags=["situation reports"])
LONGEST_OBJECTIVE: Final = 600
"""Characters of the objective: with the rest it fits one page."""
Recipients = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=128)]], Field(min_length=1, max_length=20)
]
HandoverAuthor = Annotated[
    DecisionContext, Depends(require_decision(Permission.SITREP_WRITE, whole_territory=True))
]
HANDOVER = Subject(router, "/{id}", "handover", HandoverAuthor)


class HandoverRequest(DecisionBody):
    """A handover to draft. Names and health data do not belong in the objective."""

    objective: str = Field(min_length=1, max_length=LONGEST_OBJECTIVE)
    recipients: Recipients = Field(
        description="role, `<role>:<pôle or site>`, token of a person, or site (its manager)"
    )


class HandoverRevision(DecisionBody):
    """Another objective or other recipients; a signature is void after that."""

    objective: str | None = Field(default=None, max_length=LONGEST_OBJECTIVE)
    recipients: Recipients | None = None


@router.get("", summary="List handovers with their objectives, newest first")
async def list_handovers(reader: LogReader, part: PageRequest) -> Page[Handover]:
    handovers = await reader.model.handovers()
    return part.of(handovers.items)


@router.get("/{id}", summary="Show one handover; its ETag is the version for If-Match")
async def get_handover(reader: LogReader, id: str, response: Response) -> Handover:
    handover = await reader.model.handover(id)
    set_etag(response, handover.version)
    return handover


@router.get(
    "/{id}/document",
    response_model=Document,
    responses=DOCUMENT_RESPONSES,
    summary="Show the page of a handover: as it is now, or as frozen by the first signature",
)
async def get_handover_document(
    reader: LogReader, request: Request, id: str, form: DocumentFormat = "json"
) -> Response:
    """Return the page; JSON has the frozen bytes, the other forms the objective and signatures."""
    langs = ("fr", "en") if form == "json" else (reader.lang,)
    costs: ExpensiveWork = request.app.state.costs
    async with costs.documents.hold_place(reader.principal.id):
        partners = await read_partners(request, reader.model)
        handover = await reader.model.handover(id)
        frozen, page = await reader.model.handover_page(id, langs=langs, partners=partners)
        stamp = ""
        if handover.page is not None:
            stamp = write_stamp(handover.page.sha256, reader.lang)
        response = await make_document_response(
            request,
            frozen if form == "json" else page,
            form,
            reader.lang,
            name=f"releve-{reader.realm}-{handover.number}",
            stamp=stamp,
        )
    if handover.page is not None:
        response.headers["Vigie-Document-Sha256"] = handover.page.sha256
        signature = await asyncio.to_thread(sign_document, request, frozen)
        response.headers["Vigie-Signature"] = signature.hex()
    return response


def write_stamp(sha256: str, lang: str) -> str:
    """Return the proof text of a signed page: its hash."""
    return get_translator(lang)("SHA-256 {hash}.", hash=sha256)


@router.decision("", "Draft the next handover; its id is `handover` of the result")
async def draft_handover(author: HandoverAuthor, body: HandoverRequest) -> Response:
    objective = require_text(body.objective, "objective")
    return await send_text(author.within(body), body, "alerts", DraftHandover, objective)


@router.decision(
    "/{id}:revise",
    "Replace the objective or the recipients; a signed one has to be signed again",
    versioned=True,
)
async def revise_handover(author: HandoverAuthor, id: str, body: HandoverRevision) -> Response:
    words = body.objective
    if words is None and body.recipients is None:
        require_text(words, "objective")
    if words is None or not words.strip():
        body = body.model_copy(update={"reason": None})
        return await send_decision(author, body, "alerts", ReviseHandover, handover=id)
    return await send_text(
        author.within(body), body, "alerts", ReviseHandover, words.strip(), handover=id
    )


@router.decision("/{id}:sign", "Sign as the outgoing person: the page is frozen", versioned=True)
async def sign_handover(
    author: HandoverAuthor, id: str, body: DecisionBody | None = None
) -> Response:
    author = author.within(body)
    if (before := await find_repeated_answer(author)) is not None:
        return before
    decisions: CommandDispatcher = author.request.app.state.decisions
    row = await author.model.handover_row(id)
    partners = await read_partners(author.request, author.model)
    document, next_at = await author.model.draft_handover_page(row, partners=partners)
    document = document.model_copy(update={"heads": dict(await author.model.heads())})
    raw = document.frozen()
    sha256 = hash_document(raw)
    command_id = decisions.command_id(author.principal, author.realm, author.key)
    text_id = decisions.text_id(command_id, sha256)
    await decisions.put_document(text_id, raw)
    page = HandoverPage(
        text_id=text_id,
        sha256=sha256,
        as_of=document.as_of,
        counts=document.figures,
        next_at=next_at,
    )
    expected = row.version if author.expected_version is None else author.expected_version
    return await send_decision(
        author, body, "alerts", SignHandover, handover=id, page=page, expected=expected
    )


HANDOVER.forward(
    ":accept",
    "Sign as the incoming person, another one than the first: the recipients are told",
    AcceptHandover,
    versioned=True,
)
HANDOVER.forward(
    ":withdraw",
    "Withdraw a handover that nobody accepted, with a reason",
    WithdrawHandover,
    needs_reason=True,
    versioned=True,
)
