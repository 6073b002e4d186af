"""Make a backup of an installation, running or not, in bounded memory.

The order makes sure that nothing in the file depends on something that is missing there:

1. The positions in `events.external`, the official feeds and the mailbox: they advance only after
   the reports made from them are acknowledged.
2. A consistent cut of the logs (`find_consistent_cuts`), then the ends of their inputs, which hold everything that the logs have applied.
3. The ends of everything else. A text is written with the report that names it, and the front
   answers only after both, so every text of an answered report is included.
4. The records up to those ends, then the keyring: keys are durable before the text that is sealed
   with them.

Records in inputs and dead letters that come from beyond the cut are left out, because publishers
and conductor send them again. Public topics, snapshots and the store are left out, because they are
made again from the logs.

A cut is consistent if no log in the backup has applied a fact that is not in the backup. The ends
of the logs are read one after the other while everything moves, so a receiver may have applied a
fact beyond the end of its source. Such a receiver is cut before that record, which may make other
logs too long, until all fit. Only the last moment of each log is concerned, so only its tail is
read.
"""

import asyncio
import fcntl
import os
import shutil
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, Any, Final, NamedTuple

from schemas import wire as ce
from schemas.runtime import CONDUCTOR
from schemas.topics import (
    PARTITION_COUNT,
    SERVICES,
    TOPICS_BY_NAME,
    input_topics,
    is_live,
    is_urgent,
    log_topic,
)
from schemas.wire import Place
from services.runtime.backup.contents import (
    BLOCK_BYTES,
    BackupRecord,
    BackupSection,
    ContentsWriter,
    write_last_backup,
)
from services.runtime.backup.sealed_file import SealedWriter
from services.runtime.log.chain import Position, advance_position
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.process.cluster import CLUSTER_FILES, is_shared
from services.runtime.process.files import is_locked, open_atomic_file
from services.runtime.process.machine import now_ms
from services.runtime.process.settings import DataDir, Settings
from services.runtime.secrets.local_secrets import PASSWORD_FILE as PASSWORD
from services.runtime.secrets.mailbox import TOPIC as KEYRING_TOPIC
from services.runtime.secrets.shared_keyring import read_next_offset
from services.runtime.secrets.signing import SigningKey
from services.runtime.worker.recovery import ANY_LOGIC

TAIL_RECORDS: Final = 5000
"""Number of accepted records in a tail: half a second of the busiest partition."""
ReachedPosition = tuple[int, int]
"""(history, seq) of a log."""
BEFORE_FIRST: Final[ReachedPosition] = (0, 0)
OTHER_TOPICS: Final = ("events.external", "dead-letters", "texts", "directory", "access")
READER_FILES: Final = ("intake/sources.db", "watch/feeds.db", "watch/mailbox.json")
"""Files that say how far other systems were read, and which of them are on."""
KEYRING_FILE: Final = "secrets/keyring.db"
FEED_KEYS: Final = "feeds"
"""Folder of secrets with the keys of official feeds."""
TERRITORY_FILE: Final = "run/territory.json"
_COPIES: Final = "backup-"
"""Beginning of the name of a folder of copies."""
_LOCK: Final = "lock"
"""File in it that a running backup holds locked."""
KEYS_TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.1
ReportProgress = Callable[[str], None]


class Cut(NamedTuple):
    """The end of one log partition in a backup."""

    end: int
    """Offset of the first record that is left out."""
    reached_position: ReachedPosition
    """(history, seq) of the last accepted record before it."""


class TailRecord(NamedTuple):
    """One accepted record of a tail."""

    offset: int
    before: ReachedPosition
    source: str
    """Service of the applied fact; empty if the record applies none."""
    heard: ReachedPosition


class TooBusy(RuntimeError):
    """The logs grew by more than a tail while their ends were read. Try again."""


