"""`vigie commission`: the conditions as found, an exit code for scripts, and the confirmation."""

from __future__ import annotations

from typing import Any, Self

import pytest
from typer.testing import CliRunner

from services.cli import client as client_module
from services.cli.__main__ import app


def build_item(id: str, state: str, *, grave: bool = False) -> dict[str, Any]:
    return {
        "id": id,
        "title": "Sauvegarde faite",
        "state": state,
        "text": "Aucune sauvegarde",
        "at": "2027-03-01T09:00:00Z" if state == "done" else None,
        "grave": grave,
        "path": "/guide/administrateur",
        "command": "vigie backup FILE",
    }


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """List the requests; the answer is grave until the territory is confirmed."""
    requests: list[tuple[str, Any]] = []

    class Console:
        def __init__(self, *_: object) -> None: ...

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def call(
            self, method: str, path: str, body: Any, _headers: Any
        ) -> tuple[int, dict[str, Any]]:
            requests.append((path, body))
            if method == "GET":
                return 200, {
                    "reference": "v1",
                    "items": [build_item("backup", "open", grave=True)],
                }
            return 200, {"reference": "v1", "items": [build_item("territory", "done")]}

    monkeypatch.setattr(client_module, "ApiClient", Console)
    return requests


def test_a_grave_gap_ends_with_1_and_names_the_command(asked: list[tuple[str, Any]]) -> None:
    done = CliRunner().invoke(app, ["commission"], env={"COLUMNS": "200"})
    assert done.exit_code == 1
    assert "Sauvegarde faite" in done.output
    assert "vigie backup FILE" in done.output
    assert asked == [("/api/v1/commissioning", None)]


@pytest.mark.parametrize("confirm", [[], ["--confirm-territory", "v1"]])
def test_another_live_realm_is_asked_for_by_name(
    asked: list[tuple[str, Any]], confirm: list[str]
) -> None:
    CliRunner().invoke(app, ["commission", "--realm", "93", *confirm], env={"COLUMNS": "200"})
    ((path, _),) = asked
    assert path.endswith("?realm=93")


def test_a_version_is_confirmed_by_its_name(asked: list[tuple[str, Any]]) -> None:
    done = CliRunner().invoke(
        app, ["commission", "--confirm-territory", "v1"], env={"COLUMNS": "200"}
    )
    assert done.exit_code == 0, done.output
    assert "01/03/2027" in done.output
    assert asked == [("/api/v1/commissioning/territory", {"version": "v1"})]
