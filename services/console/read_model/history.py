"""Every version of every row since the logs began, on disk: what was known at T is one lookup per row (DESIGN §4; API.md, `as_of`).

A local copy, filled from the logs by the row rule (`services.console.read_model.row_effects`) and begun anew when it is damaged or deleted: nothing else rests on it,
and like the logs it holds nothing personal. A fact counts if its own time is at or before T: a deadline that fired late, after a stall, counts when it
was due. Times never go back within one realm and service.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import orjson

from schemas.base import Instant
from schemas.topics import SERVICES
from services.console.read_model.projection import dump_position, load_position
from services.console.read_model.row_effects import (
    MembersMoved,
    RealmTouched,
    Row,
    RowPut,
    SectionPublished,
    of_fact,
)
from services.runtime.log.chain import Position
from services.runtime.log.transaction import Transaction
from services.runtime.process.sqlite_cache import open_again, open_copy

FIELDS: Final = "~fields"
SECTIONS: Final = "~sections"
FEEDS: Final = "~feeds"
CLOCK: Final = "~clock"
"""Beside the collections: fields of the realm, sections of its reference data, the last word of each source and channel, times of its facts."""

_MEMBERS: Final = "~cause_"
"""Before the name of an index: reports and sources of causes, as they joined and left."""
_GONE: Final = b"-1"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS scopes (
  scope INTEGER PRIMARY KEY, service TEXT, partition INTEGER, realm TEXT, collection TEXT, UNIQUE (realm, collection, service));
CREATE TABLE IF NOT EXISTS versions (scope INTEGER, id TEXT, at INTEGER, seq INTEGER, first INTEGER, incident TEXT, value BLOB);
CREATE UNIQUE INDEX IF NOT EXISTS of_row ON versions (scope, id, at, seq);
CREATE INDEX IF NOT EXISTS births ON versions (scope, at) WHERE first;
CREATE INDEX IF NOT EXISTS of_incident ON versions (scope, incident, id) WHERE incident IS NOT NULL;
CREATE TABLE IF NOT EXISTS positions (service TEXT, partition INTEGER, position TEXT, PRIMARY KEY (service, partition));
"""
_NEWEST: Final = "(SELECT value FROM versions WHERE scope = :scope AND id = ids.id AND at <= :at ORDER BY at DESC, seq DESC LIMIT 1)"
_IDS: Final = "SELECT min(id) FROM versions WHERE scope = :scope AND id"
_ALL: Final = (
    f"WITH RECURSIVE ids(id) AS ({_IDS} >= :low UNION ALL SELECT ({_IDS} > ids.id) FROM ids WHERE ids.id < :high) "  # noqa: S608
    f"SELECT id, {_NEWEST} FROM ids WHERE id < :high"
)
_OF_INCIDENT: Final = (
    f"SELECT id, {_NEWEST} FROM "  # noqa: S608
    "(SELECT DISTINCT id FROM versions WHERE scope = :scope AND incident = :incident AND at <= :at) AS ids"
)
_ONE: Final = "SELECT value FROM versions WHERE scope = :scope AND id = :id AND at <= :at ORDER BY at DESC, seq DESC LIMIT 1"
_FORGET: Final = "DELETE FROM versions WHERE scope IN (SELECT scope FROM scopes WHERE service = ? AND partition = ?)"
_COUNT: Final = "SELECT count(*) FROM versions WHERE scope = :scope AND first AND at <= :at"
_PUT: Final = "INSERT OR IGNORE INTO versions VALUES (?, ?, ?, ?, ?, ?, ?)"
_ORDINALS: Final = 1 << 20
_LAST: Final = chr(0x10FFFF)
_EVER: Final = (1 << 62) - 1


class Version(NamedTuple):
    """One row, or one of the things beside them, as a fact at `at` made it."""

    realm: str
    collection: str
    id: str
    at: Instant
    seq: int
    """Order within a log."""
    value: bytes
    incident: str | None = None


def versions(tx: Transaction, offset: int) -> Iterator[Version]:
    """What one accepted Transaction, the record at `offset` of its log, adds."""
    realm = tx.realm
    yield Version(realm, CLOCK, "", tx.at, 0, b"")
    for ordinal, fact in enumerate(tx.facts):
        seq, at = offset * _ORDINALS + ordinal, fact.at
        if at < tx.at:
            yield Version(realm, CLOCK, "", at, 0, b"")
        for effect in of_fact(tx, fact):
            match effect:
                case RowPut(collection=collection, id=id, row=row):
                    incident = row.get("incident")
                    yield Version(
                        realm,
                        collection,
                        id,
                        at,
                        seq,
                        orjson.dumps(row),
                        incident if isinstance(incident, str) else None,
                    )
                    yield from _heard(realm, collection, row, at, seq)
                case MembersMoved():
                    yield from _moved(realm, effect, at, seq)
                case RealmTouched(fields=fields):
                    for name, value in fields.items():
                        yield Version(realm, FIELDS, name, at, seq, orjson.dumps(value))
                case SectionPublished(version=version, section=section, content=content):
                    yield Version(
                        realm, SECTIONS, f"{version} {section}", at, seq, orjson.dumps(content)
                    )


