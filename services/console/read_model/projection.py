"""Turn accepted log records into one atomic write of the read model (`store.Batch`).

Pure: no Redis, no clock. Within a batch only the last row of a resource is written and announced;
every line, command and count is kept. A batch cannot be applied twice: it is written only if the
positions are still those it starts from.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from schemas.base import MINUTE_MS, Instant
from schemas.reference import Section
from schemas.topics import SERVICES, is_live
from schemas.wire import whole_collections
from services.console.logbook.lines import LineRecord, is_shown_in, parse_author
from services.console.read_model import store
from services.console.read_model.realm_clock import anchor_clock
from services.console.read_model.row_effects import (
    CommandAnswered,
    Effect,
    InputLost,
    LogbookLineAdded,
    MembersChanged,
    RealmFieldsChanged,
    RowPut,
    SectionPublished,
    list_effects,
)
from services.console.read_model.store import Batch
from services.runtime.log.chain import Position
from services.runtime.log.reader import AcceptedRecord
from services.runtime.log.transaction import Transaction
from services.runtime.process.machine import now_ms


def dump_position(position: Position, at: Instant) -> str:
    """Serialize the part of a position that is needed to resume and to display.

    `at` is the logical time of the record.
    """
    p = position
    fields = {
        "history": p.history,
        "next": p.next,
        "seq": p.seq,
        "hash": p.hash,
        "tail": p.tail,
        "logic": p.logic,
        "head_offset": p.head_offset,
        "applied": p.applied,
        "applied_digest": p.applied_digest,
        "at": at,
    }
    return orjson.dumps(fields).decode()


def load_position(text: str | bytes) -> Position:
    """Parse the output of `dump_position`, without the fields that only the runtime needs."""
    fields: dict[str, Any] = orjson.loads(text)
    fields.pop("at")
    return Position(**fields)


_ENDED_FIELD: Final = "ended"
"""Field of a closed realm: when it closed, by the broker's clock."""


@dataclass(slots=True)
class _MemberChanges:
    """Members of a cause that joined and left within a batch."""

    added: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, None] = field(default_factory=dict)
    floor: int | None = None

    def add(self, member_change: MembersChanged) -> None:
        """Add the next change of the same list."""
        for id in member_change.dropped:
            self.added.pop(id, None)
            self.dropped[id] = None
        if member_change.floor is not None:
            self.added, self.dropped, self.floor = {}, {}, member_change.floor
        for id, place in member_change.added.items():
            self.dropped.pop(id, None)
            self.added[id] = place


@dataclass(slots=True)
class _RealmChanges:
    rows: dict[str, dict[str, bytes]] = field(default_factory=dict)
    lines: list[tuple[LineRecord, bytes]] = field(default_factory=list)
    reports_of: dict[str, dict[str, Instant]] = field(default_factory=dict)
    rates: dict[str, int] = field(default_factory=dict)
    feeds: dict[str, Instant] = field(default_factory=dict)
    clocks: dict[str, Instant] = field(default_factory=dict)
    undecided_reports: dict[str, bytes] = field(default_factory=dict)
    members: dict[tuple[str, str], _MemberChanges] = field(default_factory=dict)
    """(index, cause) → changes of its members."""
    has_changed: bool = False


@dataclass(frozen=True, slots=True)
class ProjectedBatch:
    """A batch and its effects."""

    batch: Batch
    positions: dict[str, str]
    """Position key → value after the write."""
    row_counts: dict[str, int]
    """Collection → number of rows."""
    lines: dict[str, int]
    """Realm → number of lines."""
    aside: tuple[str, ...]
    """Realms evicted from Redis: their keys may be deleted."""


