"""`vigie up` is quiet: progress, warnings and a summary on the terminal, everything else in a file."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from services.appliance.supervisor import stream as streams
from services.appliance.supervisor.stream import NamedOutput, OutputStream, StartProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "up.log"


def quiet(out: io.StringIO, file: Path) -> OutputStream:
    stream = OutputStream(out, verbose=False)
    stream.file = file
    return stream


def test_lines_of_processes_go_to_the_file_and_the_summary_to_the_terminal(file: Path) -> None:
    out = io.StringIO()
    stream = quiet(out, file)
    stream.line("alerts", "one")
    stream.plain("ready")
    stream.close()
    assert out.getvalue() == "ready\n"
    assert file.read_text(encoding="utf-8") == "alerts      │ one\n"


def test_a_warning_of_the_supervisor_is_seen_and_its_news_are_not(file: Path) -> None:
    out = io.StringIO()
    stream = quiet(out, file)
    own = NamedOutput(stream, "vigie")
    own.write("12:00:00.000 [info     ] topics.created  count=3\n")
    own.write("12:00:01.000 [\x1b[33m\x1b[1mwarning  \x1b[0m] system.slow  step=topics\n")
    own.write("12:00:02.000 [error    ] process.ended  process=alerts\n")
    stream.close()
    assert "topics.created" not in out.getvalue()
    assert [line.split()[-1] for line in out.getvalue().splitlines()] == [
        "step=topics",
        "process=alerts",
    ]
    assert len(file.read_text(encoding="utf-8").splitlines()) == 3


def test_the_file_does_not_grow_without_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LOG_BYTES", 100)
    stream = quiet(io.StringIO(), file)
    for n in range(20):
        stream.line("alerts", str(n))
    stream.close()
    rotated_text = file.with_name("up.log.1").read_text(encoding="utf-8")
    assert len(rotated_text.encode()) < 200
    assert not file.exists() or len(file.read_bytes()) <= 120


def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    out = io.StringIO()
    stream = quiet(out, tmp_path / "missing" / "up.log")
    stream.line("alerts", "one")
    stream.plain("ready")
    stream.close()
    assert out.getvalue() == "ready\n"


def test_away_from_a_terminal_each_step_is_one_line(file: Path) -> None:
    out = io.StringIO()
    stream = quiet(out, file)
    progress = StartProgress(stream)
    progress.step("Starting the services")
    for n in range(9):
        progress.detail(f"{n} of 9")
    progress.clear_line()
    stream.close()
    assert out.getvalue() == "  Starting the services …\n"


def test_a_terminal_shows_the_step_in_place_and_clears_it(file: Path) -> None:
    out = Terminal()
    stream = quiet(out, file)
    progress = StartProgress(stream)
    progress.step("Starting the services")
    stream.plain("a warning")
    progress.clear_line()
    stream.plain("ready")
    stream.close()
    output = out.getvalue()
    assert output.startswith("\r\x1b[K  Starting the services …")
    assert "\x1b[Ka warning\n  Starting the services" in output, (
        "the step stays below what is told meanwhile"
    )
    assert output.endswith("\r\x1b[Kready\n")
    assert output.count("\n") == 2
