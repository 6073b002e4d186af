"""Routes for call-outs, messages to many people: `/callouts`.

A first request drafts the call-out with its cost, a second one starts it, a third one stops it.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.responses import Response
from pydantic import Field

from schemas.base import Command
from schemas.callouts import CHUNK_PEOPLE, Called, DraftCallOut, StartCallOut, StopCallOut
from schemas.words import Channel, Level
from services.console.http.answers import (
    DecisionRouter,
    Subject,
    find_repeated_answer,
    require_text,
    send_commands,
)
from services.console.http.context import (
    Cursor,
    DecisionBody,
    DecisionContext,
    Id,
    Limit,
    LogReader,
    ReadContext,
    is_limited,
    require_decision,
)
from services.console.http.decisions import CommandDispatcher, get_author
from services.console.http.scopes import check_incident, check_sites
from services.console.resources import CallOut, Page
from services.runtime.http.control_characters import remove_control_characters
from services.runtime.http.problems import build_field_problem
from services.runtime.http.sms_text import encode_text, simplify_text
from services.runtime.identity.permissions import Permission
from services.runtime.secrets.vault import RealmDirectory, VaultDirectory

router = DecisionRouter(prefix="/api/v1/callouts", tags=["callouts"])
CallOutAuthor = Annotated[DecisionContext, Depends(require_decision(Permission.SENDING_HOLD))]
SENDER_CHARACTERS: Final = 26
"""Characters of the sender in a call-out's SMS, beside its text."""
BESIDE_CORRECTED: Final = 51
"""More of them in a correction: that the message before is not to be followed."""
ANSWER_CHARACTERS: Final = 210
"""Characters beside the text if an answer is expected: instructions and a link."""
HEADCOUNT_PARTS: Final = 2
"""SMS parts of the headcount question with its link."""
_YIELD_EVERY: Final = 200


class CallOutRequest(DecisionBody):
    """A call-out to draft. The text must not contain anything confidential."""

    text: str = Field(min_length=1, max_length=600)
    sites: list[Id] = Field(
        default_factory=list,
        max_length=500,
        description="sites; all people with this place of work",
    )
    everybody: bool = Field(default=False, description="true = all people of the directory")
    channels: list[Channel] = Field(
        default_factory=lambda: [Channel.SMS],
        min_length=1,
        description="channels in order of preference",
    )
    corrects: str | None = Field(
        default=None,
        max_length=128,
        description=(
            "id of the call-out to correct; the people of its sites are called unless others "
            "are named"
        ),
    )
    incident: Id | None = None
    level: Level = Level.N1
    danger: bool = Field(
        default=False,
        description=(
            "true for danger to people: sent before other call-outs, despite holds and quiet hours"
        ),
    )
    answer_expected: bool = False


@router.get("", summary="List call-outs, newest first")
async def list_callouts(
    reader: LogReader, limit: Limit = 100, cursor: Cursor = None
) -> Page[CallOut]:
    return await reader.model.callouts(texts=_may_read_texts(reader), limit=limit, cursor=cursor)


@router.get("/{id}", summary="Show the progress of a call-out: informed, failed, end, cost")
async def get_callout(reader: LogReader, id: str) -> CallOut:
    return await reader.model.callout(id, texts=_may_read_texts(reader))


async def check_callout_scope(author: DecisionContext, id: str) -> None:
    """Refuse a call-out or headcount outside the author's scope.

    Raises NotFound, ProblemError `out_of_scope`.
    """
    if is_limited(author.principal):
        await check_sites(author, (await author.model.callout(id)).sites)


CALLOUT = Subject(router, "/{id}", "callout", CallOutAuthor, check_callout_scope, "delivery")


@router.decision("", "Draft a call-out: people, channels, end, cost. Nobody is called")
async def draft_callout(author: CallOutAuthor, body: CallOutRequest) -> Response:
    author = author.within(body)
    require_text(body.text, "text")
    if body.corrects is not None:
        await check_callout_scope(author, body.corrects)
    if body.incident is not None:
        await check_incident(author, body.incident)
    body = await complete_correction(author, body)
    await check_sites(author, () if body.everybody else body.sites)
    if (before := await find_repeated_answer(author)) is not None:
        return before
    decisions: CommandDispatcher = author.request.app.state.decisions
    people = await require_recipients(author, body.sites, everybody=body.everybody)
    command_id = decisions.command_id(author.principal, author.realm, author.key)
    text_id = decisions.text_id(command_id, body.text)
    await decisions.put_text(text_id, body.text)
    fields: dict[str, Any] = {
        "text_id": text_id,
        "corrects": body.corrects,
        "incident": body.incident,
        "sites": tuple(body.sites),
        "level": body.level,
        "danger": body.danger,
        "answer_expected": body.answer_expected,
        "channels": tuple(body.channels),
        "sms_parts": count_sms_parts(
            body.text, answer_expected=body.answer_expected, corrects=body.corrects is not None
        ),
    }
    return await send_commands(
        author, "delivery", split_draft(author, command_id, people, **fields)
    )


