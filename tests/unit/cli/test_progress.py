"""Slow steps say on a terminal that they run; commands without a terminal stay silent."""

from __future__ import annotations

import io
import sys
import warnings
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.cli.output import reserve_progress, show_progress
from services.cli.system import user
from tests.waiting import until


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_slow_step_says_that_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "argv", ["vigie", "doctor"])
    with show_progress("Contrôle …", after_s=0):
        until(lambda: "Contrôle …" in terminal.getvalue())


def test_a_step_within_another_one_stays_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two spinners overwrote each other in `doctor`, and one the bar of `play`."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "argv", ["vigie", "doctor"])
    with show_progress("Contrôle …", after_s=0), show_progress("Vigie …", after_s=0):
        until(lambda: "Contrôle …" in terminal.getvalue())
    with reserve_progress(), show_progress("Vigie …", after_s=0):
        pass
    assert "Vigie …" not in terminal.getvalue()


@pytest.mark.parametrize(
    ("stream", "argv", "after_s"),
    [
        (io.StringIO, ["vigie", "doctor"], 0),
        (Terminal, ["vigie", "doctor", "--json"], 0),
        (Terminal, ["vigie", "doctor"], 60),
    ],
)
def test_pipes_documents_and_quick_steps_show_no_progress(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], argv: list[str], after_s: float
) -> None:
    output = stream()
    monkeypatch.setattr(sys, "stderr", output)
    monkeypatch.setattr(sys, "argv", argv)
    with show_progress("Contrôle …", after_s=after_s):
        pass
    assert "Contrôle" not in output.getvalue()


def test_a_password_is_read_from_a_pipe_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[Any] = []
    monkeypatch.setattr(user, "call_api", lambda *request: requests.append(request))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = CliRunner().invoke(
            app, ["user", "password", "anne"], input="un long mot de passe\n"
        )
    assert result.exit_code == 0, result.output
    assert requests[0][2] == {"password": "un long mot de passe"}
    assert CliRunner().invoke(app, ["user", "password", "anne"], input="").exit_code == 1
