"""Recognise repeated reports, so that they have no second effect and get the first answer.

The id of a report is derived from its sender and its key, or its content. So the decider recognises
a repetition in any case. This index knows the answers: for another body under the same key, and for
the sender's own ids in references. It continues to read `alerts.inputs` and `alerts.urgent` at the
last position, so neither a restart nor kill -9 loses an answer.
"""

import asyncio
import sqlite3
import threading
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from aiokafka import TopicPartition

from schemas import wire as ce
from schemas.base import DAY_MS, HOUR_MS, Instant
from schemas.reports import END_SUFFIX, ReportReceived
from schemas.topics import PARTITION_COUNT, derive_id, input_topic, urgent_topic
from services.intake.reports.native import PreparedReport
from services.intake.reports.redaction import LogRedactor
from services.runtime.decider.inputs import InputMarks
from services.runtime.kafka.clients import assign_from, create_groupless_consumer
from services.runtime.process.machine import now_ms
from services.runtime.process.sqlite_cache import SMALL_PAGE_BYTES, begin_transaction, open_cache
from services.runtime.process.tasks import run_in_thread

KEPT_MS: Final = 8 * DAY_MS
"""Time for which answers are kept: a day longer than promised."""
UNANSWERED_MS: Final = HOUR_MS
"""Age below which a record may be unanswered, if no index says so."""
TOPIC: Final = input_topic("alerts")
URGENT: Final = urgent_topic("alerts")
_PARTITION_OFFSETS: Final = {TOPIC: 0, URGENT: 1000}
"""Offset of a topic's partition numbers in the index, by input topic."""
INPUT_TOPICS: Final = tuple(_PARTITION_OFFSETS)
log = structlog.get_logger(__name__)
_PRUNE: Final = (
    """DELETE FROM reports WHERE seen < :before AND (alias IS NULL OR (alias NOT GLOB '*@[0-9]*:*:*' AND alias NOT GLOB '*@[0-9]*#[0-9]*') OR EXISTS (
         SELECT 1 FROM reports AS e WHERE e.realm = reports.realm AND e.sender = reports.sender AND e.alias = reports.alias || :end))
       AND (alias IS NULL OR alias NOT LIKE '%' || :end)""",
    "DELETE FROM reports WHERE seen < :before AND alias LIKE '%' || :end",
    """DELETE FROM reports WHERE seen < :before AND alias GLOB '*@[0-9]*#[0-9]*' AND alias NOT GLOB '*@[0-9]*:*:*' AND NOT EXISTS (
         SELECT 1 FROM reports AS o WHERE o.realm = reports.realm AND o.sender = reports.sender
         AND o.alias > rtrim(rtrim(reports.alias, '0123456789'), '#') || ':' AND o.alias < rtrim(rtrim(reports.alias, '0123456789'), '#') || ';')""",
    "DELETE FROM occurred WHERE id NOT IN (SELECT id FROM reports)",
    "DELETE FROM urgent WHERE id NOT IN (SELECT id FROM reports)",
)
"""Delete old reports, but neither open episodes nor their last content.

The end of an episode may arrive weeks later. Beginnings are deleted before the ends that prove them
over, and updates last.
"""
_ROW: Final = """
    SELECT reports.id, realm, print, reports.at, sender, alias, unanswered.id IS NULL, occurred.at, urgent.id IS NOT NULL
    FROM reports LEFT JOIN unanswered USING (id) LEFT JOIN occurred USING (id) LEFT JOIN urgent USING (id)"""
_GET: Final = f"{_ROW} WHERE reports.id = ?"
_EXISTS: Final = "SELECT 1 FROM reports WHERE id = ?"
_ALIASES: Final = (
    f"{_ROW} WHERE realm = ? AND sender = ? AND alias >= ? AND alias < ? ORDER BY reports.at"
)
_ENDS: Final = (
    "SELECT alias, occurred.at FROM reports JOIN occurred USING (id) WHERE realm = ? AND sender = "
    "? AND alias LIKE ?"
)
_NAMED: Final = (
    "SELECT id FROM reports WHERE realm = ? AND sender = ? AND alias IN (?, ?) ORDER BY seen DESC "
    "LIMIT 1"
)
_OUTDATED: Final = "SELECT 1 FROM outdated WHERE realm = ? AND sender = ? AND name IN (?, ?)"
"""Both forms of a name: earlier versions stored the sender's own."""
_WIRE: Final = ReportReceived.wire_type().encode()


