"""Stream the changes of a realm as Server-Sent Events, with the same resources as REST.

One reader of Redis per realm serves all browsers. A resource is rendered once per language, and one
turn of the reader is the same bytes for all subscribers of one language and set of rights. The last
frame of a stream entry carries its id, so a browser that returns with `Last-Event-ID` misses
nothing. If that is impossible (too long away, another epoch of the cache, a browser too slow), it
gets `build_resync`: read everything again, then continue.

A ping confirms that the page is current. It comes from the reader itself, so it is missing while
Redis does not answer, no projector follows the logs or the reader has stopped: the page then shows
that it is frozen.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import structlog
from redis.exceptions import RedisError

from services.console.http.compression import STREAM_HEAD, compress_piece
from services.console.http.problems import ReadModelFrozen
from services.console.live.row_events import JoinedReports, render_events
from services.console.read_model import store
from services.console.read_model.queries import ReadModel, Rebuilding, StoreUnavailable
from services.console.read_model.query_base import require_epoch
from services.console.read_model.store import Client
from services.console.resources import format_iso, to_datetime
from services.runtime.process import metrics
from services.runtime.process.machine import now_ms

PING_S: Final = 5.0
"""Longest turn of the reader without changes."""
ENTRIES_PER_TURN: Final = 200
"""Stream entries rendered together: only the last state of a resource in them is sent."""
MAX_REPLAYED: Final = 2_000
"""Entries replayed to a returning browser; beyond, reading everything again is cheaper."""
MAX_QUEUED: Final = 1_000
"""Frames that wait for a slow browser."""
RETRY_S: Final = 0.5
PAUSE_FACTOR: Final = 2.0
"""Pause after a delivery, as a multiple of its duration.

Changes meanwhile go together, so a crowd costs fewer and larger writes.
"""
MAX_PAUSE_S: Final = 0.1
TURN_TIMEOUT_S: Final = 12.0
"""Longest turn, above the limits of the store's client; a longer one is stuck and restarts."""
log = structlog.get_logger(__name__)

StreamEntry = tuple[str, str, tuple[str, ...]]
"""(entry id, collection, resource ids)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One event; only the last frame of an entry has an `id`."""

    event: str
    data: bytes
    id: str | None = None

    def encode(self, epoch: str, *, is_hidden: bool = False) -> bytes:
        """Encode for the wire; a hidden or empty frame only advances the id of the browser."""
        head = b"" if self.id is None else b"id: %b\n" % build_event_id(epoch, self.id).encode()
        if is_hidden or not self.event:
            return head + b"\n" if head else b""
        return b"%bevent: %b\ndata: %b\n\n" % (head, self.event.encode(), self.data)


def build_event_id(epoch: str, entry: str) -> str:
    """Build the id of an event; entries of another epoch of the cache never match."""
    return f"{epoch}.{entry}"


def parse_event_id(id: str | None, epoch: str) -> str | None:
    """Return the entry of an event id of this epoch, or None."""
    event_epoch, _, entry = (id or "").rpartition(".")
    numbers = entry.split("-")
    return (
        entry
        if event_epoch == epoch
        and len(numbers) == 2
        and all(n.isdecimal() and len(n) < 20 for n in numbers)
        else None
    )


def parse_entry_id(entry: str) -> tuple[int, int]:
    """Return a sort key for entry ids."""
    ms, _, n = entry.partition("-")
    return int(ms), int(n or 0)


@dataclass(slots=True)
class EncodedFrames:
    """Frames for many subscribers, plain and compressed; compressed on first use."""

    plain: bytes
    count: int = 1
    """Number of frames; 0, as for a ping, is useless to a subscriber with frames still queued."""
    _compressed_bytes: bytes | None = None

    @property
    def compressed_bytes(self) -> bytes:
        """The compressed frames, valid anywhere in a compressed stream."""
        if self._compressed_bytes is None:
            self._compressed_bytes = compress_piece(self.plain)
        return self._compressed_bytes


