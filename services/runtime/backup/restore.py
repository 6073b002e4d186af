"""Restore a backup into an empty installation.

The file is read twice: once to verify it from beginning to end, once to write. Every log partition
then gets a chained `Rebased` (log protocol, rule 10): its input continues after the applied
records, and every open attempt to notify becomes ambiguous. While `run/restoring` exists the
installation is incomplete, and nothing starts on it.
"""

import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient

from schemas.runtime import Rebased
from schemas.topics import LARGE_MESSAGE_BYTES, ROUTES, TOPICS, TOPICS_BY_NAME, Retention, log_topic
from services.runtime.backup.backup import TERRITORY_FILE
from services.runtime.backup.contents import BackupRecord, BackupSection, VerifiedEnd, read_contents
from services.runtime.backup.sealed_file import SealedInvalid, SealedReader
from services.runtime.kafka.clients import create_idempotent_producer, send_with_retry
from services.runtime.kafka.security import get_client_options
from services.runtime.kafka.topics import provision_topics
from services.runtime.log.chain import Position, advance_position, build_declaration
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.process.cluster import is_cluster_record
from services.runtime.process.machine import now_ms
from services.runtime.process.settings import DataDir, Settings
from services.runtime.worker.recovery import ANY_LOGIC

IN_FLIGHT: Final = 1000
NEWEST_LOGIC: Final = max(ROUTES)


class RestoreRefused(Exception):
    """The target is not empty, or the backup did not arrive as it was sent."""


@dataclass(frozen=True, slots=True)
class CompletedRestore:
    records: int
    files: int
    rebased_count: int
    """Number of log partitions that got a `Rebased`."""
    signed_by: str
    """Fingerprint of the installation that made the backup."""


def verify_backup(file: Path, secret: bytes) -> VerifiedEnd:
    """Verify a backup from beginning to end: seal, hashes, signature and chains.

    Each log must be one chain up to the head that the manifest names. Raises SealedInvalid,
    SecretTooShort, OSError.
    """
    heads: dict[str, Position] = {}
    logs = {t.name for t in TOPICS if t.name.endswith(".log")}
    section = BackupSection()
    with file.open("rb") as source:
        for item in read_contents(SealedReader(source, secret)):
            if isinstance(item, VerifiedEnd):
                _verify_heads(item, heads)
                return item
            if isinstance(item, BackupSection):
                section = item
                if item.topic and (
                    item.topic not in TOPICS_BY_NAME
                    or item.partition >= TOPICS_BY_NAME[item.topic].partitions
                ):
                    raise SealedInvalid(
                        f"écrit par une version plus récente de Vigie : celle-ci ignore {item.name}"
                    )
            elif isinstance(item, BackupRecord) and section.topic in logs:
                at = heads.get(section.name, Position())
                heads[section.name], _ = advance_position(
                    at, item.offset, item.value or b"", ANY_LOGIC
                )
    raise SealedInvalid("tronqué : la fin manque")


def _verify_heads(end: VerifiedEnd, heads: dict[str, Position]) -> None:
    for about in end.manifest["logs"]:
        name = f"{log_topic(about['service'])}/{about['partition']}"
        at = heads.get(name, Position())
        if (at.history, at.seq, at.hash) != (about["history"], about["seq"], about["head"]):
            raise SealedInvalid(
                f"ne correspond pas à son manifeste : {name} finit à {at.seq}, non à {about['seq']}"
            )


def check_restore(data: DataDir, file: Path, secret: bytes) -> VerifiedEnd:
    """Check that `file` is valid and of a known version, and that `data` is empty.

    Runs before a broker starts and writes nothing. Raises RestoreRefused, SealedInvalid,
    SecretTooShort, OSError.
    """
    _refuse_used_directory(data)
    end = verify_backup(file, secret)
    if (
        end.manifest["logs"]
        and max(about["logic"] for about in end.manifest["logs"]) > NEWEST_LOGIC
    ):
        raise RestoreRefused(
            "la sauvegarde vient d’une version plus récente de Vigie : celle-ci connaît la logique "
            f"{NEWEST_LOGIC}"
        )
    return end


async def restore(
    settings: Settings,
    file: Path,
    secret: bytes,
    end: VerifiedEnd,
    say: Callable[[str], None] = lambda _: None,
) -> CompletedRestore:
    """Restore an admitted file into the broker and the data directory of `settings`, both empty.

    Raises RestoreRefused, SealedInvalid, TopicsDiffer, BrokerUnreachable, KafkaError, OSError.
    """
    topics = await provision_topics(settings.kafka, replication=settings.kafka_replication)
    await _refuse_records(settings.kafka, topics.existing)
    settings.data.make()
    _flush_and_close(settings.data.restoring.open("wb"))
    records, files = await _write(settings, file, secret, say)
    await _check_arrival(settings.kafka, end.manifest)
    cluster = await _read_cluster_id(settings.kafka)
    rebased_logs = await _rebase(settings.kafka, end.manifest, cluster)
    _keep_territory_version(settings.data, cluster)
    settings.data.restoring.unlink()
    return CompletedRestore(records, files, rebased_logs, end.key.fingerprint)


def _refuse_used_directory(data: DataDir) -> None:
    for used in (data.secrets / "master.key", data.root / "intake", data.root / "vault"):
        if used.exists():
            raise RestoreRefused(
                f"{data.root} sert déjà ({used.relative_to(data.root)} existe) : une sauvegarde ne se "
                "restaure que sur une installation vide"
            )


