"""`vigie drill --now` waits for the channels and never takes paper for proof."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.cli.oncall import oncall

RUNG = {
    "ladder": "N1",
    "wave": 1,
    "posts": 254,
    "reached": 254,
    "late": 0,
    "slowest_min": 3.0,
    "silent": [],
}


def build_drill(*outcomes: str, ok: bool, probed: bool = True) -> dict[str, Any]:
    channels = [
        {"channel": "sms", "channel_name": "SMS", "outcome": o, "text": o, "error": None}
        for o in outcomes
    ]
    return {
        "month": "2026-12",
        "at": "2026-12-02T09:10:04Z",
        "ok": ok,
        "rungs": [RUNG],
        "probed_at": "2026-12-02T09:10:05Z" if probed else None,
        "channels": channels,
    }


def run_drill(monkeypatch: pytest.MonkeyPatch, *answers: dict[str, Any]) -> tuple[int, str]:
    """Return exit code and text of a drill that the API answers with these drills in turn."""
    waiting_answers = list(answers)
    monkeypatch.setattr(oncall, "post_decision", lambda *_, **_more: None)
    monkeypatch.setattr(oncall.time, "sleep", lambda _: None)
    monkeypatch.setattr(oncall, "call_api", lambda *_: {"items": [waiting_answers.pop(0)]})
    result = CliRunner().invoke(app, ["drill", "--now"])
    assert not waiting_answers
    return result.exit_code, " ".join(result.output.split())


def test_a_drill_waits_until_the_channels_have_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = run_drill(
        monkeypatch, build_drill(ok=False, probed=False), build_drill("answered", ok=True)
    )
    assert code == 0
    assert "254 sur 254" in text
    assert "papier" not in text


def test_a_drill_without_a_channel_says_that_no_call_would_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, text = run_drill(monkeypatch, build_drill("not_configured", ok=False))
    assert code == 1
    assert "Aucun canal n’est configuré : personne ne serait appelé" in text
    assert "papier" in text


def test_a_drill_without_answers_of_the_channels_proves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(oncall, "PROBE_WAIT_S", 0)
    code, text = run_drill(monkeypatch, build_drill(ok=False, probed=False))
    assert code == 1
    assert "n’ont pas encore répondu" in text
