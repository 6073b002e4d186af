"""A trial on recorded crises keeps to its time. Rule D86."""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.simulation.effects import Comparison
from services.simulation.history import HistorySummary
from services.simulation.recording import NotRecorded
from services.simulation.trial_worker import try_version


async def compared(began: list[int]) -> AsyncIterator[Comparison | NotRecorded]:
    yield NotRecorded("92~ex-0")
    for n in range(9):
        began.append(n)
        yield Comparison(f"92~ex-{n}", (1, 1), HistorySummary(), HistorySummary(), [], 0.1)


async def test_no_replay_begins_after_the_time_is_over() -> None:
    began: list[int] = []
    forecast = await try_version(compared(began), seconds=-1)
    assert (forecast.crises, forecast.unread) == (0, 1)
    assert began == []


async def test_all_crises_count_within_the_time() -> None:
    began: list[int] = []
    forecast = await try_version(compared(began), seconds=600)
    assert (forecast.crises, forecast.unread) == (9, 1)