async def _refuse_records(kafka: str, topics: Iterable[str]) -> None:
    async with PartitionReader(kafka) as reader:
        for name in topics:
            bounds = await reader.bounds(name, range(TOPICS_BY_NAME[name].partitions))
            if any(end > 0 for _, end in bounds.values()):
                raise RestoreRefused(
                    f"le topic {name} de {kafka} n’est pas vide : une sauvegarde ne se restaure que "
                    "sur un courtier vide"
                )


async def _write(
    settings: Settings, file: Path, secret: bytes, say: Callable[[str], None]
) -> tuple[int, int]:
    section, target = BackupSection(), None
    records = files = 0
    with file.open("rb") as source:
        async with _open_sender(settings.kafka) as send:
            for item in read_contents(SealedReader(source, secret)):
                if isinstance(item, BackupSection):
                    if target is not None:
                        _flush_and_close(target)
                        target = None
                    if item.topic and item.topic != section.topic:
                        say(item.topic)
                    section = item
                    if section.file:
                        target, files = _create_file(settings.data, section.file), files + 1
                elif isinstance(item, BackupRecord):
                    if is_cluster_record(section.topic, item.key):
                        continue
                    await send(section, item)
                    records += 1
                elif isinstance(item, bytes) and target is not None:
                    target.write(item)
            if target is not None:
                _flush_and_close(target)
    return records, files


@asynccontextmanager
async def _open_sender(kafka: str) -> AsyncIterator[Callable[[BackupSection, BackupRecord], Any]]:
    """Send records in order, a bounded number at a time; all are acknowledged at the end.

    Raises KafkaError.
    """
    producer = create_idempotent_producer(kafka, max_request_bytes=2 * LARGE_MESSAGE_BYTES)
    await producer.start()
    pending: list[Any] = []

    async def settle() -> None:
        for acknowledgement in pending:
            await acknowledgement
        pending.clear()

    async def send(section: BackupSection, record: BackupRecord) -> None:
        headers: Any = list(record.headers)
        stamp = None if TOPICS_BY_NAME[section.topic].append_time else record.timestamp
        pending.append(
            await send_with_retry(
                producer,
                section.topic,
                record.value,
                record.key,
                section.partition,
                headers,
                timestamp_ms=stamp,
            )
        )
        if len(pending) >= IN_FLIGHT:
            await settle()

    try:
        yield send
        await settle()
    finally:
        await producer.stop()


def _create_file(data: DataDir, name: str) -> IO[bytes]:
    path = data.root / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise SealedInvalid(f"contient un fichier hors du dossier de données ({name})")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _flush_and_close(file: IO[bytes]) -> None:
    """Flush a file to disk before closing it.

    A key that is lost in a power failure after the restore has reported success would be lost for
    good.
    """
    file.flush()
    os.fsync(file.fileno())
    file.close()


async def _check_arrival(kafka: str, manifest: dict[str, Any]) -> None:
    """Check that each topic holds as many records as were sent. Raises RestoreRefused."""
    expected: dict[str, dict[int, int]] = defaultdict(dict)
    for name, about in manifest["sections"].items():
        topic, _, partition = name.partition("/")
        if topic in TOPICS_BY_NAME:
            expected[topic][int(partition)] = about["entries"]
    async with PartitionReader(kafka) as reader:
        for topic, counts in expected.items():
            bounds = await reader.bounds(topic, counts)
            wrong = [p for p, count in counts.items() if bounds[p][1] != count]
            if wrong and TOPICS_BY_NAME[topic].retention is not Retention.COMPACTED:
                raise RestoreRefused(
                    f"la partition {wrong[0]} de {topic} ne contient pas ce qui a été envoyé : un autre "
                    f"programme écrit sur {kafka}"
                )


async def _rebase(kafka: str, manifest: dict[str, Any], cluster: str) -> int:
    """Append `Rebased` to every log partition that holds records. Raises RestoreRefused."""
    run, now, count = uuid4().hex[:16], now_ms(), 0
    producer = create_idempotent_producer(kafka)
    await producer.start()
    try:
        async with PartitionReader(kafka) as reader:
            for about in manifest["logs"]:
                service, partition = about["service"], about["partition"]
                if not about["seq"]:
                    continue
                end = (await reader.bounds(log_topic(service), [partition]))[partition][1]
                at = Position(
                    history=about["history"],
                    next=end,
                    seq=about["seq"],
                    hash=about["head"],
                    logic=about["logic"],
                )
                fact = Rebased(
                    cluster_id=cluster,
                    next_offset=about["input_next"],
                    urgent_next_offset=about.get("urgent_next"),
                    taken_at=manifest["taken_at"],
                )
                raw = build_declaration(
                    service,
                    NEWEST_LOGIC,
                    at,
                    fact,
                    partition=partition,
                    now=now,
                    run=run,
                    history=at.history + 1,
                )
                metadata = await producer.send_and_wait(
                    log_topic(service), raw, key=b"", partition=partition
                )
                if metadata.offset != end:
                    raise RestoreRefused(
                        f"un autre programme écrit sur la partition {partition} de "
                        f"{log_topic(service)}"
                    )
                count += 1
    finally:
        await producer.stop()
    return count


async def _read_cluster_id(kafka: str) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka, **get_client_options())
    await admin.start()
    try:
        return str((await admin.describe_cluster()).get("cluster_id", ""))
    finally:
        await admin.close()


def _keep_territory_version(data: DataDir, cluster: str) -> None:
    """Keep the version of the reference data of the live realm: `up` does not publish it again."""
    path = data.root / TERRITORY_FILE
    if path.exists():
        path.write_text(json.dumps(json.loads(path.read_text()) | {"cluster": cluster}))
