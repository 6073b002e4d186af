"""The metrics of a worker are current, with any state of the broker and its partitions."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from schemas.runtime import InputRefused
from services.runtime.log.chain import Position
from services.runtime.process import metrics
from services.runtime.worker.housekeeping import Housekeeping
from services.runtime.worker.publisher import Publisher
from services.runtime.worker.tuning import Tuning
from tests.marks import MARKS
from tests.waiting import eventually


def figure(name: str, **labels: str) -> float | None:
    """Return a figure as Prometheus reads it."""
    wanted = (
        re.escape(name)
        + r"\{"
        + ",".join(f'{k}="{v}"' for k, v in sorted(labels.items()))
        + r"\} (\S+)"
    )
    found = re.search(wanted, metrics.render_exposition().decode())
    return None if found is None else float(found[1])


def held(seq: int, lag: int, unacked_s: float | None = None) -> Any:
    pending = [] if unacked_s is None else [SimpleNamespace(sent_at=time.monotonic() - unacked_s)]
    return SimpleNamespace(
        view=SimpleNamespace(position=Position(seq=seq)),
        feed=SimpleNamespace(lag=lag),
        pending=pending,
    )


@pytest.fixture
def worker() -> Any:
    return SimpleNamespace(
        service="watched",
        kafka="127.0.0.1:1",
        counts=Counter(),
        publisher=SimpleNamespace(report=lambda: None),
        ticker=[],
        held={},
        inputs="watched.inputs",
        urgent=None,
        app=SimpleNamespace(consumer=SimpleNamespace(assignment=set)),
    )


async def test_the_wait_for_the_broker_is_measured_while_it_is_away(
    worker: Any,
) -> None:
    """Without a server at its address, the metric for the alert never appeared."""
    worker.held[0] = held(seq=5, lag=0, unacked_s=40)
    watch = Housekeeping(worker)
    tasks = [asyncio.create_task(watch.run()), asyncio.create_task(watch.tell())]
    try:
        await eventually(
            lambda: (figure("vigie_oldest_unacked_seconds", service="watched") or 0) >= 40,
            timeout_s=10,
        )
    finally:
        for task in tasks:
            task.cancel()


def test_figures_of_a_partition_end_with_its_ownership(worker: Any) -> None:
    """Otherwise a lagging partition taken over by another worker would lag here forever."""
    watch = Housekeeping(worker)
    worker.held |= {1: held(seq=7, lag=2000), 2: held(seq=8, lag=0)}
    watch._report()
    assert figure("vigie_publish_lag_records", partition="1", service="watched") == 2000
    del worker.held[1]
    watch._report()
    watch._report()
    assert figure("vigie_publish_lag_records", partition="1", service="watched") is None
    assert figure("vigie_chain_seq", partition="2", service="watched") == 8


async def test_the_first_dead_letter_of_a_process_is_an_increase() -> None:
    """Prometheus sees none in a series that begins with 1."""
    publisher = Publisher("127.0.0.1:1", "alerts", 1, MARKS)
    reasons = ["input_failed", *get_args(InputRefused.model_fields["code"].annotation)]
    assert [
        figure("vigie_dead_letters_total", reason=reason, service="alerts") for reason in reasons
    ] == [0.0] * len(reasons)
    await publisher.stop()


@pytest.mark.parametrize(
    ("records", "moved_s", "snapshot_s", "taken"),
    [
        (500, 5, 60, True),
        (499, 5, 60, False),
        (500, 1, 60, False),
        (1, 5, 3700, True),
        (1, 1, 3700, True),
        (0, 5, 3700, False),
    ],
)
def test_a_quiet_moment_after_many_records_and_the_hour_after_any_are_used_for_a_snapshot(
    worker: Any,
    records: int,
    moved_s: float,
    snapshot_s: float,
    taken: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A quiet log had none, so nothing could prove that it had lost its end."""
    now = time.monotonic()
    worker.tuning = Tuning()
    worker.held = {
        3: SimpleNamespace(
            view=SimpleNamespace(position=Position(seq=7 + records)),
            snapshot_seq=7,
            snapshot_at=now - snapshot_s,
            moved_at=now - moved_s,
            pending=[],
            writing=None,
            snapshot=None,
            next_snapshot_at=0.0,
        )
    }
    written: list[Any] = []
    watch = Housekeeping(worker)
    monkeypatch.setattr(watch, "write_snapshot", lambda held, _view: written.append(held))
    watch._use_quiet_moments()
    assert bool(written) is taken