@dataclass(eq=False, slots=True)
class Subscriber:
    """One browser, with a bounded queue of encoded pieces."""

    lang: str
    hidden_events: frozenset[str] = frozenset()
    """Events that this reader may not see."""
    gzip: bool = False
    frames: deque[bytes] = field(default_factory=deque)
    waiting: int = 0
    """Frames in the queue."""
    has_overflowed: bool = False
    is_closed: bool = False
    _woken: asyncio.Future[None] | None = None

    def encode(self, piece: EncodedFrames) -> bytes:
        """Return the piece in this browser's encoding."""
        return piece.compressed_bytes if self.gzip else piece.plain

    def put(self, piece: EncodedFrames) -> None:
        """Queue some frames; a full queue is dropped and later replaced by a `resync`."""
        if self.has_overflowed or not piece.plain or (not piece.count and self.frames):
            return
        if self.waiting >= MAX_QUEUED:
            self.drain()
            self.has_overflowed = True
        else:
            self.frames.append(self.encode(piece))
            self.waiting += piece.count
        self._wake()

    def drain(self) -> bytes:
        """Remove and return all queued frames."""
        frames = b"".join(self.frames)
        self.frames.clear()
        self.waiting = 0
        return frames

    def close(self) -> None:
        """Accept no more frames."""
        self.is_closed = True
        self._wake()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def news(self) -> None:
        """Wait for frames, overflow or closing.

        A bare future: five hundred of them wake five hundred tasks and create none.
        """
        if not (self.frames or self.has_overflowed or self.is_closed):
            self._woken = asyncio.get_running_loop().create_future()
            await self._woken