@dataclass(slots=True)
class Projection:
    """Builder of batches.

    Holds the fields of every realm (small), which the caller loads once per epoch.
    """

    realms: dict[str, dict[str, Any]]
    """Realm → its fields; updated in place, so a batch that fails requires a new Projection."""
    clock_ms: Callable[[], int] = now_ms
    """Clock of the machine, comparable with the broker's append times."""
    heard: dict[str, set[str]] = field(init=False)
    """Service → realms with records in its log so far."""

    def __post_init__(self) -> None:
        self.heard = {service: set(self.realms) for service in SERVICES}

    def batch(
        self, epoch: str, before: Mapping[str, str], records: Sequence[AcceptedRecord]
    ) -> ProjectedBatch:
        """Build one write for records of one or more services.

        `before` maps the position key of every partition in `records` to its stored value. Raises
        UnknownType for a fact that this version does not know.
        """
        batch = Batch(epoch, dict(before))
        changes: dict[str, _RealmChanges] = {}
        positions: dict[str, str] = {}
        command_ids: list[str] = []
        for record in records:
            tx = record.transaction
            positions[store.build_position_key(tx.service, record.partition)] = dump_position(
                record.position, tx.at
            )
            anchor = anchor_clock(self.realms.get(tx.realm, {}), tx)
            for effect in list_effects(tx, record.partition):
                if isinstance(effect, LogbookLineAdded):
                    self._write_down(effect.line, tx, record.partition, changes)
                else:
                    self._collect(effect, tx, changes, batch, command_ids)
            if anchor:
                self.realms[tx.realm] |= anchor
                changes.setdefault(tx.realm, _RealmChanges()).has_changed = True
            if not is_live(tx.realm) and any(fact.name == "RealmClosed" for fact in tx.facts):
                self._end(tx, changes)
            if _belongs_to_realm(tx):
                self.heard[tx.service].add(tx.realm)
                changes.setdefault(tx.realm, _RealmChanges()).clocks[tx.service] = tx.at
        aside = self._lay_aside(batch, changes)
        for realm, change in changes.items():
            if store.EVICTED in self.realms.get(realm, {}):
                _write_kept_parts(batch, realm, change)
            else:
                _write_realm(batch, realm, change)
            if change.has_changed:
                batch.add("HSET", store.REALMS, realm, orjson.dumps(self.realms[realm]))
        for key, value in positions.items():
            batch.add("SET", key, value)
        for command_id in command_ids:
            batch.add("PUBLISH", store.COMMANDS, command_id)
        row_counts: dict[str, int] = {}
        for change in changes.values():
            for collection, rows in change.rows.items():
                row_counts[collection] = row_counts.get(collection, 0) + len(rows)
        return ProjectedBatch(
            batch,
            positions,
            row_counts,
            {r: len(c.lines) for r, c in changes.items() if c.lines},
            aside,
        )

    @property
    def aside(self) -> tuple[str, ...]:
        """All realms that were evicted."""
        return tuple(realm for realm, fields in self.realms.items() if store.EVICTED in fields)

    def _end(self, tx: Transaction, changes: dict[str, _RealmChanges]) -> None:
        """Record when a simulated realm closed.

        The first of the three services to close it counts: during a rebuild they are read to
        different points.
        """
        fields = self.realms.get(tx.realm, {})
        if _ENDED_FIELD not in fields:
            self.realms[tx.realm] = fields | {_ENDED_FIELD: tx.src.appended_at}
            changes.setdefault(tx.realm, _RealmChanges()).has_changed = True

    def _lay_aside(self, batch: Batch, changes: dict[str, _RealmChanges]) -> tuple[str, ...]:
        """Mark all but the last closed realms as evicted, from this batch on."""
        if not any(
            _ENDED_FIELD in self.realms[realm]
            for realm, change in changes.items()
            if change.has_changed
        ):
            return ()
        over = [
            (fields.get(_ENDED_FIELD, 0), realm)
            for realm, fields in self.realms.items()
            if (_ENDED_FIELD in fields or fields.get("state") == "closed")
            and store.EVICTED not in fields
        ]
        evicted_realms = tuple(
            realm for _, realm in sorted(over)[: max(len(over) - store.CLOSED_KEPT, 0)]
        )
        for realm in evicted_realms:
            self.realms[realm] |= {store.EVICTED: True}
            changes.setdefault(realm, _RealmChanges()).has_changed = True
            batch.add("SET", store.build_realm_key(realm, "floor"), store.NO_LINES)
        return evicted_realms

    def _write_down(
        self, line: LineRecord, tx: Transaction, partition: int, changes: dict[str, _RealmChanges]
    ) -> None:
        """Add a line to the logbook of its realm.

        A line about the log itself goes to every realm with records in that log.
        """
        line_bytes = orjson.dumps(line.dump())
        for realm in (
            (tx.realm,)
            if tx.realm
            else sorted(r for r in self.heard[tx.service] if is_shown_in(r, tx, partition))
        ):
            changes.setdefault(realm, _RealmChanges()).lines.append((line, line_bytes))

    def _collect(
        self,
        effect: Effect,
        tx: Transaction,
        changes: dict[str, _RealmChanges],
        batch: Batch,
        command_ids: list[str],
    ) -> None:
        match effect:
            case CommandAnswered():
                answer = {
                    "id": effect.id,
                    "realm": tx.realm,
                    "command": effect.command,
                    "state": effect.state,
                    "at": effect.at,
                    "status": effect.status,
                    "code": effect.code,
                    "values": effect.values or {},
                    "author": parse_author(tx.src)[0],
                }
                left_s = (
                    store.get_command_ttl(tx.realm, effect.command)
                    - max(self.clock_ms() - tx.src.appended_at, 0) // 1000
                )
                if left_s > 0:
                    batch.add(
                        "SET",
                        store.build_command_key(effect.id),
                        orjson.dumps(answer),
                        "EX",
                        left_s,
                    )
                    batch.add("EXPIRE", store.build_sent_key(effect.id), left_s)
                    command_ids.append(effect.id)
                return
            case SectionPublished():
                batch.add(
                    "HSET",
                    store.build_reference_key(effect.version),
                    effect.section,
                    orjson.dumps(effect.content),
                )
                if effect.section == Section.SITES:
                    names = [
                        (site["id"], orjson.dumps((site["name"], site["commune_name"])))
                        for site in effect.content["sites"]
                    ]
                    key = store.build_realm_key(tx.realm, "site_names")
                    batch.add_pairs("HSET", key, names)
                return
            case RealmFieldsChanged(fields=fields):
                self.realms[tx.realm] = self.realms.get(tx.realm, {}) | fields
        change = changes.setdefault(tx.realm, _RealmChanges())
        match effect:
            case RealmFieldsChanged():
                change.has_changed = True
            case RowPut():
                _put_row(change, effect)
            case MembersChanged():
                change.members.setdefault((effect.index, effect.cause), _MemberChanges()).add(
                    effect
                )
            case InputLost():
                change.undecided_reports[effect.id] = orjson.dumps(
                    {n: getattr(effect, n) for n in ("state", "reason", "at", "source_key")}
                )


