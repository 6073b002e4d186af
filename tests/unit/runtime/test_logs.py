"""Log lines go to a terminal and to a file unharmed by text of strangers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

CLEAR = "\x1b[2J"
PROGRAM = r"""
import logging, structlog
from services.runtime.process import logs
logs.configure_logging("intake", colour=False)
log = structlog.get_logger("services.test")
log.warning("console.away", path="/\x1b[2J", agent="a\nvigie says all is well \x1b[2J", words="été")
try:
    raise ValueError("bad \x1b[2J")
except ValueError:
    log.exception("request.failed", path="/x\r")
logging.getLogger("uvicorn.error").warning("odd %s", "\x1b[2J")
"""


def test_text_of_a_stranger_moves_no_cursor_and_begins_no_line(tmp_path: Path) -> None:
    """The path of a request is logged, and `vigie up` shows it in a terminal."""
    file = tmp_path / "intake.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"VIGIE_LOG_JSON": str(file), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=True,
    )
    output = done.stderr.decode()
    assert CLEAR[0] not in output
    assert "\r" not in output
    assert not any(line.startswith("vigie") for line in output.splitlines())
    assert "words=été" in output
    assert "ValueError: bad \\x1b[2J" in output
    assert [json.loads(line)["event"] for line in file.read_text().splitlines()] == [
        "console.away",
        "request.failed",
        f"odd {CLEAR}",
    ]


def test_a_container_gets_json_lines() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"VIGIE_LOG_FORMAT": "json", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=True,
    )
    log_lines = [json.loads(line) for line in done.stderr.decode().splitlines()]
    assert [line["event"] for line in log_lines] == [
        "console.away",
        "request.failed",
        f"odd {CLEAR}",
    ]
    assert log_lines[0]["service"] == "intake"
