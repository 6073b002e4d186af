"""Keep the state of the feeds in `watch/feeds.db`.

A report is written here before it is sent, and marked after the front has it. So a kill at any
moment loses nothing, and what is sent again has the same key. In a cluster the file also holds the
states that other machines shared (`services.watch.sharing`).

The page of feeds, the API and the command line read the state of each feed as described here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from schemas.catalogue.sources import FeedList, FeedStatus, LastPost
from services.runtime.process.files import open_atomic_file
from services.runtime.process.sqlite_cache import begin_transaction, open_cache
from services.watch.connector import (
    FeedBody,
    FeedSpec,
    FetchVerdict,
    Memory,
    Post,
    Reading,
    list_connectors,
    pace_samples,
)

KEPT_DRIFTS: Final = 10
KEPT_POSTS: Final = 200
_KEPT_HEADERS: Final = ("etag", "last-modified")
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS feed (
    name TEXT PRIMARY KEY, enabled INTEGER NOT NULL DEFAULT 0, memory TEXT NOT NULL DEFAULT '{}',
    edition TEXT NOT NULL DEFAULT '', edition_at REAL, verdict TEXT NOT NULL DEFAULT '',
    fault TEXT NOT NULL DEFAULT '', word TEXT NOT NULL DEFAULT '', fetched_at REAL,
    understood_at REAL, next_at REAL NOT NULL DEFAULT 0, earliest_at REAL NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0, enabled_at REAL);
CREATE TABLE IF NOT EXISTS body (
    feed TEXT, request TEXT, content BLOB NOT NULL, validators TEXT NOT NULL,
    headers TEXT NOT NULL, PRIMARY KEY (feed, request));
CREATE TABLE IF NOT EXISTS drift (
    id INTEGER PRIMARY KEY, feed TEXT NOT NULL, at REAL NOT NULL, fault TEXT NOT NULL,
    content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS post (
    id INTEGER PRIMARY KEY, feed TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL,
    intended_at REAL NOT NULL, sent_at REAL, UNIQUE (feed, key));
CREATE TABLE IF NOT EXISTS hold (
    name TEXT PRIMARY KEY, epoch INTEGER NOT NULL, revision INTEGER NOT NULL,
    holder TEXT NOT NULL, fetching INTEGER NOT NULL);
"""
_SHARED_COLUMNS: Final = (
    "memory",
    "edition",
    "edition_at",
    "verdict",
    "fault",
    "word",
    "fetched_at",
    "understood_at",
    "next_at",
    "earliest_at",
    "failures",
)
"""Columns that the machines of a cluster share. Each machine has a switch of its own."""


@dataclass(frozen=True, slots=True)
class FeedRow:
    """State of one feed. Times are Unix seconds."""

    name: str
    enabled: bool
    memory: Memory
    edition: str
    edition_at: float | None
    verdict: str
    fault: str
    word: str
    fetched_at: float | None
    understood_at: float | None
    next_at: float
    failures: int
    enabled_at: float | None
    earliest_at: float


@dataclass(frozen=True, slots=True)
class FeedHold:
    """The machine of a cluster that reads a feed, and how far its state is known here."""

    name: str
    """Name of the feed or of the mailbox."""
    epoch: int = 0
    """Number of holders so far."""
    revision: int = 0
    """Number of states that the holder has shared."""
    holder: str = ""
    """Name of the machine and of its process; empty if none has ever shared it."""
    is_fetching: bool = False
    """True from the begin of a round until its end is shared."""

    @property
    def machine(self) -> str:
        """Return the name of the machine."""
        return self.holder.partition(" ")[0]


class FeedHealth(NamedTuple):
    """Facts about a feed that cost little to read."""

    enabled: bool = False
    fetched_at: float | None = None
    verdict: str = ""
    failures: int = 0


class StoredBody(NamedTuple):
    """The last good body of a request, with JSON texts of its validators and headers."""

    request: str
    content: bytes
    validators: str
    headers: str


