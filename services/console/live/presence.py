"""Presence of people on pages of the crisis, served under `/api/v1/presence`.

The store keeps it for less than a minute; no log holds it.

An entry is a place and an account. The browser says every `BEAT_S` that it still shows the page; an
entry that nobody renews lapses. The live stream of the realm announces arrivals and departures, so
that the others see them at once.

Readers of names see the other members of the cell on their page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field
from redis.exceptions import RedisError
from starlette.requests import Request

from schemas.base import Instant
from services.console.http.context import (
    DecisionBody,
    DecisionContext,
    ReadContext,
    require_decision,
    require_read,
)
from services.console.http.problems import StoreUnavailable
from services.console.i18n import Translator, get_translator
from services.console.read_model import store
from services.console.read_model.store import Client
from services.console.resources import Presence, PresentPerson
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal
from services.runtime.process.machine import now_ms
from services.runtime.secrets.vault import VaultDirectory

CELL: Final = "cell"
"""Place of the page of the cell."""
BEAT_S: Final = 15
"""Seconds between two words of a browser."""
KEPT_MS: Final = 40_000
"""An entry lapses after two words that were missed."""
COLLECTION: Final = "presence"
"""Name of its announcements on the live stream."""
PLACE = "^(cell|incident:[A-Za-z0-9-]{1,64})$"
Seeing = Annotated[ReadContext, Depends(require_read(Permission.DIRECTORY_READ))]
Shown = Annotated[DecisionContext, Depends(require_decision(Permission.DIRECTORY_READ))]


@dataclass(frozen=True, slots=True)
class Entry:
    """One account on one page."""

    place: str
    account: str

    def dump(self) -> str:
        """Return the member of the sorted set."""
        return f"{self.place} {self.account}"

    @classmethod
    def load(cls, member: bytes) -> Entry:
        place, _, account = member.decode().partition(" ")
        return cls(place, account)


class PresenceStore:
    """Entries of all realms. Raises StoreAway."""

    def __init__(self, client: Client, clock_ms: Callable[[], Instant] = now_ms) -> None:
        self._client, self._clock_ms = client, clock_ms

    async def enter(self, realm: str, entry: Entry) -> None:
        """Note that an account has a page open, and announce it if that is new."""
        now, key = self._clock_ms(), store.realm_key(realm, COLLECTION)
        try:
            lapsed_entries = await self._drop_lapsed(realm, now)
            new = await self._client.zadd(key, {entry.dump(): now + KEPT_MS})
            await self._client.pexpire(key, KEPT_MS)
            await self._announce(realm, [*lapsed_entries, *([entry] if new else [])])
        except (RedisError, OSError) as error:
            raise StoreUnavailable from error

    async def leave(self, realm: str, entry: Entry) -> None:
        """Note that an account has closed a page."""
        try:
            if await self._client.zrem(store.realm_key(realm, COLLECTION), entry.dump()):
                await self._announce(realm, [entry])
        except (RedisError, OSError) as error:
            raise StoreUnavailable from error

    async def entries(self, realm: str) -> list[Entry]:
        """Return the people present now, by their last sign of life."""
        try:
            members = await self._client.zrangebyscore(
                store.realm_key(realm, COLLECTION), f"({self._clock_ms()}", "+inf"
            )
        except (RedisError, OSError) as error:
            raise StoreUnavailable from error
        return [Entry.load(member) for member in members]

    async def _drop_lapsed(self, realm: str, now: Instant) -> list[Entry]:
        key = store.realm_key(realm, COLLECTION)
        members = await self._client.zrangebyscore(key, "-inf", now)
        if not members or not await self._client.zrem(key, *members):
            return []
        return [Entry.load(member) for member in members]

    async def _announce(self, realm: str, entries: Iterable[Entry]) -> None:
        places = sorted({entry.place for entry in entries})
        if places:
            stream = store.realm_key(realm, "stream")
            await self._client.xadd(
                stream, {COLLECTION: "\n".join(places)}, maxlen=store.STREAM_KEPT, approximate=True
            )


router = APIRouter(prefix="/api/v1/presence", tags=["live"])


class Here(DecisionBody):
    """The page that the author has open, or leaves."""

    place: str = Field(pattern=PLACE)
    here: bool = Field(default=True, description="false if the page is closed or in the background")


@router.get(
    "",
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
    return await _presence(request, reader.principal, reader.realm, place, reader.lang)


@router.post(
    "",
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
    return await _presence(request, author.principal, author.realm, place, author.lang)


def _store(request: Request) -> PresenceStore:
    presence_store: PresenceStore = request.app.state.presence
    return presence_store


async def _presence(
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
            person = await _person(request, realm, principal, at, names, get_translator(lang))
            people.append(person)
    return Presence(
        realm=realm, place=place, people=sorted(people, key=lambda one: (one.name, one.role))
    )


async def _person(
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
    name = short_name(contact.name) if contact is not None and contact.name else ""
    return PresentPerson(name=name, role=role, places=sorted(places))


def short_name(name: str) -> str:
    """Return a name as colleagues use it, for example `Camille M.`."""
    first, *rest = name.split()
    return f"{first} {rest[-1][0]}." if rest else first
