"""deploy/systemd/vigie.service starts what there is, and lets the supervisor stop its processes in order."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from services.cli.settingsdoc import variables
from services.runtime.settings import REPOSITORY

UNIT = REPOSITORY / "deploy" / "systemd" / "vigie.service"


def said(name: str) -> list[str]:
    return [line.partition("=")[2] for line in UNIT.read_text(encoding="utf-8").splitlines() if line.startswith(f"{name}=")]


def test_it_runs_vigie_up_with_settings_that_exist() -> None:
    assert said("ExecStart") == ["/opt/vigie/.venv/bin/vigie up --verbose"]
    given = [pair.partition("=")[0] for pair in said("Environment")[0].split()]
    assert set(given) <= set(variables())


def test_a_stop_reaches_the_supervisor_alone_and_waits_for_it() -> None:
    assert said("KillMode") == ["mixed"]
    assert int(said("TimeoutStopSec")[0]) >= 60


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="a machine without systemd")
def test_systemd_understands_it(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/vigie/.venv/bin/vigie", "/bin/true").replace("User=vigie", "User=root"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
