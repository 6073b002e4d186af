"""Routes for on-call schedules, overrides, swaps, calendars, readiness and drills."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from fastapi import Depends, Query, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, Field

from schemas.base import Instant
from schemas.oncall import DrillLadders, ImportDuties, OverrideDuty, Place, SwapDuties, WithdrawDuty
from services.console.exports.formats import TABLE_RESPONSES, TableForm
from services.console.exports.tables import Column, FileNaming, build_csv_response
from services.console.http.answers import DecisionRouter, require_text, send_decision
from services.console.http.context import (
    Cursor,
    DecisionBody,
    DecisionContext,
    Limit,
    LogReader,
    PageRequest,
    check_scope,
    get_server_time,
    is_limited,
    parse_time,
    require_decision,
    to_instant,
)
from services.console.http.fair_queue import ExpensiveWork
from services.console.i18n import N_, Translator, get_translator
from services.console.oncall.feed_links import FeedLink, FeedLinkInvalid, FeedLinks
from services.console.oncall.resources import (
    Drill,
    OnCall,
    OnCallPost,
    Readiness,
    ScheduleChange,
    ShiftSpan,
)
from services.console.oncall.schedule import MAX_SPAN_MS
from services.console.resources import Page, Resource, Time
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.oncall.assignment import CalendarShifts as Found
from services.oncall.assignment import (
    ImportOptions,
    Phonebook,
    TerritoryVocabulary,
    assign_shifts,
    list_outdated_shifts,
)
from services.oncall.feeds import export_schedule
from services.oncall.ics import (
    MAX_FILE_BYTES,
    CalendarRefused,
    ImportedCalendar,
    TimeWindow,
)
from services.oncall.ics_worker import read_untrusted_calendar
from services.runtime.http.control_characters import remove_control_characters
from services.runtime.http.problems import ProblemError, build_field_problem
from services.runtime.identity.permissions import Permission
from services.runtime.process.tasks import run_in_thread
from services.runtime.secrets.vault import RealmDirectory, VaultDirectory


@dataclass(frozen=True, slots=True)
class ShiftRow:
    """One shift of a post."""

    post: OnCallPost
    place: Place
    span: ShiftSpan


def list_shift_rows(posts: Iterable[OnCallPost]) -> Iterator[ShiftRow]:
    """Yield the shifts of each post: those of its holder, then those of its deputy."""
    for post in posts:
        for place, spans in ((Place.HOLDER, post.holder), (Place.DEPUTY, post.deputy)):
            for span in spans:
                yield ShiftRow(post, place, span)


def list_shift_columns(names: TerritoryNames, _: Translator) -> Sequence[Column[ShiftRow]]:
    """Return the columns of the table of shifts; people are codes and roles, never names."""
    return (
        Column(N_("Rôle"), lambda row: row.post.role_name),
        Column(N_("Périmètre"), lambda row: row.post.scope_name),
        Column(N_("Place"), lambda row: _(w.PLACE[row.place])),
        Column(N_("Du (Paris)"), lambda row: row.span.start),
        Column(N_("Au (Paris)"), lambda row: row.span.end),
        Column(N_("Code de la personne"), lambda row: row.span.persons),
        Column(
            N_("Fonction habituelle"),
            lambda row: [w.name_person(person, names, _) for person in row.span.persons],
        ),
        Column(N_("Origine"), lambda row: w.translate_code(w.STAND, row.span.by, _)),
        Column(N_("Non pourvu"), lambda row: not row.span.persons),
    )


router = DecisionRouter(prefix="/api/v1", tags=["on call"])
feeds = DecisionRouter(tags=["on call"])
SchedulePlanner = Annotated[DecisionContext, Depends(require_decision(Permission.ROTA_WRITE))]
DrillStarter = Annotated[
    DecisionContext, Depends(require_decision(Permission.ROTA_WRITE, whole_territory=True))
]
TimeParameter = Annotated[str | None, Query(max_length=40, description="ISO 8601 with offset")]
_IMPORT_SLOT: Final = asyncio.Semaphore(1)
READ_WITHIN_S: Final = 15.0
"""Limit of the wait for a place and of the reading of a calendar, however busy the machine is."""
IMPORT_WITHIN_S: Final = 25.0
"""Limit of a whole import: the front gives an answer up after `CONSOLE_TIMEOUT_S`."""
RETRY_AFTER_S: Final = 10
FEED_PAST_MS: Final = 31 * 86_400_000
FEED_FUTURE_MS: Final = 180 * 86_400_000


class PostRequest(DecisionBody):
    role: str = Field(max_length=64)
    scope: str | None = Field(default=None, max_length=64, description="pôle or site")
    place: Place = Place.HOLDER


class OverrideRequest(PostRequest):
    person: str | None = Field(default=None, min_length=1, max_length=64, description="token")
    nobody: bool = Field(
        default=False, description="true, instead of `person`: the role is left vacant on purpose"
    )
    start: AwareDatetime = Field(alias="from")
    end: AwareDatetime = Field(alias="to")


class SwapRequest(PostRequest):
    start: AwareDatetime = Field(alias="from")
    end: AwareDatetime = Field(alias="to")
    other_start: AwareDatetime = Field(alias="other_from")
    other_end: AwareDatetime = Field(alias="other_to")


class ImportedShift(Resource):
    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    person: str | None


class ImportedPost(Resource):
    role: str
    scope: str | None
    place: Place
    start: Time = Field(serialization_alias="from")
    end: Time = Field(serialization_alias="to")
    shifts: list[ImportedShift]
    duty: str | None = Field(default=None, description="id of the decision; null for a trial")


class ImportResult(Resource):
    """Result of a calendar import."""

    calendar: str
    shifts: int
    withdrawn: int = Field(
        default=0,
        description=(
            "roles of an earlier import of this calendar that this one no longer names; their "
            "shifts no longer count"
        ),
    )
    items: list[ImportedPost]
    next: None = None


class CalendarFeed(Resource):
    """Address for calendar programs.

    Anybody with this address can read the on-call shifts of one post, as tokens, and nothing else.
    """

    role: str
    scope: str | None
    url: str


def _parse_window(start: str | None, end: str | None) -> tuple[Instant | None, Instant | None]:
    first, last = (
        parse_time(start, "from") if start else None,
        parse_time(end, "to") if end else None,
    )
    if first is not None and last is not None and not 0 < last - first <= MAX_SPAN_MS:
        raise build_field_problem(
            "to", "span", "entre 0 et 62 jours après « from »", "must be 0 to 62 days after `from`"
        )
    return first, last


@router.get(
    "/oncall",
    response_model=OnCall,
    responses=TABLE_RESPONSES,
    summary=(
        "Show the people on call now and over a period, with gaps and exceeded working time; "
        "also as CSV"
    ),
)
async def get_on_call(
    reader: LogReader,
    part: PageRequest,
    form: TableForm,
    start: Annotated[TimeParameter, Query(alias="from")] = None,
    end: Annotated[TimeParameter, Query(alias="to")] = None,
    role: str | None = None,
    scope: str | None = None,
) -> OnCall | Response:
    first, last = _parse_window(start, end)
    on_call = await reader.model.on_call(start=first, end=last, role=role, scope=scope)
    if form == "csv":
        names = (await reader.model.reference()).names
        columns = list_shift_columns(names, get_translator(reader.lang))
        about = FileNaming(reader.realm, "astreintes", reader.lang)
        return build_csv_response(columns, list_shift_rows(on_call.items), about)
    posts = part.of(on_call.items)
    return on_call.model_copy(update={"items": posts.items, "next": posts.next})


@router.get("/oncall/duties", summary="List overrides, swaps and calendars, newest first")
async def list_duties(
    reader: LogReader,
    role: str | None = None,
    state: str | None = None,
    limit: Limit = 200,
    cursor: Cursor = None,
) -> Page[ScheduleChange]:
    return await reader.model.duties(role=role, state=state, limit=limit, cursor=cursor)


@router.get(
    "/readiness",
    summary=(
        "Show the readiness of each site, role and hour ahead: people reached, channels, "
        "minutes, gaps"
    ),
)
async def get_readiness(
    reader: LogReader,
    days: Annotated[int | None, Query(ge=1, le=31)] = None,
    site: Annotated[str | None, Query(max_length=64)] = None,
) -> Readiness:
    return await reader.model.readiness(days=days, site=site)


@router.get(
    "/drills",
    summary=(
        "List the monthly drills: silent tests of every step of every escalation and of "
        "every channel, newest first"
    ),
)
async def list_drills(reader: LogReader, limit: Limit = 200, cursor: Cursor = None) -> Page[Drill]:
    return await reader.model.drills(limit=limit, cursor=cursor)


async def _check_post_scope(
    author: DecisionContext, body: DecisionBody | None, posts: Iterable[str | None]
) -> None:
    """Refuse posts outside the author's scope; posts of the whole territory are open to all.

    `posts` are their sites and pôles.
    """
    if not is_limited(author.principal):
        return
    within = author.within(body)
    sites = (await within.model.reference()).sites
    for post in filter(None, posts):
        site = sites.get(post)
        check_scope(author.principal, sites=[post], poles=[post if site is None else site.pole])


@router.decision("/oncall/overrides", "Put another person, or nobody, on call for a period")
async def override_shift(author: SchedulePlanner, body: OverrideRequest) -> Response:
    require_text(body.reason)
    if (body.person is None) is not body.nobody:
        raise build_field_problem(
            "person", "missing", "une personne, ou « nobody »", "a person, or `nobody`"
        )
    await _check_post_scope(author, body, [body.scope])
    return await send_decision(author, body, "alerts", OverrideDuty, role_on_call=body.role)


@router.decision("/oncall/swaps", "Swap two shifts of a role")
async def swap_shifts(author: SchedulePlanner, body: SwapRequest) -> Response:
    require_text(body.reason)
    await _check_post_scope(author, body, [body.scope])
    return await send_decision(author, body, "alerts", SwapDuties, role_on_call=body.role)


@router.decision("/oncall/duties/{id}/withdraw", "Withdraw an override, a swap or a calendar")
async def withdraw_decision(
    author: SchedulePlanner, id: str, body: DecisionBody | None = None
) -> Response:
    if is_limited(author.principal):
        within = author.within(body)
        desk, _ = await within.model.desk()
        await _check_post_scope(
            author,
            body,
            [duty_row.scope for duty_row in [desk.duties.get(id)] if duty_row is not None],
        )
    return await send_decision(author, body, "alerts", WithdrawDuty, duty=id)


@router.decision("/drills", "Run the silent drill now; it counts for this month. Nobody is called")
async def start_drill(author: DrillStarter, body: DecisionBody | None = None) -> Response:
    return await send_decision(author, body, "alerts", DrillLadders)


_CALENDAR_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {"text/calendar": {"schema": {"type": "string", "format": "binary"}}},
    }
}


async def _read_body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_FILE_BYTES:
            raise _make_refusal(
                CalendarRefused(
                    f"Ce fichier est trop gros : la limite est de {MAX_FILE_BYTES >> 20} Mo."
                )
            )
        parts.append(chunk)
    return b"".join(parts)


def _make_refusal(error: CalendarRefused) -> ProblemError:
    return ProblemError("calendar_refused", why=str(error))


def _list_contacts(people: RealmDirectory) -> list[Any]:
    contacts = (people.peek(person) for person in people.ids())
    return [c for c in contacts if c is not None]


@router.post(
    "/oncall/import",
    openapi_extra=_CALENDAR_BODY,
    summary="Import the shifts of an iCalendar file; it is refused as a whole, with the reason",
)
async def import_calendar(
    request: Request,
    author: SchedulePlanner,
    calendar: Annotated[
        str,
        Query(max_length=64, description="name of the calendar; importing it again replaces it"),
    ] = "",
    role: Annotated[str | None, Query(max_length=64)] = None,
    scope: Annotated[str | None, Query(max_length=64)] = None,
    place: Place | None = None,
    start: Annotated[TimeParameter, Query(alias="from")] = None,
    end: Annotated[TimeParameter, Query(alias="to")] = None,
    reason: Annotated[str | None, Query(max_length=4000)] = None,
    dry_run: bool = False,
) -> Any:
    first, last = (parse_time(t, n) if t else None for t, n in ((start, "from"), (end, "to")))
    if (first is None) is not (last is None) or (
        first is not None and last is not None and first >= last
    ):
        raise build_field_problem(
            "to",
            "span",
            "« from » et « to » vont ensemble, dans cet ordre",
            "`from` and `to` go together, in this order",
        )
    window, options = (
        (first, last) if first is not None and last is not None else None,
        ImportOptions(role, scope, place),
    )
    desk, at = await author.model.desk()
    try:
        content = await _read_body(request)  # before the turn: a slow client must not block others
        began = time.monotonic()
        calendar_file = await _read_calendar(request, author, content, at, window)
        directory: VaultDirectory = request.app.state.directory
        contacts = await run_in_thread(_list_contacts, directory.of(author.realm))
        post_shifts = assign_shifts(
            calendar_file,
            Phonebook.of(desk.persons(), contacts),
            TerritoryVocabulary.of(desk.reference.sections, desk.role_words()),
            options,
            window,
        )
    except CalendarRefused as error:
        raise _make_refusal(error) from error
    name = (calendar or calendar_file.name or "calendrier")[:64]
    outdated_ids = (
        list_outdated_shifts(desk.duties.values(), name, options, post_shifts)
        if window is None
        else []
    )
    await _check_post_scope(
        author,
        None,
        [*(d.scope for d in post_shifts), *(desk.duties[id].scope for id in outdated_ids)],
    )
    commands: list[dict[str, Any]] = [
        *(
            {
                "kind": ImportDuties,
                "role_on_call": d.role,
                "scope": d.scope,
                "place": d.place,
                "calendar": name,
                "start": d.start,
                "end": d.end,
                "shifts": d.shifts,
            }
            for d in post_shifts
        ),
        *({"kind": WithdrawDuty, "duty": duty} for duty in outdated_ids),
    ]
    command_ids: list[str | None] = []
    for n, command in enumerate(commands if not dry_run else ()):
        left_s = max(0.0, began + IMPORT_WITHIN_S - time.monotonic())
        answer = await send_decision(
            _number_key(replace(author, wait_s=left_s), n),
            DecisionBody(reason=reason),
            "alerts",
            **command,
        )
        if answer.status_code == 202:
            raise ProblemError("calendar_unfinished", retry_after_s=RETRY_AFTER_S)
        if answer.status_code != 200:
            return answer
        command_ids.append(answer.headers["Vigie-Command"])
    items = [
        _build_imported_post(d, command_ids[n] if n < len(command_ids) else None)
        for n, d in enumerate(post_shifts)
    ]
    return ImportResult(
        calendar=name,
        shifts=sum(len(d.shifts) for d in post_shifts),
        withdrawn=len(outdated_ids),
        items=items,
    )


async def _read_calendar(
    request: Request,
    author: DecisionContext,
    content: bytes,
    at: Instant,
    window: TimeWindow | None,
) -> ImportedCalendar:
    """Read a calendar when it is its turn. Raises CalendarRefused, ProblemError."""
    costs: ExpensiveWork = request.app.state.costs
    try:
        async with (
            asyncio.timeout(READ_WITHIN_S),
            costs.calendars.hold_place(author.principal.id),
            _IMPORT_SLOT,
        ):
            return await read_untrusted_calendar(content, at, window)
    except TimeoutError:
        raise ProblemError("calendar_unread", retry_after_s=RETRY_AFTER_S) from None


def _number_key(author: DecisionContext, n: int) -> DecisionContext:
    """Derive one idempotency key per command from the key of the file."""
    return (
        author
        if author.key is None
        else replace(author, key=replace(author.key, text=f"{author.key.text}#{n}"))
    )


def _build_imported_post(duty: Found, id: str | None) -> ImportedPost:
    shifts = [ImportedShift.from_row(s) for s in duty.shifts]
    return ImportedPost.from_row(duty, shifts=shifts, duty=id)


@router.get(
    "/oncall/feeds",
    summary=(
        "List the secret addresses of the on-call calendar of each role, for calendar programs"
    ),
)
async def list_feeds(
    request: Request,
    reader: LogReader,
    part: PageRequest,
    role: str | None = None,
    scope: str | None = None,
) -> Page[CalendarFeed]:
    links: FeedLinks = request.app.state.feed_links
    desk, _ = await reader.model.desk()
    posts = [
        p
        for p in desk.rota.posts
        if (role is None or p[0] == role)
        and (p[1] == scope if scope is not None or role is None else True)
    ]
    items = [
        CalendarFeed(
            role=r, scope=s, url=f"/calendriers/{links.token(FeedLink(reader.realm, r, s))}.ics"
        )
        for r, s in posts
    ]
    return part.of(items, lambda one: f"{one.role} {one.scope or ''}")


@feeds.get("/calendriers/{token}.ics", include_in_schema=False)
async def read_feed(request: Request, token: str) -> Response:
    """Return the shifts of one post as a calendar; the secret address replaces a login."""
    links: FeedLinks = request.app.state.feed_links
    try:
        link = links.read(token)
    except FeedLinkInvalid:
        raise ProblemError("not_found") from None
    desk, at = await request.app.state.model.of(link.realm).desk()
    content = await asyncio.to_thread(
        export_schedule,
        desk.rota,
        link.role,
        link.scope,
        remove_control_characters(desk.role_name(link.role, link.scope)),
        at - FEED_PAST_MS,
        at + FEED_FUTURE_MS,
        to_instant(get_server_time()),
    )
    headers = {
        "Cache-Control": "private, max-age=900",
        "X-Robots-Tag": "noindex",
        "Referrer-Policy": "no-referrer",
    }
    return Response(content, headers=headers, media_type="text/calendar; charset=utf-8")