def _moved(realm: str, moved: MembersMoved, at: Instant, seq: int) -> Iterator[Version]:
    """Places of the members of a cause by `<cause> <member>`, and by the cause alone the place below which none is left."""
    collection = _MEMBERS + moved.index
    if moved.floor is not None:
        yield Version(realm, collection, moved.cause, at, seq, b"%d" % moved.floor)
    for id in moved.dropped:
        yield Version(realm, collection, f"{moved.cause} {id}", at, seq, _GONE)
    for id, place in moved.added.items():
        yield Version(realm, collection, f"{moved.cause} {id}", at, seq, b"%d" % place)


def _heard(realm: str, collection: str, row: Row, at: Instant, seq: int) -> Iterator[Version]:
    if collection == "reports":
        yield Version(realm, FEEDS, f"source:{row['source']}", at, seq, b"%d" % row["recorded_at"])
    elif collection == "notifications" and row.get("sent_at") is not None and row.get("channel"):
        yield Version(realm, FEEDS, f"channel:{row['channel']}", at, seq, b"%d" % row["sent_at"])


class Chronicle:
    """The file. Methods block for milliseconds and may be called from any thread; `add` and `forget` by one at a time."""

    def __init__(self, db: sqlite3.Connection, reading: sqlite3.Connection) -> None:
        self._db, self._reading = db, reading
        self._scopes: dict[tuple[str, str, str], int] = {}
        self._last_heard: dict[tuple[int, str], Instant] = {}

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises OSError, sqlite3.Error (disk full)."""
        return cls(open_copy(path, _SCHEMA), open_again(path))

    @classmethod
    def in_memory(cls) -> Self:
        """Of logs that are not on Kafka."""
        db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        db.executescript(_SCHEMA)
        return cls(db, db)

    def __del__(self) -> None:
        """When nobody uses it any more: closed under a thread that reads it would end the process (SQLite: a segmentation fault)."""
        self._db.close()
        self._reading.close()

    def position(self, service: str, partition: int) -> Position:
        """Up to where a log was read."""
        found = self._db.execute(
            "SELECT position FROM positions WHERE service = ? AND partition = ?",
            (service, partition),
        ).fetchone()
        return load_position(found[0]) if found else Position()

    def add(
        self, service: str, partition: int, found: Iterable[Version], position: Position
    ) -> None:
        """What was read of a log, and up to where: both or neither. Raises sqlite3.Error (disk full)."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            for version in found:
                self._put(service, partition, version)
            db.execute(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)",
                (service, partition, dump_position(position, 0)),
            )
            db.execute("COMMIT")
        except BaseException:
            self._scopes.clear()
            self._last_heard.clear()
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def forget(self, service: str, partition: int) -> None:
        """All that came from one log: it no longer holds what was read of it. Raises sqlite3.Error."""
        self._scopes.clear()
        self._last_heard.clear()
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(_FORGET, (service, partition))
        self._db.execute(
            "DELETE FROM positions WHERE service = ? AND partition = ?", (service, partition)
        )
        self._db.execute("COMMIT")

    def _put(self, service: str, partition: int, v: Version) -> None:
        scope = self._scope(service, partition, v.realm, v.collection)
        if v.collection == FEEDS:
            if (last := self._heard_before(scope, v.id)) is not None and last >= int(v.value):
                return
            self._last_heard[scope, v.id] = int(v.value)
        first = (
            v.collection != CLOCK
            and self._db.execute(
                "SELECT 1 FROM versions WHERE scope = ? AND id = ? LIMIT 1", (scope, v.id)
            ).fetchone()
            is None
        )
        self._db.execute(_PUT, (scope, v.id, v.at, v.seq, int(first), v.incident, v.value))

    def _heard_before(self, scope: int, id: str) -> Instant | None:
        if (scope, id) not in self._last_heard:
            found = self._db.execute(_ONE, {"scope": scope, "id": id, "at": _EVER}).fetchone()
            if found is None:
                return None
            self._last_heard[scope, id] = int(found[0])
        return self._last_heard[scope, id]

    def _scope(self, service: str, partition: int, realm: str, collection: str) -> int:
        key = (realm, collection, service)
        if key not in self._scopes:
            self._db.execute(
                "INSERT OR IGNORE INTO scopes VALUES (NULL, ?, ?, ?, ?)",
                (service, partition, realm, collection),
            )
            (self._scopes[key],) = self._db.execute(
                "SELECT scope FROM scopes WHERE realm = ? AND collection = ? AND service = ?", key
            ).fetchone()
        return self._scopes[key]

    def covers(self, realm: str, until: Instant) -> bool:
        """True if every service is known to have gone on beyond this time: whatever it said up to then is here."""
        clocks = self._clocks(realm, _EVER)
        return len(clocks) == len(SERVICES) and all(at > until for at in clocks)

    def clock(self, realm: str, until: Instant) -> Instant | None:
        """Time of the last fact by then."""
        return max(self._clocks(realm, until), default=None)

    def _clocks(self, realm: str, until: Instant) -> list[Instant]:
        """Of each service that said something by then."""
        last = "SELECT max(at) FROM versions WHERE scope = ? AND id = '' AND at <= ?"
        found = [
            self._reading.execute(last, (scope, until)).fetchone()[0]
            for _, scope in self._scopes_of(realm, CLOCK)
        ]
        return [at for at in found if at is not None]

    def _scopes_of(self, realm: str, collection: str) -> list[tuple[str, int]]:
        """(service, scope) in the order of the services."""
        found = dict(
            self._reading.execute(
                "SELECT service, scope FROM scopes WHERE realm = ? AND collection = ?",
                (realm, collection),
            )
        )
        return [(service, found[service]) for service in SERVICES if service in found]

    def fold(self, realm: str, until: Instant) -> Fold:
        """One realm as known at a time, as far as the logs were read."""
        return Fold(self, realm, until)

    def newest(
        self, realm: str, collection: str, until: Instant, *, low: str = "", high: str = _LAST
    ) -> Iterator[tuple[str, bytes]]:
        """(id, value) of everything in a collection whose id is from `low` to before `high`, by service and id."""
        for _, scope in self._scopes_of(realm, collection):
            for id, value in self._reading.execute(
                _ALL, {"scope": scope, "at": until, "low": low, "high": high}
            ):
                if value is not None:
                    yield id, value

    def one(self, realm: str, collection: str, id: str, until: Instant) -> bytes | None:
        for _, scope in self._scopes_of(realm, collection):
            found = self._reading.execute(_ONE, {"scope": scope, "id": id, "at": until}).fetchone()
            if found is not None:
                return bytes(found[0])
        return None

    def of_incident(
        self, realm: str, collection: str, incident: str, until: Instant
    ) -> list[bytes]:
        """Rows that named this incident at some time until then, as they are then."""
        asked = {"at": until, "incident": incident}
        return [
            value
            for _, scope in self._scopes_of(realm, collection)
            for _, value in self._reading.execute(_OF_INCIDENT, {"scope": scope} | asked)
        ]

    def count(self, realm: str, collection: str, until: Instant) -> int:
        """How many ids a collection has."""
        return sum(
            self._reading.execute(_COUNT, {"scope": scope, "at": until}).fetchone()[0]
            for _, scope in self._scopes_of(realm, collection)
        )


