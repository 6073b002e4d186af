"""Repair a damaged log partition: `vigie repair --accept-loss | --rebase`.

Operators run it after a named exit (`docs/how-to/exits.md`). Both forms append one chained record,
so the repair is part of the history and nothing is rewritten. Stop the workers of the service
first; one that still runs exits with `append.conflict` and folds the log again.
"""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from schemas.runtime import LossDeclared, Rebased
from schemas.topics import PARTITION_COUNT, input_topics, log_topic, urgent_topic
from schemas.topics import input_topic as inputs_topic
from services.runtime.decider.inputs import compute_input_digest, convert_record
from services.runtime.kafka.clients import RecordProducer
from services.runtime.kafka.security import get_client_options
from services.runtime.log.chain import Position, advance_position, build_declaration
from services.runtime.log.partition_reader import (
    PartitionReader,
    RecordMissing,
    retry_until_visible,
)
from services.runtime.log.snapshots import read_newest_manifests
from services.runtime.log.transaction import Transaction
from services.runtime.process.exits import ExitName, Stop
from services.runtime.process.machine import now_ms
from services.runtime.worker.recovery import (
    ANY_LOGIC,
    check_input,
    find_position_after,
    find_valid_manifest,
    read_watermarks,
)

_EMPTY_KEY: Final = b""


class RepairRefused(Exception):
    """There is nothing to repair, or another process writes to the log."""


@dataclass(frozen=True, slots=True)
class LogDamage:
    """A damage of one log partition."""

    service: str
    partition: int
    exit: ExitName
    detail: str


@dataclass(frozen=True, slots=True)
class CompletedRepair:
    """The record that a repair appended."""

    service: str
    partition: int
    offset: int
    history: int
    detail: str


async def diagnose_logs(kafka: str, service: str) -> list[LogDamage]:
    """Return the exits that a worker of this service would meet now. Raises KafkaError."""
    findings = []
    async with PartitionReader(kafka) as reader:
        for partition in range(PARTITION_COUNT):
            try:
                await retry_until_visible(
                    kafka, log_topic(service), partial(_check_partition, reader, service, partition)
                )
            except Stop as stop:
                findings.append(LogDamage(service, partition, stop.name, stop.detail))
    return findings


async def _check_partition(reader: PartitionReader, service: str, partition: int) -> None:
    """Raise the Stop that a worker of this partition would meet."""
    at, required_history = await _fold_position(reader, service, partition)
    if required_history > at.history:
        topic = log_topic(service)
        raise RecordMissing(
            "log.truncated",
            f"partition {partition} of {topic} lacks records that a snapshot had seen acknowledged",
        )
    async for _, mark in read_watermarks(reader, service, partition):
        if mark is not None:
            await find_position_after(reader, service, partition, mark, at)
    await check_input(reader, service, partition, at)


async def accept_loss(
    kafka: str, service: str, partition: int, logic: int, detail: str
) -> CompletedRepair:
    """Append `LossDeclared`: the log continues from the records that are left.

    Snapshots of the lost history are ignored from now on. Inputs without their Transaction are
    decided again. Raises RepairRefused, KafkaError.
    """
    async with PartitionReader(kafka) as reader:
        at, required_history = await _fold_position(reader, service, partition)
        later_histories = [
            mark.place.history + 1
            async for _, mark in read_watermarks(reader, service, partition)
            if mark is not None
        ]
    history = max(at.history + 1, required_history, *later_histories)
    return await _append_declaration(
        kafka, service, partition, logic, at, LossDeclared(detail=detail), history, detail
    )


async def rebase(kafka: str, service: str, partition: int, logic: int) -> CompletedRepair:
    """Append `Rebased`: count input positions from the first input that the log has not applied.

    Use it for an input topic that was cut, created again, or mirrored to other offsets. Inputs that
    are applied twice are recognised by their id. Raises RepairRefused if the input is whole,
    KafkaError.
    """
    async with PartitionReader(kafka) as reader:
        at, _ = await _fold_position(reader, service, partition)
        try:
            await check_input(reader, service, partition, at)
            raise RepairRefused(
                f"partition {partition} of {inputs_topic(service)} continues after the last "
                "applied input"
            )
        except Stop:
            pass
        applied_digests = {
            tx.src.digest async for tx in _read_transactions(reader, service, partition)
        }
        nexts = {
            topic: await _find_first_unapplied(reader, topic, partition, applied_digests)
            for topic in input_topics(service)
        }
    next_offset = nexts[inputs_topic(service)]
    fact = Rebased(
        cluster_id=await _read_cluster_id(kafka),
        next_offset=next_offset,
        urgent_next_offset=nexts.get(urgent_topic(service)),
    )
    return await _append_declaration(
        kafka,
        service,
        partition,
        logic,
        at,
        fact,
        at.history + 1,
        f"input continues at offset {next_offset}",
    )


async def _find_first_unapplied(
    reader: PartitionReader, topic: str, partition: int, applied_digests: Collection[str]
) -> int:
    """Return the offset of the first record with an unapplied digest, else the end of the topic."""
    bounds = (await reader.bounds(topic, [partition]))[partition]
    async for record in reader.read(topic, {partition: bounds}):
        if compute_input_digest(convert_record(record)) not in applied_digests:
            return int(record.offset)
    return bounds[1]


async def _fold_position(
    reader: PartitionReader, service: str, partition: int
) -> tuple[Position, int]:
    """Return the position at the end of the log, and the history that explains missing records."""
    _, required_history = await find_valid_manifest(
        reader, service, partition, await read_newest_manifests(reader, service, partition)
    )
    at = Position()
    topic = log_topic(service)
    async for record in reader.read(topic, await reader.bounds(topic, [partition])):
        at, _ = advance_position(at, record.offset, record.value, ANY_LOGIC)
    return at, required_history


async def _read_transactions(
    reader: PartitionReader, service: str, partition: int
) -> AsyncIterator[Transaction]:
    at, topic = Position(), log_topic(service)
    async for record in reader.read(topic, await reader.bounds(topic, [partition])):
        at, transaction = advance_position(at, record.offset, record.value, ANY_LOGIC)
        if transaction is not None:
            yield transaction


async def _append_declaration(
    kafka: str,
    service: str,
    partition: int,
    logic: int,
    at: Position,
    fact: LossDeclared | Rebased,
    history: int,
    detail: str,
) -> CompletedRepair:
    raw = build_declaration(
        service,
        logic,
        at,
        fact,
        partition=partition,
        now=now_ms(),
        run=uuid4().hex[:16],
        history=history,
    )
    async with RecordProducer(kafka) as producer:
        _, offset = await producer.send_raw(log_topic(service), partition, _EMPTY_KEY, raw, [])
    if offset != at.next:
        raise RepairRefused(
            f"somebody else writes to partition {partition} of {log_topic(service)}: stop the "
            f"workers of {service} first"
        )
    return CompletedRepair(service, partition, offset, history, detail)


async def _read_cluster_id(kafka: str) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka, **get_client_options())
    try:
        await admin.start()
        return str((await admin.describe_cluster()).get("cluster_id", ""))
    except KafkaError:
        return ""
    finally:
        await admin.close()
