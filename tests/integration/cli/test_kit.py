"""The kit starts the whole system with a bare Python, without a network."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from services.runtime.process.sockets import find_free_ports
from tests.system import ROOT, VIGIE
from tests.waiting import until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]
"""Fetches 140 MB of packages, as every maker of a kit does."""


def test_a_kit_starts_where_there_is_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "kit"
    made = subprocess.run(
        [str(VIGIE), "kit", str(folder), "--url", ""],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert {file.name for file in (folder / "papier").iterdir()} == {"vigie.pdf", "plans.pdf"}
    port = find_free_ports(1)[0]
    bare = str(
        Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    )
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path / "home"),
        "VIGIE_HTTP": f"127.0.0.1:{port}",
        "NO_COLOR": "1",
    }
    alone = (
        ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "-"]
        if os.geteuid() == 0 and shutil.which("ip")
        else []
    )
    log = tmp_path / "up.log"
    with log.open("wb") as output:
        running = subprocess.Popen(
            [*alone, bare, "-I", str(folder / "vigie.py"), "up", "--no-demo"],
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        until(
            lambda: (
                running.poll() is not None or "Vigie is ready" in log.read_text(errors="replace")
            ),
            600,
        )
        assert running.poll() is None, log.read_text(errors="replace")[-3000:]
        if not alone:
            until(lambda: answers(port), 60)
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(60)
    assert running.returncode == 0


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
