"""Serve the live stream of Server-Sent Events, and the presence of people: `/stream`, `/presence`."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.types import Receive, Scope, Send

from services.console.http.compression import accepts_gzip
from services.console.http.context import (
    DecisionBody,
    DecisionContext,
    ReadContext,
    RealmReader,
    localize_principal,
    require_decision,
    require_read,
)
from services.console.i18n import Translator, get_translator
from services.console.live.presence import Entry, PresenceStore
from services.console.live.row_events import list_hidden_events
from services.console.live.stream import LiveStream, StreamHub
from services.console.resources import Presence, PresentPerson
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.http_access import recheck_principal
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal
from services.runtime.secrets.vault import VaultDirectory

router = APIRouter(prefix="/api/v1", tags=["live"])
PLACE = "^(cell|incident:[A-Za-z0-9-]{1,64})$"
Seeing = Annotated[ReadContext, Depends(require_read(Permission.DIRECTORY_READ))]
Shown = Annotated[DecisionContext, Depends(require_decision(Permission.DIRECTORY_READ))]
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept-Encoding"}


@router.get(
    "/stream",
    summary=(
        "Stream changes: hello, then each changed resource under the name of its collection "
        "(sites, incidents, log, …), resync, ping"
    ),
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def stream_changes(
    request: Request,
    reader: RealmReader,
    last_id: Annotated[
        str | None, Query(max_length=100, description="same as the header Last-Event-ID")
    ] = None,
) -> StreamingResponse:
    hub: StreamHub = request.app.state.hub
    principal = reader.principal
    gzip = accepts_gzip(request.headers.get("accept-encoding", ""))

    def still_allowed() -> bool:
        current_principal = recheck_principal(request)
        return current_principal is principal or (
            current_principal is not None
            and localize_principal(request, current_principal, reader.realm) == principal
        )

    frames = await hub.stream(
        reader.realm,
        lang=reader.lang,
        hidden_events=list_hidden_events(principal.may),
        gzip=gzip,
        last_id=request.headers.get("last-event-id") or last_id,
        still_allowed=still_allowed,
    )
    headers = (
        _HEADERS
        | {"Content-Language": reader.lang}
        | ({"Content-Encoding": "gzip"} if gzip else {})
    )
    return LiveResponse(frames, media_type="text/event-stream", headers=headers)


class LiveResponse(StreamingResponse):
    """A response that closes its stream, even if the browser left before the first frame."""

    def __init__(self, live: LiveStream, **more: Any) -> None:
        super().__init__(live, **more)
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._live.aclose()


class Here(DecisionBody):
    """The page that the author has open, or leaves."""

    place: str = Field(pattern=PLACE)
    here: bool = Field(default=True, description="false if the page is closed or in the background")


@router.get(
    "/presence",
    operation_id="list_presence",
    summary="List the other people with an open page: of one place, or of the whole realm",
)
async def list_present_people(
    request: Request,
    response: Response,
    reader: Seeing,
    place: Annotated[str | None, Query(pattern=PLACE)] = None,
) -> Presence:
    response.headers["Cache-Control"] = "no-store"
    return await _get_presence(request, reader.principal, reader.realm, place, reader.lang)


@router.post(
    "/presence",
    operation_id="announce_presence",
    summary="Say that the author opens or leaves a page; answers with the other people, like GET",
)
async def present(request: Request, author: Shown, body: Here) -> Presence:
    author = author.within(body)
    entry, presence_store = Entry(body.place, author.principal.id), _store(request)
    if (await author.model.realm()).state == "open":
        await (
            presence_store.enter(author.realm, entry)
            if body.here
            else presence_store.leave(author.realm, entry)
        )
    place = None if body.place == "cell" else body.place
    return await _get_presence(request, author.principal, author.realm, place, author.lang)


def _store(request: Request) -> PresenceStore:
    presence_store: PresenceStore = request.app.state.presence
    return presence_store


async def _get_presence(
    request: Request, reader: Principal, realm: str, place: str | None, lang: str
) -> Presence:
    access: AccessStore = request.app.state.access
    names = (await request.app.state.model.of(realm).reference()).names
    places: dict[str, list[str]] = {}
    for entry in await _store(request).entries(realm):
        if entry.account != reader.id and place in (None, entry.place):
            places.setdefault(entry.account, []).append(entry.place)
    people = []
    for account, at in places.items():
        principal = access.principal(account)
        if (
            principal is not None
            and principal.disabled_at is None
            and principal.may(Permission.DIRECTORY_READ)
        ):
            person = await _build_person(request, realm, principal, at, names, get_translator(lang))
            people.append(person)
    return Presence(
        realm=realm, place=place, people=sorted(people, key=lambda one: (one.name, one.role))
    )


async def _build_person(
    request: Request,
    realm: str,
    principal: Principal,
    places: list[str],
    names: TerritoryNames,
    _: Translator,
) -> PresentPerson:
    directory: VaultDirectory = request.app.state.directory
    token = principal.person_in(realm, directory.home_realm)
    contact = None if token is None else await directory.of(realm).get(token)
    role = (
        w.name_role(principal.duty, None, names, _)
        if principal.duty
        else w.translate_code(w.ROLE, principal.role.value, _)
    )
    name = shorten_person_name(contact.name) if contact is not None and contact.name else ""
    return PresentPerson(name=name, role=role, places=sorted(places))


def shorten_person_name(name: str) -> str:
    """Return a name as colleagues use it, for example `Camille M.`."""
    first, *rest = name.split()
    return f"{first} {rest[-1][0]}." if rest else first
