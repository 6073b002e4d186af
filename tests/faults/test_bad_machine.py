"""The whole product on a machine that is not well: a disk that is slow, then full. Nothing accepted is lost, and `vigie verify` agrees."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.faults.matrix import proves
from tests.faults.reporting import WAIT_S, Reporter, kept, wait_until_settled
from tests.faults.slow_disk import SlowDisk
from tests.faults.small_disk import SmallDisk, small_disk
from tests.system import RunningVigie
from tests.waiting import until

pytestmark = pytest.mark.timeout(400)

DISK_MB = 600
FLUSH_S = 0.05
"""Twenty flushes a second for everybody together: a worn memory card."""
REPORTS = 15


@dataclass(frozen=True)
class Machine:
    vigie: RunningVigie
    disk: SmallDisk
    slow: SlowDisk


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    with small_disk(folder / "disk", DISK_MB) as disk, SlowDisk() as slow:
        vigie = RunningVigie(folder / "disk" / "vigie", under=slow.command)
        with vigie:
            yield Machine(vigie, disk, slow)


def reports_go_on(vigie: RunningVigie, seed: int) -> None:
    reporter = Reporter(vigie, seed, REPORTS)
    reporter.run()
    assert (len(reporter.accepted), reporter.refused) == (REPORTS, [])
    assert wait_until_settled(vigie, list(reporter.accepted.values())) == []


@proves("intake", "slow_disk")
@proves("broker", "slow_disk", note="its flushes, of which every accepted record and every decision waits for one")
@proves("worker", "slow_disk", note="it waits for the broker's")
@proves("sender", "slow_disk", note="its place in the log and its keys")
@proves("store", "slow_disk")
@proves("projector", "slow_disk")
@proves("console", "slow_disk")
@proves("conductor", "slow_disk")
@proves("planner", "slow_disk")
@proves("auditor", "slow_disk")
@proves("supervisor", "slow_disk")
def test_a_disk_of_twenty_flushes_a_second_makes_everything_late_and_loses_nothing(machine: Machine) -> None:
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
def test_a_disk_that_is_full_stops_what_must_write_and_everything_goes_on_when_there_is_room(
    machine: Machine, record_property: Callable[[str, object], None]
) -> None:
    """Not one byte is left. Those that need no disk are killed as well, so that they begin without one."""
    vigie = machine.vigie
    reporter = Reporter(vigie, 51, 40)
    running = vigie.processes()
    machine.disk.fill()
    try:
        for name in ("alerts", "delivery", "continuity", "projector", "console", "conductor", "planner", "auditor", "store"):
            os.kill(running[name], signal.SIGKILL)
        reporter.start()
        refused_s = time.monotonic() + 15
        until(lambda: not vigie.ready() and time.monotonic() > refused_s, WAIT_S)
        accepted_meanwhile = len(reporter.accepted)
    finally:
        machine.disk.free()
    began = time.monotonic()
    until(lambda: len(reporter.accepted) > accepted_meanwhile, WAIT_S)
    record_property("recovered_s", time.monotonic() - began)
    reporter.join()
    assert (len(reporter.accepted), reporter.refused) == (40, [])
    assert wait_until_settled(vigie, list(reporter.accepted.values())) == []
    kept(vigie)
