"""Routes for tasks, notifications, escalations, and the hold on sending."""

from typing import Annotated, Literal, TypeAlias

from fastapi import Depends, Query, Request
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
from services.console.http.answers import DecisionRouter, Subject, require_text, send_decision
from services.console.http.context import (
    Cursor,
    DecisionBody,
    DecisionContext,
    Limit,
    LogReader,
    Multiple,
    ReadContext,
    RealmReader,
    check_scope,
    is_limited,
    require_decision,
)
from services.console.http.decisions import get_author
from services.console.http.scopes import check_incident
from services.console.messages.queries import Wording
from services.console.resources import Escalation, Hold, Notification, Page, Task
from services.runtime.identity.permissions import Permission

WithTexts = Annotated[
    bool, Query(description="include the text for each channel, as sent or as it would be sent")
]
EscalationState: TypeAlias = Literal["running", "answered", "exhausted", "superseded", "ended"]
router = DecisionRouter(prefix="/api/v1", tags=["notifications"])
TaskWorker = Annotated[DecisionContext, Depends(require_decision(Permission.TASK_WORK))]
SendingHolder = Annotated[
    DecisionContext, Depends(require_decision(Permission.SENDING_HOLD, whole_territory=True))
]
MessageReplayer = Annotated[DecisionContext, Depends(require_decision(Permission.SENDING_HOLD))]
CallAnswerer = Annotated[
    DecisionContext, Depends(require_decision(Permission.INCIDENT_ACKNOWLEDGE))
]


class CompleteTaskRequest(DecisionBody):
    outcome: str | None = Field(
        default=None, max_length=32, pattern="^[a-z_]+$", description="confirmed, denied, done, …"
    )


class HoldRequest(DecisionBody):
    """A hold on sending, with a reason and an end. Danger to people is never held."""

    until: AwareDatetime


@router.get("/tasks", summary="List the tasks, newest first")
async def list_tasks(
    reader: RealmReader,
    state: Multiple[TaskState],
    kind: str | None = None,
    incident: str | None = None,
    site: str | None = None,
    overdue: Annotated[
        bool | None,
        Query(description="true = open or taken, and past `due_at`; false = all others"),
    ] = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Page[Task]:
    return await reader.model.tasks(
        state=state,
        kind=kind,
        incident=incident,
        site=site,
        overdue=overdue,
        limit=limit,
        cursor=cursor,
    )


async def _check_task_scope(author: DecisionContext, id: str) -> None:
    """Refuse tasks of sites outside the author's scope; a task without a site is open to all."""
    if not is_limited(author.principal):
        return
    site = (await author.model.task(id)).site
    site_record = (await author.model.reference()).sites.get(site or "")
    if site is not None:
        check_scope(
            author.principal,
            sites=[site],
            poles=[site_record.pole] if site_record is not None else [],
        )


TASK = Subject(router, "/tasks/{id}", "task", TaskWorker, _check_task_scope)


TASK.forward("/take", "Take a task", TakeTask)
TASK.forward("/done", "Complete a task", CompleteTask, body=CompleteTaskRequest | None)


@router.get("/notifications", summary="List notifications, newest first; people are tokens")
async def list_notifications(
    request: Request,
    reader: LogReader,
    state: Multiple[NotificationState],
    incident: str | None = None,
    escalation: str | None = None,
    role: str | None = None,
    person: str | None = None,
    texts: WithTexts = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Notification]:
    return await reader.model.notifications(
        state=state,
        incident=incident,
        escalation=escalation,
        role=role,
        person=person,
        limit=limit,
        cursor=cursor,
        wording=_choose_wording(reader, request, texts=texts),
    )


def _choose_wording(reader: ReadContext, request: Request, *, texts: bool) -> Wording | None:
    """Return the settings for message texts, or None if the reader did not ask for texts."""
    if not texts:
        return None
    return Wording(
        request.app.state.public_url, free_texts=reader.principal.may(Permission.REPORT_RAW)
    )


@router.get("/notifications/{id}", summary="Show one notification; people are tokens")
async def get_notification(
    request: Request, reader: LogReader, id: str, texts: WithTexts = False
) -> Notification:
    wording = _choose_wording(reader, request, texts=texts)
    return await reader.model.notification(id, wording=wording)


async def _answer_notification(
    author: DecisionContext, body: DecisionBody | None, id: str, answer: Answer
) -> Response:
    person = get_author(author.principal)
    return await send_decision(
        author,
        body,
        "delivery",
        AnswerNotification,
        notification=id,
        person=person,
        answer=answer,
        channel=Channel.APP.value,
    )


@router.decision("/notifications/{id}/acknowledge", "Acknowledge one's own call")
async def acknowledge_notification(
    author: CallAnswerer, id: str, body: DecisionBody | None = None
) -> Response:
    return await _answer_notification(author, body, id, Answer.ACK)


@router.decision(
    "/notifications/{id}/decline", "Decline one's own call; the deputy is called at once"
)
async def decline_notification(
    author: CallAnswerer, id: str, body: DecisionBody | None = None
) -> Response:
    return await _answer_notification(author, body, id, Answer.DECLINE)


@router.decision(
    "/notifications/{id}/replay", "Send a notification again that failed or was possibly not sent"
)
async def replay_notification(
    author: MessageReplayer, id: str, body: DecisionBody | None = None
) -> Response:
    if is_limited(author.principal):
        within = author.within(body)
        await check_incident(within, (await within.model.notification(id)).incident)
    return await send_decision(author, body, "delivery", ReplayNotification, notification=id)


@router.get("/escalations", summary="List escalations, newest first")
async def list_escalations(
    reader: LogReader,
    state: Multiple[EscalationState],
    incident: str | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Escalation]:
    return await reader.model.escalations(
        state=state, incident=incident, limit=limit, cursor=cursor
    )


@router.get("/escalations/{id}", summary="Show one escalation")
async def get_escalation(reader: LogReader, id: str) -> Escalation:
    return await reader.model.escalation(id)


@router.get("/sending/hold", summary="Show whether sending is held")
async def get_hold(reader: RealmReader) -> Hold:
    return await reader.model.hold(texts=reader.principal.may(Permission.LOG_READ))


@router.decision(
    "/sending/hold", "Hold all sending until a time, with a reason; danger to people still passes"
)
async def hold_sending(author: SendingHolder, body: HoldRequest) -> Response:
    require_text(body.reason)
    return await send_decision(author, body, "delivery", HoldSending)


@router.decision("/sending/release", "End a hold early")
async def release_sending(author: SendingHolder, body: DecisionBody | None = None) -> Response:
    return await send_decision(author, body, "delivery", ReleaseSending)
