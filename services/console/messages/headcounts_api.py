"""Routes for headcounts, which ask everybody of a site whether they are safe: `/headcounts`.

Counts are open to all readers. Single answers are open to few, for 30 days. Rule D37, headcounts.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import Field

from schemas.callouts import HeadcountAnswer, StartCallOut, StopCallOut
from schemas.words import Channel, Level
from services.console.http.answers import RESPONSES, answer, decide, repeated
from services.console.http.context import (
    Author,
    Body,
    Cursor,
    Cut,
    Limit,
    LogReading,
    Reader,
    deciding,
    reading,
)
from services.console.http.decisions import Decisions, author_of
from services.console.http.scopes import check_sites
from services.console.messages.callouts_api import (
    HEADCOUNT_PARTS,
    audience,
    check_callout,
    drafts,
    people_of,
)
from services.console.messages.headcount_answers import who_said
from services.console.resources import CallOut, Page, SafetyAnswer
from services.runtime.http.problems import ProblemError, fault
from services.runtime.identity.permissions import Permission

router = APIRouter(prefix="/api/v1/headcounts", tags=["people"])
Calling = Annotated[Author, Depends(deciding(Permission.HEADCOUNT_START))]
Looking = Annotated[Reader, Depends(reading(Permission.DIRECTORY_READ))]


class NewHeadcount(Body):
    """Sites and channels of a headcount.

    Reminders, calls to managers and the share that closes it come from the territory.
    """

    sites: list[str] = Field(
        min_length=1, max_length=500, description="everybody whose place of work is one of them"
    )
    channels: list[Channel] = Field(
        default_factory=lambda: [Channel.APP, Channel.SMS, Channel.VOICE], min_length=1
    )
    incident: str | None = None


@router.get("", summary="Headcounts, newest first: counts only")
async def headcounts(
    reader: LogReading, limit: Limit = 100, cursor: Cursor = None
) -> Page[CallOut]:
    return await reader.model.callouts(
        reader.realm, kind="headcount", as_of=reader.as_of, limit=limit, cursor=cursor
    )


@router.get("/{id}", summary="Found, safe, in need of help, not there; reminders so far")
async def headcount(reader: LogReading, id: str) -> CallOut:
    return await reader.model.callout(reader.realm, id, as_of=reader.as_of)


@router.post("", responses=RESPONSES, summary="Ask everybody of these sites, now")
async def start(author: Calling, body: NewHeadcount) -> Response:
    author = author.within(body)
    await check_sites(author, body.sites)
    if (before := await repeated(author)) is not None:
        return before
    decisions: Decisions = author.request.app.state.decisions
    people = await audience(people_of(author.request), body.sites, everybody=False)
    if not people:
        why = ("personne dans l’annuaire n’y travaille", "nobody in the directory works there")
        raise ProblemError("invalid", faults=(fault("sites", "nobody", *why),))
    id = decisions.command_id(author.principal, author.realm, author.key)
    asked = drafts(
        author,
        f"{id}-list",
        people,
        kind="headcount",
        incident=body.incident,
        sites=tuple(body.sites),
        level=Level.N2,
        danger=True,
        answer_expected=True,
        channels=tuple(body.channels),
        sms_parts=HEADCOUNT_PARTS,
    )
    begin = StartCallOut(
        author=author_of(author.principal), role=author.principal.acting_role, callout=f"{id}-list"
    )
    outcome = await decisions.send_all(
        "delivery", author.realm, author.principal, [*asked, (id, begin)], author.wait_s, author.key
    )
    return answer(author.request, outcome, author.lang)


@router.post(
    "/{id}/close", responses=RESPONSES, summary="Close by decision, before the share is reached"
)
async def close(author: Calling, id: str, body: Body | None = None) -> Response:
    await check_callout(author.within(body), id)
    return await decide(author, body, "delivery", StopCallOut, callout=id)


@router.get(
    "/{id}/answers", summary="Who said what: personal, every reading is logged, gone after 30 days"
)
async def answers(
    request: Request,
    reader: Looking,
    id: str,
    part: Cut,
    said: HeadcountAnswer = HeadcountAnswer.HELP,
) -> Page[SafetyAnswer]:
    found = await who_said(request, reader.model, reader.principal, reader.realm, id, said)
    return part.of(found, lambda one: str(one.person_token))
