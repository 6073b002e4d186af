"""Presence of people on pages of the crisis.

The store keeps it for less than a minute; no log holds it.

An entry is a place and an account. The browser says every `BEAT_S` that it still shows the page; an
entry that nobody renews lapses. The live stream of the realm announces arrivals and departures, so
that the others see them at once.

Readers of names see the other members of the cell on their page.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from pydantic import Field
from redis.exceptions import RedisError

from schemas.base import Instant
from services.console.http.problems import StoreUnavailable
from services.console.read_model import store
from services.console.read_model.store import Client
from services.console.resource_base import Resource
from services.runtime.process.machine import now_ms


class PresentPerson(Resource):
    """One person of the cell, as the others see them."""

    name: str = Field(
        description=(
            "first name and initial from the directory; empty for an account without a person"
        )
    )
    role: str = Field(description="text in the language of the reader")
    places: list[str] = Field(description="`cell`, `incident:<id>`")


class Presence(Resource):
    """The others: the reader is not among them."""

    realm: str
    place: str | None
    people: list[PresentPerson]


class PresenceChanged(Resource):
    """A person came to a place or left it; `GET /presence` lists the people there."""

    id: str = Field(description="place in the console, e.g. `incident:<id>`")
    realm: str


BEAT_S: Final = 15
"""Seconds between two words of a browser."""
KEPT_MS: Final = 40_000
"""An entry lapses after two words that were missed."""
COLLECTION: Final = "presence"
"""Name of its announcements on the live stream."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One account on one page."""

    place: str
    account: str

    def dump(self) -> str:
        """Return the member of the sorted set."""
        return f"{self.place} {self.account}"

    @classmethod
    def load(cls, member: bytes) -> "Entry":
        place, _, account = member.decode().partition(" ")
        return cls(place, account)


class PresenceStore:
    """Entries of all realms. Raises StoreAway."""

    def __init__(self, client: Client, clock_ms: Callable[[], Instant] = now_ms) -> None:
        self._client, self._clock_ms = client, clock_ms

    async def enter(self, realm: str, entry: Entry) -> None:
        """Note that an account has a page open, and announce it if that is new."""
        now, key = self._clock_ms(), store.build_realm_key(realm, COLLECTION)
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
            if await self._client.zrem(store.build_realm_key(realm, COLLECTION), entry.dump()):
                await self._announce(realm, [entry])
        except (RedisError, OSError) as error:
            raise StoreUnavailable from error

    async def entries(self, realm: str) -> list[Entry]:
        """Return the people present now, by their last sign of life."""
        try:
            members = await self._client.zrangebyscore(
                store.build_realm_key(realm, COLLECTION), f"({self._clock_ms()}", "+inf"
            )
        except (RedisError, OSError) as error:
            raise StoreUnavailable from error
        return [Entry.load(member) for member in members]

    async def _drop_lapsed(self, realm: str, now: Instant) -> list[Entry]:
        key = store.build_realm_key(realm, COLLECTION)
        members = await self._client.zrangebyscore(key, "-inf", now)
        if not members or not await self._client.zrem(key, *members):
            return []
        return [Entry.load(member) for member in members]

    async def _announce(self, realm: str, entries: Iterable[Entry]) -> None:
        places = sorted({entry.place for entry in entries})
        if places:
            stream = store.build_realm_key(realm, "stream")
            await self._client.xadd(
                stream, {COLLECTION: "\n".join(places)}, maxlen=store.STREAM_KEPT, approximate=True
            )
