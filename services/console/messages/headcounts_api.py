"""Routes for headcounts, which ask everybody of a site whether they are safe: `/headcounts`.

Counts are open to all readers. Single answers, with names from the directory, are open to few, for
30 days, and every reading is logged. Rules D37 and D59.
"""

from typing import Annotated, Final

import structlog
from fastapi import Depends, Request
from fastapi.responses import Response
from pydantic import Field

from schemas.callouts import HeadcountAnswer, StartCallOut, StopCallOut, headcount_text_id
from schemas.words import Channel, Level
from services.console.http.answers import (
    DecisionRouter,
    Subject,
    find_repeated_answer,
    send_commands,
)
from services.console.http.context import (
    Cursor,
    DecisionBody,
    DecisionContext,
    Id,
    Limit,
    LogReader,
    PageRequest,
    ReadContext,
    require_decision,
    require_read,
)
from services.console.http.decisions import CommandDispatcher, get_author
from services.console.http.scopes import check_incident, check_sites, check_sites_of
from services.console.messages.callouts_api import (
    HEADCOUNT_PARTS,
    check_callout_scope,
    require_recipients,
    split_draft,
)
from services.console.read_model.queries import Queries
from services.console.resources import CallOut, Page, SafetyAnswer
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal
from services.runtime.secrets.vault import VaultDirectory, VaultTexts

router = DecisionRouter(prefix="/api/v1/headcounts", tags=["callouts"])
HeadcountAuthor = Annotated[DecisionContext, Depends(require_decision(Permission.HEADCOUNT_START))]
DirectoryReader = Annotated[ReadContext, Depends(require_read(Permission.DIRECTORY_READ))]
_UNLIMITED: Final = 100_000
log = structlog.get_logger(__name__)


async def list_people_by_answer(
    request: Request,
    queries: Queries,
    reader: Principal,
    realm: str,
    id: str,
    answer: HeadcountAnswer,
) -> list[SafetyAnswer]:
    """List the people with this answer, newest question first; an erased person has no name.

    Raises NotFound, ProblemError `out_of_scope`.
    """
    callout = await queries.of(realm).callout(id)
    await check_sites_of(reader, queries, realm, callout.sites)
    notifications = (await queries.of(realm).notifications(campaign=id, limit=_UNLIMITED)).items
    texts: VaultTexts = request.app.state.texts
    directory: VaultDirectory = request.app.state.directory
    answer_texts = texts.get_many([headcount_text_id(n.id) for n in notifications])
    safety_answers = []
    for n in notifications:
        item = answer_texts.get(headcount_text_id(n.id))
        if item is not None and item.fields.get("headcount") == answer:
            contact = await directory.of(realm).get(n.person_token)
            safety_answers.append(
                SafetyAnswer(
                    person_token=n.person_token,
                    name=contact.name if contact else None,
                    answer=answer.value,
                )
            )
    access: AccessStore = request.app.state.access
    access.trace(reader, "directory.read", f"{realm} {callout.id}")
    log.info(
        "directory.read",
        by=get_author(reader),
        callout=callout.id,
        answer=answer.value,
        people=len(safety_answers),
    )
    return safety_answers


class HeadcountRequest(DecisionBody):
    """Sites and channels of a headcount.

    Reminders, calls to managers and the share that closes it come from the territory.
    """

    sites: list[Id] = Field(
        min_length=1, max_length=500, description="sites; all people with this place of work"
    )
    channels: list[Channel] = Field(
        default_factory=lambda: [Channel.APP, Channel.SMS, Channel.VOICE], min_length=1
    )
    incident: Id | None = None


@router.get("", summary="List headcounts, newest first: counts only")
async def list_headcounts(
    reader: LogReader, limit: Limit = 100, cursor: Cursor = None
) -> Page[CallOut]:
    return await reader.model.callouts(kind="headcount", limit=limit, cursor=cursor)


@router.get(
    "/{id}", summary="Show a headcount: people found, safe, in need of help, absent; reminders"
)
async def get_headcount(reader: LogReader, id: str) -> CallOut:
    return await reader.model.callout(id)


@router.decision("", "Start a headcount: ask everybody at these sites now")
async def start_headcount(author: HeadcountAuthor, body: HeadcountRequest) -> Response:
    author = author.within(body)
    await check_sites(author, body.sites)
    if body.incident is not None:
        await check_incident(author, body.incident)
    if (before := await find_repeated_answer(author)) is not None:
        return before
    decisions: CommandDispatcher = author.request.app.state.decisions
    people = await require_recipients(author, body.sites, everybody=False)
    id = decisions.command_id(author.principal, author.realm, author.key)
    drafts = split_draft(
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
        author=get_author(author.principal), role=author.principal.acting_role, callout=f"{id}-list"
    )
    return await send_commands(author, "delivery", [*drafts, (id, begin)])


HEADCOUNT = Subject(router, "/{id}", "callout", HeadcountAuthor, check_callout_scope, "delivery")
HEADCOUNT.forward(
    "/close",
    "Close a headcount by decision, before the share is reached",
    StopCallOut,
    operation_id="close_headcount",
)


@router.get(
    "/{id}/answers",
    operation_id="list_headcount_answers",
    summary=(
        "List the answers of people: personal data, each reading is logged, deleted after 30 days"
    ),
)
async def list_answers(
    request: Request,
    reader: DirectoryReader,
    id: str,
    part: PageRequest,
    said: HeadcountAnswer = HeadcountAnswer.HELP,
) -> Page[SafetyAnswer]:
    safety_answers = await list_people_by_answer(
        request, reader.model, reader.principal, reader.realm, id, said
    )
    return part.of(safety_answers, lambda one: str(one.person_token))
