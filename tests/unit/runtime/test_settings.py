"""Settings: one tree, documented, with the running system found by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.runtime.settings import Settings


def test_commands_find_the_running_system_in_the_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    run.mkdir()
    found = {"kafka": "127.0.0.1:1", "redis": "redis://127.0.0.1:2/0", "http": "127.0.0.1:3", "console": "127.0.0.1:4"}
    (run / "status.json").write_text(json.dumps(found))
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("VIGIE_KAFKA", "10.0.0.1:9092")
    settings = Settings()
    assert settings.kafka == "10.0.0.1:9092"
    assert (settings.redis, settings.console, settings.url) == ("redis://127.0.0.1:2/0", "127.0.0.1:4", "http://127.0.0.1:3")


def test_a_damaged_status_is_no_system(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "status.json").write_text("{")
    assert Settings(data_dir=tmp_path).kafka == ""


def test_a_wrong_address_is_refused_by_the_name_of_its_variable() -> None:
    with pytest.raises(ValidationError, match=r"http\n.*HOST:PORT"):
        Settings(http="8092")
