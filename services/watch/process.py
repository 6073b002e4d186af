"""The watch as a service: one task per feed, and one for the mailbox."""

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, Self

import structlog
from pydantic import SecretStr, field_validator

from services.runtime.process import metrics
from services.runtime.process.cluster import is_shared
from services.runtime.process.settings import Settings, check_url
from services.watch.connector import FeedConnector, list_connectors
from services.watch.engine import FeedEngine
from services.watch.front import FrontClient, HttpFront, list_fronts
from services.watch.holds import FeedHolds
from services.watch.mail_reader import MailMemory, find_mailbox_name, watch_mailbox
from services.watch.mailbox import MailboxSettings
from services.watch.store import FeedStore, describe_feeds, write_status
from services.watch.transport import FeedTransport
from services.watch.watched import WatchedTerritory, WatchedUnreadable, load_watched

LOOK_S: Final = 2.0
"""Interval at which each task sees whether its feed is on and due."""
STATUS_S: Final = 5.0
log = structlog.get_logger(__name__)
_LOOPBACK: Final = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\]):\d{1,5}")


class WatchSettings(Settings):
    """`VIGIE_FEEDS_CONTACT`, `VIGIE_FEEDS_PROXY`, `VIGIE_FEEDS_SAMPLES`."""

    feeds_contact: str = ""
    """E-mail address or page that the publishers of feeds may turn to; sent as `User-Agent`."""
    feeds_proxy: SecretStr = SecretStr("")
    """HTTP proxy of the way out, `http://[user:password@]host:port`; empty = none."""
    feeds_samples: str = ""
    """`http://127.0.0.1:PORT` of `vigie feed serve-samples`: feeds are read from there alone."""

    @property
    def feed_store(self) -> Path:
        """File of the state of the feeds. Samples never touch that of the publishers."""
        return self.data.feed_samples if self.feeds_samples else self.data.feeds

    @property
    def feed_keys(self) -> Path:
        """Folder of the keys of publishers and of the keys for the front."""
        return self.data.secrets / ("feeds-samples" if self.feeds_samples else "feeds")

    @field_validator("feeds_contact")
    @classmethod
    def _is_header(cls, text: str) -> str:
        if not text.isascii() or not text.isprintable():
            raise ValueError("must be plain ASCII: it is sent in a header")
        return text

    @field_validator("feeds_proxy")
    @classmethod
    def _is_proxy(cls, url: SecretStr) -> SecretStr:
        return check_url(url, ("http", "https"))

    @field_validator("feeds_samples")
    @classmethod
    def _is_loopback(cls, url: str) -> str:
        if url and not _LOOPBACK.fullmatch(url.rstrip("/")):
            raise ValueError("must be http://127.0.0.1:PORT: samples never leave this machine")
        return url.rstrip("/")


class WatchProcess:
    """The feeds that are on and the mailbox, with a task for each."""

    def __init__(self, settings: WatchSettings) -> None:
        """Open the memory of the feeds. Raises OSError, sqlite3.Error."""
        settings.data.make()
        self._settings = settings
        self._store, keys = FeedStore(settings.feed_store), settings.feed_keys
        self._transport = FeedTransport(
            keys,
            settings.feeds_contact,
            base=settings.feeds_samples,
            proxy=settings.feeds_proxy.get_secret_value(),
        )
        self._front = HttpFront(FrontClient(partial(list_fronts, settings)), keys)

    @classmethod
    def open(cls) -> Self:
        """Return the watch with settings from the environment."""
        return cls(WatchSettings())

    def fault(self) -> str | None:
        """Return None: a feed that cannot be read is late, and shown so."""
        return None

    async def run(self) -> None:
        """Watch for ever."""
        settings, store = self._settings, self._store
        mailbox = MailboxSettings()
        has_mailbox = bool(mailbox.mailbox_url.get_secret_value())
        mails = MailMemory(mailbox) if has_mailbox else None
        memories = {} if mails is None else {find_mailbox_name(mailbox): mails}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_keep_status(settings, store), name="status")
            holds = _share_with_others(settings, store, memories, tasks)
            if has_mailbox:
                tasks.create_task(watch_mailbox(mailbox, holds, mails), name="mailbox")
            self._watch_feeds(holds, tasks)

    def _watch_feeds(self, holds: FeedHolds, tasks: asyncio.TaskGroup) -> None:
        territory = _load_watched(self._settings)
        if territory is None:
            return
        samples = bool(self._settings.feeds_samples)
        engine = FeedEngine(
            self._store, self._transport, self._front, territory, holds, samples=samples
        )
        for connector in list_connectors():
            tasks.create_task(_watch_feed(engine, connector), name=connector.spec.name)

    async def close(self) -> None:
        """Close the connections and the memory of the feeds."""
        await self._front.close()
        await self._transport.close()
        self._store.close()


def _load_watched(settings: WatchSettings) -> WatchedTerritory | None:
    """Return the watched objects of the territory.

    One without them has nothing to watch: the page says that all feeds are off.
    """
    try:
        return load_watched(settings.territory)
    except WatchedUnreadable as error:
        log.warning("watch.nothing_watched", reason=str(error))
        return None


def _share_with_others(
    settings: WatchSettings,
    store: FeedStore,
    mails: Mapping[str, MailMemory],
    tasks: asyncio.TaskGroup,
) -> FeedHolds:
    """Return the rights to feeds and mailbox; in a cluster, add the task that shares them."""
    if not is_shared(settings):
        store.forget_holds()
        return FeedHolds()
    # A single machine, and the command line, need no client of Kafka
    from services.watch.sharing import FeedMemory, SharedMemory, open_holds

    samples = bool(settings.feeds_samples)
    memories: dict[str, SharedMemory] = dict(mails) | {
        connector.spec.name: FeedMemory(store, connector, settings.feed_keys, samples=samples)
        for connector in list_connectors()
    }
    holds, membership = open_holds(settings, store, memories, samples=samples)
    running = holds.run(settings.kafka, membership)
    tasks.create_task(running, name="sharing")
    return holds


async def _watch_feed(engine: FeedEngine, connector: FeedConnector) -> None:
    while True:
        await engine.run_round(connector)
        await asyncio.sleep(LOOK_S)


async def _keep_status(settings: WatchSettings, store: FeedStore) -> None:
    """Write the state of the feeds for the console, and its metrics."""
    while True:
        now = datetime.now(UTC)
        feeds = describe_feeds(store, now, samples=bool(settings.feeds_samples))
        for item in feeds.items:
            if item.enabled:
                late = item.is_late(now)
                metrics.set_gauge("vigie_feed_late", float(late), feed=item.name)
                if item.understood_at is not None:
                    age = (now - item.understood_at).total_seconds()
                    metrics.set_gauge("vigie_feed_age_seconds", age, feed=item.name)
        try:
            write_status(settings.data.feed_status, feeds)
        except OSError as error:
            log.warning("watch.status_not_written", error=str(error))
        await asyncio.sleep(STATUS_S)
