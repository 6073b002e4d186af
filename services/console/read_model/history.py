"""Store every version of every row on disk, so that a past state is one lookup per row (`as_of`).

The file is a local copy, filled from the logs by the row rule
(`services.console.read_model.row_effects`). It starts empty again when it is damaged or deleted;
nothing else depends on it. Like the logs it holds no personal data.

A fact counts if its own time is at or before T: a deadline that fired late, after a stall, counts
at its due time. Times never decrease within one realm and service.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import orjson

from schemas.base import Instant
from schemas.reference import Section
from schemas.topics import SERVICES
from services.console.read_model.packed_values import ValueReader, ValueWriter
from services.console.read_model.projection import dump_position, load_position
from services.console.read_model.row_effects import (
    MembersChanged,
    RealmFieldsChanged,
    Row,
    RowPut,
    SectionPublished,
    list_fact_effects,
)
from services.runtime.log.chain import Position
from services.runtime.log.transaction import Transaction
from services.runtime.process.sqlite_cache import (
    begin_transaction,
    open_cache,
    open_second_connection,
)

FIELDS: Final = "~fields"
SECTIONS: Final = "~sections"
FEEDS: Final = "~feeds"
CLOCK: Final = "~clock"
"""Collections beside those of rows.

Fields of the realm, sections of its reference data, the last message of each source and channel,
and the times of its facts.
"""

_MEMBERS: Final = "~cause_"
"""Prefix of the collections that hold the reports and sources of causes."""
_LEFT: Final = b"-1"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS scopes (
  scope INTEGER PRIMARY KEY, service TEXT, partition INTEGER, realm TEXT, collection TEXT, UNIQUE (realm, collection, service));
CREATE TABLE IF NOT EXISTS versions (scope INTEGER, id TEXT, at INTEGER, seq INTEGER, first INTEGER, incident TEXT, value BLOB);
CREATE UNIQUE INDEX IF NOT EXISTS of_row ON versions (scope, id, at, seq);
CREATE INDEX IF NOT EXISTS births ON versions (scope, at) WHERE first;
CREATE INDEX IF NOT EXISTS of_incident ON versions (scope, incident) WHERE incident IS NOT NULL;
CREATE TABLE IF NOT EXISTS positions (service TEXT, partition INTEGER, position TEXT, PRIMARY KEY (service, partition));
"""
_NEWEST: Final = (
    "(SELECT value FROM versions WHERE scope = :scope AND id = ids.id AND at <= :at ORDER BY at "
    "DESC, seq DESC LIMIT 1)"
)
_IDS: Final = "SELECT min(id) FROM versions WHERE scope = :scope AND id"
_ALL: Final = (
    f"WITH RECURSIVE ids(id) AS ({_IDS} >= :low UNION ALL SELECT ({_IDS} > ids.id) FROM ids WHERE ids.id < :high) "  # noqa: S608
    f"SELECT id, {_NEWEST} FROM ids WHERE id < :high"
)
_OF_INCIDENT: Final = (
    f"SELECT id, {_NEWEST} FROM "  # noqa: S608
    "(SELECT DISTINCT id FROM versions INDEXED BY of_incident WHERE scope = :scope AND incident = "
    ":incident AND at <= :at ORDER BY id) AS ids"
)
_ONE: Final = (
    "SELECT value FROM versions WHERE scope = :scope AND id = :id AND at <= :at ORDER BY at DESC, "
    "seq DESC LIMIT 1"
)
_FORGET: Final = (
    "DELETE FROM versions WHERE scope IN (SELECT scope FROM scopes WHERE service = ? AND "
    "partition = ?)"
)
_COUNT: Final = "SELECT count(*) FROM versions WHERE scope = :scope AND first AND at <= :at"
_VERSIONS: Final = "SELECT id, at, value FROM versions WHERE scope = :scope ORDER BY at, seq"
_PUT: Final = "INSERT OR IGNORE INTO versions VALUES (?, ?, ?, ?, ?, ?, ?)"
_ORDINALS: Final = 1 << 20
_LAST: Final = chr(0x10FFFF)
_LATEST: Final = (1 << 62) - 1


