"""`vigie contingency` from a crisis that is given as tables."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.cli.crisis.contingency import _show_ranking
from tests.unit.continuity.reassignment.cases import META, ROWS

GIVEN = ["--situations", str(ROWS), "--meta", str(META), "--name", "S10-fire"]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Rank the losses once, which takes seconds."""
    invocation = CliRunner().invoke(app, ["contingency", "--lost", "building", "--json", *GIVEN])
    assert invocation.exit_code == 0, invocation.output
    ranked: dict[str, Any] = json.loads(invocation.stdout)
    return ranked


def test_losses_are_ranked_from_a_crisis_given_as_tables(document: dict[str, Any]) -> None:
    assert (document["unmet_now"], document["losses"], document["unmet"]) == (
        {"U1": 0, "U2": 0, "U3": 0},
        253,
        0,
    )
    assert document["screened"] == 253


def test_people_read_french(document: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    _show_ranking(document)
    words = " ".join(capsys.readouterr().out.split())
    assert (
        "bâtiment perdu, agents saufs, manque déjà U1 0 U2 0 U3 0 : 0 perte sur 253 laisse davantage de manque"
        in words
    )
    assert "Effectifs qui manqueraient" in words


def test_a_crisis_is_given_whole() -> None:
    invocation = CliRunner().invoke(app, ["contingency", *GIVEN[:2]])
    assert invocation.exit_code == 2
    assert "--meta" in invocation.output
