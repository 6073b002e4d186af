"""Routes for tasks, notifications, escalations, and the hold on sending."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, Field

from schemas.commands import (
    AnswerNotification,
    CompleteTask,
    HoldSending,
    ReleaseSending,
    ReplayNotification,
    TakeTask,
)
from schemas.words import Answer, Channel, NotificationState, TaskState
from services.console.http.answers import RESPONSES, decide, require_text
from services.console.http.context import (
    Author,
    Body,
    Cursor,
    Limit,
    LogReading,
    Picture,
    Reader,
    Several,
    check_scope,
    deciding,
    instant,
    is_limited,
)
from services.console.http.decisions import author_of
from services.console.http.scopes import check_incident
from services.console.messages.texts import Wording
from services.console.resources import Escalation, Hold, Notification, Page, Task
from services.runtime.identity.permissions import Permission

WithTexts = Annotated[
    bool, Query(description="with what each says on each channel, as it is sent or would be")
]
LadderState: TypeAlias = Literal["running", "answered", "exhausted", "superseded", "ended"]
router = APIRouter(prefix="/api/v1", tags=["people"])
Working = Annotated[Author, Depends(deciding(Permission.TASK_WORK))]
Holding = Annotated[Author, Depends(deciding(Permission.SENDING_HOLD, whole_territory=True))]
Replaying = Annotated[Author, Depends(deciding(Permission.SENDING_HOLD))]
Answering = Annotated[Author, Depends(deciding(Permission.INCIDENT_ACKNOWLEDGE))]


class Done(Body):
    outcome: str | None = Field(
        default=None, max_length=32, pattern="^[a-z_]+$", description="confirmed, denied, done, …"
    )


class NewHold(Body):
    """A hold on sending, with a reason and an end. Danger to people is never held."""

    until: AwareDatetime


@router.get("/tasks", summary="Everything that waits for a person, newest first")
async def tasks(
    reader: Picture,
    state: Several[TaskState],
    kind: str | None = None,
    incident: str | None = None,
    site: str | None = None,
    overdue: Annotated[
        bool | None, Query(description="open or taken, and past `due_at`; false: all others")
    ] = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Page[Task]:
    return await reader.model.tasks(
        reader.realm,
        as_of=reader.as_of,
        lang=reader.lang,
        state=state,
        kind=kind,
        incident=incident,
        site=site,
        overdue=overdue,
        limit=limit,
        cursor=cursor,
    )


async def _in_scope(author: Author, body: Body | None, id: str) -> None:
    """Refuse tasks of sites outside the author's scope; a task without a site is open to all."""
    if not is_limited(author.principal):
        return
    within = author.within(body)
    site = (await within.model.task(within.realm, id)).site
    known = (await within.model.reference(within.realm)).sites.get(site or "")
    if site is not None:
        check_scope(author.principal, sites=[site], poles=[known.pole] if known is not None else [])


@router.post("/tasks/{id}/take", responses=RESPONSES)
async def take(author: Working, id: str, body: Body | None = None) -> Response:
    await _in_scope(author, body, id)
    return await decide(author, body, "alerts", TakeTask, task=id)


@router.post("/tasks/{id}/done", responses=RESPONSES)
async def done(author: Working, id: str, body: Done | None = None) -> Response:
    await _in_scope(author, body, id)
    return await decide(
        author, body, "alerts", CompleteTask, task=id, outcome=body.outcome if body else None
    )


@router.get("/notifications", summary="Newest first; people are tokens")
async def notifications(
    request: Request,
    reader: LogReading,
    state: Several[NotificationState],
    incident: str | None = None,
    escalation: str | None = None,
    role: str | None = None,
    person: str | None = None,
    texts: WithTexts = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Notification]:
    return await reader.model.notifications(
        reader.realm,
        as_of=reader.as_of,
        lang=reader.lang,
        state=state,
        incident=incident,
        escalation=escalation,
        role=role,
        person=person,
        limit=limit,
        cursor=cursor,
        wording=_wording(reader, request, texts=texts),
    )


def _wording(reader: Reader, request: Request, *, texts: bool) -> Wording | None:
    """Return the settings for message texts, or None if the reader did not ask for texts."""
    if not texts:
        return None
    return Wording(
        request.app.state.public_url, free_texts=reader.principal.may(Permission.REPORT_RAW)
    )


@router.get("/notifications/{id}")
async def notification(
    request: Request, reader: LogReading, id: str, texts: WithTexts = False
) -> Notification:
    wording = _wording(reader, request, texts=texts)
    return await reader.model.notification(
        reader.realm, id, as_of=reader.as_of, lang=reader.lang, wording=wording
    )


async def _answer(author: Author, body: Body | None, id: str, answer: Answer) -> Response:
    person = author_of(author.principal)
    return await decide(
        author,
        body,
        "delivery",
        AnswerNotification,
        notification=id,
        person=person,
        answer=answer,
        channel=Channel.APP.value,
    )


@router.post(
    "/notifications/{id}/acknowledge",
    responses=RESPONSES,
    summary="I take it (the person's own call)",
)
async def acknowledge(author: Answering, id: str, body: Body | None = None) -> Response:
    return await _answer(author, body, id, Answer.ACK)


@router.post(
    "/notifications/{id}/decline",
    responses=RESPONSES,
    summary="I cannot: my deputy is called at once",
)
async def decline(author: Answering, id: str, body: Body | None = None) -> Response:
    return await _answer(author, body, id, Answer.DECLINE)


@router.post(
    "/notifications/{id}/replay",
    responses=RESPONSES,
    summary="Try again what reached nobody (failed, perhaps not sent)",
)
async def replay(author: Replaying, id: str, body: Body | None = None) -> Response:
    if is_limited(author.principal):
        within = author.within(body)
        await check_incident(within, (await within.model.notification(within.realm, id)).incident)
    return await decide(author, body, "delivery", ReplayNotification, notification=id)


@router.get("/escalations", summary="Ladders, newest first")
async def escalations(
    reader: LogReading,
    state: Several[LadderState],
    incident: str | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Escalation]:
    return await reader.model.escalations(
        reader.realm,
        as_of=reader.as_of,
        lang=reader.lang,
        state=state,
        incident=incident,
        limit=limit,
        cursor=cursor,
    )


@router.get("/escalations/{id}")
async def escalation(reader: LogReading, id: str) -> Escalation:
    return await reader.model.escalation(reader.realm, id, as_of=reader.as_of, lang=reader.lang)


@router.get("/sending/hold", summary="Is all sending held?")
async def hold(reader: Picture) -> Hold:
    return await reader.model.hold(
        reader.realm, as_of=reader.as_of, texts=reader.principal.may(Permission.LOG_READ)
    )


@router.post(
    "/sending/hold",
    responses=RESPONSES,
    summary="Stop all sending until a time, for a reason; never for danger to people",
)
async def hold_sending(author: Holding, body: NewHold) -> Response:
    require_text(body.reason)
    return await decide(author, body, "delivery", HoldSending, until=instant(body.until))


@router.post("/sending/release", responses=RESPONSES, summary="End a hold early")
async def release(author: Holding, body: Body | None = None) -> Response:
    return await decide(author, body, "delivery", ReleaseSending)