class FeedStore:
    """State of all feeds of one installation. Several processes may open it."""

    def __init__(self, path: Path) -> None:
        self._db = open_cache(path, _SCHEMA, "synchronous=FULL")

    def close(self) -> None:
        self._db.close()

    def get(self, name: str) -> FeedRow:
        """Return the state of a feed; an unknown one is off."""
        row = self._db.execute(
            "SELECT name, enabled, memory, edition, edition_at, verdict, fault, word, fetched_at,"
            " understood_at, next_at, failures, enabled_at, earliest_at FROM feed WHERE name = ?",
            (name,),
        ).fetchone()
        if row is None:
            return FeedRow(name, False, {}, "", None, "", "", "", None, None, 0.0, 0, None, 0.0)
        return FeedRow(row[0], bool(row[1]), orjson.loads(row[2]), *row[3:])

    def get_health(self, name: str) -> FeedHealth:
        """Return whether a feed is on and how its last rounds ended."""
        row = self._db.execute(
            "SELECT enabled, fetched_at, verdict, failures FROM feed WHERE name = ?", (name,)
        ).fetchone()
        return FeedHealth(bool(row[0]), *row[1:]) if row else FeedHealth()

    def enable(self, name: str, now: float, *, enabled: bool) -> None:
        """Switch a feed on or off. One that is switched on is asked as soon as it may be."""
        self._db.execute(
            "INSERT INTO feed (name, enabled, enabled_at) VALUES (?, ?, ?) ON CONFLICT (name) DO"
            " UPDATE SET enabled = excluded.enabled, enabled_at = excluded.enabled_at,"
            " next_at = earliest_at, failures = 0",
            (name, enabled, now),
        )

    def forget(self) -> None:
        """Forget all feeds, their reports and their bodies."""
        with begin_transaction(self._db):
            for table in ("feed", "body", "drift", "post"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608  four fixed names

    def claim(self, name: str, now: float, interval_s: float, earliest_s: float) -> bool:
        """Take the round of a feed that is due. Only one process gets it."""
        cursor = self._db.execute(
            "UPDATE feed SET next_at = ?, earliest_at = ?, fetched_at = ?"
            " WHERE name = ? AND enabled AND next_at <= ?",
            (now + interval_s, now + earliest_s, now, name, now),
        )
        return cursor.rowcount == 1

    def postpone(self, name: str, until: float) -> None:
        """Set the time of the next round, never earlier than the feed allows."""
        self._db.execute(
            "UPDATE feed SET next_at = max(?, earliest_at) WHERE name = ?", (until, name)
        )

    def note_failure(self, name: str, verdict: FetchVerdict, fault: str) -> int:
        """Keep a failed round; return the number of failures in a row."""
        self._db.execute(
            "UPDATE feed SET verdict = ?, fault = ?, failures = failures + 1 WHERE name = ?",
            (verdict.value, fault[:300], name),
        )
        return self.get(name).failures

    def note_drift(self, name: str, now: float, fault: str, bodies: Sequence[FeedBody]) -> None:
        """Keep the bytes that were not understood, the newest few."""
        with begin_transaction(self._db):
            for body in bodies:
                self._db.execute(
                    "INSERT INTO drift (feed, at, fault, content) VALUES (?, ?, ?, ?)",
                    (name, now, fault[:300], body.content),
                )
            self._db.execute(
                "DELETE FROM drift WHERE feed = ? AND id NOT IN"
                " (SELECT id FROM drift WHERE feed = ? ORDER BY id DESC LIMIT ?)",
                (name, name, KEPT_DRIFTS),
            )

    def keep_reading(
        self, name: str, reading: Reading, bodies: Sequence[FeedBody], now: float
    ) -> None:
        """Keep a reading, its bodies and the intention to send its posts, as a whole."""
        understood = reading.verdict in (FetchVerdict.OK, FetchVerdict.UNCHANGED)
        edition_at = reading.edition_at.timestamp() if reading.edition_at else None
        with begin_transaction(self._db):
            for post in reading.posts:
                self._db.execute(
                    "INSERT OR IGNORE INTO post (feed, key, body, intended_at) VALUES (?, ?, ?, ?)",
                    (name, post.key, orjson.dumps(post.body).decode(), now),
                )
            self._db.execute(
                "UPDATE feed SET memory = ?, edition = CASE WHEN ? = '' THEN edition ELSE ? END,"
                " edition_at = coalesce(?, edition_at), verdict = ?, fault = ?,"
                " word = CASE WHEN ? = '' THEN word ELSE ? END,"
                " understood_at = CASE WHEN ? THEN ? ELSE understood_at END,"
                " failures = CASE WHEN ? THEN 0 ELSE failures + 1 END WHERE name = ?",
                (
                    orjson.dumps(reading.memory).decode(),
                    reading.edition,
                    reading.edition,
                    edition_at,
                    reading.verdict.value,
                    "; ".join(reading.faults)[:300],
                    reading.word,
                    reading.word,
                    understood,
                    now,
                    understood,
                    name,
                ),
            )
            if understood:
                for body in bodies:
                    self._keep_body(name, body)
            self._db.execute(
                "DELETE FROM post WHERE feed = ? AND sent_at IS NOT NULL AND id NOT IN"
                " (SELECT id FROM post WHERE feed = ? ORDER BY id DESC LIMIT ?)",
                (name, name, KEPT_POSTS),
            )

    def _keep_body(self, name: str, body: FeedBody) -> None:
        lower = {key.lower(): value for key, value in body.headers.items()}
        validators = {}
        if "etag" in lower:
            validators["if-none-match"] = lower["etag"]
        if "last-modified" in lower:
            validators["if-modified-since"] = lower["last-modified"]
        headers = {name: lower[name] for name in _KEPT_HEADERS if name in lower}
        self.put_body(
            name,
            StoredBody(
                body.name,
                body.content if validators else b"",
                orjson.dumps(validators).decode(),
                orjson.dumps(headers).decode(),
            ),
        )

    def find_body(self, name: str, request: str) -> tuple[FeedBody, dict[str, str]] | None:
        """Return the last good body of a request and its validators, if the server gave any."""
        row = self._db.execute(
            "SELECT content, validators, headers FROM body WHERE feed = ? AND request = ?",
            (name, request),
        ).fetchone()
        if row is None or row[1] == "{}":
            return None
        return FeedBody(request, bytes(row[0]), orjson.loads(row[2])), orjson.loads(row[1])

    def list_unsent(self, name: str) -> list[Post]:
        """Return the posts that the front may not have, oldest first."""
        rows = self._db.execute(
            "SELECT key, body FROM post WHERE feed = ? AND sent_at IS NULL ORDER BY id", (name,)
        ).fetchall()
        return [Post(key, orjson.loads(body)) for key, body in rows]

    def mark_sent(self, name: str, key: str, now: float) -> None:
        self._db.execute(
            "UPDATE post SET sent_at = ? WHERE feed = ? AND key = ? AND sent_at IS NULL",
            (now, name, key),
        )

    def find_last_post(self, name: str) -> tuple[dict[str, Any], float] | None:
        """Return the newest report that was sent, and when."""
        row = self._db.execute(
            "SELECT body, sent_at FROM post WHERE feed = ? AND sent_at IS NOT NULL"
            " ORDER BY id DESC LIMIT 1",
            (name,),
        ).fetchone()
        return None if row is None else (orjson.loads(row[0]), float(row[1]))

    def get_hold(self, name: str) -> FeedHold:
        """Return the holder of a feed in a cluster; epoch 0 if there was none."""
        row = self._db.execute(
            "SELECT epoch, revision, holder, fetching FROM hold WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            return FeedHold(name)
        epoch, revision, holder, is_fetching = row
        return FeedHold(name, epoch, revision, holder, bool(is_fetching))

    def put_hold(self, hold: FeedHold) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO hold VALUES (?, ?, ?, ?, ?)",
            (hold.name, hold.epoch, hold.revision, hold.holder, hold.is_fetching),
        )

    def forget_holds(self) -> None:
        """Forget the holders of a cluster that this installation has left."""
        self._db.execute("DELETE FROM hold")

    def restore_times(self, row: FeedRow) -> None:
        """Undo the claim of a round that did not begin."""
        self._db.execute(
            "UPDATE feed SET next_at = ?, earliest_at = ?, fetched_at = ? WHERE name = ?",
            (row.next_at, row.earliest_at, row.fetched_at, row.name),
        )

    def resume(self, name: str) -> None:
        """Repeat a round that did not end, as soon as the feed may be asked."""
        self._db.execute("UPDATE feed SET next_at = earliest_at WHERE name = ?", (name,))

    def dump_state(self, name: str) -> dict[str, Any]:
        """Return all that another machine needs to go on with a feed, except its bodies.

        Only the reports that are unsent, and the newest one, have a text.
        """
        row = self._db.execute(
            f"SELECT {', '.join(_SHARED_COLUMNS)} FROM feed WHERE name = ?",  # noqa: S608
            (name,),
        ).fetchone()
        posts = self._db.execute(
            "SELECT key, CASE WHEN sent_at IS NULL OR id = (SELECT max(id) FROM post WHERE feed = ?"
            " AND sent_at IS NOT NULL) THEN body ELSE '{}' END, intended_at, sent_at"
            " FROM post WHERE feed = ? ORDER BY id",
            (name, name),
        ).fetchall()
        return {
            "feed": dict(zip(_SHARED_COLUMNS, row, strict=True)) if row else {},
            "posts": [list(post) for post in posts],
        }

    def load_state(self, name: str, state: dict[str, Any]) -> None:
        """Replace the state of a feed, as a whole, by that of another machine."""
        columns = {key: state["feed"][key] for key in _SHARED_COLUMNS if key in state["feed"]}
        with begin_transaction(self._db):
            self._db.execute("INSERT OR IGNORE INTO feed (name) VALUES (?)", (name,))
            for key, value in columns.items():
                self._db.execute(
                    f"UPDATE feed SET {key} = ? WHERE name = ?",  # noqa: S608  listed above
                    (value, name),
                )
            self._db.execute("DELETE FROM post WHERE feed = ?", (name,))
            self._db.executemany(
                "INSERT INTO post (feed, key, body, intended_at, sent_at) VALUES (?, ?, ?, ?, ?)",
                ((name, *post) for post in state["posts"]),
            )

    def list_bodies(self, name: str) -> list[StoredBody]:
        """Return the last good bodies that the server can confirm by their validators."""
        rows = self._db.execute(
            "SELECT request, content, validators, headers FROM body"
            " WHERE feed = ? AND validators != '{}'",
            (name,),
        ).fetchall()
        return [StoredBody(*row) for row in rows]

    def put_body(self, name: str, body: StoredBody) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO body VALUES (?, ?, ?, ?, ?)",
            (name, body.request, body.content, body.validators, body.headers),
        )