async def find_consistent_cuts(kafka: str) -> dict[int, dict[str, Cut]]:
    """Return partition → service → cut. Raises TooBusy, KafkaError, OSError."""
    async with PartitionReader(kafka) as reader:
        ends = {s: await reader.bounds(log_topic(s), range(PARTITION_COUNT)) for s in SERVICES}
        consistent_cuts = {}
        for partition in range(PARTITION_COUNT):
            tails = {}
            for service in SERVICES:
                tails[service] = await _read_tail(
                    reader, service, partition, ends[service][partition]
                )
            consistent_cuts[partition] = shorten_cuts(
                {s: cut for s, (cut, _) in tails.items()},
                {s: tail for s, (_, tail) in tails.items()},
            )
    return consistent_cuts


def shorten_cuts(cuts: Mapping[str, Cut], tails: Mapping[str, deque[TailRecord]]) -> dict[str, Cut]:
    """Return the longest consistent cuts for the logs of one partition number. Raises TooBusy."""
    valid_cuts = dict(cuts)
    has_changed = True
    while has_changed:
        has_changed = False
        for service, tail in tails.items():
            first = next(
                (
                    s
                    for s in tail
                    if s.offset < valid_cuts[service].end
                    and s.source
                    and s.heard > valid_cuts[s.source].reached_position
                ),
                None,
            )
            if first is None:
                continue
            if first is tail[0] and len(tail) == tail.maxlen:
                raise TooBusy(
                    f"{log_topic(service)} avance trop vite : réessayez à un moment plus calme"
                )
            valid_cuts[service] = Cut(first.offset, first.before)
            has_changed = True
    return valid_cuts


async def _read_tail(
    reader: PartitionReader, service: str, partition: int, bounds: tuple[int, int]
) -> tuple[Cut, deque[TailRecord]]:
    at, steps = Position(), deque[TailRecord](maxlen=TAIL_RECORDS)
    async for record in reader.read(log_topic(service), {partition: bounds}):
        before = (at.history, at.seq)
        at, transaction = advance_position(at, record.offset, record.value, ANY_LOGIC)
        if transaction is None:
            continue
        source, source_position = "", BEFORE_FIRST
        if transaction.src.place is not None:
            place = Place.parse(transaction.src.place)
            source, source_position = place.service, (place.history, place.seq)
        steps.append(TailRecord(record.offset, before, source, source_position))
    return Cut(bounds[1], (at.history, at.seq)), steps


class BackupRefused(Exception):
    """There is nothing to back up, or a backup is impossible, as the message explains."""


@dataclass(frozen=True, slots=True)
class CompletedBackup:
    manifest: dict[str, Any]
    bytes: int


async def back_up(
    settings: Settings, file: Path, secret: bytes, say: ReportProgress = lambda _: None
) -> CompletedBackup:
    """Write a backup to `file`, completely or not at all.

    Raises BackupRefused, TooBusy, SecretTooShort, KafkaError, OSError, sqlite3.Error.
    """
    data = settings.data
    if not (data.secrets / "master.key").exists():
        raise BackupRefused(f"{data.root} ne contient pas d’installation de Vigie")
    if data.restoring.exists():
        raise BackupRefused(
            f"{data.root} est incomplet : une restauration n’y est pas allée à son terme"
        )
    with open_atomic_file(file, 0o600) as target:
        manifest = await _write(settings, ContentsWriter(SealedWriter(target, secret)), say)
        size = target.tell()
    taken_at = datetime.fromtimestamp(manifest["taken_at"] / 1000, UTC)
    write_last_backup(data.last_backup, taken_at)
    return CompletedBackup(manifest, size)