@dataclass(frozen=True, slots=True)
class KnownReport:
    """An accepted report."""

    report_id: str
    realm: str
    fingerprint: str
    recorded_at: Instant
    sender: str
    alias: str | None = None
    answered: bool = True
    """False if it was found on the log after a crash, and perhaps nobody got the answer."""
    occurred_at: Instant | None = None
    """Set for reports with an alias, which may belong to an episode."""
    urgent: bool = False
    """True if it went into the urgent lane. Replacements and withdrawals follow it there."""


@dataclass(frozen=True, slots=True)
class ReportIdentity:
    """Properties that make two requests the same."""

    report_id: str
    fingerprint: str
    """Keyed hash of the report. Another hash under the same id means another body.

    For an alert of a program, only its text is hashed.
    """
    is_exclusive: bool = False
    """Set if another body under the same key is an error, and no repetition."""


def identify_report(
    claim: PreparedReport, sender: str, key: str | None, secret: bytes
) -> ReportIdentity:
    """Return the identity of a report.

    With a key, it is (realm, sender, key); without, (realm, sender, content, minute of
    `occurred_at`).
    """
    content = blake2b(claim.content, key=secret, digest_size=16)
    if key is None:
        content.update(b"%d" % claim.minute)
        print_ = content.hexdigest()
        return ReportIdentity(
            derive_id(claim.realm, f"{sender}\x1fcontent\x1f{print_}", "report", 0), print_
        )
    content.update(b"%d" % (claim.message["occurred_at"] or 0))
    print_ = content.hexdigest() if claim.words is None else fingerprint_text(claim.words, secret)
    return ReportIdentity(derive_keyed_id(claim.realm, sender, key), print_)


def fingerprint_text(words: bytes, secret: bytes) -> str:
    """Return the fingerprint of text. It reveals nothing without the installation's key."""
    return blake2b(words, key=secret, digest_size=16).hexdigest()


def derive_keyed_id(realm: str, sender: str, key: str) -> str:
    """Return the report id of an Idempotency-Key."""
    return derive_id(realm, f"{sender}\x1fkey\x1f{key}", "report", 0)


