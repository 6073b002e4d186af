"""A killed supervisor's processes are found: programs by their environment, forks by the status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services.appliance.supervisor.orphans import end_orphans, find_orphans
from services.runtime.process.settings import DataDir

FORK = """
import setproctitle, sys, time
setproctitle.setproctitle("vigie: alerts services.alerts")
print("titled", flush=True)
time.sleep(600)
"""


@pytest.fixture
def fork() -> Iterator[int]:
    """Start a process that looks like a fork of `vigie up`: a title, and no mark."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("VIGIE_")
    }
    with subprocess.Popen(
        [sys.executable, "-c", FORK], stdout=subprocess.PIPE, env=environment | {"SPT_NOENV": "1"}
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"titled\n"
        yield running.pid
        running.kill()


def write_status(folder: Path, *processes: dict[str, object]) -> Path:
    data = DataDir(folder)
    data.make()
    data.status.write_text(json.dumps({"processes": processes}))
    return data.status


def test_a_fork_is_found_by_the_last_status_and_ended_by_its_name(
    fork: int, tmp_path: Path
) -> None:
    assert find_orphans(tmp_path) == []
    write_status(tmp_path, {"name": "store", "pid": None}, {"name": "alerts", "pid": fork})
    assert [p.pid for p in find_orphans(tmp_path)] == [fork]
    assert end_orphans(tmp_path) == [f"{fork} alerts"]
    assert find_orphans(tmp_path) == []


def test_a_process_with_another_title_is_not_an_orphan(fork: int, tmp_path: Path) -> None:
    write_status(
        tmp_path, {"name": "delivery", "pid": fork}, {"name": "alerts", "pid": os.getpid()}
    )
    assert find_orphans(tmp_path) == []


def test_a_process_that_began_after_the_status_is_that_of_another_installation(
    fork: int, tmp_path: Path
) -> None:
    status = write_status(tmp_path, {"name": "alerts", "pid": fork})
    before = psutil.Process(fork).create_time() - 1
    os.utime(status, (before, before))
    assert find_orphans(tmp_path) == []


@pytest.mark.parametrize("content", ["", "[]", '{"processes": [{"name": "alerts", "pid": "x"}]}'])
def test_a_damaged_status_names_no_process(content: str, tmp_path: Path) -> None:
    write_status(tmp_path).write_text(content)
    assert find_orphans(tmp_path) == []