def describe_feeds(store: FeedStore, now: datetime, *, samples: bool = False) -> FeedList:
    """Return the state of all feeds, by name."""
    specs = [c.spec for c in list_connectors()]
    items = [
        describe_feed(pace_samples(spec) if samples else spec, store.get(spec.name), store)
        for spec in specs
    ]
    return FeedList(written_at=now, items=tuple(items), samples=samples)


def describe_feed(spec: FeedSpec, row: FeedRow, store: FeedStore) -> FeedStatus:
    last = store.find_last_post(spec.name)
    post = None
    if last is not None:
        post = LastPost(headline=str(last[0].get("headline", "")), at=_to_time(last[1]))
    return FeedStatus(
        name=spec.name,
        title=spec.title,
        enabled=row.enabled,
        verdict=row.verdict,
        fault=row.fault,
        edition=row.edition,
        edition_at=_to_time(row.edition_at),
        fetched_at=_to_time(row.fetched_at),
        understood_at=_to_time(row.understood_at),
        enabled_at=_to_time(row.enabled_at),
        poll_s=spec.poll_s,
        stale_after_s=spec.stale_after_s,
        heartbeat_s=spec.heartbeat_s,
        hours=spec.hours,
        word=row.word,
        last_post=post,
        waiting=len(store.list_unsent(spec.name)),
        read_by=store.get_hold(spec.name).machine,
    )


def write_status(file: Path, feeds: FeedList) -> None:
    """Replace the file that the console shows. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open_atomic_file(file, 0o600) as target:
        target.write(feeds.model_dump_json().encode())


def _to_time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
