"""The auditor reads as fast as `vigie verify`: a large log is green in time after a restart."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Self

import pytest
from aiokafka import AIOKafkaProducer

from schemas.alerts import NoteAdded
from schemas.topics import log_topic
from services.appliance.embedded.kafka import RunningKafka
from services.runtime.kafka.security import get_client_options
from services.verify.auditor import auditor as auditor_auditor
from services.verify.auditor.auditor import Auditor
from services.verify.auditor.open_items import OpenItems
from services.verify.auditor.verdict import Verdict
from tests.integration.console.logwriter import Chains
from tests.waiting import eventually

REALM = "92~ex-large"
MB = 1 << 20
MB_PER_S = 1024 / 60
"""1 GB in 60 s."""
START_S = 12.0
"""Time for the first answers of a broker on a shared machine, and for one judgement."""
FACTS = [
    NoteAdded(
        line=f"l-{n}", text_id=f"t-{n}", author="p-1", role="cell", occurred_at=1_800_000_000_000
    )
    for n in range(300)
]
RECORDS = 40
"""Records that are enough to see whether the reader gives others a turn."""
NO_STORE = "redis://127.0.0.1:1/0"


class Writer:
    """Writes records of 80 KB into one log partition."""

    def __init__(self, kafka: str) -> None:
        self._chains = Chains()
        self._producer = AIOKafkaProducer(
            bootstrap_servers=kafka, enable_idempotence=True, linger_ms=5, **get_client_options()
        )

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def write(self, megabytes: float) -> None:
        """Return when the broker has acknowledged records of this size together."""
        remaining_bytes = megabytes * MB
        while remaining_bytes > 0:
            partition, raw = self._chains.make("alerts", REALM, FACTS, 1_800_000_000_000)
            await self._producer.send(
                log_topic("alerts"), raw, key=REALM.encode(), partition=partition
            )
            remaining_bytes -= len(raw)
        await self._producer.flush()


async def read_until(verdicts: AsyncIterator[Verdict], greens: int) -> list[Verdict]:
    """Return the verdicts up to so many green ones."""
    first_verdicts: list[Verdict] = []
    async for verdict in verdicts:
        first_verdicts.append(verdict)
        if sum(v.state == "green" for v in first_verdicts) == greens:
            break
    return first_verdicts


@pytest.mark.parametrize(
    "megabytes", [24, pytest.param(1024, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
async def test_a_restarted_auditor_is_green_within_a_minute_per_gigabyte_and_stays_green_under_load(
    megabytes: int, broker: RunningKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy log is always ahead of its readers, and that alone must not count as reading."""
    async with Writer(broker.address) as writer:
        await writer.write(megabytes)
        auditor, began, began_ms = (
            Auditor(broker.address, NO_STORE),
            time.monotonic(),
            time.time() * 1000,
        )
        async with contextlib.aclosing(auditor.verdicts()) as verdicts:
            async with asyncio.timeout(START_S + megabytes / MB_PER_S):
                *reading, green = await read_until(verdicts, 1)
            print(f"{megabytes} MB: green after {time.monotonic() - began:.1f} s")
            assert {verdict.state for verdict in reading} <= {"reading"}
            assert all(
                began_ms - 1000 <= verdict.since <= green.at for verdict in (*reading, green)
            )

            monkeypatch.setattr(auditor_auditor, "JUDGEMENT_INTERVAL_S", 0.3)
            writing = asyncio.create_task(writer.write(4))
            under_load = await asyncio.wait_for(read_until(verdicts, 5), 30)
            writing.cancel()
        await auditor.close()
    assert [verdict.state for verdict in under_load] == ["green"] * 5


async def test_reading_a_long_log_lets_exercises_of_the_same_process_go_on(
    broker: RunningKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exercise waits for one record, not for all that were fetched together (ADR 73)."""
    monkeypatch.setattr(auditor_auditor, "TURN_S", 0.0, raising=False)
    turns, records_of_turn = 0, Counter[int]()
    feed = OpenItems.feed

    def count_and_feed(items: OpenItems, *record: Any) -> None:
        records_of_turn[turns] += 1
        feed(items, *record)

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(OpenItems, "feed", count_and_feed)
    async with Writer(broker.address) as writer:
        await writer.write(4)
    auditor, counting = Auditor(broker.address, NO_STORE), asyncio.create_task(count_turns())
    async with contextlib.aclosing(auditor.verdicts()) as verdicts:
        reading = asyncio.create_task(read_until(verdicts, 1))
        await eventually(lambda: reading.done() or records_of_turn.total() >= RECORDS)
        for task in (reading, counting):
            task.cancel()
        await asyncio.gather(reading, counting, return_exceptions=True)
    await auditor.close()
    assert max(records_of_turn.values()) == 1
