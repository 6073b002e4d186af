"""`vigie reassignment solve`, as people read it."""

from __future__ import annotations

from typer.testing import CliRunner

from services.cli.__main__ import app
from tests.unit.continuity.reassignment.cases import META, ROWS


def test_reasons_are_shown_in_words_and_not_in_codes() -> None:
    arguments = ["--situations", str(ROWS), "--meta", str(META), "--name", "N3-CEN"]
    invocation = CliRunner().invoke(
        app, ["reassignment", "solve", *arguments], env={"COLUMNS": "250"}
    )
    assert invocation.exit_code == 0, invocation.output
    words = " ".join(invocation.output.split())
    assert "site perdu, même métier" in words
    assert "aucun lieu de repli sain de ce genre" in words
    for code in ("same_metier", "usual_host", "all_at_minimum", "displaced"):
        assert code not in words
