"""An hour of exercises in many realms under kills: flat memory, no backlog, no broken promise.

`make soak ARGS="tests/faults/test_soak.py --soak-minutes 8 --soak-realms 6 -s"` is a short run.
"""

from __future__ import annotations

import json
import random
import re
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil
import pytest

from services.cli.client import ApiClient
from services.cli.exercises.play import ScenarioPlayer
from services.console.read_model.store import CLOSED_KEPT
from services.runtime.process.settings import REPOSITORY, Settings
from services.simulation.scenarios import Scenario, load_scenario
from tests.system import RunningVigie
from tests.waiting import until

SCENARIOS: Final = ("S04", "S01")
SPEED: Final = 20.0
"""Simulated seconds per second."""
PLAYED_MS: Final = 60 * 60_000
"""Time of each scenario in its realm, before the next one begins."""
VICTIMS: Final = (
    "alerts",
    "continuity",
    "delivery",
    "background",
    "projector",
    "console",
    "intake",
    "store",
    "broker",
)
KILL_EVERY_S: Final = (20.0, 60.0)
SAMPLE_S: Final = 5.0
WARM_S: Final = 60.0
"""Time after which a process holds its usual memory."""
FLAT: Final = 0.05
"""Growth of all processes from the second quarter of the time to the last.

The first quarter fills bounded caches, the store's twenty closed realms and the broker's heap.
"""
EACH_FLAT: Final = 0.15
"""Growth of one process: it is killed every few minutes, so the quarters see different ages."""
CLOSED_MB: Final = 2.0
"""Memory of the store for one closed exercise: 1.4 MB on average of S04 and S01 (ADR 32).

The larger of them takes 1.5 MB. The store keeps the last `CLOSED_KEPT`. A run of a few minutes
ends before that: 8 minutes in 6 realms close 18, nine of them after the second quarter, and the
store grows by these. Only growth beyond that, or after twenty, is a leak.
"""
COLLECTED: Final = re.compile(r"Pause .* \d+M->(\d+)M\((\d+)M\)")
"""Line of the broker's collector after a collection: used and whole heap in MB."""
PATIENCE_S: Final = 600.0
"""Patience of a player during kills."""
SETTLED_S: Final = 300.0


class Looping(threading.Thread):
    """Player of one scenario after the other, each in its own realm, until it is stopped."""

    def __init__(
        self, vigie: RunningVigie, number: int, scenarios: list[Scenario], enough: threading.Event
    ) -> None:
        super().__init__(name=f"player-{number}", daemon=True)
        self._settings = Settings(data_dir=vigie.folder / "data", http=vigie.http_address)
        self._number, self._scenarios, self._enough = number, scenarios, enough
        self.played = 0
        self.finished = False

    def run(self) -> None:
        with ApiClient(self._settings) as client:
            while not self._enough.is_set():
                self._once(
                    client, self._scenarios[(self._number + self.played) % len(self._scenarios)]
                )
                self.played += 1
        self.finished = True

    def _once(self, client: ApiClient, scenario: Scenario) -> None:
        player = ScenarioPlayer(
            client, scenario, f"92~ex-soak-{self._number}-{self.played}", SPEED, PATIENCE_S
        )
        player.open([])
        player.play(scenario.start + PLAYED_MS, lambda: None)
        player.close()


class Watching(threading.Thread):
    """Observer that kills at random and samples the memory of processes older than a minute."""

    def __init__(
        self,
        vigie: RunningVigie,
        enough: threading.Event,
        seed: int,
        figures: Path | None,
        closed: Callable[[], int] = lambda: 0,
    ) -> None:
        """Set up the run.

        `figures`: file of all samples, as JSON. `closed`: number of closed exercises.
        """
        super().__init__(name="watching", daemon=True)
        self._closed = closed
        self._vigie, self._enough, self._random, self._figures = (
            vigie,
            enough,
            random.Random(seed),
            figures,
        )
        self.samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
        """Process → (seconds since the beginning, MB)."""
        self.kept: list[tuple[float, float]] = []
        """(seconds since the beginning, closed exercises that the store keeps whole)."""
        self.kills = 0

    def run(self) -> None:
        began, kill_at = time.monotonic(), self._random.uniform(*KILL_EVERY_S)
        while not self._enough.wait(SAMPLE_S):
            now = time.monotonic() - began
            self._sample(now)
            if self._figures is not None:
                self._figures.write_text(
                    json.dumps({"kills": self.kills, "memory_mb": self.samples}), encoding="utf-8"
                )
            if now >= kill_at:
                kill_at = now + self._random.uniform(*KILL_EVERY_S)
                self._kill()

    def _kill(self) -> None:
        try:
            self._vigie.kill(self._random.choice(VICTIMS))
        except (KeyError, ProcessLookupError):
            return
        self.kills += 1

    def _sample(self, now: float) -> None:
        self.kept.append((now, min(self._closed(), CLOSED_KEPT)))
        for name, pid in self._vigie.processes().items():
            try:
                process = psutil.Process(pid)
                if time.time() - process.create_time() > WARM_S:
                    mb = process.memory_info().rss / 2**20
                    if name == "broker":
                        mb -= self._free_heap_mb(pid)
                    self.samples[name].append((now, mb))
            except psutil.NoSuchProcess:
                continue

    def _free_heap_mb(self, pid: int) -> float:
        """Return the room in the broker's heap after its last collection.

        The size of a heap follows load and processor within its bound. A leak fills it.
        """
        log = collector_log(self._vigie.folder, str(pid))
        cycles = COLLECTED.findall(log.read_text(encoding="utf-8")) if log.exists() else []
        used, whole = cycles[-1] if cycles else (0, 0)
        return float(whole) - float(used)

    def growth(self, lasted_s: float) -> dict[str, tuple[float, float]]:
        """Process → (MB in the second quarter, MB in the last one): medians, of those that were seen in both."""
        medians_by_name = {}
        for name, samples in self.samples.items():
            if (medians := quarters(samples, lasted_s)) is not None:
                medians_by_name[name] = medians
        return medians_by_name

    def filling_mb(self, lasted_s: float) -> float:
        """Return the growth in MB that the store may have until it keeps all closed exercises."""
        early, late = quarters(self.kept, lasted_s) or (0.0, 0.0)
        return CLOSED_MB * (late - early)