class RealmFeed:
    """Reader of one realm's stream while any browser is subscribed."""

    def __init__(self, realm: str, client: Client, model: ReadModel) -> None:
        self.realm, self._client, self._model = realm, client, model
        self.subscribers: set[Subscriber] = set()
        self.epoch = ""
        self.position = "0-0"
        self.current = False
        """Redis answers and the projector follows the logs."""
        self._joined: dict[str, JoinedReports] = {}

    async def begin(self) -> None:
        """Move to the end of the stream. Raises Rebuilding, StoreAway."""
        self.epoch = await self._model.epoch()
        try:
            last = await self._client.xrevrange(
                store.build_realm_key(self.realm, "stream"), count=1
            )
            self.current = bool(await self._client.exists(store.PROJECTOR))
        except (RedisError, OSError) as error:
            raise StoreUnavailable from error
        self.position = last[0][0].decode() if last else "0-0"

    async def run(self) -> None:
        """Read and deliver until cancelled."""
        while True:
            try:
                async with asyncio.timeout(TURN_TIMEOUT_S):
                    delivery_s = await self._deliver_changes()
                await asyncio.sleep(min(delivery_s * PAUSE_FACTOR, MAX_PAUSE_S))
            except (StoreUnavailable, Rebuilding, RedisError, OSError) as error:
                self.current = False
                if isinstance(error, TimeoutError):
                    log.error("stream.stuck", realm=self.realm)
                await asyncio.sleep(RETRY_S)
            except Exception:
                self.current = False
                log.exception("stream.failed", realm=self.realm)
                await asyncio.sleep(RETRY_S)

    async def _deliver_changes(self) -> float:
        """Wait for changes and deliver them, or a ping. Return the seconds of delivery."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.xread(
            {store.build_realm_key(self.realm, "stream"): self.position},
            count=ENTRIES_PER_TURN,
            block=int(PING_S * 1000),
        )
        pipeline.mget(store.EPOCH, store.STATE)
        pipeline.exists(store.PROJECTOR)
        entries_read, life, is_followed = await pipeline.execute()
        if require_epoch(*life) != self.epoch:
            await self.begin()
            return await self._to_all(
                EncodedFrames(build_resync(self.epoch, self.position, "epoch"))
            )
        self.current = bool(is_followed)
        if entries := parse_entries(entries_read[0][1]) if entries_read else []:
            return await self._tell(entries)
        if self.current:
            return await self._to_all(EncodedFrames(build_ping(), count=0))
        return 0.0

    def _encode_frames(self, frames: Iterable[Frame], hidden_events: frozenset[str]) -> bytes:
        return b"".join(f.encode(self.epoch, is_hidden=f.event in hidden_events) for f in frames)

    async def _tell(self, entries: Sequence[StreamEntry]) -> float:
        frames_by_lang: dict[str, list[Frame]] = {}
        while (
            unheard := {s.lang for s in self.subscribers} - frames_by_lang.keys()
        ):  # a subscriber of another language may join meanwhile
            for lang in unheard:
                frames = await self.frames(
                    entries, lang, self._joined.setdefault(lang, JoinedReports())
                )
                if frames is None:
                    self.position = entries[-1][0]
                    return await self._to_all(
                        EncodedFrames(build_resync(self.epoch, self.position, "untold"))
                    )
                frames_by_lang[lang] = frames
        self.position = entries[-1][0]
        kinds = {(s.lang, s.hidden_events) for s in self.subscribers}
        return await self._to_all(
            {
                (lang, hidden_events): EncodedFrames(
                    self._encode_frames(frames_by_lang[lang], hidden_events),
                    len(frames_by_lang[lang]),
                )
                for lang, hidden_events in kinds
            }
        )

    async def _to_all(
        self, frames: EncodedFrames | Mapping[tuple[str, frozenset[str]], EncodedFrames]
    ) -> float:
        """Deliver one piece to all, or the piece of each browser's language and rights.

        Return the seconds until it was written for all browsers that are not slow.
        """
        began = time.perf_counter()
        for subscriber in self.subscribers:
            subscriber.put(
                frames
                if isinstance(frames, EncodedFrames)
                else frames[subscriber.lang, subscriber.hidden_events]
            )
        for _ in ("each has woken and sent", "the loop has written"):
            await asyncio.sleep(0)
        return time.perf_counter() - began

    async def frames(
        self, entries: Sequence[StreamEntry], lang: str, joined_reports: JoinedReports
    ) -> list[Frame] | None:
        """Render the frames of entries in order; of several changes of a resource only the last.

        The result is None if an entry cannot be rendered: browsers read everything again, and the
        stream continues after it.
        """
        try:
            return await self._render_frames(entries, lang, joined_reports)
        except (StoreUnavailable, Rebuilding, RedisError, OSError):
            raise
        except Exception:
            log.exception(
                "stream.untold", realm=self.realm, since=entries[0][0], until=entries[-1][0]
            )
            return None

    async def _render_frames(
        self, entries: Sequence[StreamEntry], lang: str, joined_reports: JoinedReports
    ) -> list[Frame]:
        last = {(collection, id): entry for entry, collection, ids in entries for id in ids}
        events = await render_events(self._model, self.realm, lang, last, joined_reports)
        frames: list[Frame] = []
        for entry, collection, ids in entries:
            mine = [
                events[collection, id]
                for id in ids
                if last[collection, id] == entry and (collection, id) in events
            ]
            frames += [Frame(event, data) for event, data in mine[:-1]]
            frames.append(Frame(*mine[-1], entry) if mine else Frame("", b"", entry))
        return frames

    async def read_missing_frames(
        self, after: str, until: str, subscriber: Subscriber
    ) -> bytes | None:
        """Return all frames after one entry up to another; None if they are no longer available."""
        key = store.build_realm_key(self.realm, "stream")
        try:
            stream_info = await self._client.xinfo_stream(key)
            raw = await self._client.xrange(key, min=f"({after}", max=until, count=MAX_REPLAYED + 1)
        except RedisError:
            return b"" if after == until else None
        deleted_id = stream_info.get("max-deleted-entry-id", b"0-0")
        trimmed_id = deleted_id.decode() if isinstance(deleted_id, bytes) else str(deleted_id)
        if (
            len(raw) > MAX_REPLAYED
            or parse_entry_id(after) < parse_entry_id(trimmed_id)
            or parse_entry_id(after) > parse_entry_id(until)
        ):
            return None
        frames = (
            await self.frames(parse_entries(raw), subscriber.lang, JoinedReports()) if raw else []
        )
        return None if frames is None else self._encode_frames(frames, subscriber.hidden_events)


def parse_entries(raw: Iterable[Any]) -> list[StreamEntry]:
    """Convert stream entries from redis-py."""
    return [
        (id.decode(), collection.decode(), tuple(ids.decode().split("\n")))
        for id, fields in raw
        for collection, ids in fields.items()
    ]


def build_hello(epoch: str, position: str, realm: str) -> bytes:
    """Build the first frame: the position of the stream, and the server's clock for countdowns."""
    data = {
        "epoch": epoch,
        "last_id": build_event_id(epoch, position),
        "server_time": format_iso(to_datetime(now_ms())),
        "realm": realm,
        "ping_s": PING_S,
    }
    return Frame("hello", orjson.dumps(data), position).encode(epoch)


def build_resync(epoch: str, position: str, why: str) -> bytes:
    """Build the frame that makes the browser read everything again and continue from here."""
    data = {
        "epoch": epoch,
        "last_id": build_event_id(epoch, position),
        "server_time": format_iso(to_datetime(now_ms())),
        "why": why,
    }
    return Frame("resync", orjson.dumps(data), position).encode(epoch)