async def _write(settings: Settings, out: ContentsWriter, say: ReportProgress) -> dict[str, Any]:
    data = settings.data
    began = now_ms()
    with _copy_files(data, READER_FILES) as reader_files:
        cuts = await find_consistent_cuts(settings.kafka)
        async with PartitionReader(settings.kafka) as reader:
            ends = {
                topic: await reader.bounds(topic, range(PARTITION_COUNT))
                for s in SERVICES
                for topic in input_topics(s)
            }
            others = {
                name: await reader.bounds(name, range(TOPICS_BY_NAME[name].partitions))
                for name in OTHER_TOPICS
            }
            logs = []
            for service in SERVICES:
                say(log_topic(service))
                ranges = [
                    {topic: ends[topic][p] for topic in input_topics(service)}
                    for p in range(PARTITION_COUNT)
                ]
                logs += [
                    await _write_log(reader, out, service, p, cuts[p], ranges[p])
                    for p in range(PARTITION_COUNT)
                ]
            for name, bounds in others.items():
                say(name)
                for partition, range_ in bounds.items():
                    positions = {
                        s: cut.reached_position for s, cut in cuts.get(partition, {}).items()
                    }
                    await _write_topic(
                        reader,
                        out,
                        name,
                        partition,
                        range_,
                        partial(_is_beyond_cut, positions=positions),
                    )
        for name, copy in reader_files.items():
            _write_file(out, name, copy)
    for path in _list_secret_files(data):
        _write_file(out, str(path.relative_to(data.root)), path)
    if is_shared(settings):
        say("keyring")
        await _wait_for_keys(settings)
    with _copy_files(data, [KEYRING_FILE]) as keyrings:
        for name, copy in keyrings.items():
            _write_file(out, name, copy)
    if (data.root / TERRITORY_FILE).exists():
        _write_file(out, TERRITORY_FILE, data.root / TERRITORY_FILE)
    return out.finish({"taken_at": began, "logs": logs}, SigningKey.open(data.secrets))


async def _wait_for_keys(settings: Settings) -> None:
    """Wait until this machine has every key of the other machines. Raises BackupRefused."""
    async with PartitionReader(settings.kafka) as reader:
        end = (await reader.bounds(KEYRING_TOPIC, [0]))[0][1]
    give_up = time.monotonic() + KEYS_TIMEOUT_S
    while (next_offset := read_next_offset(settings.data)) < end:
        if time.monotonic() >= give_up:
            raise BackupRefused(
                f"les clés des autres machines ne sont pas arrivées ici ({next_offset} sur {end} dans "
                "keyring) : démarrez Vigie sur cette machine, ou sauvegardez depuis une autre"
            )
        await asyncio.sleep(POLL_S)


async def _write_log(
    reader: PartitionReader,
    out: ContentsWriter,
    service: str,
    partition: int,
    cuts: dict[str, Cut],
    bounds: dict[str, tuple[int, int]],
) -> dict[str, Any]:
    """Write a log partition and the lanes of its input; return its entry of the manifest."""
    topic, end = log_topic(service), cuts[service].end
    begin = (await reader.bounds(topic, [partition]))[partition][0]
    if begin:
        raise BackupRefused(
            f"la partition {partition} de {topic} commence à {begin} : son début est perdu, elle ne "
            "pourrait pas être restaurée en entier"
        )
    at = Position()
    out.begin(BackupSection(topic, partition))
    async for record in reader.read(topic, {partition: (0, end)}):
        at, _ = advance_position(at, record.offset, record.value, ANY_LOGIC)
        out.record(_convert_record(record))
    positions = {s: cut.reached_position for s, cut in cuts.items()}
    about = {
        "service": service,
        "partition": partition,
        "history": at.history,
        "seq": at.seq,
        "head": at.hash,
        "logic": at.logic,
    }
    for topic, range_ in bounds.items():
        applied_offset, _ = at.applied_in(topic)
        await _write_topic(
            reader,
            out,
            topic,
            partition,
            range_,
            partial(_is_left_out, applied_offset=applied_offset, positions=positions),
        )
        about["urgent_next" if is_urgent(topic) else "input_next"] = max(
            applied_offset + 1 - range_[0], 0
        )
    return about


async def _write_topic(
    reader: PartitionReader,
    out: ContentsWriter,
    topic: str,
    partition: int,
    bounds: tuple[int, int],
    left_out: Callable[[Any], bool],
) -> None:
    out.begin(BackupSection(topic, partition))
    async for record in _filter_records(reader.read(topic, {partition: bounds}), left_out):
        out.record(record)