CALLOUT.forward("/start", "Start a call-out", StartCallOut, operation_id="start_callout")
CALLOUT.forward("/stop", "Stop a call-out", StopCallOut, operation_id="stop_callout")


async def complete_correction(author: DecisionContext, body: CallOutRequest) -> CallOutRequest:
    """Return the draft of a correction with the sites and incident of its call-out.

    Raises NotFound, ProblemError `invalid`.
    """
    if body.corrects is None:
        return body
    wrong = await author.model.callout(body.corrects)
    if wrong.kind != "callout" or wrong.started_at is None:
        raise build_field_problem(
            "corrects",
            "not_sent",
            "rien n’en est parti : il n’y a rien à rectifier",
            "it has sent no message: there is nothing to correct",
        )
    same = not body.sites and not body.everybody
    return body.model_copy(
        update={
            "incident": body.incident or wrong.incident,
            "sites": list(wrong.sites) if same else body.sites,
            "everybody": not wrong.sites if same else body.everybody,
            "channels": body.channels if "channels" in body.model_fields_set else wrong.channels,
            "level": max(body.level, wrong.level),
            "danger": body.danger or wrong.danger,
        }
    )


def _may_read_texts(reader: ReadContext) -> bool:
    return reader.principal.may(Permission.REPORT_RAW)


def split_draft(
    author: DecisionContext,
    id: str,
    people: Sequence[Called],
    *,
    callout: str | None = None,
    **fields: Any,
) -> list[tuple[str, Command]]:
    """Split a call-out into (id, command) pairs, one per chunk of people.

    The last command has the id `id`, which is also the id of the call-out unless `get_callout`
    gives one.
    """
    chunks = [tuple(people[at : at + CHUNK_PEOPLE]) for at in range(0, len(people), CHUNK_PEOPLE)]
    by, role, last = get_author(author.principal), author.principal.acting_role, len(chunks) - 1
    return [
        (
            id if n == last else f"{id}-{n}",
            DraftCallOut(
                author=by, role=role, callout=callout or id, people=chunk, last=n == last, **fields
            ),
        )
        for n, chunk in enumerate(chunks)
    ]


def count_sms_parts(text: str, *, answer_expected: bool, corrects: bool = False) -> int:
    """Count the SMS parts of this text as the provider does; each part costs."""
    beside = (ANSWER_CHARACTERS if answer_expected else SENDER_CHARACTERS) + (
        BESIDE_CORRECTED if corrects else 0
    )
    return len(encode_text(simplify_text(remove_control_characters(text)) + "." * beside).segments)


def get_directory(request: Request, realm: str) -> RealmDirectory:
    """Return the people of a realm. Rule D140."""
    directory: VaultDirectory = request.app.state.directory
    return directory.of(realm)


async def require_recipients(
    author: DecisionContext, sites: Sequence[str], *, everybody: bool
) -> list[Called]:
    """List the people of these sites, or everybody. Raises ProblemError `invalid` without any."""
    directory = get_directory(author.request, author.realm)
    people = await list_recipients(directory, sites, everybody=everybody)
    if not people:
        raise build_field_problem(
            "sites",
            "nobody",
            "personne dans l’annuaire n’y travaille",
            "nobody in the directory works there",
        )
    return people


async def list_recipients(
    directory: RealmDirectory, sites: Sequence[str], *, everybody: bool
) -> list[Called]:
    """List the people of these sites, or everybody, as tokens with channels, ordered by token.

    Addresses and names stay in the directory.
    """
    site_ids = set(sites)
    return [
        person async for person, site in _read_people(directory) if everybody or site in site_ids
    ]


async def group_staff_by_site(
    directory: RealmDirectory, sites: Collection[str]
) -> dict[str, list[Called]]:
    """Return site → its people, as in `list_recipients`, without sites where nobody works."""
    staff_by_site: dict[str, list[Called]] = {}
    async for person, site in _read_people(directory):
        if site is not None and site in sites:
            staff_by_site.setdefault(site, []).append(person)
    return staff_by_site


async def _read_people(directory: RealmDirectory) -> AsyncIterator[tuple[Called, str | None]]:
    for n, token in enumerate(sorted(directory.ids())):
        if n % _YIELD_EVERY == 0:
            await asyncio.sleep(0)  # thousands are decrypted here; other requests go on
        contact = await directory.get(token)
        if contact is not None:
            yield (
                Called(
                    person=token, channels=tuple(dict.fromkeys(p.channel for p in contact.points))
                ),
                contact.site,
            )
