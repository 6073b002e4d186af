"""A second data centre mirrors the first and takes over: copied inputs count once, others are lost.

The loss is stated.
"""

from __future__ import annotations

import signal
from pathlib import Path

from aiokafka import AIOKafkaProducer

from schemas.topics import input_topic, log_topic, urgent_topic
from services.runtime.kafka.security import get_client_options
from services.runtime.log import repair
from tests.brokers import Brokers
from tests.faults.runtime.harness import Toys, make_topics, topics_of

EXPIRED = 10
"""Input records per partition that the mirror lacks: its offsets differ from the first site."""
LAG = 0.7
"""Share of the log that had arrived; the inputs had all arrived."""


async def mirror(
    source: Toys, target: Toys, topic: str, *, first: int = 0, share: float = 1.0
) -> None:
    """Copy the records of each partition in order, at offsets of the target."""
    producer = AIOKafkaProducer(
        bootstrap_servers=target.kafka, acks="all", enable_idempotence=True, **get_client_options()
    )
    await producer.start()
    try:
        for partition, records in (await source.read(topic)).items():
            for record in records[first : int(len(records) * share)]:
                await producer.send(
                    topic,
                    record.value,
                    key=record.key,
                    partition=partition,
                    headers=list(record.headers),
                )
        await producer.flush()
    finally:
        await producer.stop()


async def test_the_second_site_takes_over_its_copied_records_and_continues(
    toys: Toys, start_broker: Brokers, tmp_path: Path
) -> None:
    worker = toys.spawn("toy")
    await toys.open()
    await toys.feed(600)
    await toys.settle()
    copied_inputs = list(toys.fed)
    (tmp_path / "second").mkdir()
    there = Toys((await start_broker()).address, tmp_path / "second", toys.suffix)
    await make_topics(there.kafka, topics_of(there.suffix))
    await mirror(toys, there, log_topic(there.toy), share=LAG)
    await mirror(toys, there, input_topic(there.toy), first=EXPIRED)
    await mirror(toys, there, urgent_topic(there.toy))
    await toys.feed(50, prefix="late")
    worker.kill(signal.SIGKILL)
    try:
        damaged = await repair.diagnose_logs(there.kafka, there.toy)
        assert {f.exit for f in damaged} <= {"input.gap", "input.rewritten"}
        assert damaged, "offsets of a mirror are its own"
        for finding in damaged:
            done = await repair.rebase(there.kafka, there.toy, finding.partition, 1)
            assert done.history == 1
        assert await repair.diagnose_logs(there.kafka, there.toy) == []

        there.fed.extend(copied_inputs)
        there.spawn("toy")
        await there.settle()
        await there.check_applied()
        applied = {
            (t["realm"], t["src"]["id"])
            for chain in (await there.chains(there.toy)).values()
            for t in chain
        }
        late = {(realm, id) for realm, id, _ in toys.fed[len(copied_inputs) :]} - {
            (realm, id) for realm, id, _ in copied_inputs
        }
        assert late, "some reports never reached the mirror"
        assert not late & applied

        await there.feed(200, prefix="after")
        await there.settle()
        await there.check_applied()
    finally:
        there.stop()
