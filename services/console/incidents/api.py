"""Serve incidents, their explanations and decisions under `/api/v1/incidents`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import Field

from schemas.cap import MEDIA_TYPE
from schemas.commands import (
    AcknowledgeIncident,
    EscalateIncident,
    MarkReportsRead,
    MergeIncidents,
    ReapplyPolicy,
    ReopenIncident,
    ResolveIncident,
    SplitIncident,
)
from schemas.words import Answer, IncidentState
from services.console.http.answers import COLLIDING, RESPONSES, decide
from services.console.http.context import (
    Author,
    Body,
    Cursor,
    Limit,
    LogReading,
    Picture,
    Several,
    cached,
    deciding,
)
from services.console.http.scopes import check_incident
from services.console.logbook.notes import Note, add_note
from services.console.resources import Explanation, Incident, KindOfLine, Line, Page
from services.console.sites.receipts import MOST
from services.runtime.identity.permissions import Permission

router = APIRouter(prefix="/api/v1/incidents", tags=["incidents"])
Acknowledging = Annotated[Author, Depends(deciding(Permission.INCIDENT_ACKNOWLEDGE))]
Deciding = Annotated[Author, Depends(deciding(Permission.INCIDENT_DECIDE))]
Noting = Annotated[Author, Depends(deciding(Permission.NOTE_WRITE))]


class Acknowledge(Body):
    answer: Answer = Answer.ACK


class Resolve(Body):
    force: bool = Field(default=False, description="although a cause is still open; needs a reason")


class Merge(Body):
    into: str = Field(max_length=64, description="the incident that keeps its id")


class Split(Body):
    reports: list[str] = Field(min_length=1, max_length=1000)


@router.get("", summary="Incidents, open ones first, gravest first")
async def listed(
    reader: Picture,
    status: Several[IncidentState],
    level: Annotated[str | None, Query(pattern="^N?[0-4]$", description="at least")] = None,
    site: str | None = None,
    pole: str | None = None,
    commune: str | None = None,
    type: Annotated[str | None, Query(description="family, or type of a cause")] = None,
    q: Annotated[str | None, Query(max_length=100)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Incident]:
    return await reader.model.incidents(
        reader.realm,
        as_of=reader.as_of,
        lang=reader.lang,
        status=status,
        level=int(level[-1]) if level else None,
        site=site,
        pole=pole,
        commune=commune,
        type=type,
        q=q,
        limit=limit,
        cursor=cursor,
    )


@router.get("/{id}", summary="One incident; its ETag is the version for If-Match")
async def one(reader: Picture, id: str, response: Response) -> Incident:
    found = await reader.model.incident(reader.realm, id, as_of=reader.as_of, lang=reader.lang)
    cached(response, found.version)
    return found


@router.get("/{id}/timeline", summary="Its lines of the main courante, newest first")
async def timeline(
    reader: LogReading,
    id: str,
    kind: Several[KindOfLine],
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Line]:
    await reader.model.incident(reader.realm, id, as_of=reader.as_of, lang=reader.lang)
    return await reader.model.timeline(
        reader.realm,
        as_of=reader.as_of,
        lang=reader.lang,
        incident=id,
        kind=kind,
        texts=True,
        limit=limit,
        cursor=cursor,
    )


@router.get("/{id}/explain", summary="Why it is one incident, why its levels, sites and plans")
async def explain(reader: Picture, id: str) -> Explanation:
    return await reader.model.explain(reader.realm, id, as_of=reader.as_of, lang=reader.lang)


@router.get(
    "/{id}/cap",
    summary="As a CAP 1.2 message: Alert, Update or Cancel of a chain",
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: {}}, "description": "CAP 1.2"}},
)
async def cap(reader: Picture, request: Request, id: str) -> Response:
    message = await reader.model.cap(
        reader.realm, id, request.app.state.cap_sender, as_of=reader.as_of
    )
    return Response(message, media_type=MEDIA_TYPE)


async def _in_scope(author: Author, body: Body | None, id: str) -> None:
    """Refuse an incident outside the author's sites and pôles."""
    await check_incident(author.within(body), id)


@router.post(
    "/{id}/acknowledge",
    responses=RESPONSES,
    summary="Answer for its running ladder and take it in charge",
)
async def acknowledge(author: Acknowledging, id: str, body: Acknowledge | None = None) -> Response:
    await _in_scope(author, body, id)
    return await decide(
        author,
        body,
        "alerts",
        AcknowledgeIncident,
        incident=id,
        answer=body.answer if body else Answer.ACK,
    )


@router.post("/{id}/escalate", responses=RESPONSES, summary="Fire the next wave now")
async def escalate(author: Deciding, id: str, body: Body | None = None) -> Response:
    await _in_scope(author, body, id)
    return await decide(author, body, "alerts", EscalateIncident, incident=id)


@router.post(
    "/{id}/reapply-policy",
    responses=RESPONSES,
    summary="Its running ladder takes the waves and delays in force",
)
async def reapply_policy(author: Deciding, id: str, body: Body | None = None) -> Response:
    await _in_scope(author, body, id)
    return await decide(author, body, "alerts", ReapplyPolicy, incident=id)


@router.post("/{id}/resolve", responses=RESPONSES, openapi_extra=COLLIDING, summary="Close it")
async def resolve(author: Deciding, id: str, body: Resolve | None = None) -> Response:
    await _in_scope(author, body, id)
    return await decide(
        author,
        body,
        "alerts",
        ResolveIncident,
        incident=id,
        expected=author.expected,
        force=body.force if body else False,
    )


@router.post("/{id}/reopen", responses=RESPONSES, summary="Open it again")
async def reopen(author: Deciding, id: str, body: Body | None = None) -> Response:
    await _in_scope(author, body, id)
    return await decide(author, body, "alerts", ReopenIncident, incident=id)


@router.post(
    "/{id}/merge",
    responses=RESPONSES,
    openapi_extra=COLLIDING,
    summary="Merge it into another, which keeps its id",
)
async def merge(author: Deciding, id: str, body: Merge) -> Response:
    await _in_scope(author, body, id)
    await _in_scope(author, body, body.into)
    return await decide(
        author,
        body,
        "alerts",
        MergeIncidents,
        incident=id,
        into=body.into,
        expected=author.expected,
    )


@router.post(
    "/{id}/split",
    responses=RESPONSES,
    openapi_extra=COLLIDING,
    summary="Chosen reports leave for a new incident",
)
async def split(author: Deciding, id: str, body: Split) -> Response:
    await _in_scope(author, body, id)
    return await decide(
        author,
        body,
        "alerts",
        SplitIncident,
        incident=id,
        reports=tuple(body.reports),
        expected=author.expected,
    )


@router.post(
    "/{id}/read",
    responses=RESPONSES,
    status_code=200,
    summary="The author has read what the sites reported (D98); 204: nothing was unread",
)
async def mark_read(
    author: Annotated[Author, Depends(deciding(Permission.REPORT_RAW))],
    id: str,
    body: Body | None = None,
) -> Response:
    within = author.within(body)
    await check_incident(within, id)
    unread = await within.model.unread_reports(within.realm, id, MOST)
    if not unread:
        return Response(status_code=204)
    return await decide(author, body, "alerts", MarkReportsRead, reports=tuple(unread))


@router.post("/{id}/notes", responses=RESPONSES, summary="Add a line about it to the main courante")
async def note(author: Noting, id: str, body: Note) -> Response:
    return await add_note(author.within(body), body, id)
