"""An installation without the packages of the tests runs the whole system.

Every other test runs where those packages are installed, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.system import ROOT, RunningVigie
from tests.waiting import until

BACK_S = 30.0
CALM = {"debug", "info", "warning"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the locked packages of the product and its wheel from the cache of uv."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    command = "sync --quiet --frozen --no-dev --no-editable --reinstall-package vigie-crise"
    environment = {"UV_PROJECT_ENVIRONMENT": str(folder), "UV_PYTHON": sys.executable}
    subprocess.run(
        [str(Path(sys.executable).with_name("uv")), *command.split()],
        cwd=ROOT,
        env=os.environ | environment,
        check=True,
    )
    return folder / "bin" / "vigie"


def test_an_installation_without_the_tests_reads_reports_and_survives_a_kill(
    program: Path, tmp_path: Path
) -> None:
    with RunningVigie(tmp_path, program=program) as vigie:
        report_power_cut(vigie, "cen-2")
        until(lambda: list_sites_of_incidents(vigie) == {"cen-2"})
        killed_pid = vigie.kill("alerts")
        until(lambda: vigie.processes().get("alerts", killed_pid) != killed_pid, BACK_S)
        report_power_cut(vigie, "cen-3")
        until(lambda: "cen-3" in list_sites_of_incidents(vigie), BACK_S)
        assert vigie.stop() == 0
    assert "Traceback" not in vigie.log
    assert list(list_errors(tmp_path / "data" / "logs")) == []


def report_power_cut(vigie: RunningVigie, site_id: str) -> None:
    report = {
        "site_id": site_id,
        "type": "outage_power",
        "severity": 3,
        "occurred_at": datetime.now(UTC).isoformat(),
        "headline": "Panne de courant",
    }
    answer = vigie.http.post("/api/v1/reports", json=report)
    assert answer.status_code == 202, answer.text


def list_sites_of_incidents(vigie: RunningVigie) -> set[str]:
    incidents = vigie.get("/api/v1/incidents")["items"]
    return {site_id for incident in incidents for site_id in incident["sites"]}


def list_errors(folder: Path) -> Iterator[str]:
    """Yield the lines of all logs in which we speak of a failure.

    Broker and client call a slow machine an error, too.
    """
    for file in folder.iterdir():
        for line in file.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line) if file.suffix == ".jsonl" else {}
            is_ours = str(entry.get("logger")).startswith("services.")
            if "Traceback" in line or (is_ours and entry["level"] not in CALM):
                yield f"{file.name}: {line}"