async def _filter_records(
    records: AsyncIterator[Any], left_out: Callable[[Any], bool]
) -> AsyncIterator[BackupRecord]:
    async for record in records:
        if not left_out(record):
            yield _convert_record(record)


def _is_left_out(record: Any, applied_offset: int, positions: dict[str, tuple[int, int]]) -> bool:
    return record.offset > applied_offset and _will_be_sent_again(record, positions)


def _will_be_sent_again(record: Any, positions: dict[str, tuple[int, int]]) -> bool:
    """Return whether an unapplied input will be sent again, by a publisher or by the conductor."""
    if _is_beyond_cut(record, positions):
        return True
    return (
        not is_live((record.key or b"").decode(errors="replace"))
        and dict(record.headers).get(ce.CE_SOURCE) == CONDUCTOR.encode()
    )


def _is_beyond_cut(record: Any, positions: dict[str, tuple[int, int]]) -> bool:
    """Return whether a record is a fact from a log position that the backup does not reach."""
    raw = dict(record.headers).get(ce.CE_PLACE)
    if raw is None:
        return False
    try:
        place = Place.parse(raw.decode())
    except ValueError:
        return False  # Foreign bytes are refused when applied, as without a backup.
    return place.service in positions and (place.history, place.seq) > positions[place.service]


def _convert_record(record: Any) -> BackupRecord:
    return BackupRecord(
        record.offset, record.timestamp, record.key, record.value, tuple(record.headers)
    )


def _list_secret_files(data: DataDir) -> list[Path]:
    """Return all secret files except the keyring, its journals and those of this broker.

    The one-time code is included: the operator of the restore may never have logged in. A place in
    a cluster is not: a restored installation would start as a machine that it is not.
    """
    feed_keys = data.secrets / FEED_KEYS
    secret_files = (
        p
        for p in chain(data.secrets.iterdir(), feed_keys.iterdir() if feed_keys.is_dir() else ())
        if p.is_file() and not p.name.startswith((".", "keyring.db"))
    )
    left_out = {PASSWORD, *CLUSTER_FILES}
    return sorted(p for p in secret_files if p.name not in left_out)


def _write_file(out: ContentsWriter, name: str, path: Path) -> None:
    out.begin(BackupSection(file=name))
    with path.open("rb") as source:
        while block := source.read(BLOCK_BYTES):
            out.block(block)


@contextmanager
def _copy_files(data: DataDir, names: Iterable[str]) -> Iterator[dict[str, Path]]:
    """Copy files consistently while others write to them; those that do not exist are left out.

    The copies lie in a folder that only the owner can read. Those of a backup that was killed are
    removed: in an old keyring erased texts and names would still have their keys. A lock marks the
    folder of a backup that runs: its process may be in another container, where numbers of
    processes begin anew.
    """
    with _open_folder(data.run) as folder:
        copies = {
            name: folder / name.replace("/", "-") for name in names if (data.root / name).exists()
        }
        for name, copy in copies.items():
            if copy.suffix == ".db":
                _copy_database(data.root / name, copy)
            else:
                shutil.copyfile(data.root / name, copy)
        yield copies


@contextmanager
def _open_folder(parent: Path) -> Iterator[Path]:
    """Create a locked folder of copies; remove those without a lock. Raises OSError."""
    with ExitStack() as stack:
        with _open_private(parent / "backup.lock") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            for left_over in parent.glob(f"{_COPIES}*"):
                if not is_locked(left_over / _LOCK):
                    shutil.rmtree(left_over, ignore_errors=True)
            folder = Path(mkdtemp(prefix=_COPIES, dir=parent))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            fcntl.flock(stack.enter_context(_open_private(folder / _LOCK)), fcntl.LOCK_EX)
        yield folder


def _open_private(file: Path) -> IO[bytes]:
    """Open a file that only its owner reads. Raises OSError."""
    return os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), "wb")


def _copy_database(file: Path, copy: Path) -> None:
    """Copy a SQLite file consistently while others write to it. Raises sqlite3.Error."""
    with (
        closing(sqlite3.connect(file, timeout=10)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