def build_ping() -> bytes:
    """Build the frame that shows that the stream is alive."""
    return Frame("ping", orjson.dumps({"server_time": format_iso(to_datetime(now_ms()))})).encode(
        ""
    )


class StreamHub:
    """All live streams of this process."""

    def __init__(self, client: Client, model: ReadModel) -> None:
        self._client, self._model = client, model
        self._feeds: dict[str, tuple[RealmFeed, asyncio.Task[None]]] = {}
        self._opening = asyncio.Lock()
        self._closed = False

    async def stream(
        self,
        realm: str,
        *,
        lang: str,
        hidden_events: frozenset[str],
        last_id: str | None,
        gzip: bool = False,
        still_allowed: Callable[[], bool] = lambda: True,
    ) -> "LiveStream":
        """Open the stream of one browser, which lasts until it leaves or `still_allowed` is False.

        It is open when this returns; errors are raised before, including PictureFrozen and
        RealmUnknown.
        """
        feed = await self._feed(realm)
        subscriber, position = Subscriber(lang, hidden_events, gzip), feed.position
        feed.subscribers.add(subscriber)  # from here on everything after `position` is queued
        metrics.set_gauge("vigie_stream_clients", self.clients)
        return LiveStream(
            self._frames(feed, subscriber, position, last_id, still_allowed),
            lambda: self._remove_subscriber(feed, subscriber),
        )

    @property
    def clients(self) -> int:
        """Number of subscribed browsers."""
        return sum(len(feed.subscribers) for feed, _ in self._feeds.values())

    async def _feed(self, realm: str) -> RealmFeed:
        if realm not in self._feeds:
            await self._model.of(realm).realm()
        async with self._opening:
            if realm not in self._feeds:
                feed = RealmFeed(realm, self._client, self._model)
                await feed.begin()
                if not feed.current:
                    raise ReadModelFrozen
                reading = asyncio.create_task(feed.run(), name=f"stream {realm}")
                reading.add_done_callback(lambda _: self._close_feed(feed))
                self._feeds[realm] = feed, reading
            elif not self._feeds[realm][0].current:
                raise ReadModelFrozen
            return self._feeds[realm][0]

    async def _frames(
        self,
        feed: RealmFeed,
        subscriber: Subscriber,
        position: str,
        last_id: str | None,
        still_allowed: Callable[[], bool],
    ) -> AsyncGenerator[bytes]:
        since = parse_event_id(last_id, feed.epoch)
        yield (STREAM_HEAD if subscriber.gzip else b"") + subscriber.encode(
            EncodedFrames(build_hello(feed.epoch, since or position, feed.realm))
        )
        if last_id is not None:
            missed_frames = (
                await feed.read_missing_frames(since, position, subscriber)
                if since is not None
                else None
            )
            yield subscriber.encode(
                EncodedFrames(
                    build_resync(feed.epoch, position, "too_long_away")
                    if missed_frames is None
                    else missed_frames
                )
            )
        while not (subscriber.is_closed or self._closed) and still_allowed():
            if subscriber.frames:
                yield subscriber.drain()
            elif subscriber.has_overflowed:
                subscriber.has_overflowed = False
                yield subscriber.encode(
                    EncodedFrames(build_resync(feed.epoch, feed.position, "too_slow"))
                )
            else:
                await subscriber.news()

    def _close_feed(self, feed: RealmFeed) -> None:
        """Close the browsers of a feed that has ended; they reconnect to a new one."""
        if self._feeds.get(feed.realm, (None,))[0] is feed:
            self._feeds.pop(feed.realm)
        for subscriber in feed.subscribers:
            subscriber.close()

    def _remove_subscriber(self, feed: RealmFeed, subscriber: Subscriber) -> None:
        feed.subscribers.discard(subscriber)
        if not feed.subscribers and self._feeds.get(feed.realm, (None,))[0] is feed:
            self._feeds.pop(feed.realm)[1].cancel()
        metrics.set_gauge("vigie_stream_clients", self.clients)

    def close(self) -> None:
        """End all streams, so that the process can stop; browsers return with their last id."""
        self._closed = True
        for _, reading in self._feeds.values():
            reading.cancel()


class LiveStream:
    """The frames of one browser. The consumer must close it, even before the first frame."""

    def __init__(self, frames: AsyncGenerator[bytes], on_close: Callable[[], None]) -> None:
        self._frames, self._leave = frames, on_close

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._frames

    async def aclose(self) -> None:
        """Unsubscribe the browser and close its frames."""
        self._leave()
        await self._frames.aclose()
