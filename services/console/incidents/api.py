"""Serve incidents, their explanations and decisions under `/api/v1/incidents`."""

from typing import Annotated

from fastapi import Depends, Query, Request
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
from services.console.http.answers import DecisionRouter, Subject, send_decision
from services.console.http.context import (
    Cursor,
    DecisionBody,
    DecisionContext,
    Id,
    Limit,
    LogReader,
    Multiple,
    RealmReader,
    require_decision,
    set_etag,
)
from services.console.http.scopes import check_call, check_incident
from services.console.incidents.resources import MOST
from services.console.logbook.api import Note, add_note
from services.console.resources import Explanation, Incident, KindOfLine, Line, Page
from services.runtime.identity.permissions import Permission

router = DecisionRouter(prefix="/api/v1/incidents", tags=["incidents"])
Acknowledger = Annotated[
    DecisionContext, Depends(require_decision(Permission.INCIDENT_ACKNOWLEDGE))
]
IncidentDecider = Annotated[DecisionContext, Depends(require_decision(Permission.INCIDENT_DECIDE))]
NoteAuthor = Annotated[DecisionContext, Depends(require_decision(Permission.NOTE_WRITE))]


INCIDENT = Subject(router, "/{id}", "incident", IncidentDecider, check_incident)
CALL = Subject(router, "/{id}", "incident", Acknowledger, check_call)


class AcknowledgeRequest(DecisionBody):
    answer: Answer = Answer.ACK


class ResolveRequest(DecisionBody):
    force: bool = Field(
        default=False, description="close although a cause is still open; needs a reason"
    )


class MergeRequest(DecisionBody):
    into: str = Field(max_length=64, description="id of the incident that remains")


class SplitRequest(DecisionBody):
    reports: list[Id] = Field(min_length=1, max_length=1000)


@router.get("", summary="List incidents: open ones first, gravest first")
async def list_incidents(
    reader: RealmReader,
    status: Multiple[IncidentState],
    level: Annotated[str | None, Query(pattern="^N?[0-4]$", description="lowest level")] = None,
    site: str | None = None,
    pole: str | None = None,
    commune: str | None = None,
    type: Annotated[str | None, Query(description="family, or type of a cause")] = None,
    q: Annotated[str | None, Query(max_length=100)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Incident]:
    return await reader.model.incidents(
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


@router.get("/{id}", summary="Show one incident; its ETag is the version for If-Match")
async def get_incident(reader: RealmReader, id: str, response: Response) -> Incident:
    incident = await reader.model.incident(id)
    set_etag(response, incident.version)
    return incident


@router.get("/{id}/timeline", summary="List its lines of the main courante, newest first")
async def list_incident_lines(
    reader: LogReader,
    id: str,
    kind: Multiple[KindOfLine],
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Line]:
    await reader.model.incident(id)
    return await reader.model.timeline(
        incident=id, kind=kind, texts=True, limit=limit, cursor=cursor
    )


@router.get("/{id}/explain", summary="Explain its causes, levels, sites and plans")
async def explain_incident(reader: RealmReader, id: str) -> Explanation:
    return await reader.model.explain(id)


@router.get(
    "/{id}/cap",
    summary="Export it as a CAP 1.2 message: Alert, Update or Cancel of a chain",
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: {}}, "description": "CAP 1.2"}},
)
async def get_cap_message(reader: RealmReader, request: Request, id: str) -> Response:
    message = await reader.model.cap(id, request.app.state.cap_sender)
    return Response(message, media_type=MEDIA_TYPE)


CALL.forward(
    "/acknowledge",
    "Acknowledge its running escalation",
    AcknowledgeIncident,
    body=AcknowledgeRequest | None,
)
INCIDENT.forward("/escalate", "Call the next step now", EscalateIncident)
INCIDENT.forward(
    "/reapply-policy",
    "Apply the steps and delays in force to its running escalation",
    ReapplyPolicy,
)
INCIDENT.forward(
    "/resolve", "Close an incident", ResolveIncident, body=ResolveRequest | None, versioned=True
)
INCIDENT.forward("/reopen", "Reopen an incident", ReopenIncident)


@router.decision(
    "/{id}/merge", "Merge it into another incident, which keeps its id", versioned=True
)
async def merge_incident(author: IncidentDecider, id: str, body: MergeRequest) -> Response:
    within = author.within(body)
    await check_incident(within, id)
    await check_incident(within, body.into)
    return await send_decision(author, body, "alerts", MergeIncidents, incident=id)


INCIDENT.forward(
    "/split",
    "Split chosen reports off into a new incident",
    SplitIncident,
    body=SplitRequest,
    versioned=True,
)


@router.decision(
    "/{id}/read",
    "Mark the reports of its sites as read (D98); 204: nothing was unread",
    idle="Nothing was unread",
    operation_id="mark_incident_read",
    status_code=200,
)
async def mark_read(
    author: Annotated[DecisionContext, Depends(require_decision(Permission.REPORT_RAW))],
    id: str,
    body: DecisionBody | None = None,
) -> Response:
    within = author.within(body)
    await check_incident(within, id)
    unread = await within.model.unread_reports(id, MOST)
    if not unread:
        return Response(status_code=204)
    return await send_decision(author, body, "alerts", MarkReportsRead, reports=tuple(unread))


@router.decision("/{id}/notes", "Add a line about it to the main courante")
async def add_incident_note(author: NoteAuthor, id: str, body: Note) -> Response:
    return await add_note(author.within(body), body, id)
