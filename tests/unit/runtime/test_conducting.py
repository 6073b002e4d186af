"""The conductor process sends steps in time and survives records without an exercise."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.runtime import StepTo
from schemas.topics import SERVICES, input_topic
from services.runtime.kafka.fetch_throttle import AWAITED_S, FetchThrottle
from services.runtime.log.reader import AcceptedRecord
from services.runtime.simulation.conductor import Move
from services.runtime.simulation.conductor_process import ConductorProcess
from services.runtime.testing import MemoryService
from tests.faults.runtime.toy import ToyDecider
from tests.marks import MARKS
from tests.waiting import eventually

EXERCISES = 4
"""A partition of simulated realms."""


class Slow:
    """Producer with acknowledgements at times set by the test."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, asyncio.Future[Any]]] = []

    async def send(self, topic: str, *_: Any, **__: Any) -> asyncio.Future[Any]:
        self.sent.append((topic, asyncio.get_running_loop().create_future()))
        return self.sent[-1][1]

    async def stop(self) -> None:
        pass


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
async def conducting(slow: Any) -> AsyncIterator[ConductorProcess]:
    made = ConductorProcess("127.0.0.1:1", MARKS, lambda _fact, _realm: ())
    await made._producer.stop()
    made._producer = slow
    yield made
    await made.close()


def steps(*services: str) -> list[Move]:
    return [Move("92~ex-a", s, f"step:{s}", StepTo(), 0) for s in services]


async def test_the_last_of_a_group_is_sent_when_the_inputs_of_the_others_hold_theirs(
    conducting: ConductorProcess, slow: Slow
) -> None:
    """Its service may answer at once; the order of that answer and a step must be fixed."""
    sending = asyncio.create_task(conducting._send(steps("alerts", "continuity", "delivery")))
    await eventually(lambda: len(slow.sent) == 2)
    slow.sent[1][1].set_result(None)
    for _ in range(5):
        await asyncio.sleep(0)
    assert [topic for topic, _ in slow.sent] == [input_topic("alerts"), input_topic("continuity")]
    slow.sent[0][1].set_result(None)
    await eventually(lambda: len(slow.sent) == 3)
    slow.sent[2][1].set_exception(ConnectionError("the broker is away"))
    with pytest.raises(ConnectionError):
        await sending


async def test_moves_to_one_service_do_not_wait_for_each_other(
    conducting: ConductorProcess, slow: Slow
) -> None:
    sending = asyncio.create_task(conducting._send(steps("delivery", "delivery", "delivery")))
    await eventually(lambda: len(slow.sent) == 3)
    for _, acknowledgement in slow.sent:
        acknowledgement.set_result(None)
    await sending


async def test_a_record_of_no_realm_does_not_end_the_conductor() -> None:
    """One unreadable input, or a repair of the log, ended the process that moves all exercises."""
    service: MemoryService[Any] = MemoryService(ToyDecider())
    service.service = service.machine.service = "alerts"
    stored = service.feed_raw(EXERCISES, b"no realm", b"{}", [])
    assert stored.transaction.realm == ""
    conducting = ConductorProcess("127.0.0.1:1", MARKS, lambda _fact, _realm: ())
    batches = [[AcceptedRecord(stored.transaction, EXERCISES, 0, stored.hash, None)]]  # type: ignore[arg-type]

    async def batch(_longest_s: float) -> list[AcceptedRecord]:
        if batches:
            return batches.pop()
        await asyncio.sleep(3600)
        return []

    following = asyncio.create_task(conducting._follow(SimpleNamespace(batch=batch)))  # type: ignore[arg-type]
    await eventually(lambda: not batches)
    await asyncio.sleep(0)
    assert conducting._touched.empty(), "there is nothing to move"
    following.cancel()
    with pytest.raises(KeyError):
        conducting._conductor.next_moves("")
    await conducting.close()


async def test_a_move_hurries_every_log_that_may_show_its_effects(
    conducting: ConductorProcess, slow: Slow
) -> None:
    """Between moves the conductor reads twice a second: no realm of a test waits for it."""
    (move,) = steps("alerts")
    conducting._conductor = SimpleNamespace(  # type: ignore[assignment]
        next_moves=lambda _: [move],
        pace=lambda _: (False, None),
        clock=lambda _: None,
        note_sent=lambda _: None,
    )
    fetchers = [SimpleNamespace(_get_actions_per_node=None) for _ in SERVICES]
    for reader, fetcher in zip(conducting._readers.values(), fetchers, strict=True):
        reader._pace = FetchThrottle(SimpleNamespace(_fetcher=fetcher), reader._every_ms)
    assert [r._pace._every_s for r in conducting._readers.values()] == [0.5] * 3  # type: ignore[union-attr]
    async with asyncio.TaskGroup() as tasks:
        await conducting._move(move.realm, tasks)
        await eventually(lambda: len(slow.sent) == 1)
        slow.sent[0][1].set_result(None)
    for reader in conducting._readers.values():
        assert reader._pace is not None
        assert reader._pace._hurry_until > time.monotonic() + AWAITED_S / 2
        reader._pace = None