class Version(NamedTuple):
    """One row, or one entry of the other collections, written by a fact at `at`."""

    realm: str
    collection: str
    id: str
    at: Instant
    seq: int
    """Order within a log."""
    value: bytes
    incident: str | None = None
    """Incident of a report."""


def list_versions(tx: Transaction, offset: int) -> Iterator[Version]:
    """Yield the versions that one accepted Transaction adds; `offset` is its offset in the log."""
    realm = tx.realm
    yield Version(realm, CLOCK, "", tx.at, 0, b"")
    for ordinal, fact in enumerate(tx.facts):
        seq, at = offset * _ORDINALS + ordinal, fact.at
        if at < tx.at:
            yield Version(realm, CLOCK, "", at, 0, b"")
        for effect in list_fact_effects(tx, fact):
            match effect:
                case RowPut(collection=collection, id=id, row=row):
                    incident = row.get("incident") if collection == "reports" else None
                    yield Version(
                        realm,
                        collection,
                        id,
                        at,
                        seq,
                        orjson.dumps(row),
                        incident if isinstance(incident, str) else None,
                    )
                    yield from _list_feed_versions(realm, collection, row, at, seq)
                case MembersChanged():
                    yield from _list_member_versions(realm, effect, at, seq)
                case RealmFieldsChanged(fields=fields):
                    for name, value in fields.items():
                        yield Version(realm, FIELDS, name, at, seq, orjson.dumps(value))
                case SectionPublished(version=version, section=section, content=content):
                    yield Version(
                        realm, SECTIONS, f"{version} {section}", at, seq, orjson.dumps(content)
                    )


def _list_member_versions(
    realm: str, member_change: MembersChanged, at: Instant, seq: int
) -> Iterator[Version]:
    """Yield the positions of the members of a cause, under the id `<cause> <member>`.

    The id `<cause>` alone holds the floor: members with a lower position have left.
    """
    collection = _MEMBERS + member_change.index
    if member_change.floor is not None:
        yield Version(realm, collection, member_change.cause, at, seq, b"%d" % member_change.floor)
    for id in member_change.dropped:
        yield Version(realm, collection, f"{member_change.cause} {id}", at, seq, _LEFT)
    for id, place in member_change.added.items():
        yield Version(realm, collection, f"{member_change.cause} {id}", at, seq, b"%d" % place)


def _list_feed_versions(
    realm: str, collection: str, row: Row, at: Instant, seq: int
) -> Iterator[Version]:
    if collection == "reports":
        yield Version(realm, FEEDS, f"source:{row['source']}", at, seq, b"%d" % row["recorded_at"])
    elif collection == "notifications" and row.get("sent_at") is not None and row.get("channel"):
        yield Version(realm, FEEDS, f"channel:{row['channel']}", at, seq, b"%d" % row["sent_at"])


