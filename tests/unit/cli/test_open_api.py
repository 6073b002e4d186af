"""A command that fails while it speaks to the system prints one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from services.cli.client import open_api
from services.runtime.process.settings import Settings


def test_a_file_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as exit, open_api(Settings(data_dir=tmp_path)):
        (tmp_path / "gone" / "plan.pdf").write_bytes(b"")
    assert exit.value.exit_code == 1
    assert "plan.pdf" in capsys.readouterr().err


def test_a_reader_that_has_enough_is_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`vigie incidents | head -1` prints no sentence."""
    with pytest.raises(BrokenPipeError), open_api(Settings(data_dir=tmp_path)):
        raise BrokenPipeError
    assert capsys.readouterr().err == ""
