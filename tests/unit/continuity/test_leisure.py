"""The planner computes forecasts in idle time: a quarter of a core, a tenth beside others."""

from __future__ import annotations

import pytest
from aiokafka.errors import KafkaConnectionError

from services.continuity.reassignment.planner_process import (
    BUSY_REST,
    LONGEST_WAIT_FACTOR,
    QUIET_READINGS,
    QUIET_REST,
    BackgroundGate,
    WorkSlice,
)
from services.runtime.worker.lag import DecidersProgress

AFTER_S = 60.0
ALONE, BESIDE = WorkSlice(0.2, 0.21), WorkSlice(0.2, 0.9)
"""The same work with the processor for itself, and beside another program."""


class Clock:
    """Time that passes during a sleep."""

    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Watching(BackgroundGate):
    """Planner with scripted looks; the last one repeats."""

    def __init__(self, clock: Clock, *looks: bool | Exception, after_s: float = AFTER_S) -> None:
        super().__init__("", after_s=after_s, monotonic=clock.monotonic, sleep=clock.sleep)
        self.looks = list(looks)

    async def look(self) -> bool:
        look_outcome = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look_outcome, Exception):
            raise look_outcome
        return look_outcome


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_foresight_begins_after_a_long_enough_quiet_time(clock: Clock) -> None:
    await Watching(clock, True).begin()
    assert clock.now_s == AFTER_S


async def test_an_unquiet_look_restarts_the_wait(clock: Clock) -> None:
    await Watching(clock, *[True] * (QUIET_READINGS - 1), False, True).begin()
    assert clock.now_s == 2 * AFTER_S


async def test_a_crisis_without_a_quiet_minute_has_foresight_in_the_end(clock: Clock) -> None:
    await Watching(clock, False).begin()
    assert clock.now_s == pytest.approx(LONGEST_WAIT_FACTOR * AFTER_S, abs=AFTER_S / QUIET_READINGS)


@pytest.mark.parametrize(
    ("quiet", "worked", "times"),
    [(True, ALONE, QUIET_REST), (False, ALONE, BUSY_REST), (True, BESIDE, BUSY_REST)],
)
async def test_foresight_rests_three_times_its_work_and_nine_times_beside_others(
    clock: Clock, quiet: bool, worked: WorkSlice, times: float
) -> None:
    await Watching(clock, quiet).rest(worked)
    assert clock.now_s == pytest.approx(times * worked.computed_s)


async def test_a_long_rest_ends_early_when_the_system_becomes_quiet(clock: Clock) -> None:
    """One solve may take ten seconds, and the length of the storm is unknown after it."""
    await Watching(clock, False, True).rest(WorkSlice(10.0, 10.0))
    assert clock.now_s == pytest.approx(QUIET_REST * 10.0)


async def test_a_broker_without_an_answer_is_not_quiet(clock: Clock) -> None:
    await Watching(clock, KafkaConnectionError()).rest(ALONE)
    assert clock.now_s == pytest.approx(BUSY_REST * ALONE.computed_s)


async def test_rests_can_be_switched_off(clock: Clock) -> None:
    at_once = Watching(clock, False, after_s=0)
    await at_once.begin()
    await at_once.rest(BESIDE)
    assert clock.now_s == 0


def test_work_notices_its_wait_for_the_processor() -> None:
    assert WorkSlice(0.1, 0.2).had_to_share
    assert not WorkSlice(0.1, 0.11).had_to_share


@pytest.mark.parametrize(
    ("lag", "due_in_ms", "quiet"),
    [(0, None, True), (0, 61_000, True), (0, 60_000, False), (0, -5, False), (1, None, False)],
)
def test_a_quiet_system_has_no_input_and_no_deadline_within_a_minute(
    lag: int, due_in_ms: int | None, quiet: bool
) -> None:
    now = 1_802_340_000_000
    standing = DecidersProgress(
        {"alerts": 0, "delivery": lag}, None if due_in_ms is None else now + due_in_ms
    )
    assert standing.is_quiet(now, 60_000) is quiet


async def test_a_long_computation_beside_others_works_a_tenth_of_the_time(clock: Clock) -> None:
    leisure, computed_s = Watching(clock, False), 0.0
    for _ in range(50):
        clock.now_s += ALONE.passed_s
        computed_s += ALONE.computed_s
        await leisure.rest(ALONE)
    assert computed_s / clock.now_s <= 0.1
