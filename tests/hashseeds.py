"""Check that output does not depend on the hash seed of its process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from tests.system import ROOT


def printed(command: Sequence[str], seeds: Sequence[str] = ("1", "2")) -> set[str]:
    """Return the output of `python COMMAND…` at the root of the repository under each seed."""
    inherited = os.environ | {"PYTHONPATH": str(ROOT)}
    return {
        subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=inherited | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in seeds
    }
