"""deploy/systemd/vigie.service starts the supervisor, which stops its processes in order."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from services.cli.system.settings_reference import list_variables
from services.runtime.process.settings import REPOSITORY

MOST_EXPOSED: Final = 2.0
UNIT = REPOSITORY / "deploy" / "systemd" / "vigie.service"


def said(name: str) -> list[str]:
    return [
        line.partition("=")[2]
        for line in UNIT.read_text(encoding="utf-8").splitlines()
        if line.startswith(f"{name}=")
    ]


def test_the_unit_runs_vigie_up_with_existing_settings() -> None:
    assert said("ExecStart") == ["/opt/vigie/.venv/bin/vigie up --verbose"]
    variable_names = [pair.partition("=")[0] for pair in said("Environment")[0].split()]
    assert set(variable_names) <= set(list_variables())


def test_a_stop_reaches_the_supervisor_alone_and_waits_for_it() -> None:
    assert said("KillMode") == ["mixed"]
    assert int(said("TimeoutStopSec")[0]) >= 60


def test_a_start_may_take_long_and_a_supervisor_that_stands_still_is_restarted() -> None:
    assert said("Type") == ["notify"]
    assert said("TimeoutStartSec") == ["infinity"]
    assert int(said("WatchdogSec")[0]) >= 60
    assert said("Restart") == ["on-failure"]


def analyze(*arguments: str | Path) -> str:
    """Return systemd's verdict on the unit. `make test` installs systemd if missing."""
    assert shutil.which("systemd-analyze"), "this test needs systemd-analyze: make systemd"
    done = subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout + done.stderr


def test_the_unit_has_a_low_exposure() -> None:
    exposure = re.search(
        r"Overall exposure level for vigie.service: ([0-9.]+)",
        analyze("security", "--offline=true", UNIT),
    )
    assert exposure is not None
    assert float(exposure[1]) <= MOST_EXPOSED


def test_priorities_may_still_be_set() -> None:
    """`LimitNICE` is worth nothing where the call is refused."""
    allowed, *refused = (filter.removeprefix("~").split() for filter in said("SystemCallFilter"))
    assert "@resources" in groups()
    assert "setpriority" in calls_of(allowed)
    assert "setpriority" not in calls_of(name for part in refused for name in part)
    settings = {line.partition("=")[0] for line in UNIT.read_text().splitlines()}
    assert "RestrictRealtime" in settings
    assert "MemoryDenyWriteExecute" not in settings


@cache
def groups() -> dict[str, set[str]]:
    """Group of system calls → its calls and the groups inside it, as systemd lists them."""
    calls_by_group: dict[str, set[str]] = {}
    name = ""
    for line in analyze("syscall-filter").splitlines():
        text = line.strip()
        if line.startswith("@"):
            name = text
        elif line.startswith("    ") and name and not text.startswith("#"):
            calls_by_group.setdefault(name, set()).add(text)
    return calls_by_group


def calls_of(names: Iterable[str]) -> set[str]:
    """Return the system calls of these groups and of the groups inside them."""
    system_calls: set[str] = set()
    for name in names:
        system_calls |= calls_of(groups()[name]) if name in groups() else {name}
    return system_calls


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(
        UNIT.read_text(encoding="utf-8")
        .replace("/opt/vigie/.venv/bin/vigie", "/bin/true")
        .replace("User=vigie", "User=root")
    )
    assert analyze("verify", unit) == ""
