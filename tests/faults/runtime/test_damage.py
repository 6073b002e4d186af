"""Damage ends in a named exit and a repair that works, never in silence."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from schemas.topics import PARTITION_COUNT, input_topic, log_topic, partition_of, snapshot_topic
from services.appliance.embedded.kafka import RunningKafka
from services.runtime.kafka.clients import RecordProducer
from services.runtime.kafka.security import get_client_options
from services.runtime.log import repair
from services.runtime.log.reader import HistoryChanged, LogReader
from services.runtime.process.exits import EXITS, Stop
from tests.faults.matrix import proves
from tests.faults.runtime.harness import Toys, make_topics, topics_of, until

LIVE = ("92",)
P = partition_of("92", PARTITION_COUNT)


def cut(broker: RunningKafka, topic: str, partition: int) -> None:
    """Cut off half of a partition's file while the broker is dead, like a failing disk."""
    (folder,) = broker.node.folder.rglob(f"{topic}-{partition}")
    (segment,) = sorted(folder.glob("*.log"))
    data = segment.read_bytes()
    segment.write_bytes(data[: len(data) // 2])
    for index_file in (
        *folder.glob("*.index"),
        *folder.glob("*.timeindex"),
        *folder.glob("*.snapshot"),
    ):
        index_file.unlink()
    for checkpoint in ("recovery-point-offset-checkpoint", "replication-offset-checkpoint"):
        (folder.parent / checkpoint).unlink(missing_ok=True)


async def run_until_snapshot(toys: Toys, count: int = 400) -> None:
    """Run a live realm with some history, a snapshot of nearly all of it, and an orderly stop."""
    worker = toys.spawn("toy")
    await toys.open(LIVE)
    await toys.feed(count, realms=LIVE)
    await toys.settle()
    await until(lambda: _has_snapshot(toys, count * 6 // 10), 90, "no snapshot")
    worker.kill(signal.SIGTERM)
    assert await worker.exit_code() == 0


async def _has_snapshot(toys: Toys, seq: int) -> bool:
    from services.runtime.log.partition_reader import PartitionReader
    from services.runtime.log.snapshots import read_newest_manifests

    async with PartitionReader(toys.kafka) as reader:
        return any(m.position.seq >= seq for m in await read_newest_manifests(reader, toys.toy, P))


@pytest.fixture
async def other_toys(fault_broker: RunningKafka, tmp_path: Path) -> Toys:
    """Create a second toy system on the same broker."""
    system = Toys(fault_broker.address, tmp_path, "other")
    await make_topics(fault_broker.address, topics_of(system.suffix))
    return system


@proves("broker", "corrupted", lost="named")
async def test_half_of_a_log_and_half_of_an_input_lost_are_named_and_repaired(
    toys: Toys, other_toys: Toys, fault_broker: RunningKafka
) -> None:
    lost_log, lost_input = toys, other_toys
    try:
        await asyncio.gather(run_until_snapshot(lost_log), run_until_snapshot(lost_input))
        fault_broker.kill()
        cut(fault_broker, log_topic(lost_log.toy), P)
        cut(fault_broker, input_topic(lost_input.toy), P)
        await fault_broker.start()

        worker = lost_log.spawn("toy")
        assert await worker.exit_code() == EXITS["log.truncated"].code, worker.said[-2000:]
        worker = lost_input.spawn("toy")
        assert await worker.exit_code() == EXITS["input.rewritten"].code, worker.said[-2000:]
        # grown again over the cut: an offset alone would not show it
        end_offset = (await lost_input.ends(input_topic(lost_input.toy)))[P]
        lost_input.fed.clear()
        await lost_input.feed(450, realms=LIVE, seed=9, prefix="new")
        worker = lost_input.spawn("toy")
        assert await worker.exit_code() == EXITS["input.rewritten"].code, worker.said[-2000:]

        findings = [
            *await repair.diagnose_logs(lost_log.kafka, lost_log.toy),
            *await repair.diagnose_logs(lost_log.kafka, lost_input.toy),
        ]
        assert [(f.service, f.partition, f.exit) for f in findings] == [
            (lost_log.toy, P, "log.truncated"),
            (lost_input.toy, P, "input.rewritten"),
        ]
        done = await repair.accept_loss(lost_log.kafka, lost_log.toy, P, 1, "test")
        assert done.history == 1
        rebased = await repair.rebase(lost_log.kafka, lost_input.toy, P, 1)
        assert str(end_offset) in rebased.detail
        with pytest.raises(repair.RepairRefused):
            await repair.rebase(lost_log.kafka, lost_log.toy, P, 1)

        lost_log.spawn("toy")
        lost_input.spawn("toy")
        await lost_log.feed(200, realms=LIVE, seed=3)
        await lost_log.settle()
        await lost_log.check()
        await lost_input.settle()
        await lost_input.check_applied()
    finally:
        other_toys.stop()


@proves("broker", "corrupted", lost="named")
async def test_a_log_behind_its_receiver_is_named_and_repaired(
    toys: Toys, fault_broker: RunningKafka
) -> None:
    """A young log has no snapshot: only the receiver and its readers know of the lost records."""
    workers = [toys.spawn(service, TOY_SNAPSHOT_EVERY="100000") for service in ("toy", "toyecho")]
    await toys.open(LIVE)
    await toys.feed(150, realms=LIVE)
    await toys.settle(echo=True)
    async with LogReader(toys.kafka, toys.toy) as reader:
        assert [accepted async for accepted in reader.read_to_end()]
    for worker in workers:
        worker.kill(signal.SIGTERM)
        assert await worker.exit_code() == 0
    fault_broker.kill()
    cut(fault_broker, log_topic(toys.toy), P)
    await fault_broker.start()

    worker = toys.spawn("toy")
    assert await worker.exit_code() == EXITS["source.forked"].code, worker.said[-2000:]
    (finding,) = await repair.diagnose_logs(toys.kafka, toys.toy)
    assert (finding.partition, finding.exit) == (P, "source.forked")
    with pytest.raises(Stop, match=r"log\.truncated"):
        await LogReader(toys.kafka, toys.toy, reader.positions).start()
    await repair.accept_loss(toys.kafka, toys.toy, P, 1, finding.detail)
    assert await repair.diagnose_logs(toys.kafka, toys.toy) == []
    with pytest.raises(HistoryChanged):
        await LogReader(toys.kafka, toys.toy, reader.positions).start()
    for service in ("toy", "toyecho"):
        toys.spawn(service)
    await toys.feed(100, realms=LIVE, seed=3)
    await toys.settle(echo=True)
    await toys.check_applied()


@proves("broker", "corrupted", lost="named")
async def test_an_input_topic_that_was_made_again_is_named(toys: Toys) -> None:
    await run_until_snapshot(toys, 150)
    admin = AIOKafkaAdminClient(bootstrap_servers=toys.kafka, **get_client_options())
    await admin.start()
    await admin.delete_topics([input_topic(toys.toy)])
    await admin.close()
    await make_topics(
        toys.kafka, [t for t in topics_of(toys.suffix) if t.name == input_topic(toys.toy)]
    )
    toys.fed.clear()
    await toys.feed(300, realms=LIVE, seed=5, prefix="new")
    worker = toys.spawn("toy")
    assert await worker.exit_code() == EXITS["input.rewritten"].code, worker.said[-2000:]
    await repair.rebase(toys.kafka, toys.toy, P, 1)
    toys.spawn("toy")
    await toys.settle()
    await toys.check_applied()


@proves("worker", "corrupted", note="its snapshot")
async def test_a_log_of_newer_logic_stops_an_older_worker_and_a_damaged_snapshot_is_passed_over(
    toys: Toys,
) -> None:
    await run_until_snapshot(toys, 150)
    async with RecordProducer(toys.kafka) as producer:
        for slot in "ab":
            await producer.send_raw(
                snapshot_topic(toys.toy), P, f"{slot}/manifest".encode(), b"torn", []
            )
    worker = toys.spawn("toy", logic=2)
    await toys.feed(50, realms=LIVE, seed=4)
    await toys.settle()
    assert "snapshot.damaged" in worker.said
    await toys.check_applied()
    worker.kill()
    await worker.exit_code()
    older = toys.spawn("toy", logic=1)
    assert await older.exit_code() == EXITS["logic.newer"].code, older.said[-2000:]


@proves("broker", "corrupted", lost="named")
@pytest.mark.soak
async def test_a_log_that_is_cut_under_a_running_worker_stops_it(
    toys: Toys, fault_broker: RunningKafka
) -> None:
    worker = toys.spawn("toy")
    await toys.open(LIVE)
    await toys.feed(400, realms=LIVE)
    await toys.settle()
    await until(lambda: _has_snapshot(toys, 400), 90, "no snapshot")
    fault_broker.kill()
    cut(fault_broker, log_topic(toys.toy), P)
    await fault_broker.start()
    assert await worker.exit_code() in (
        EXITS["log.truncated"].code,
        EXITS["append.failed"].code,
        EXITS["append.conflict"].code,
    )
    worker = toys.spawn("toy")
    assert await worker.exit_code() == EXITS["log.truncated"].code