class Chronicle:
    """The SQLite file of versions.

    Methods block for milliseconds and may run in any thread; only one caller at a time may use
    `add` and `forget`.
    """

    def __init__(self, db: sqlite3.Connection, reading: sqlite3.Connection) -> None:
        self._db, self._reading = db, reading
        self._scopes: dict[tuple[str, str, str], int] = {}
        self._last_heard: dict[tuple[int, str], Instant] = {}

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create the file. Raises OSError, sqlite3.Error (disk full)."""
        return cls(open_cache(path, _SCHEMA), open_second_connection(path))

    @classmethod
    def in_memory(cls) -> Self:
        """Create a chronicle in memory, for logs that are not on Kafka."""
        db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        db.executescript(_SCHEMA)
        return cls(db, db)

    def __del__(self) -> None:
        """Close the connections once no thread uses them.

        Closing under a reading thread ends the process: SQLite raises a segmentation fault.
        """
        self._db.close()
        self._reading.close()

    def position(self, service: str, partition: int) -> Position:
        """Return the position after the last record read of a log."""
        position_row = self._db.execute(
            "SELECT position FROM positions WHERE service = ? AND partition = ?",
            (service, partition),
        ).fetchone()
        return load_position(position_row[0]) if position_row else Position()

    def add(
        self, service: str, partition: int, versions: Iterable[Version], position: Position
    ) -> None:
        """Store versions and the new position of a log, both or neither.

        Raises sqlite3.Error (disk full).
        """
        db, values = self._db, ValueWriter(self._db)
        try:
            with begin_transaction(db):
                for version in versions:
                    self._put(service, partition, version, values)
                db.execute(
                    "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)",
                    (service, partition, dump_position(position, 0)),
                )
        except BaseException:
            self._scopes.clear()
            self._last_heard.clear()
            raise

    def forget(self, service: str, partition: int) -> None:
        """Delete everything that came from one log, because the log has changed.

        Raises sqlite3.Error.
        """
        self._scopes.clear()
        self._last_heard.clear()
        with begin_transaction(self._db):
            self._db.execute(_FORGET, (service, partition))
            self._db.execute(
                "DELETE FROM positions WHERE service = ? AND partition = ?", (service, partition)
            )

    def _put(self, service: str, partition: int, v: Version, values: ValueWriter) -> None:
        scope = self._scope(service, partition, v.realm, v.collection)
        if v.collection == FEEDS:
            if (last := self._heard_before(scope, v.id)) is not None and last >= int(v.value):
                return
            self._last_heard[scope, v.id] = int(v.value)
        value, first = values.pack(scope, v.id, v.value)
        first &= v.collection != CLOCK
        self._db.execute(_PUT, (scope, v.id, v.at, v.seq, int(first), v.incident, value))

    def _heard_before(self, scope: int, id: str) -> Instant | None:
        if (scope, id) not in self._last_heard:
            row = self._db.execute(_ONE, {"scope": scope, "id": id, "at": _LATEST}).fetchone()
            if row is None:
                return None
            self._last_heard[scope, id] = int(row[0])
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
        """Return whether every service has written beyond `until`, so that nothing is missing."""
        clocks = self._clocks(realm, _LATEST)
        return len(clocks) == len(SERVICES) and all(at > until for at in clocks)

    def clock(self, realm: str, until: Instant) -> Instant | None:
        """Return the time of the last fact by `until`."""
        return max(self._clocks(realm, until), default=None)

    def _clocks(self, realm: str, until: Instant) -> list[Instant]:
        """Return the newest time by `until` of each service that wrote something by then."""
        last = "SELECT max(at) FROM versions WHERE scope = ? AND id = '' AND at <= ?"
        clock_times = [
            self._reading.execute(last, (scope, until)).fetchone()[0]
            for _, scope in self._scopes_of(realm, CLOCK)
        ]
        return [at for at in clock_times if at is not None]

    def _scopes_of(self, realm: str, collection: str) -> list[tuple[str, int]]:
        """Return (service, scope) pairs in the order of the services."""
        scope_by_service = dict(
            self._reading.execute(
                "SELECT service, scope FROM scopes WHERE realm = ? AND collection = ?",
                (realm, collection),
            )
        )
        return [
            (service, scope_by_service[service])
            for service in SERVICES
            if service in scope_by_service
        ]

    def fold(self, realm: str, until: Instant) -> "Fold":
        return Fold(self, realm, until)

    def newest(
        self, realm: str, collection: str, until: Instant, *, low: str = "", high: str = _LAST
    ) -> Iterator[tuple[str, bytes]]:
        """Yield (id, value) of a collection for ids from `low` up to, not including, `high`.

        Ordered by service and id.
        """
        values = ValueReader(self._reading)
        for _, scope in self._scopes_of(realm, collection):
            for id, value in self._reading.execute(
                _ALL, {"scope": scope, "at": until, "low": low, "high": high}
            ):
                if value is not None:
                    yield id, values.unpack(value)

    def one(self, realm: str, collection: str, id: str, until: Instant) -> bytes | None:
        for _, scope in self._scopes_of(realm, collection):
            row = self._reading.execute(_ONE, {"scope": scope, "id": id, "at": until}).fetchone()
            if row is not None:
                return ValueReader(self._reading).unpack(row[0])
        return None

    def versions(self, realm: str, collection: str) -> Iterator[tuple[str, Instant, bytes]]:
        """Yield (id, time, value) of every version of a collection, in the order of its log."""
        values = ValueReader(self._reading)
        for _, scope in self._scopes_of(realm, collection):
            for id, at, value in self._reading.execute(_VERSIONS, {"scope": scope}):
                yield id, at, values.unpack(value)

    def of_incident(
        self, realm: str, collection: str, incident: str, until: Instant
    ) -> list[bytes]:
        """Return the rows that referred to this incident at any time by `until`, as of then."""
        parameters, values = {"at": until, "incident": incident}, ValueReader(self._reading)
        return [
            values.unpack(value)
            for _, scope in self._scopes_of(realm, collection)
            for _, value in self._reading.execute(_OF_INCIDENT, {"scope": scope} | parameters)
        ]

    def count(self, realm: str, collection: str, until: Instant) -> int:
        return sum(
            self._reading.execute(_COUNT, {"scope": scope, "at": until}).fetchone()[0]
            for _, scope in self._scopes_of(realm, collection)
        )


@dataclass(frozen=True, slots=True)
class Fold:
    """One realm at one time; rows are JSON by id."""

    chronicle: Chronicle
    realm: str
    until: Instant

    def rows(self, collection: str) -> dict[str, bytes]:
        return dict(self.chronicle.newest(self.realm, collection, self.until))

    def row(self, collection: str, id: str) -> bytes | None:
        return self.chronicle.one(self.realm, collection, id, self.until)

    def some(self, collection: str, ids: Sequence[str]) -> dict[str, bytes]:
        """Return the rows with these ids that exist."""
        return {id: row for id in ids if (row := self.row(collection, id)) is not None}

    def count(self, collection: str) -> int:
        return self.chronicle.count(self.realm, collection, self.until)

    def reports_of(self, incident: str) -> list[Row]:
        rows: list[Row] = [
            orjson.loads(raw)
            for raw in self.chronicle.of_incident(self.realm, "reports", incident, self.until)
        ]
        return [row for row in rows if row["incident"] == incident]

    def members_of(self, index: str, cause: str) -> tuple[str, ...]:
        """Return the reports or sources of a cause in their order of joining."""
        collection = _MEMBERS + index
        members = self.chronicle.newest(
            self.realm, collection, self.until, low=f"{cause} ", high=f"{cause}!"
        )
        places = {id.partition(" ")[2]: int(place) for id, place in members}
        floor = int(self.chronicle.one(self.realm, collection, cause, self.until) or 0)
        current_members = ((place, id) for id, place in places.items() if place >= floor)
        return tuple(id for _, id in sorted(current_members))

    @property
    def feeds(self) -> dict[str, Instant]:
        """Time of the last message of each `source:<name>` and `channel:<name>`."""
        return {name: int(at) for name, at in self.rows(FEEDS).items()}

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of the realm; empty if it was not open yet."""
        return {name: orjson.loads(value) for name, value in self.rows(FIELDS).items()}

    @property
    def clock(self) -> Instant | None:
        return self.chronicle.clock(self.realm, self.until)

    def site_names(self) -> dict[str, tuple[str, str]]:
        """Return site → (name, commune) of all sites of the realm, also of those that left."""
        versions = self.chronicle.newest(self.realm, SECTIONS, self.until)
        published_sites = (
            site
            for name, value in versions
            if name.endswith(f" {Section.SITES}")
            for site in orjson.loads(value)["sites"]
        )
        return {site["id"]: (site["name"], site["commune_name"]) for site in published_sites}

    def sections(self, reference: str) -> Mapping[str, dict[str, Any]]:
        """Return the sections of one version of the reference data with their content."""
        section_rows = self.chronicle.newest(
            self.realm, SECTIONS, self.until, low=f"{reference} ", high=f"{reference}!"
        )
        return {name.split(" ", 1)[1]: orjson.loads(value) for name, value in section_rows}