class AnswerIndex:
    """Index of accepted reports, in `intake/answers.db`.

    All methods except `flush` and `catch_up` are synchronous, for the thread of the event loop.
    """

    def __init__(self, path: Path, words: LogRedactor) -> None:
        """Open the index. `words` converts the senders' names to those on the log."""
        self._words = words
        self._write = threading.Lock()
        self._db = open_cache(
            path,
            "CREATE TABLE IF NOT EXISTS reports (id BLOB PRIMARY KEY, realm TEXT, print BLOB, at "
            "INTEGER, sender TEXT, alias TEXT, seen INTEGER)"
            " WITHOUT ROWID;"
            "CREATE INDEX IF NOT EXISTS aliases ON reports (realm, sender, alias) WHERE alias IS "
            "NOT NULL;"
            "CREATE INDEX IF NOT EXISTS ages ON reports (seen);"
            "CREATE TABLE IF NOT EXISTS positions (partition INTEGER PRIMARY KEY, next INTEGER);"
            "CREATE TABLE IF NOT EXISTS occurred (id BLOB PRIMARY KEY, at INTEGER) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS urgent (id BLOB PRIMARY KEY) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS unanswered (id BLOB PRIMARY KEY, seen INTEGER) WITHOUT "
            "ROWID;"
            "CREATE TABLE IF NOT EXISTS refused (text TEXT PRIMARY KEY, at INTEGER);"
            "CREATE TABLE IF NOT EXISTS outdated (realm TEXT, sender TEXT, name TEXT, seen "
            "INTEGER, PRIMARY KEY (realm, sender, name)) WITHOUT ROWID;",
            page_bytes=SMALL_PAGE_BYTES,
        )
        self._reading = sqlite3.connect(path, timeout=10, isolation_level=None)
        self._fresh: dict[str, KnownReport] = {}
        self._fresh_aliases: dict[tuple[str, str, str], str] = {}
        self._acked: dict[int, int] = {}
        """Offset of the last acknowledged record by number of a place (`get_partition_number`)."""
        self._open: dict[int, dict[object, int]] = {
            get_partition_number(topic, p): {}
            for topic in _PARTITION_OFFSETS
            for p in range(PARTITION_COUNT)
        }
        self.caught_up = asyncio.Event()
        """Set once all earlier answers are known. Nothing may be accepted before."""
        self._read_counts: Counter[tuple[str, str]] = Counter()
        self.is_followed = False
        """Whether `store_read` gets every record of all fronts, so that it alone knows positions."""

    def get(self, report_id: str) -> KnownReport | None:
        """Return an accepted report, or None."""
        if (fresh := self._fresh.get(report_id)) is not None:
            return fresh
        try:
            key = UUID(report_id).bytes
        except ValueError:
            return None
        row = self._reading.execute(_GET, (key,)).fetchone()
        return _parse_row(row) if row else None

    def resolve(self, realm: str, sender: str, reference: str) -> str:
        """Return the report id of a sender's id, alias or key, or else the reference itself."""
        if self.get(reference) is not None:
            return reference
        alias = self._words.name(realm, reference)
        if (fresh_id := self._fresh_aliases.get((realm, sender, alias))) is not None:
            return fresh_id
        row = self._reading.execute(_NAMED, (realm, sender, alias, reference)).fetchone()
        if row:
            return str(UUID(bytes=row[0]))
        keyed_id = derive_keyed_id(realm, sender, reference)
        return reference if self.get(keyed_id) is None else keyed_id

    def aliases(self, realm: str, sender: str, head: str, rest: str) -> dict[str, KnownReport]:
        """Return a sender's accepted reports with an alias that begins with `head`, then `rest`.

        `head` is in the sender's own form. Keys are the remainders of the aliases. The last report
        of an alias counts.
        """
        reports_by_alias: dict[str, KnownReport] = {}
        for prefix in (
            # The forms of an earlier version and of this one.
            f"{head}{rest}",
            f"{self._words.name(realm, head)}{rest}",
        ):
            rows = self._reading.execute(
                _ALIASES, (realm, sender, prefix, prefix + "\U0010ffff")
            ).fetchall()
            reports_by_alias |= {row[5].removeprefix(prefix): _parse_row(row) for row in rows}
            for (r, s, alias), id in self._fresh_aliases.items():
                if (r, s) == (realm, sender) and alias.startswith(prefix):
                    reports_by_alias[alias.removeprefix(prefix)] = self._fresh[id]
        return reports_by_alias

    def has_alias(self, realm: str, sender: str, prefix: str) -> bool:
        """Return whether an accepted report of this sender has an alias with this prefix.

        The prefix is in the log's form.
        """
        row = self._reading.execute(
            f"{_ALIASES} LIMIT 1", (realm, sender, prefix, prefix + "\U0010ffff")
        ).fetchone()
        return row is not None

    def ends(self, realm: str, sender: str) -> list[tuple[str, Instant]]:
        """Return alias and time of each end of an episode of this sender, as far as kept."""
        rows = self._reading.execute(_ENDS, (realm, sender, f"%{END_SUFFIX}")).fetchall()
        fresh = (
            k
            for (r, s, a), id in self._fresh_aliases.items()
            if (r, s) == (realm, sender) and a.endswith(END_SUFFIX)
            for k in (self._fresh[id],)
        )
        return [
            *rows,
            *(
                (k.alias, k.occurred_at)
                for k in fresh
                if k.alias is not None and k.occurred_at is not None
            ),
        ]

    def sending(self, place: int) -> object:
        """Announce a record for a place; pass the mark to `record_sent` or `not_sent`.

        The place is that of `get_partition_number`.
        """
        mark = object()
        self._open[place][mark] = self._acked.get(place, -1) + 1
        return mark

    def record_sent(self, place: int, mark: object, offset: int, report: KnownReport) -> None:
        """Record an acknowledged report at its offset."""
        self._open[place].pop(mark, None)
        self._acked[place] = max(self._acked.get(place, -1), offset)
        self._fresh[report.report_id] = report
        if report.alias is not None:
            self._fresh_aliases[report.realm, report.sender, report.alias] = report.report_id

    def not_sent(self, place: int, mark: object) -> None:
        """Record that no acknowledgement arrived.

        The report may still be on the log: the next start reads it.
        """
        self._open[place].pop(mark, None)

    async def flush(self) -> None:
        """Save acknowledged reports to disk. Raises sqlite3.Error, as with a full disk.

        Nothing is lost then: try again.
        """
        fresh = list(self._fresh.values())
        nexts = {
            p: min(self._open[p].values(), default=offset + 1) for p, offset in self._acked.items()
        }
        if not fresh:
            return
        if self.is_followed:
            await run_in_thread(self._store_answered, fresh)
        else:
            await run_in_thread(self._store, fresh, nexts)
        for report in fresh:
            self._fresh.pop(report.report_id, None)
            if report.alias is not None:
                self._fresh_aliases.pop((report.realm, report.sender, report.alias), None)

    def get_positions(self) -> dict[int, int]:
        """Return the next offset to read by number of a place (`get_partition_number`)."""
        return dict(self._reading.execute("SELECT partition, next FROM positions").fetchall())

    def store_read(self, reports: Sequence[KnownReport], nexts: dict[int, int]) -> None:
        """Store reports that were read from the log, of any front. Raises sqlite3.Error.

        Only their own front knows whether a new one was answered.
        """
        with self._write:
            is_new = [
                not self._db.execute(_EXISTS, (UUID(report.report_id).bytes,)).fetchone()
                for report in reports
            ]
        self._store(
            [
                replace(report, answered=not new)
                for report, new in zip(reports, is_new, strict=True)
            ],
            nexts,
        )
        self._read_counts.update(
            (report.realm, report.sender) for report in reports if report.alias
        )

    def count_read(self, realm: str, sender: str) -> int:
        """Return how many named reports of a sender came from the log since the start."""
        return self._read_counts[realm, sender]

    def _store_answered(self, reports: Sequence[KnownReport]) -> None:
        self._store(reports, {})
        with self._write:
            self._db.executemany(
                "DELETE FROM unanswered WHERE id = ?",
                [(UUID(report.report_id).bytes,) for report in reports],
            )

    def mark_answered(self, report_id: str) -> None:
        """Mark a report as answered, because its sender repeated it. Raises sqlite3.Error."""
        with self._write:
            self._db.execute("DELETE FROM unanswered WHERE id = ?", (UUID(report_id).bytes,))

    def _store(self, reports: Sequence[KnownReport], nexts: dict[int, int]) -> None:
        seen_at = now_ms()
        rows = [
            (
                UUID(k.report_id).bytes,
                k.realm,
                bytes.fromhex(k.fingerprint),
                k.recorded_at,
                k.sender,
                k.alias,
                seen_at,
            )
            for k in reports
        ]
        unanswered_rows = [(UUID(k.report_id).bytes, seen_at) for k in reports if not k.answered]
        urgent_ids = [(UUID(k.report_id).bytes,) for k in reports if k.urgent]
        occurrence_rows = [
            (UUID(k.report_id).bytes, k.occurred_at)
            for k in reports
            if k.alias is not None and k.occurred_at is not None
        ]
        with self._write, begin_transaction(self._db):
            self._db.executemany("INSERT OR IGNORE INTO reports VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self._db.executemany("INSERT OR IGNORE INTO unanswered VALUES (?, ?)", unanswered_rows)
            self._db.executemany("INSERT OR IGNORE INTO urgent VALUES (?)", urgent_ids)
            self._db.executemany("INSERT OR IGNORE INTO occurred VALUES (?, ?)", occurrence_rows)
            self._db.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?)", nexts.items())

    async def catch_up(self, kafka: str, marks: InputMarks) -> int:
        """Read the log beyond the last flush and return the number of records. Raises KafkaError.

        Only the sender knows whether such a record was answered. Records that the front did not
        sign are ignored. Without an index (first start, lost disk), or if the log has lost records
        since, read the records younger than `KEPT_MS`: an episode that has been open for longer is
        forgotten then, and its end changes nothing.
        """
        partitions = [
            TopicPartition(topic, p) for topic in _PARTITION_OFFSETS for p in range(PARTITION_COUNT)
        ]
        consumer: Any = create_groupless_consumer(kafka, fetch_bytes=4 << 20)
        record_count = 0
        try:
            await consumer.start()
            begins, ends = (
                await consumer.beginning_offsets(partitions),
                await consumer.end_offsets(partitions),
            )
            now = now_ms()
            horizon = now - KEPT_MS
            young = await consumer.offsets_for_times(dict.fromkeys(partitions, horizon))
            positions = self.get_positions()
            if any(positions.get(get_partition_number(*tp), 0) > ends[tp] for tp in partitions):
                log.warning(
                    "answers.forgotten",
                    why=(
                        "the input is shorter than what was read of it: senders of what it lost "
                        "must be able to come again"
                    ),
                )
                await run_in_thread(self._forget)
                positions = {}
            starts: dict[TopicPartition, int] = {}
            for tp in partitions:
                oldest = young[tp].offset if young[tp] is not None else ends[tp]
                start = max(begins[tp], oldest, positions.get(get_partition_number(*tp), 0))
                if start < ends[tp]:
                    starts[tp] = start
            assign_from(consumer, starts)
            waiting = {tp: ends[tp] for tp in starts}
            while waiting:
                for tp, records in (
                    await consumer.getmany(*waiting, timeout_ms=500, max_records=5000)
                ).items():
                    record_count += len(records)
                    since = 0 if get_partition_number(*tp) in positions else now - UNANSWERED_MS
                    ours = [r for r in records if marks.proves(r)]
                    reports = [
                        replace(report, answered=r.timestamp < since)
                        for r in ours
                        if (report := parse_known_report(r)) is not None
                    ]
                    await run_in_thread(
                        self._store, reports, {get_partition_number(*tp): records[-1].offset + 1}
                    )
                for tp in [tp for tp, end in waiting.items() if await consumer.position(tp) >= end]:
                    del waiting[tp]
            self._acked = {
                get_partition_number(*tp): end - 1 for tp, end in ends.items() if end > 0
            }
        finally:
            await consumer.stop()
        await run_in_thread(self._prune, horizon)
        self.caught_up.set()
        return record_count

    def _forget(self) -> None:
        """Delete all copies of the log."""
        with self._write:
            self._db.executescript(
                "BEGIN IMMEDIATE; DELETE FROM reports; DELETE FROM occurred; DELETE FROM urgent; "
                "DELETE FROM unanswered; DELETE FROM positions; DELETE FROM outdated; COMMIT;"
            )

    def _prune(self, before: Instant) -> None:
        with self._write:
            for statement in _PRUNE:
                self._db.execute(statement, {"before": before, "end": END_SUFFIX})
            self._db.execute("DELETE FROM unanswered WHERE seen < ?", (before,))
            self._db.execute("DELETE FROM outdated WHERE seen < ?", (before,))

    def outdate(self, realm: str, sender: str, names: Collection[str]) -> None:
        """Mark referenced messages that have not arrived as outdated. Raises sqlite3.Error."""
        noted_at = now_ms()
        with self._write:
            rows = [(realm, sender, self._words.hash_text(name), noted_at) for name in names]
            self._db.executemany("INSERT OR IGNORE INTO outdated VALUES (?, ?, ?, ?)", rows)

    def is_outdated(self, realm: str, sender: str, name: str) -> bool:
        """Return whether a message was outdated in the last days. A lost index forgets it."""
        row = self._reading.execute(
            _OUTDATED, (realm, sender, name, self._words.hash_text(name))
        ).fetchone()
        return row is not None

    def schedule_erasure(self, text_id: str, at: Instant) -> None:
        """Remember to erase this text."""
        with self._write:
            self._db.execute("INSERT OR REPLACE INTO refused VALUES (?, ?)", (text_id, at))

    def refused_before(self, at: Instant) -> list[str]:
        """Return the 100 oldest texts of messages refused before `at`."""
        statement = "SELECT text FROM refused WHERE at < ? ORDER BY at LIMIT 100"
        return [row[0] for row in self._reading.execute(statement, (at,))]

    def forget_erased(self, text_id: str) -> None:
        """Forget an erased text."""
        with self._write:
            self._db.execute("DELETE FROM refused WHERE text = ?", (text_id,))

    def close(self) -> None:
        self._reading.close()
        # Do not close while a thread still writes.
        with self._write:
            self._db.close()


def get_partition_number(topic: str, partition: int) -> int:
    """Return the number of an input partition in the index.

    For `alerts.inputs` it is the partition's own number.
    """
    return _PARTITION_OFFSETS[topic] + partition


def _parse_row(row: Any) -> KnownReport:
    return KnownReport(
        str(UUID(bytes=row[0])),
        row[1],
        row[2].hex(),
        row[3],
        row[4],
        row[5],
        answered=bool(row[6]),
        occurred_at=row[7],
        urgent=bool(row[8]),
    )


def parse_known_report(record: Any) -> KnownReport | None:
    """Read the accepted report of an input record; None for any other record."""
    headers = dict(record.headers)
    if headers.get(ce.CE_TYPE) != _WIRE:
        return None
    try:
        message = orjson.loads(record.value)
        fingerprint, sender = message.get("fingerprint"), message.get("source_key")
        if not fingerprint or not sender:
            return None
        return KnownReport(
            str(UUID(message["report_id"])),
            record.key.decode(),
            bytes.fromhex(fingerprint).hex(),
            message.get("recorded_at") or record.timestamp,
            sender,
            message.get("alias"),
            occurred_at=message.get("occurred_at"),
            urgent=record.topic == URGENT,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
