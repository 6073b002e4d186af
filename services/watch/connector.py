# ruff: noqa: ARG002  a connector overrides what it needs
"""Define and find connectors: one feed each, read by pure functions.

A connector names its requests and turns bodies into posts. It has no clock, no network and no
file: the engine gives it the bodies, the time and the memory that it returned the last time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Final

from services.watch import feeds
from services.watch.parsing import BodyRefused, FeedDrift, format_instant
from services.watch.watched import WatchedTerritory


class UnknownFeed(LookupError):
    """No connector has that name."""


@cache
def list_connectors() -> "tuple[FeedConnector, ...]":
    """Return the connectors in order of their names."""
    modules = (import_module(f"{feeds.__name__}.{m.name}") for m in iter_modules(feeds.__path__))
    connectors: list[FeedConnector] = [module.CONNECTOR for module in modules]
    return tuple(sorted(connectors, key=lambda connector: connector.spec.name))


def find_connector(name: str) -> "FeedConnector":
    """Return the connector of a feed. Raises UnknownFeed."""
    for connector in list_connectors():
        if connector.spec.name == name:
            return connector
    raise UnknownFeed(name)


Memory = dict[str, Any]
"""Knowledge of a connector from earlier bodies: JSON values only."""
SAMPLES_POLL_S: Final = 60
POLL_DELAY: Final = timedelta(seconds=60)
"""A second fetch counts as one if it comes at least this much later."""


class FetchVerdict(StrEnum):
    """Result of one fetch."""

    OK = "ok"
    UNCHANGED = "unchanged"
    DRIFT = "drift"
    STALE = "stale"
    REFUSED = "refused"
    RETRY = "retry"
    AUTH = "auth"


UNDERSTOOD: Final = frozenset({FetchVerdict.OK, FetchVerdict.UNCHANGED})
"""Verdicts after which the connector gives a sign of life."""


@dataclass(frozen=True, slots=True)
class FeedKey:
    """Proof of the caller to a feed. The key itself is in a file."""

    header: str
    token_url: str = ""
    """OAuth2 `client_credentials`: the file holds `id:secret` in Base64, sent as Basic."""


@dataclass(frozen=True, slots=True)
class FeedSpec:
    """Fixed facts about a feed."""

    name: str
    title: str
    """French name for users."""
    hosts: tuple[str, ...]
    poll_s: int
    heartbeat_s: int
    stale_after_s: int
    """0: the feed has no time of its own."""
    speaks_as: str
    types: tuple[str, ...]
    """Types of report that its key may send."""
    min_interval_s: int = 60
    max_bytes: int = 4_000_000
    key: FeedKey | None = None
    hours: tuple[int, int] | None = None
    """Paris hours when it is asked: from, to."""
    pause_s: float = 0.0
    """Pause between two requests of one round."""


def pace_samples(spec: FeedSpec) -> FeedSpec:
    """Return the spec of a feed that is read from samples: no publisher has to be spared."""
    poll = min(spec.poll_s, SAMPLES_POLL_S)
    return replace(spec, poll_s=poll, min_interval_s=0, hours=None, pause_s=0.0)


@dataclass(frozen=True, slots=True)
class FeedRequest:
    """One address to fetch. Without an optional one the round goes on."""

    name: str
    url: str
    optional: bool = False
    fallback: str = ""
    """Address of the same news in another form, asked if the first has no answer."""


@dataclass(frozen=True, slots=True)
class FeedBody:
    """One answer, as it came."""

    name: str
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Bodies = Mapping[str, FeedBody]


@dataclass(frozen=True, slots=True)
class Look:
    """Circumstances of a reading."""

    now: datetime
    memory: Memory
    territory: WatchedTerritory
    others: Mapping[str, Memory] = field(default_factory=dict)
    """Memory of the other feeds, for a second source."""


@dataclass(frozen=True, slots=True)
class Post:
    """One report to send, under a key that makes repetitions harmless."""

    key: str
    body: dict[str, Any]


@dataclass(slots=True)
class Reading:
    """Content of one round, as the connector understood it."""

    memory: Memory
    verdict: FetchVerdict = FetchVerdict.OK
    posts: list[Post] = field(default_factory=list)
    edition: str = ""
    edition_at: datetime | None = None
    word: str = ""
    """Last word of the feed for the page of feeds, in French."""
    faults: list[str] = field(default_factory=list)
    """Reasons of the drift: fields, never their content."""
    soon: bool = False
    """True if the next fetch should come after a minute, to see the same again."""

    def note_drift(self, fault: FeedDrift | str) -> None:
        self.verdict = FetchVerdict.DRIFT
        self.faults.append(str(fault))

    def settle(self) -> "Reading":
        """Finish: an edition that was known, with nothing to say, is unchanged."""
        last_edition = self.memory.get("edition")
        if (
            self.verdict is FetchVerdict.OK
            and not self.posts
            and last_edition == self.edition != ""
        ):
            self.verdict = FetchVerdict.UNCHANGED
        self.memory["edition"] = self.edition
        if self.edition_at is not None:
            self.memory["edition_at"] = format_instant(self.edition_at)
        return self


class FeedConnector:
    """One feed, and common answers for one request. `list_connectors` finds its module."""

    spec: FeedSpec

    def list_requests(self, territory: WatchedTerritory) -> Sequence[FeedRequest]:
        """List the addresses of a round."""
        raise NotImplementedError

    def list_follow_ups(
        self, bodies: Bodies, memory: Memory, territory: WatchedTerritory
    ) -> Sequence[FeedRequest]:
        """List addresses that the first bodies name. Never raises."""
        return ()

    def read(self, bodies: Bodies, look: Look) -> Reading:
        """Read the bodies of a round. Raises BodyRefused, FeedDrift; then the memory stands."""
        raise NotImplementedError

    def read_time(self, bodies: Bodies) -> datetime | None:
        """Return the edition time of bodies, None if they have none. Never raises."""
        try:
            return self.find_edition_time(bodies)
        except (BodyRefused, FeedDrift, ValueError, KeyError, TypeError, OverflowError):
            return None

    def find_edition_time(self, bodies: Bodies) -> datetime | None:
        """Return the edition time; may raise for a body that cannot be read."""
        return None

    def choose_poll(self, memory: Memory) -> int:
        """Return the seconds until the next round."""
        return self.spec.poll_s

    def name_body(self, content: bytes) -> str:
        """Return the name of the request that this body answers."""
        return "main"

    def find_companions(self, file: Path) -> Mapping[str, Path]:
        """Find saved bodies that belong to a saved body, by name of their request."""
        return {}


def is_stale(edition: datetime, now: datetime, spec: FeedSpec) -> bool:
    """Return whether an edition is too old to say anything about now."""
    return now - edition > timedelta(seconds=spec.stale_after_s)


def is_outdated(edition: datetime, look: Look, spec: FeedSpec) -> bool:
    """Return whether an edition is stale, or older than the last one that was read.

    A cache may give an old copy after a newer one. It ends and raises nothing.
    """
    last = look.memory.get("edition_at")
    is_older = last is not None and edition < read_stored_time(last)
    return is_older or is_stale(edition, look.now, spec)


def read_stored_time(text: str) -> datetime:
    """Return a time that a memory holds."""
    return datetime.fromisoformat(text).astimezone(UTC)


def build_post(key: str, occurred_at: str, **fields: Any) -> Post:
    """Build a report under its alias; absent fields are left out."""
    body = {"occurred_at": occurred_at, **fields, "alias": key}
    return Post(key, {name: value for name, value in body.items() if value not in (None, [], {})})


def build_end(key: str, occurred_at: str, reference: str, headline: str, **fields: Any) -> Post:
    """Build the report that takes an earlier one back."""
    return build_post(
        key,
        occurred_at,
        severity=1,
        msg_type="Cancel",
        references=[reference],
        headline=headline,
        **fields,
    )
