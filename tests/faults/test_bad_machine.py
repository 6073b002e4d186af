"""The whole product with a slow disk, a full disk, a jumping clock and torn files.

No accepted report is lost, and `vigie verify` agrees.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.clock import JumpingClock
from tests.faults.matrix import proves
from tests.faults.reporting import WAIT_S, Reporter, kept, wait_until_settled
from tests.faults.slow_disk import SlowDisk
from tests.faults.small_disk import SmallDisk, small_disk
from tests.system import RunningVigie
from tests.waiting import until

pytestmark = [pytest.mark.timeout(400), pytest.mark.soak]

DISK_MB = 600
FLUSH_S = 0.05
"""Twenty flushes a second for everybody together: a worn memory card."""
REPORTS = 8


@dataclass(frozen=True)
class Machine:
    vigie: RunningVigie
    disk: SmallDisk
    slow: SlowDisk
    clock: JumpingClock


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    clock = JumpingClock(folder)
    with small_disk(folder / "disk", DISK_MB) as disk, SlowDisk() as slow:
        vigie = RunningVigie(folder / "disk" / "vigie", under=slow.command, **clock.environment)
        with vigie:
            yield Machine(vigie, disk, slow, clock)


def reports_go_on(vigie: RunningVigie, seed: int) -> str:
    """Post further reports and return the id of the last one."""
    reporter = Reporter(vigie, seed, REPORTS)
    reporter.run()
    assert (len(reporter.accepted), reporter.refused) == (REPORTS, [])
    assert wait_until_settled(vigie, list(reporter.accepted.values())) == []
    return list(reporter.accepted.values())[-1]


@proves("intake", "slow_disk")
@proves(
    "broker",
    "slow_disk",
    note="its flushes, of which every accepted record and every decision waits for one",
)
@proves("worker", "slow_disk", note="it waits for the broker's")
@proves("sender", "slow_disk", note="its place in the log and its keys")
@proves("store", "slow_disk")
@proves("projector", "slow_disk")
@proves("console", "slow_disk")
@proves("conductor", "slow_disk")
@proves("planner", "slow_disk")
@proves("auditor", "slow_disk")
@proves("supervisor", "slow_disk")
def test_a_disk_of_twenty_flushes_a_second_makes_everything_late_and_loses_nothing(
    machine: Machine,
) -> None:
    """Each flush of every process waits its turn, by the kernel's own question; no process ends of it."""
    before = machine.vigie.processes()
    machine.slow.flush_s = FLUSH_S
    try:
        reports_go_on(machine.vigie, 31)
        kept(machine.vigie)
    finally:
        machine.slow.flush_s = 0.0
    assert machine.slow.flushes > REPORTS
    assert machine.vigie.processes() == before


@proves("broker", "full_disk", note="it ends, and comes back when there is room")
@proves("worker", "full_disk")
@proves("store", "full_disk")
@proves("projector", "full_disk")
@proves("console", "full_disk")
@proves("conductor", "full_disk")
@proves("planner", "full_disk")
@proves("auditor", "full_disk")
def test_a_full_disk_stops_writers_and_all_continue_once_there_is_room(
    machine: Machine, record_property: Callable[[str, object], None]
) -> None:
    """Not one byte is left. Those that need no disk are killed as well, so that they begin without one."""
    vigie = machine.vigie
    reporter = Reporter(vigie, 51, 20)
    running = vigie.processes()
    machine.disk.fill()
    try:
        for name in (
            "alerts",
            "delivery",
            "continuity",
            "projector",
            "console",
            "background",
            "store",
        ):
            os.kill(running[name], signal.SIGKILL)
        reporter.start()
        refused_s = time.monotonic() + 8
        until(lambda: not vigie.ready() and time.monotonic() > refused_s, WAIT_S)
        accepted_meanwhile = len(reporter.accepted)
    finally:
        machine.disk.free()
    began = time.monotonic()
    until(lambda: len(reporter.accepted) > accepted_meanwhile, WAIT_S, longest_s=0.0)
    record_property("recovered_s", time.monotonic() - began)
    reporter.join()
    assert (len(reporter.accepted), reporter.refused) == (20, [])
    assert wait_until_settled(vigie, list(reporter.accepted.values())) == []
    kept(vigie)


TORN = (
    "store/store.rdb",
    "vault/access-console.json",
    "vault/access-intake.json",
    "vault/access-up.json",
    "vault/replica.db",
    "intake/answers.db",
    "intake/sources.db",
    "run/ports.json",
    "run/territory.json",
    "run/sender-delivery-0.json",
    "run/sender-delivery-0.runs",
    "console/chronicle.db",
)
"""All files on the disk that are copies. Logs and keys are not: see the rows of the broker."""


@proves("store", "corrupted", note="its file")
@proves("console", "corrupted", note="its copies of accounts and of encrypted texts")
@proves("intake", "corrupted", note="each of its files")
@proves("supervisor", "corrupted", note="what it remembers of its last run")
def test_every_file_that_is_a_copy_may_be_torn(machine: Machine) -> None:
    vigie = machine.vigie
    reports_go_on(vigie, 60)
    opened: str = vigie.get("/api/v1/realms")["items"][0]["opened_at"]
    assert "sites" in vigie.get(f"/api/v1/overview?as_of={opened}"), (
        "what makes the console read the logs"
    )
    assert vigie.stop() == 0
    for name in TORN:
        file = vigie.folder / "data" / name
        content = file.read_bytes()
        assert content, name
        file.write_bytes(b"\xff" * min(512, len(content)) + content[512 : len(content) * 2 // 3])
        for journal in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                file.with_name(file.name + journal).unlink()
    (vigie.folder / "data" / "run" / "status.json").write_bytes(
        b"\xff{"
    )  # as a machine leaves it that lost its power
    vigie.start()
    reports_go_on(vigie, 61)
    assert "sites" in vigie.get(f"/api/v1/overview?as_of={opened}")
    kept(vigie)


@proves("store", "clock")
@proves("projector", "clock")
@proves("console", "clock")
@proves("conductor", "clock")
@proves("planner", "clock")
@proves("auditor", "clock")
@proves("supervisor", "clock")
@proves("broker", "clock", note="together with everybody's")
def test_a_machine_survives_clock_jumps_of_an_hour(machine: Machine) -> None:
    """All clocks jump ahead, then behind written records, then to the right time."""
    for seed, hours in enumerate((1, -1, 0), start=41):
        machine.clock.jump(hours)
        last = reports_go_on(machine.vigie, seed)
        recorded_at = datetime.fromisoformat(
            machine.vigie.get(f"/api/v1/reports/{last}")["recorded_at"]
        )
        assert recorded_at > datetime.now(UTC) + timedelta(minutes=55), (
            "it jumped, and the realm's clock never goes back"
        )
    kept(machine.vigie)
