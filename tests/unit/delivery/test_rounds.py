"""Work beside the sender is repeated after any failure."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from services.delivery.sender.periodic import run_periodically
from services.runtime.kafka.clients import BrokerAway


@pytest.mark.parametrize(
    ("fault", "event"),
    [(BrokerAway("away"), "round.broker_away"), (KeyError("words"), "round.failed")],
    ids=["the broker is away", "a fault"],
)
async def test_a_failed_round_is_logged_and_repeated(fault: Exception, event: str) -> None:
    """The task ended at the first unforeseen fault, and later replies were lost."""
    second = asyncio.Event()
    done: list[int] = []

    async def work() -> None:
        done.append(1)
        if len(done) == 1:
            raise fault
        second.set()

    with capture_logs() as lines:
        going = asyncio.create_task(run_periodically("replies", work, 0))
        async with asyncio.timeout(2):
            await second.wait()
        going.cancel()
    assert [(line["event"], line["of"]) for line in lines] == [(event, "replies")]
