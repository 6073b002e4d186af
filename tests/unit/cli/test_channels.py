"""`vigie channels` shows configured channels, their promises and faults of their settings."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from schemas.words import Channel
from services.cli.__main__ import app


def test_channels_are_shown_with_their_promises_and_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIE_SMS_URL", "smpps://vigie:secret@smsc.example")
    monkeypatch.setenv("VIGIE_SMS_SENDER", "0612345678")
    told = CliRunner().invoke(app, ["channels", "--json"])
    assert told.exit_code == 1
    rows = {row["channel"]: row for row in json.loads(told.output)["items"]}
    assert set(rows) == set(Channel)
    assert [f["variable"] for f in rows["sms"]["faults"]] == ["VIGIE_SMS_SENDER"]
    assert (rows["sms"]["configured"], rows["voice"]["configured"]) == (True, False)
    assert rows["voice"]["doubt"] == "at_most_once"
    assert "secret" not in told.output

    monkeypatch.setenv("VIGIE_SMS_SENDER", "38000")
    shown = CliRunner().invoke(app, ["channels"])
    assert shown.exit_code == 0
    assert "at most once" in shown.output


def test_an_address_that_cannot_be_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VIGIE_VOICE_URL", "ftp://user:hidden@x")
    told = CliRunner().invoke(app, ["channels"])
    assert told.exit_code == 1
    assert "VIGIE_VOICE_URL" in told.output
    assert "hidden" not in told.output
