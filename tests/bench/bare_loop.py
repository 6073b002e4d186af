"""Baseline of a worker: read records and write the same bytes elsewhere.

`python -m tests.bench.bare_loop KAFKA SOURCE OUT`.
"""

from __future__ import annotations

import sys

import uvloop
from aiokafka import TopicPartition

from schemas.topics import PARTITION_COUNT
from services.runtime.kafka.clients import create_groupless_consumer, create_idempotent_producer


async def loop(kafka: str, source: str, out: str) -> None:
    """Copy records until killed."""
    producer, consumer = (
        create_idempotent_producer(kafka),
        create_groupless_consumer(kafka, fetch_bytes=4 << 20),
    )
    await producer.start()
    await consumer.start()
    partitions = [TopicPartition(source, p) for p in range(PARTITION_COUNT)]
    consumer.assign(partitions)
    for tp in partitions:
        consumer.seek(tp, 0)
    while True:
        for tp, records in (await consumer.getmany(timeout_ms=200, max_records=500)).items():
            for record in records:
                await producer.send(out, record.value, key=record.key, partition=tp.partition)


if __name__ == "__main__":
    uvloop.run(loop(*sys.argv[1:4]))