@dataclass(frozen=True, slots=True)
class Fold:
    """One realm at one time."""

    chronicle: Chronicle
    realm: str
    until: Instant

    def rows(self, collection: str) -> dict[str, bytes]:
        """JSON of the rows of a collection by id."""
        return dict(self.chronicle.newest(self.realm, collection, self.until))

    def row(self, collection: str, id: str) -> bytes | None:
        """JSON of one row."""
        return self.chronicle.one(self.realm, collection, id, self.until)

    def some(self, collection: str, ids: Sequence[str]) -> dict[str, bytes]:
        """JSON of the rows with these ids that exist."""
        return {id: row for id in ids if (row := self.row(collection, id)) is not None}

    def count(self, collection: str) -> int:
        return self.chronicle.count(self.realm, collection, self.until)

    def reports_of(self, incident: str) -> list[Row]:
        """Reports of an incident."""
        found: list[Row] = [
            orjson.loads(raw)
            for raw in self.chronicle.of_incident(self.realm, "reports", incident, self.until)
        ]
        return [row for row in found if row["incident"] == incident]

    def members_of(self, index: str, cause: str) -> tuple[str, ...]:
        """Reports or sources of a cause, in the order in which they joined it."""
        collection = _MEMBERS + index
        found = self.chronicle.newest(
            self.realm, collection, self.until, low=f"{cause} ", high=f"{cause}!"
        )
        places = {id.partition(" ")[2]: int(place) for id, place in found}
        floor = int(self.chronicle.one(self.realm, collection, cause, self.until) or 0)
        left = ((place, id) for id, place in places.items() if place >= floor)
        return tuple(id for _, id in sorted(left))

    @property
    def feeds(self) -> dict[str, Instant]:
        """`source:<name>` or `channel:<name>` → time of its last message."""
        return {name: int(at) for name, at in self.rows(FEEDS).items()}

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of the realm; empty if it was not open yet."""
        return {name: orjson.loads(value) for name, value in self.rows(FIELDS).items()}

    @property
    def clock(self) -> Instant | None:
        return self.chronicle.clock(self.realm, self.until)

    def sections(self, reference: str) -> Mapping[str, dict[str, Any]]:
        """Section → content of one version of the reference data."""
        found = self.chronicle.newest(
            self.realm, SECTIONS, self.until, low=f"{reference} ", high=f"{reference}!"
        )
        return {name.split(" ", 1)[1]: orjson.loads(value) for name, value in found}
