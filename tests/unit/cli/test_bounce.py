"""`vigie bounce` tells the mail server its result by the exit code."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app
from tests.unit.delivery.channels.test_bounces import report


@pytest.mark.parametrize(
    "mail", [b"", b"Subject: Absent\r\n\r\nEn conge", report("delayed", "4.4.1", full=False)]
)
def test_bounces_without_an_effect_are_completed(
    mail: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGIE_URL", "http://127.0.0.1:1")
    assert CliRunner().invoke(app, ["bounce"], input=mail).exit_code == 0


def test_while_vigie_is_away_the_mail_server_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIE_URL", "http://127.0.0.1:1")
    assert (
        CliRunner().invoke(app, ["bounce"], input=report("failed", "5.1.1", full=True)).exit_code
        == 75
    )
