"""Records wait for others only while many are sent."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from schemas.topics import PUBLIC_TOPICS, input_topic
from services.runtime.kafka.clients import (
    LINGER_MS,
    PATIENT_LINGER_MS,
    UNAWAITED_LINGER_MS,
    create_idempotent_producer,
)
from services.runtime.kafka.fetch_throttle import AWAITED_S
from services.runtime.worker.publisher import PATIENT_TOPICS


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("services.runtime.kafka.clients.time", clock)
    return clock


@pytest.fixture
def lingers_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect the linger of each send, in order."""
    lingers_s = list[float]()

    async def record(producer: Any, *_: object, **__: object) -> None:
        lingers_s.append(producer._message_accumulator._linger_time)

    monkeypatch.setattr(AIOKafkaProducer, "send", record)
    return lingers_s


async def test_records_linger_while_many_are_sent_and_a_single_one_leaves_at_once(
    clock: Clock, lingers_s: list[float]
) -> None:
    producer = create_idempotent_producer("127.0.0.1:1")

    async def send(count: int, every_s: float) -> list[float]:
        del lingers_s[:]
        for _ in range(count):
            clock.now_s += every_s
            await producer.send("alerts.log", b"")
        return lingers_s

    assert set(await send(100, every_s=0.1)) == {0.0}
    assert set(await send(8, every_s=0)) == {0.0}, "the records of one decision"
    assert (await send(200, every_s=0.002))[-1] == LINGER_MS / 1000
    assert (await send(1, every_s=1))[-1] == 0.0
    await producer.stop()


async def test_a_stream_for_patient_readers_is_sent_together(
    clock: Clock, lingers_s: list[float]
) -> None:
    producer = create_idempotent_producer("127.0.0.1:1", patient_topics=PATIENT_TOPICS)

    async def send(topic: str, count: int = 1, every_s: float = 0.02) -> float:
        for _ in range(count):
            clock.now_s += every_s
            await producer.send(topic, b"")
        return lingers_s[-1]

    continuity = input_topic("continuity")
    await send(continuity, every_s=60)
    assert await send(continuity, 7, every_s=0) == 0.0, "the records of one decision"
    assert await send(continuity, 100) == PATIENT_LINGER_MS / 1000
    assert await send(input_topic("delivery")) == 0.0, "a call waits for nothing"
    producer.hurry()
    assert await send(continuity) == 0.0, "somebody waits for the effect of a command"
    clock.now_s += AWAITED_S
    assert await send(continuity, 100) == PATIENT_LINGER_MS / 1000
    await producer.stop()


async def test_records_that_no_process_reads_always_wait_for_others(
    clock: Clock, lingers_s: list[float]
) -> None:
    producer = create_idempotent_producer("127.0.0.1:1", unawaited_topics=PUBLIC_TOPICS)
    clock.now_s += 60
    await producer.send("incidents", b"")
    producer.hurry()
    await producer.send("incidents", b"")
    assert lingers_s == [UNAWAITED_LINGER_MS / 1000] * 2
    await producer.send(input_topic("delivery"), b"")
    assert lingers_s[-1] == 0.0, "a call waits for nothing"
    await producer.stop()
