"""Reading a log by the reader's rule, on a real broker."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient

from schemas.runtime import LossDeclared, OpenRealm
from schemas.topics import PARTITION_COUNT, input_topics, log_topic, partition_of
from services.appliance.embedded.kafka import RunningKafka
from services.runtime.decider.inputs import InputRecord
from services.runtime.decider.machine import Machine
from services.runtime.kafka.clients import RecordProducer, build_headers, encode_message
from services.runtime.log.chain import ChainView, apply_input, build_declaration, create_empty_view
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.reader import HistoryChanged, LogReader
from services.runtime.log.snapshots import (
    SLOTS,
    PublishedPosition,
    SnapshotWriter,
    read_newest_manifests,
)
from services.runtime.process.exits import Stop
from services.runtime.worker.recovery import recover_partition
from tests.faults.matrix import proves
from tests.faults.runtime.harness import Toys, make_topics, topics_of
from tests.faults.runtime.toy import ToyDecider, ToyReport, ToyState

P = partition_of("92", PARTITION_COUNT)
_count = iter(range(1000))


@pytest.fixture
async def toys(broker: RunningKafka, tmp_path: Path) -> Toys:
    system = Toys(broker.address, tmp_path, f"read{next(_count)}")
    await make_topics(broker.address, topics_of(system.suffix))
    return system


async def test_a_reader_that_goes_from_topic_to_topic_never_stands_still(toys: Toys) -> None:
    """aiokafka forgets the leaders of unassigned topics, then waits before it asks for them.

    Every service starts so, and a worker takes partitions so: no decision is made meanwhile.
    """
    await toys.open()
    async with PartitionReader(toys.kafka) as reader:
        reader._consumer._fetcher._retry_backoff = 3600.0
        async with asyncio.timeout(60):
            for topic in 2 * input_topics(toys.toy):
                bounds = await reader.bounds(topic, range(PARTITION_COUNT))
                assert [record async for record in reader.read(topic, bounds)] != []


class Log:
    """A log written by hand."""

    def __init__(self, toys: Toys) -> None:
        self.toys = toys
        self.machine = Machine(ToyDecider(1, toys.suffix))
        self.view: ChainView[ToyState] = create_empty_view()
        self.given = 0

    async def write(self, count: int) -> None:
        async with RecordProducer(self.toys.kafka) as producer:
            for _ in range(count):
                message = (
                    ToyReport(incident="i", n=self.given)
                    if self.given
                    else OpenRealm(author="a", role="admin", territory="92", started_at=0)
                )
                headers = build_headers(message.wire_type(), id=f"r{self.given}", source="t")
                record = InputRecord(
                    "x", P, self.given, b"92", encode_message(message), headers, 1000 + self.given
                )
                self.view, log_record = apply_input(self.machine, self.view, record, "run")
                self.given += 1
                await self.raw(producer, log_record.raw)

    async def raw(self, producer: RecordProducer, raw: bytes) -> None:
        await producer.send_raw(log_topic(self.toys.toy), P, b"92", raw, [])


async def test_a_reader_takes_accepted_records_only_and_resumes_where_it_was(toys: Toys) -> None:
    log = Log(toys)
    await log.write(3)
    async with RecordProducer(toys.kafka) as producer:
        await log.raw(producer, b"junk")
        log.view = ChainView(
            log.view.position._replace(next=log.view.position.next + 1), log.view.realms
        )
    await log.write(2)
    async with LogReader(toys.kafka, toys.toy) as reader:
        seqs = [a.transaction.seq async for a in reader.read_to_end()]
        positions = dict(reader.positions)
    assert seqs == [1, 2, 3, 4, 5]
    assert positions[P].ignored == 1
    await log.write(2)
    async with LogReader(toys.kafka, toys.toy, positions) as reader:
        assert [a.transaction.seq async for a in reader.read_to_end()] == [6, 7]


async def test_a_reader_reports_a_lost_history_at_the_start_and_while_idle(toys: Toys) -> None:
    log = Log(toys)
    await log.write(3)
    async with LogReader(toys.kafka, toys.toy) as reader:
        async for _ in reader.read_to_end():
            pass
        positions = {P: reader.positions[P]._replace(tail="another record")}
        with pytest.raises(Stop) as stopped:
            async with LogReader(toys.kafka, toys.toy, positions):
                pass
        assert stopped.value.name == "log.truncated"
        reader.positions[P] = positions[P]
        with pytest.raises(Stop) as stopped:
            async with asyncio.timeout(20):
                async for _ in reader:
                    pass
        assert stopped.value.name == "log.truncated"


async def test_after_a_declared_loss_a_reader_of_the_lost_history_begins_again(toys: Toys) -> None:
    log = Log(toys)
    await log.write(3)
    at = log.view.position
    loss = build_declaration(
        toys.toy, 1, at, LossDeclared(detail="x"), partition=P, now=0, run="r", history=1
    )
    async with RecordProducer(toys.kafka) as producer:
        await log.raw(producer, loss)
    lost = at._replace(tail="of the lost history", history=0)
    with pytest.raises(HistoryChanged):
        async with LogReader(toys.kafka, toys.toy, {P: lost}):
            pass


async def test_repeated_checks_ask_the_broker_about_one_topic_once(
    toys: Toys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven processes check their log every second.

    The metadata of all topics would cost a tenth of a core each time.
    """
    log, topic_sets = Log(toys), list[set[str]]()
    await log.write(3)
    update = AIOKafkaClient._metadata_update

    async def noted(client: AIOKafkaClient, cluster: Any, topics: Any) -> bool:
        topic_sets.append(set(topics))
        return bool(await update(client, cluster, topics))

    topic = log_topic(toys.toy)
    async with PartitionReader(toys.kafka) as reader:
        await reader.at(topic, {P: 0})
        monkeypatch.setattr(AIOKafkaClient, "_metadata_update", noted)
        for offset in (0, 1, 2):
            assert (await reader.at(topic, {P: offset}))[P].offset == offset
    assert all(topics == {topic} for topics in topic_sets), (
        "and at most as often as the metadata grow old"
    )


@proves("worker", "corrupted", note="its snapshot")
async def test_a_take_starts_from_the_newest_snapshot_and_the_other_when_it_is_torn(
    toys: Toys,
) -> None:
    log = Log(toys)
    await log.write(4)
    older = log.view
    decider = ToyDecider(1, toys.suffix)
    async with RecordProducer(toys.kafka) as producer, PartitionReader(toys.kafka) as reader:
        writer = SnapshotWriter(producer, decider, P)
        await writer.write(SLOTS[0], older, PublishedPosition())
        await log.write(3)
        newest = await writer.write(SLOTS[1], log.view, PublishedPosition())
        await log.write(2)
        recovery = await recover_partition(reader, log.machine, P)
        assert (recovery.view, recovery.folded_count, recovery.next_slot) == (log.view, 2, SLOTS[0])
        torn = replace(
            newest,
            realms={"92": {"state": (replace(newest.realms["92"]["state"][0], hash="0" * 32),)}},
        )
        await producer.send_raw(f"{toys.toy}.snapshots", P, b"b/manifest", torn.dump(), [])
        recovery = await recover_partition(reader, log.machine, P)
        assert (recovery.view, recovery.folded_count) == (log.view, 5)
        assert [m.slot for m in await read_newest_manifests(reader, toys.toy, P)] == ["b", "a"]
