"""`vigie --help` says what each command says of itself, without importing any."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import COMMANDS, _Commands, _load, app


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says(name: str) -> None:
    listed, itself = _Commands().get_command(None, name), _load(name)
    assert listed.get_short_help_str(1000) == itself.get_short_help_str(1000)
    assert listed.help


def test_a_command_that_is_listed_runs_as_itself() -> None:
    shown = CliRunner().invoke(app, ["plan", "--help"])
    assert shown.exit_code == 0
    assert "activate" in shown.output
    assert CliRunner().invoke(app, ["nothing"]).exit_code == 2


def test_help_imports_no_command() -> None:
    script = (
        "import sys; from typer.testing import CliRunner; from services.cli.__main__ import app;"
        "assert 'verify' in CliRunner().invoke(app, ['--help']).output;"
        "assert not [m for m in sys.modules if m.startswith(('services.cli.', 'schemas')) and m != 'services.cli.__main__']"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
