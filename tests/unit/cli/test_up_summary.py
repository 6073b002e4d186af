"""The summary of `vigie up` gives the address, the login, first commands and the stop."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from services.cli.system.up import build_greeting, command_name
from services.runtime.process.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(data_dir=tmp_path)
    settings.data.secrets.mkdir(parents=True)
    return settings


def test_the_summary_is_short_and_names_all_needs_of_a_newcomer(settings: Settings) -> None:
    (settings.data.secrets / "admin.code").write_text("AAAA-BBBB", encoding="utf-8")
    greeting = build_greeting(settings, demo=True)
    assert len(greeting.splitlines()) <= 12
    assert "AAAA" not in greeting, "what starts in the background is kept in log files"
    for word in (
        f"http://{settings.http}",
        str(settings.data.secrets / "admin.code"),
        "S04",
        "report --site",
        "Ctrl-C",
        str(settings.data.logs),
    ):
        assert word in greeting


def test_the_summary_mentions_the_first_code_only_if_it_exists(settings: Settings) -> None:
    assert "admin.code" not in build_greeting(settings, demo=False)


def test_a_command_is_named_as_it_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / ".venv" / "bin" / "vigie"), "up"])
    assert command_name() == ".venv/bin/vigie"
    monkeypatch.setattr(sys, "argv", ["/opt/vigie/bin/vigie", "up"])
    assert command_name() == "/opt/vigie/bin/vigie"


def test_the_summary_says_that_keys_were_lost(settings: Settings) -> None:
    settings.data.run.mkdir(parents=True)
    settings.data.lost_keys.write_text("keyring.db")
    assert "keyring.db was gone" in build_greeting(settings, demo=False)


def test_the_summary_says_that_a_territory_was_not_published(settings: Settings) -> None:
    assert "not published" not in build_greeting(settings, demo=False)
    settings.data.run.mkdir(parents=True)
    settings.data.kept_territory.write_text('{"why": "it drops sites: clg-1"}', encoding="utf-8")
    greeting = build_greeting(settings, demo=False)
    assert "is not published" in greeting
    assert "it drops sites: clg-1" in greeting
    assert f"territory load {settings.territory}" in greeting
