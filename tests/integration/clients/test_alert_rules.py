"""Prometheus checks our alert rules: each fires only with its promise broken."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from services.runtime.process.settings import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "observability"


@pytest.mark.parametrize(
    "what", [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts-test.yaml")]
)
def test_promtool_agrees(what: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool") or shutil.which(
        "promtool", path=str(REPOSITORY / ".venv" / "clients" / "usr" / "bin")
    )
    assert promtool is not None, "promtool: call `make clients`"
    done = subprocess.run(
        [promtool, *what], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
