"""The live stream (Server-Sent Events): what changes in a realm, as the same resources that REST gives.

One reader of Redis per realm, however many browsers look at it; a resource is rendered once per language. The last frame of a stream
entry carries its id, so a browser that comes back with `Last-Event-ID` misses nothing; where that is impossible (too long away,
another epoch of the cache, a browser too slow to keep up) it is told to `resync`: read everything again, then go on. A ping says that
what is shown is current, so there is none while Redis does not answer or nobody follows the logs: the page then says that it is frozen.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import structlog
from redis.exceptions import RedisError

from services.console import store
from services.console.faults import PictureFrozen
from services.console.live_rows import LOG_ONLY, Joined, render
from services.console.queries.base import now_ms
from services.console.readmodel import ReadModel, Rebuilding, StoreAway
from services.console.resources import iso, when
from services.console.store import Client
from services.runtime import metrics

PING_S: Final = 5.0
BLOCK_MS: Final = 4_000
ENTRIES: Final = 200
"""Stream entries that are rendered together: within them only the last state of a resource is sent."""
REPLAYED: Final = 2_000
"""Entries that a returning browser is caught up with; beyond, reading everything again is cheaper."""
QUEUE: Final = 1_000
"""Frames that wait for a slow browser."""
RETRY_S: Final = 0.5
ROUND_S: Final = 0.0002
"""Per browser, between two rounds of telling them all: what changes meanwhile is told together, so a crowd costs fewer and larger writes."""
ROUND_AT_MOST_S: Final = 0.1
STUCK_S: Final = 12.0
"""Without a turn, each of which ends within the limits of the store's client: nobody reads any more, and nothing may be called current."""
log = structlog.get_logger(__name__)

Entry = tuple[str, str, tuple[str, ...]]
"""(entry id, collection, resource ids)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One event. `id` only on the last frame of an entry."""

    event: str
    data: bytes
    id: str | None = None

    def encode(self, epoch: str, *, hidden: bool = False) -> bytes:
        """As it goes over the wire. A frame that is hidden, or tells nothing, only advances the id of the browser."""
        head = b"" if self.id is None else b"id: %b\n" % event_id(epoch, self.id).encode()
        if hidden or not self.event:
            return head + b"\n" if head else b""
        return b"%bevent: %b\ndata: %b\n\n" % (head, self.event.encode(), self.data)


def event_id(epoch: str, entry: str) -> str:
    """Id of an event: entries of another epoch of the cache are never mistaken for ours."""
    return f"{epoch}.{entry}"


def entry_of(id: str | None, epoch: str) -> str | None:
    """The entry of an event id of this epoch."""
    known, _, entry = (id or "").rpartition(".")
    numbers = entry.split("-")
    return entry if known == epoch and len(numbers) == 2 and all(n.isdecimal() and len(n) < 20 for n in numbers) else None


def order(entry: str) -> tuple[int, int]:
    """Entry ids in their order."""
    ms, _, n = entry.partition("-")
    return int(ms), int(n or 0)


@dataclass(eq=False, slots=True)
class Subscriber:
    """One browser: a bounded queue of encoded frames, in the rounds in which they came."""

    lang: str
    sees_log: bool
    frames: deque[bytes] = field(default_factory=deque)
    waiting: int = 0
    """Frames in the queue."""
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    overflowed: bool = False
    closed: bool = False

    def put(self, frames: bytes, count: int = 1) -> None:
        """Queue some frames; a full queue is dropped as a whole and replaced by a `resync`, later."""
        if self.overflowed or not frames:
            return
        if self.waiting >= QUEUE:
            self.take()
            self.overflowed = True
        else:
            self.frames.append(frames)
            self.waiting += count
        self.woken.set()

    def take(self) -> bytes:
        """All that waits."""
        frames = b"".join(self.frames)
        self.frames.clear()
        self.waiting = 0
        return frames

    def close(self) -> None:
        """No more frames."""
        self.closed = True
        self.woken.set()


