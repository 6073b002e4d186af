"""A consumer reads a stream in turns; a single or expedited record comes at once (ADR 20)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from schemas.runtime import CONDUCTOR
from services.runtime.kafka import fetch_throttle
from services.runtime.kafka.fetch_throttle import (
    BACKGROUND_FETCH_INTERVAL_MS,
    BUSY_WAIT_MS,
    EXPEDITE_S,
    FETCH_INTERVAL_MS,
    MAX_IDLE_S,
    MEMBER_WAIT_MS,
    READER_WAIT_MS,
    FetchThrottle,
)
from services.runtime.log.transaction import TransactionSource
from services.runtime.worker.worker import is_answer_awaited


class Fetcher:
    """aiokafka's, as far as a pace knows it: it always wants to fetch."""

    def __init__(self) -> None:
        self._records: dict[str, str] = {}
        self._in_flight: set[int] = set()
        self._pending_tasks: list[Any] = []
        self._fetcher_timeout = 0.2
        self.resumed: list[str] = []

    def _get_actions_per_node(self, _: Any) -> Any:
        fetches = [] if self._in_flight else [(1, SimpleNamespace(_max_wait_ms=None))]
        return fetches, {}, self._fetcher_timeout, False, self.resumed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    moved = SimpleNamespace(now=100.0)
    monkeypatch.setattr(fetch_throttle, "time", SimpleNamespace(monotonic=lambda: moved.now))
    return moved


@pytest.fixture
def fetcher() -> Fetcher:
    return Fetcher()


def test_a_fetch_right_after_another_waits_for_its_turn_and_one_after_a_pause_does_not(
    clock: SimpleNamespace, fetcher: Fetcher
) -> None:
    FetchThrottle(SimpleNamespace(_fetcher=fetcher))
    assert fetcher._get_actions_per_node(None)[0]
    clock.now += 0.005
    fetches, _, timeout, _, _ = fetcher._get_actions_per_node(None)
    assert not fetches
    assert timeout == pytest.approx(FETCH_INTERVAL_MS / 1000 - 0.005)
    clock.now += timeout
    assert fetcher._get_actions_per_node(None)[0]
    clock.now += 60
    assert fetcher._get_actions_per_node(None)[0]


def test_processes_outside_the_path_of_a_report_poll_longer(
    clock: SimpleNamespace, fetcher: Fetcher
) -> None:
    paced = FetchThrottle(SimpleNamespace(_fetcher=fetcher), BACKGROUND_FETCH_INTERVAL_MS)
    assert fetcher._get_actions_per_node(None)[0]
    clock.now += FETCH_INTERVAL_MS / 1000
    assert not fetcher._get_actions_per_node(None)[0]
    paced.hurry()
    assert fetcher._get_actions_per_node(None)[0], "but what somebody waits for comes at once"


def test_in_a_hurry_nothing_waits(clock: SimpleNamespace, fetcher: Fetcher) -> None:
    paced = FetchThrottle(SimpleNamespace(_fetcher=fetcher))
    paced.hurry()
    assert all(fetcher._get_actions_per_node(None)[0] for _ in range(5))
    clock.now += EXPEDITE_S
    assert fetcher._get_actions_per_node(None)[0]
    assert not fetcher._get_actions_per_node(None)[0]


def test_only_a_fetch_that_covers_everything_is_patient(
    clock: SimpleNamespace, fetcher: Fetcher
) -> None:
    """aiokafka has one fetch per broker: active partitions must not wait for idle ones."""
    FetchThrottle(SimpleNamespace(_fetcher=fetcher))
    waits = []
    for records, resumed in (({}, []), ({"p": "x"}, []), ({}, ["p"])):
        fetcher._records, fetcher.resumed = records, resumed
        clock.now += 1
        waits.append(fetcher._get_actions_per_node(None)[0][0][1]._max_wait_ms)
    assert waits == [READER_WAIT_MS, BUSY_WAIT_MS, BUSY_WAIT_MS]


def test_a_member_of_a_group_polls_more_often_than_a_reader(
    clock: SimpleNamespace, fetcher: Fetcher
) -> None:
    """The broker answers a connection in order, so new partitions wait behind the fetch."""
    FetchThrottle(SimpleNamespace(_fetcher=fetcher), FETCH_INTERVAL_MS, MEMBER_WAIT_MS)
    waited_ms = fetcher._get_actions_per_node(None)[0][0][1]._max_wait_ms
    assert waited_ms == MEMBER_WAIT_MS < READER_WAIT_MS


def test_a_fetch_that_has_ended_is_not_waited_for(clock: SimpleNamespace, fetcher: Fetcher) -> None:
    """aiokafka drops an ended task before its node, so the consumer slept a whole turn."""
    FetchThrottle(SimpleNamespace(_fetcher=fetcher))
    fetcher._in_flight = {1}
    fetcher._pending_tasks = [SimpleNamespace(done=lambda: False)]
    assert fetcher._get_actions_per_node(None)[2] == MAX_IDLE_S, "its end wakes us"
    for ended in ([], [SimpleNamespace(done=lambda: True)]):
        fetcher._pending_tasks = ended
        assert fetcher._get_actions_per_node(None)[2] == 0


@pytest.mark.parametrize(
    ("wire", "source", "awaited"),
    [
        ("vigie.StepRequested.v1", "/intake", True),
        ("vigie.ActivatePlan.v1", "/console", True),
        ("vigie.StepTo.v1", CONDUCTOR, True),
        ("vigie.ProposalComputed.v1", CONDUCTOR, True),
        ("vigie.ProposalComputed.v1", "/planner", False),
        ("vigie.ReportReceived.v1", "/intake", False),
        ("vigie.SiteStatusChanged.v1", "/alerts", False),
        ("of.tomorrow", "/intake", False),
    ],
)
def test_commands_and_simulation_steps_are_expedited_and_reports_are_not(
    wire: str, source: str, *, awaited: bool
) -> None:
    assert (
        is_answer_awaited(TransactionSource("t", 0, 0, "", "i", wire, source, 0, "c", "c"))
        is awaited
    )