def _belongs_to_realm(tx: Transaction) -> bool:
    """Return whether a Transaction belongs to a realm; a refusal may name one that never opened."""
    return bool(tx.realm) and not any(
        f.data.get("code") == "realm_unknown" or f.name == "InputRefused" for f in tx.facts
    )


_ATTENTION_COLLECTIONS = {"actions", "alarms", "tasks", "escalations"}
"""Collections that ask a person to act when a row is new (the alarm rate counts them)."""


def _put_row(change: _RealmChanges, row_put: RowPut) -> None:
    row = row_put.row
    change.rows.setdefault(row_put.collection, {})[row_put.id] = orjson.dumps(row)
    minute = row_put.at // MINUTE_MS
    if row_put.collection == "reports":
        if row.get("incident"):
            change.reports_of.setdefault(row["incident"], {})[row_put.id] = row["recorded_at"]
        if row_put.new:
            _increment(change.rates, f"report:{minute}")
            change.feeds[f"source:{row['source']}"] = row["recorded_at"]
    elif row_put.collection in _ATTENTION_COLLECTIONS:
        if row_put.new:
            _increment(change.rates, f"demand:{minute}")
    elif row_put.collection == "plans":
        if row["state"] == "proposed" and row.get("proposed_at") == row_put.at:
            _increment(change.rates, f"demand:{minute}")
    elif (
        row_put.collection == "notifications"
        and row.get("sent_at") is not None
        and row.get("channel")
    ):
        change.feeds[f"channel:{row['channel']}"] = row["sent_at"]


