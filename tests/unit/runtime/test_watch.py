"""The metrics of a worker are current, with any state of the broker and its partitions."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest
from aiokafka import TopicPartition

from schemas.runtime import InputRefused
from services.runtime.log.chain import Position
from services.runtime.log.transaction import compute_digest
from services.runtime.process import metrics
from services.runtime.worker import housekeeping
from services.runtime.worker.housekeeping import STALLED_S, Housekeeping
from services.runtime.worker.publisher import Publisher
from services.runtime.worker.tuning import CLUSTER_STUCK_S, Tuning
from tests.marks import MARKS
from tests.waiting import eventually


def figure(name: str, **labels: str) -> float | None:
    """Return a figure as Prometheus reads it."""
    pattern = (
        re.escape(name)
        + r"\{"
        + ",".join(f'{k}="{v}"' for k, v in sorted(labels.items()))
        + r"\} (\S+)"
    )
    figure_match = re.search(pattern, metrics.render_exposition().decode())
    return None if figure_match is None else float(figure_match[1])


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
        owned_partitions={},
        inputs="watched.inputs",
        urgent=None,
        app=SimpleNamespace(consumer=SimpleNamespace(assignment=set)),
        tuning=Tuning(),
    )


async def test_the_wait_for_the_broker_is_measured_while_it_is_away(worker: Any) -> None:
    """Without a server at its address, the metric for the alert never appeared."""
    worker.owned_partitions[0] = held(seq=5, lag=0, unacked_s=40)
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
    worker.owned_partitions |= {1: held(seq=7, lag=2000), 2: held(seq=8, lag=0)}
    watch._report()
    assert figure("vigie_publish_lag_records", partition="1", service="watched") == 2000
    del worker.owned_partitions[1]
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
    worker.owned_partitions = {
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
    snapshots: list[Any] = []
    watch = Housekeeping(worker)
    monkeypatch.setattr(watch, "write_snapshot", lambda held, _view: snapshots.append(held))
    watch._use_quiet_moments()
    assert bool(snapshots) is taken


@pytest.mark.parametrize(
    ("answered_s", "stood_s", "ends"),
    [(1, 61, True), (1, 59, False), (100, 61, False), (100, 301, True)],
    ids=["fenced", "not-yet", "broker-away", "far-too-long"],
)
def test_a_worker_that_stands_still_while_the_broker_answers_ends_after_a_minute(
    worker: Any, answered_s: float, stood_s: float, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member of the same name had put it out of its group, and it waited for five minutes."""
    stopped: list[str] = []
    monkeypatch.setattr(housekeeping, "stop", lambda name, _detail: stopped.append(name))
    tp = TopicPartition("watched.inputs", 0)
    worker.ready = True
    worker.app.consumer = SimpleNamespace(assignment=lambda: {tp}, highwater=lambda _: 9)
    worker.owned_partitions[0] = held(seq=5, lag=0)
    watch, now = Housekeeping(worker), time.monotonic()
    watch._answered_at = now - answered_s
    watch._behind_since[0] = (5, now - stood_s)
    watch._look_at_progress()
    assert stopped == (["progress.none"] if ends else [])


@pytest.mark.parametrize(("unacked_s", "ends"), [(16, True), (14, False)])
def test_a_worker_that_is_cut_off_from_its_cluster_ends_before_it_appends_too_late(
    worker: Any, unacked_s: float, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its late append made the worker that had taken over start again, too."""
    stopped: list[str] = []
    monkeypatch.setattr(housekeeping, "stop", lambda name, _detail: stopped.append(name))
    worker.tuning = Tuning(stuck_s=CLUSTER_STUCK_S)
    watch = Housekeeping(worker)
    monkeypatch.setattr(watch, "oldest_unacked_s", lambda: unacked_s)
    watch._look_at_progress()
    assert stopped == (["progress.none"] if ends else [])


async def test_a_comparison_with_the_log_shows_that_the_broker_answers(worker: Any) -> None:
    class Log:
        async def at(self, _topic: str, offsets: dict[int, int]) -> dict[int, Any]:
            return {p: SimpleNamespace(value=b"record") for p in offsets}

    worker.log = "watched.log"
    worker.owned_partitions[0] = SimpleNamespace(
        confirmed_head=(7, compute_digest(b"record")), is_dropped=False
    )
    watch = Housekeeping(worker)
    patience_before_s = watch._find_patience_s(time.monotonic())
    await watch._look_at_logs(cast("Any", Log()))
    assert watch._find_patience_s(time.monotonic()) == STALLED_S < patience_before_s
