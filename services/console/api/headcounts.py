"""`/api/v1/headcounts`: « are you safe? » to everybody who works at a site (D37). Counts for all; single answers for few, and for 30 days."""

from __future__ import annotations

import secrets
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import Field

from schemas.callouts import HeadcountAnswer, StartCallOut, StopCallOut, headcount_text_id
from schemas.words import Channel, Level
from services.console.api.answering import RESPONSES, answer, decide
from services.console.api.callouts import audience, drafts, people_of
from services.console.api.context import Author, Body, Cursor, Limit, LogReading, Reader, deciding, reading
from services.console.decisions import Decisions, author_of
from services.console.resources import CallOut, Page, SafetyAnswer
from services.runtime.access import AccessStore
from services.runtime.problems import ProblemError, fault
from services.runtime.rights import Permission
from services.runtime.vault import Directory, Texts

router = APIRouter(prefix="/api/v1/headcounts", tags=["people"])
Calling = Annotated[Author, Depends(deciding(Permission.SENDING_HOLD))]
Looking = Annotated[Reader, Depends(reading(Permission.DIRECTORY_READ))]
WHOLE = 100_000
log = structlog.get_logger(__name__)


class NewHeadcount(Body):
    """Whom to ask. Reminders, the call to the managers and the share at which it closes are the territory's."""

    sites: list[str] = Field(min_length=1, max_length=500, description="everybody whose place of work is one of them")
    channels: list[Channel] = Field(default_factory=lambda: [Channel.APP, Channel.SMS, Channel.VOICE], min_length=1)
    incident: str | None = None


@router.get("", summary="Headcounts, newest first: counts only")
async def headcounts(reader: LogReading, limit: Limit = 100, cursor: Cursor = None) -> Page[CallOut]:
    return await reader.model.callouts(reader.realm, kind="headcount", as_of=reader.as_of, limit=limit, cursor=cursor)


@router.get("/{id}", summary="Found, safe, in need of help, not there; reminders so far")
async def headcount(reader: LogReading, id: str) -> CallOut:
    return await reader.model.callout(reader.realm, id, as_of=reader.as_of)


@router.post("", responses=RESPONSES, summary="Ask everybody of these sites, now")
async def start(author: Calling, body: NewHeadcount) -> Response:
    author = author.within(body)
    decisions: Decisions = author.request.app.state.decisions
    people = await audience(people_of(author.request), body.sites, everybody=False)
    if not people:
        why = ("personne dans l’annuaire n’y travaille", "nobody in the directory works there")
        raise ProblemError("invalid", faults=(fault("sites", "nobody", *why),))
    id = decisions.command_id(author.principal, author.realm, author.key or secrets.token_hex(12))
    asked = drafts(
        author, f"{id}-list", people, kind="headcount", incident=body.incident, sites=tuple(body.sites), level=Level.N2, danger=True,
        answer_expected=True, channels=tuple(body.channels),
    )  # fmt: skip
    begin = StartCallOut(author=author_of(author.principal), role=author.principal.acting_role, callout=f"{id}-list")
    outcome = await decisions.send_all("delivery", author.realm, author.principal, [*asked, (id, begin)], author.wait_s)
    return answer(author.request, outcome, author.lang)


@router.post("/{id}/close", responses=RESPONSES, summary="Close by decision, before the share is reached")
async def close(author: Calling, id: str, body: Body | None = None) -> Response:
    return await decide(author, body, "delivery", StopCallOut, callout=id)


@router.get("/{id}/answers", summary="Who said what: personal, every reading is logged, gone after 30 days")
async def answers(request: Request, reader: Looking, id: str, said: HeadcountAnswer = HeadcountAnswer.HELP) -> Page[SafetyAnswer]:
    found = await reader.model.callout(reader.realm, id)
    told = await reader.model.notifications(reader.realm, campaign=id, limit=WHOLE)
    texts: Texts = request.app.state.texts
    directory: Directory = request.app.state.directory
    kept = texts.get_many([headcount_text_id(n.id) for n in told.items])
    shown = []
    for n in told.items:
        item = kept.get(headcount_text_id(n.id))
        if item is not None and item.fields.get("headcount") == said:
            contact = await directory.get(n.person_token)
            shown.append(SafetyAnswer(person_token=n.person_token, name=contact.name if contact else None, answer=said.value))
    access: AccessStore = request.app.state.access
    access.trace(reader.principal, "directory.read", f"{reader.realm} {found.id}")
    log.info("directory.read", by=author_of(reader.principal), callout=found.id, answer=said.value, people=len(shown))
    return Page(items=shown, next=None)
