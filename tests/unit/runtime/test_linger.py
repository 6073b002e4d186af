"""Records wait for others only while many are sent."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from services.runtime.kafka.clients import LINGER_MS, create_idempotent_producer


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s


async def test_records_linger_while_many_are_sent_and_a_single_one_leaves_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, lingers_s = Clock(), list[float]()

    async def record(producer: Any, *_: object, **__: object) -> None:
        lingers_s.append(producer._message_accumulator._linger_time)

    monkeypatch.setattr(AIOKafkaProducer, "send", record)
    monkeypatch.setattr("services.runtime.kafka.clients.time", clock)
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
