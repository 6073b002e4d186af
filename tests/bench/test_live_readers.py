"""S04 at speed 60 before five hundred readers: delays, completeness and rights of each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.console.live.row_events import list_hidden_events
from services.runtime.identity.permissions import Permission
from tests.bench.test_intake import machine
from tests.system import ROOT, VIGIE, RunningVigie
from tests.waiting import until

pytestmark = pytest.mark.bench

READERS = 500
MINUTES = 90
"""Minutes of S04, at speed 60: as many seconds."""


def _watched(
    system: RunningVigie, realm: str, tokens: list[str], play: list[str]
) -> list[dict[str, Any]]:
    """Return the events of `tests.bench.crowd`, from the realm's opening to its last change."""
    playing = subprocess.Popen(
        [str(VIGIE), *play],
        cwd=ROOT,
        env=system.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    until(lambda: system.http.get(f"/api/v1/realms/{realm}").status_code == 200)
    command = [
        sys.executable,
        "-m",
        "tests.bench.crowd",
        system.http_address,
        realm,
        str(READERS),
        *tokens,
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as crowd:
        assert crowd.stdout is not None
        assert crowd.stdout.readline() == b"all listen\n"
        play_output, _ = playing.communicate()
        assert playing.returncode == 0, play_output.decode()
        crowd_output, _ = crowd.communicate(b"\n")
    return list(orjson.loads(crowd_output))


def test_five_hundred_readers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunningVigie(tmp_path / "readers") as system:
        realm = "92~ex-lecteurs"
        tokens = [
            system.cli("token", "create", "--role", role, "--quiet").stdout.strip()
            for role in ("coordinator", "technician")
        ]  # every second reader has no right to the log
        play = ["play", "S04", "--speed", "60", "--realm", realm, "--until", str(MINUTES)]
        readers = _watched(system, realm, tokens, play)
    delays = sorted(d for r in readers for d in r["delays"])
    p50, p99 = (delays[int(len(delays) * q)] for q in (0.5, 0.99))
    with capsys.disabled():
        print(
            f"\n{READERS} readers, {min(len(r['ids']) for r in readers)} entries each, event in the store → reader p50 {p50} ms, p99 {p99} ms"
            f" (aim: p99 < 300 ms) on {machine()}"
        )
    longest = max((r["ids"] for r in readers), key=len)
    assert len(longest) > 200
    hidden = list_hidden_events(lambda right: right is not Permission.LOG_READ)
    for n, reader in enumerate(readers):
        assert reader["ids"] == longest[-len(reader["ids"]) :], "missed an entry, or has one twice"
        assert "resync" not in reader["events"]
        assert (not hidden & reader["events"].keys()) == bool(n % 2), (
            "a technician reads no log, a coordinator does"
        )