class RealmFeed:
    """Reads the stream of one realm while somebody looks at it."""

    def __init__(self, realm: str, client: Client, model: ReadModel) -> None:
        self.realm, self._client, self._model = realm, client, model
        self.subscribers: set[Subscriber] = set()
        self.epoch = ""
        self.position = "0-0"
        self._answers = False
        self._turned_at = time.monotonic()
        self._joined: dict[str, Joined] = {}

    @property
    def current(self) -> bool:
        """Redis answers, the projector follows the logs, and this feed reads."""
        return self._answers and not self.stuck

    @property
    def stuck(self) -> bool:
        """It has not come round for longer than anything in a turn may take."""
        return time.monotonic() - self._turned_at > STUCK_S

    async def begin(self) -> None:
        """Stand at the end of the stream. Raises Rebuilding, StoreAway."""
        self.epoch = await self._model.epoch()
        try:
            last = await self._client.xrevrange(store.of(self.realm, "stream"), count=1)
            self._answers = await self._followed()
        except (RedisError, OSError) as error:
            raise StoreAway from error
        self.position = last[0][0].decode() if last else "0-0"

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._turn()
            except (StoreAway, Rebuilding, RedisError, OSError):
                self._answers = False
                await asyncio.sleep(RETRY_S)
            except Exception:
                self._answers = False
                log.exception("stream.failed", realm=self.realm)
                await asyncio.sleep(RETRY_S)
            self._turned_at = time.monotonic()

    async def _turn(self) -> None:
        key = store.of(self.realm, "stream")
        read = await self._client.xread({key: self.position}, count=ENTRIES, block=BLOCK_MS)
        if await self._model.epoch() != self.epoch:
            await self.begin()
            self._to_all(lambda _: resync(self.epoch, self.position, "epoch"))
            return
        self._answers = await self._followed()
        entries = parse(read[0][1]) if read else []
        if not entries:
            return
        frames: dict[str, list[Frame]] = {}
        while unheard := {s.lang for s in self.subscribers} - frames.keys():  # one of another language may come meanwhile
            for lang in unheard:
                frames[lang] = await self.frames(entries, lang, self._joined.setdefault(lang, Joined()))
        self.position = entries[-1][0]
        told = {(lang, sees_log): self._encoded(frames[lang], sees_log) for lang in frames for sees_log in (False, True)}
        for subscriber in self.subscribers:
            subscriber.put(told[subscriber.lang, subscriber.sees_log], len(frames[subscriber.lang]))
        await asyncio.sleep(min(len(self.subscribers) * ROUND_S, ROUND_AT_MOST_S))

    def _encoded(self, frames: Iterable[Frame], sees_log: bool) -> bytes:
        return b"".join(f.encode(self.epoch, hidden=f.event in LOG_ONLY and not sees_log) for f in frames)

    async def _followed(self) -> bool:
        return bool(await self._client.exists(store.PROJECTOR))

    async def frames(self, entries: Sequence[Entry], lang: str, joined: Joined) -> list[Frame]:
        """Frames of entries, in their order; of a resource that changed several times only the last."""
        last = {(collection, id): entry for entry, collection, ids in entries for id in ids}
        rendered = await render(self._model, self.realm, lang, last, joined)
        frames: list[Frame] = []
        for entry, collection, ids in entries:
            mine = [rendered[collection, id] for id in ids if last[collection, id] == entry and (collection, id) in rendered]
            frames += [Frame(event, data) for event, data in mine[:-1]]
            frames.append(Frame(*mine[-1], entry) if mine else Frame("", b"", entry))
        return frames

    async def missed(self, after: str, until: str, subscriber: Subscriber) -> bytes | None:
        """Everything after one entry up to another; None when that is not to be had any more."""
        key = store.of(self.realm, "stream")
        try:
            kept = await self._client.xinfo_stream(key)
            raw = await self._client.xrange(key, min=f"({after}", max=until, count=REPLAYED + 1)
        except RedisError:
            return b"" if after == until else None
        deleted = kept.get("max-deleted-entry-id", b"0-0")
        trimmed = deleted.decode() if isinstance(deleted, bytes) else str(deleted)
        if len(raw) > REPLAYED or order(after) < order(trimmed) or order(after) > order(until):
            return None
        return self._encoded(await self.frames(parse(raw), subscriber.lang, Joined()), subscriber.sees_log)

    def _to_all(self, make: Callable[[Subscriber], bytes]) -> None:
        for subscriber in self.subscribers:
            subscriber.put(make(subscriber))


def parse(raw: Iterable[Any]) -> list[Entry]:
    """Entries as redis-py gives them."""
    return [
        (id.decode(), collection.decode(), tuple(ids.decode().split("\n")))
        for id, fields in raw for collection, ids in fields.items()
    ]  # fmt: skip


