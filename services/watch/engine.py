"""Run one feed: fetch, read, keep, send. The order makes a kill at any moment harmless."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import orjson
import structlog

from services.runtime.process import metrics
from services.watch.connector import (
    UNDERSTOOD,
    FeedBody,
    FeedConnector,
    FeedRequest,
    FeedSpec,
    FetchVerdict,
    Look,
    Memory,
    Post,
    Reading,
    list_connectors,
    pace_samples,
)
from services.watch.holds import FeedHolds
from services.watch.parsing import BodyRefused, FeedDrift, get_paris_hour
from services.watch.store import FeedStore
from services.watch.transport import (
    FeedResponse,
    FeedTransport,
    KeyMissing,
    choose_wait,
    create_body,
)
from services.watch.watched import WatchedTerritory

JITTER: Final = 0.1
SOON_S: Final = 61.0
SAMPLES_WAIT_S: Final = 5.0
"""Longest wait for the server of samples: it starts beside the watch."""
STOPPED_S: Final = 6 * 3600.0
"""Wait after a refused key: nothing changes before a person acts (`vigie feed enable`)."""
ALIVE_TYPE: Final = "vigie.feed.alive"
REPORT_TYPE: Final = "vigie.feed.report"
log = structlog.get_logger(__name__)


class FrontAway(Exception):
    """The front did not take a report; it is sent again."""


class ReportFront(Protocol):
    """The front that takes reports."""

    async def send(self, feed: str, event: dict[str, Any]) -> None:
        """Send one event under the key of the feed. Raises FrontAway.

        A repetition, also with other words, is no error: it was taken before.
        """
        ...


def build_event(feed: str, post: Post) -> dict[str, Any]:
    """Return the CloudEvent of a post. Its id is the alias, so a repetition has no effect."""
    return {
        "specversion": "1.0",
        "id": post.key,
        "source": f"urn:vigie:pull:{feed}",
        "type": REPORT_TYPE,
        "datacontenttype": "application/json",
        "data": post.body,
    }


def build_sign_of_life(feed: str, now: datetime) -> dict[str, Any]:
    """Return the event that only says: the feed is fresh and understood."""
    return {
        "specversion": "1.0",
        "id": f"alive:{now.isoformat()}",
        "source": f"urn:vigie:pull:{feed}",
        "type": ALIVE_TYPE,
        "datacontenttype": "application/json",
        "data": {},
    }


def read_bodies(
    connector: FeedConnector,
    bodies: Mapping[str, FeedBody],
    memory: Memory,
    now: datetime,
    territory: WatchedTerritory,
    others: Mapping[str, Memory],
) -> Reading:
    """Read bodies; a body that is refused or drifts as a whole leaves the memory as it was."""
    copy: Memory = orjson.loads(orjson.dumps(memory))
    try:
        reading = connector.read(bodies, Look(now, copy, territory, others))
    except BodyRefused as fault:
        return Reading(memory, FetchVerdict.REFUSED, faults=[str(fault)])
    except FeedDrift as fault:
        return Reading(memory, FetchVerdict.DRIFT, faults=[str(fault)])
    except Exception as error:  # a body that no one has thought of is drift, too
        log.exception("feed.reader_failed", feed=connector.spec.name)
        return Reading(memory, FetchVerdict.DRIFT, faults=[f"reader: {type(error).__name__}"])
    if reading.verdict is FetchVerdict.STALE:
        reading.memory, reading.posts = memory, []
    return reading


class FeedEngine:
    """All feeds of one process."""

    def __init__(
        self,
        store: FeedStore,
        transport: FeedTransport,
        front: ReportFront,
        territory: WatchedTerritory,
        holds: FeedHolds | None = None,
        *,
        samples: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
        pause: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._transport = transport
        self._front = front
        self._territory = territory
        self._holds = holds or FeedHolds()
        self._samples = samples
        self._clock = clock
        self._chance = chance
        self._pause = pause

    async def run_round(self, connector: FeedConnector) -> FetchVerdict | None:
        """Send waiting posts, then fetch and read the feed if it is due; None if it is not."""
        spec, now = self._pace(connector.spec), self._clock()
        row = self._store.get(spec.name)
        is_new = not self._holds.is_holder(spec.name)
        if not row.enabled or not await self._holds.acquire(spec.name):
            return None
        if is_new:
            row = self._store.get(spec.name)
        await self._send_waiting(spec.name)
        if spec.hours is not None and not spec.hours[0] <= get_paris_hour(now) < spec.hours[1]:
            return None
        spread = 1 + JITTER * (2 * self._chance() - 1)
        poll = connector.choose_poll(row.memory)
        interval = (min(poll, spec.poll_s) if self._samples else poll) * spread
        seconds = now.timestamp()
        if not self._store.claim(spec.name, seconds, interval, spec.min_interval_s):
            return None
        if not await self._holds.begin_round(spec.name):
            if self._holds.is_holder(spec.name):
                self._store.restore_times(row)
            return None
        verdict = await self._fetch_and_read(connector, row.memory, now)
        if verdict is None:
            return None
        await self._holds.share(spec.name)
        metrics.count("vigie_feed_rounds_total", feed=spec.name, verdict=verdict.value)
        return verdict

    def _pace(self, spec: FeedSpec) -> FeedSpec:
        return pace_samples(spec) if self._samples else spec

    async def _fetch_and_read(
        self, connector: FeedConnector, memory: Memory, now: datetime
    ) -> FetchVerdict | None:
        """Fetch and read a feed; None if another machine has taken it over meanwhile."""
        spec = connector.spec
        try:
            bodies, failure = await self._fetch_all(connector, memory)
        except KeyMissing:
            failure, bodies = FeedResponse(FetchVerdict.AUTH, fault="no key file"), {}
        if not self._holds.is_holder(spec.name):
            return None
        if failure is not None:
            return self._note_failure(spec.name, failure, now)
        others = {c.spec.name: self._store.get(c.spec.name).memory for c in list_connectors()}
        reading = read_bodies(connector, bodies, memory, now, self._territory, others)
        feed_bodies = list(bodies.values())
        if reading.verdict in (FetchVerdict.DRIFT, FetchVerdict.REFUSED):
            fault = "; ".join(reading.faults)
            self._store.note_drift(spec.name, now.timestamp(), fault, feed_bodies)
            log.warning("feed.not_understood", feed=spec.name, fault=fault)
        self._store.keep_reading(spec.name, reading, feed_bodies, now.timestamp())
        if reading.soon:
            self._store.postpone(spec.name, now.timestamp() + SOON_S)
        await self._send_waiting(spec.name)
        if reading.verdict in UNDERSTOOD and not self._store.list_unsent(spec.name):
            await self._give_sign(spec.name, now)
        return reading.verdict

    async def _fetch_all(
        self, connector: FeedConnector, memory: Memory
    ) -> tuple[dict[str, FeedBody], FeedResponse | None]:
        """Fetch the addresses of a round. A failure of one that is needed ends it."""
        bodies: dict[str, FeedBody] = {}
        failure: FeedResponse | None = None
        requests = connector.list_requests(self._territory)
        for request in requests:
            answer = await self._fetch(connector, request, bodies)
            if answer is not None and not request.optional:
                return {}, answer
            failure = failure or answer
        if not bodies:
            return {}, failure
        await self._follow(
            connector, connector.list_follow_ups(bodies, memory, self._territory), bodies
        )
        return bodies, None

    async def _follow(
        self, connector: FeedConnector, requests: Sequence[FeedRequest], bodies: dict[str, FeedBody]
    ) -> None:
        for request in requests:
            await self._pause(self._pace(connector.spec).pause_s)
            await self._fetch(connector, request, bodies)

    async def _fetch(
        self, connector: FeedConnector, request: FeedRequest, bodies: dict[str, FeedBody]
    ) -> FeedResponse | None:
        """Fetch one address into `bodies`; return the answer if it is a failure."""
        spec = connector.spec
        earlier_body = self._store.find_body(spec.name, request.name)
        answer = await self._transport.fetch(spec, request, earlier_body[1] if earlier_body else {})
        if request.fallback and answer.verdict not in (FetchVerdict.OK, FetchVerdict.UNCHANGED):
            other = await self._transport.fetch(spec, replace(request, url=request.fallback), {})
            answer = other if other.verdict is FetchVerdict.OK else answer
        if answer.verdict is FetchVerdict.UNCHANGED and earlier_body is not None:
            bodies[request.name] = earlier_body[0]
            return None
        if answer.verdict is not FetchVerdict.OK:
            return answer
        bodies[request.name] = create_body(request, answer)
        return None

    def _note_failure(self, feed: str, failure: FeedResponse, now: datetime) -> FetchVerdict:
        failures = self._store.note_failure(feed, failure.verdict, failure.fault)
        wait = STOPPED_S
        if failure.verdict is not FetchVerdict.AUTH:
            wait = choose_wait(failures, failure.wait_s, self._chance())
        if self._samples:
            wait = min(wait, SAMPLES_WAIT_S)
        self._store.postpone(feed, now.timestamp() + wait)
        log.warning(
            "feed.failed",
            feed=feed,
            verdict=failure.verdict.value,
            fault=failure.fault,
            wait_s=round(wait),
        )
        return failure.verdict

    async def _send_waiting(self, feed: str) -> None:
        """Send the posts that the front may not have, in their order.

        In a cluster the other machines know of each post before it is sent, and after it.
        """
        for post in self._store.list_unsent(feed):
            if not await self._holds.share(feed):
                return
            try:
                await self._front.send(feed, build_event(feed, post))
            except FrontAway as error:
                log.warning("feed.front_away", feed=feed, error=str(error))
                return
            if self._holds.is_holder(feed):
                self._store.mark_sent(feed, post.key, self._clock().timestamp())
                await self._holds.share(feed)
            metrics.count("vigie_feed_posts_total", feed=feed)

    async def _give_sign(self, feed: str, now: datetime) -> None:
        try:
            await self._front.send(feed, build_sign_of_life(feed, now))
        except FrontAway as error:
            log.warning("feed.front_away", feed=feed, error=str(error))
