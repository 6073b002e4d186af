"""The same input gives the same proposal, byte for byte, whatever the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.unit.continuity.reassignment.cases import META, ROWS


def _solved(seed: str) -> dict[str, Any]:
    command = [
        "-m",
        "services.cli",
        "reassignment",
        "solve",
        "--situations",
        str(ROWS),
        "--meta",
        str(META),
        "--name",
        "S10-fire",
        "--json",
    ]
    run = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True, env=os.environ | {"PYTHONHASHSEED": seed})
    document: dict[str, Any] = json.loads(run.stdout)
    document.pop("solve_s")
    return document


def test_two_processes_write_the_same_proposal() -> None:
    assert json.dumps(_solved("1")) == json.dumps(_solved("2"))