def collector_log(folder: Path, pid: str) -> Path:
    """Return the log of the collector of a broker; `%p` is the process in an option of Java."""
    return folder / f"collector-{pid}.log"


def quarters(samples: list[tuple[float, float]], lasted_s: float) -> tuple[float, float] | None:
    """Return the medians of the second and the last quarter, or None without samples."""
    early = [value for at, value in samples if lasted_s / 4 <= at < lasted_s / 2]
    late = [value for at, value in samples if at >= lasted_s * 3 / 4]
    return (statistics.median(early), statistics.median(late)) if early and late else None


def grown(
    growth: dict[str, tuple[float, float]], filling_mb: float
) -> dict[str, tuple[float, float]]:
    """Return the processes with too much memory; `filling_mb`: allowed growth of the store."""
    room = {"store": filling_mb}
    return {
        name: mb
        for name, mb in growth.items()
        if mb[1] > mb[0] * (1 + EACH_FLAT) + room.get(name, 0.0)
    }


@pytest.mark.parametrize(
    ("closed_at", "leaks"), [((6, 15), []), ((100, 120), ["store"]), ((15, 15), ["store"])]
)
def test_a_store_may_grow_by_the_closed_exercises_that_it_keeps_and_by_nothing_else(
    closed_at: tuple[int, int], leaks: list[str]
) -> None:
    watching = Watching(None, threading.Event(), 1, None)  # type: ignore[arg-type]
    watching.kept = [(at, min(closed_at[at > 240], CLOSED_KEPT)) for at in range(0, 480, 5)]
    assert (
        list(grown({"store": (15.8, 28.5), "alerts": (60.0, 61.0)}, watching.filling_mb(480)))
        == leaks
    )


@pytest.mark.soak
@pytest.mark.timeout(3 * 3600)
def test_an_hour_of_exercises_under_kills(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    lasts_s = 60.0 * request.config.getoption("--soak-minutes")
    enough = threading.Event()
    scenarios = [load_scenario(REPOSITORY / "scenarios", id) for id in SCENARIOS]
    folder = tmp_path / "soak"
    options = f"-Xlog:gc:file={collector_log(folder, '%p')}"
    with RunningVigie(folder, JAVA_TOOL_OPTIONS=options) as vigie:
        players = [
            Looping(vigie, n, scenarios, enough)
            for n in range(request.config.getoption("--soak-realms"))
        ]
        figures = request.config.getoption("--soak-figures")
        watching = Watching(vigie, enough, 1, figures, lambda: sum(p.played for p in players))
        for thread in (*players, watching):
            thread.start()
        ends = time.monotonic() + lasts_s
        until(
            lambda: time.monotonic() > ends or not all(p.is_alive() for p in players), lasts_s + 60
        )
        enough.set()
        for thread in (*players, watching):
            thread.join()
        began = time.monotonic()
        until(
            lambda: set(json.loads(vigie.cli("status", "--json").stdout)["lag"].values()) == {0},
            SETTLED_S,
        )
        settled_s = time.monotonic() - began
        verdict = vigie.cli("verify", timeout_s=1800)
        growth = watching.growth(lasts_s)
    assert growth, "too short to say anything of memory"
    early, late = (sum(mb[side] for mb in growth.values()) for side in (0, 1))
    with capsys.disabled():
        print(
            f"\n{lasts_s / 60:.0f} min: {sum(p.played for p in players)} exercises, {watching.kills} kills, no lag after {settled_s:.0f} s"
        )
        print(f"  memory {early:.0f} → {late:.0f} MB ({late / early - 1:+.1%})")
        print(
            *(
                f"  {name:12} {a:7.1f} → {b:7.1f} MB ({b / a - 1:+.1%})"
                for name, (a, b) in sorted(growth.items())
            ),
            sep="\n",
        )
    assert all(p.finished for p in players)
    assert verdict.returncode == 0, verdict.stdout[-3000:]
    assert watching.kills > 0
    filling_mb = watching.filling_mb(lasts_s)
    assert late - filling_mb <= early * (1 + FLAT), growth
    assert grown(growth, filling_mb) == {}