def hello(epoch: str, position: str, realm: str) -> bytes:
    """The first frame: where the stream stands, and the server's clock, from which every countdown on screen is computed."""
    data = {
        "epoch": epoch, "last_id": event_id(epoch, position), "server_time": iso(when(now_ms())), "realm": realm, "ping_s": PING_S,
    }  # fmt: skip
    return Frame("hello", orjson.dumps(data), position).encode(epoch)


def resync(epoch: str, position: str, why: str) -> bytes:
    """Read everything again, then go on from here."""
    data = {"epoch": epoch, "last_id": event_id(epoch, position), "server_time": iso(when(now_ms())), "why": why}
    return Frame("resync", orjson.dumps(data), position).encode(epoch)


def ping() -> bytes:
    """The stream lives."""
    return Frame("ping", orjson.dumps({"server_time": iso(when(now_ms()))})).encode("")


class Hub:
    """All live streams of this process."""

    def __init__(self, client: Client, model: ReadModel) -> None:
        self._client, self._model = client, model
        self._feeds: dict[str, tuple[RealmFeed, asyncio.Task[None]]] = {}
        self._opening = asyncio.Lock()
        self._closed = False

    async def stream(
        self, realm: str, *, lang: str, sees_log: bool, last_id: str | None, still_allowed: Callable[[], bool] = lambda: True
    ) -> AsyncIterator[bytes]:
        """Frames for one browser, until it goes or `still_allowed` says no. Opened already when this returns: raises before, also
        PictureFrozen.
        """
        feed = await self._feed(realm)
        subscriber, position = Subscriber(lang, sees_log), feed.position
        feed.subscribers.add(subscriber)  # from here on everything after `position` is queued
        metrics.gauge("vigie_stream_clients", self.clients)
        return self._frames(feed, subscriber, position, last_id, still_allowed)

    @property
    def clients(self) -> int:
        """How many browsers listen."""
        return sum(len(feed.subscribers) for feed, _ in self._feeds.values())

    async def _feed(self, realm: str) -> RealmFeed:
        async with self._opening:
            if realm in self._feeds and self._feeds[realm][0].stuck:
                log.error("stream.stuck", realm=realm)
                self._feeds.pop(realm)[1].cancel()  # who listens to it hears no ping, and comes back
            if realm not in self._feeds:
                feed = RealmFeed(realm, self._client, self._model)
                await feed.begin()
                if not feed.current:
                    raise PictureFrozen
                self._feeds[realm] = feed, asyncio.create_task(feed.run(), name=f"stream {realm}")
            elif not self._feeds[realm][0].current:
                raise PictureFrozen
            return self._feeds[realm][0]

    async def _frames(
        self, feed: RealmFeed, subscriber: Subscriber, position: str, last_id: str | None, still_allowed: Callable[[], bool]
    ) -> AsyncIterator[bytes]:
        try:
            since = entry_of(last_id, feed.epoch)
            yield hello(feed.epoch, since or position, feed.realm)
            if last_id is not None:
                missed = await feed.missed(since, position, subscriber) if since is not None else None
                yield resync(feed.epoch, position, "too_long_away") if missed is None else missed
            while not (subscriber.closed or self._closed) and still_allowed():
                subscriber.woken.clear()
                if subscriber.frames:
                    yield subscriber.take()
                elif subscriber.overflowed:
                    subscriber.overflowed = False
                    yield resync(feed.epoch, feed.position, "too_slow")
                else:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(subscriber.woken.wait(), PING_S)
                        continue
                    if feed.current:
                        yield ping()
        finally:
            self._leave(feed, subscriber)

    def _leave(self, feed: RealmFeed, subscriber: Subscriber) -> None:
        feed.subscribers.discard(subscriber)
        if not feed.subscribers and self._feeds.get(feed.realm, (None,))[0] is feed:
            self._feeds.pop(feed.realm)[1].cancel()
        metrics.gauge("vigie_stream_clients", self.clients)

    def close(self) -> None:
        """End all streams, so that the process can stop; browsers come back with their last id."""
        self._closed = True
        for feed, task in self._feeds.values():
            task.cancel()
            for subscriber in feed.subscribers:
                subscriber.close()
