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
    json_invocation = CliRunner().invoke(app, ["channels", "--json"])
    assert json_invocation.exit_code == 1
    rows = {row["channel"]: row for row in json.loads(json_invocation.output)["items"]}
    assert set(rows) == set(Channel)
    assert [f["variable"] for f in rows["sms"]["faults"]] == ["VIGIE_SMS_SENDER"]
    assert (rows["sms"]["configured"], rows["voice"]["configured"]) == (True, False)
    assert rows["voice"]["doubt"] == "at_most_once"
    assert rows["sms"]["faults"][0]["what"].startswith("doit être un numéro")
    assert "secret" not in json_invocation.output

    monkeypatch.setenv("VIGIE_SMS_SENDER", "38000")
    text_invocation = CliRunner().invoke(app, ["channels"])
    assert text_invocation.exit_code == 0
    for word in ("canal", "configuré", "non configuré", "une fois au plus", "au moins une fois"):
        assert word in text_invocation.output


def test_an_address_that_cannot_be_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VIGIE_VOICE_URL", "ftp://user:hidden@x")
    invocation = CliRunner().invoke(app, ["channels"])
    assert invocation.exit_code == 1
    assert "VIGIE_VOICE_URL" in invocation.output
    assert "hidden" not in invocation.output