def _increment(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


def _write_realm(batch: Batch, realm: str, change: _RealmChanges) -> None:
    for collection, rows in change.rows.items():
        batch.add_pairs("HSET", store.rows_key(realm, collection), rows.items())
        batch.add("HINCRBY", store.build_realm_key(realm, "versions"), collection, 1)
    for incident, reports in change.reports_of.items():
        batch.add_pairs(
            "ZADD", store.reports_key(realm, incident), ((at, id) for id, at in reports.items())
        )
    for (index, cause), member_changes in change.members.items():
        _write_members(batch, store.members_key(realm, index, cause), member_changes)
    if change.lines:
        batch.add_pairs(
            "HSET",
            store.build_realm_key(realm, "lines"),
            ((line.key, raw) for line, raw in change.lines),
        )
        batch.add_pairs(
            "ZADD",
            store.build_realm_key(realm, "timeline"),
            ((0, line.key) for line, _ in change.lines),
        )
        by_incident: dict[str, list[str]] = {}
        for line, _ in change.lines:
            if line.incident is not None:
                by_incident.setdefault(line.incident, []).append(line.key)
        for incident, keys in by_incident.items():
            batch.add_pairs(
                "ZADD", store.build_timeline_key(realm, incident), ((0, key) for key in keys)
            )
    if change.feeds:
        batch.add_pairs("HSET", store.build_realm_key(realm, "feeds"), change.feeds.items())
    _write_kept_parts(batch, realm, change)
    _announce_changes(batch, realm, change)


def _write_members(batch: Batch, key: str, member_changes: _MemberChanges) -> None:
    if member_changes.added:
        batch.add_pairs("ZADD", key, ((place, id) for id, place in member_changes.added.items()))
    if member_changes.floor is not None:
        batch.add("ZREMRANGEBYSCORE", key, "-inf", f"({member_changes.floor}")
    if member_changes.dropped:
        batch.add_many("ZREM", key, list(member_changes.dropped))


def _write_kept_parts(batch: Batch, realm: str, change: _RealmChanges) -> None:
    """Write the parts that Redis keeps of every realm, even an evicted one (`store.LEFT`)."""
    for name, count in change.rates.items():
        batch.add("HINCRBY", store.build_realm_key(realm, "rates"), name, count)
    if change.undecided_reports:
        batch.add_pairs(
            "HSET", store.build_realm_key(realm, "lost"), change.undecided_reports.items()
        )
    if change.clocks:
        batch.add_pairs("HSET", store.build_realm_key(realm, "clock"), change.clocks.items())


IDS_PER_ENTRY = 200
"""Ids in one entry of the stream."""


def _announce_changes(batch: Batch, realm: str, change: _RealmChanges) -> None:
    """Announce the changed ids on the stream; live readers fetch the newest rows themselves."""
    stream = store.build_realm_key(realm, "stream")
    wholes = whole_collections()
    parts: list[tuple[str, Iterable[str]]] = [
        (wholes.get(c, c), rows) for c, rows in change.rows.items()
    ]
    parts.append(("lines", [line.key for line, _ in change.lines]))
    if change.has_changed or change.clocks:
        parts.append(("realm", [realm]))
    for collection, ids in parts:
        id_list = list(ids)
        for start in range(0, len(id_list), IDS_PER_ENTRY):
            chunk = "\n".join(id_list[start : start + IDS_PER_ENTRY])
            batch.add("XADD", stream, "MAXLEN", "~", store.STREAM_KEPT, "*", collection, chunk)
