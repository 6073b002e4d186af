"""A public page is published from the shell as its author read it, or not at all (D96)."""

from __future__ import annotations

from typing import Any, Self

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.cli.crisis import decide, public

PUBLICATION: dict[str, Any] = {
    "id": "services",
    "state": "never",
    "number": 0,
    "published": None,
    "next_at": None,
    "counts": {"closed": 1, "degraded": 0, "open": 214},
    "draft": "a1b2",
    "changes": [
        {
            "name": "PMI Darracq",
            "commune": "Suresnes",
            "published": None,
            "present": "closed",
            "instead": "PMI Méditerranée, Antony",
        }
    ],
}


class Console:
    """Console with one state of the page; it keeps each posted body."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    posted: list[tuple[str, dict[str, Any]]]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get(self, path: str) -> dict[str, Any]:
        assert path.startswith("/api/v1/publications/services")
        return PUBLICATION

    def call(
        self, method: str, path: str, body: dict[str, Any], headers: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        assert method == "POST"
        assert "Idempotency-Key" in headers
        self.posted.append((path, body))
        return 200, {"state": "applied", "result": {}}


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    Console.posted = []
    monkeypatch.setattr(public, "open_api", Console)
    monkeypatch.setattr(decide, "ApiClient", Console)
    return Console.posted


def test_a_publication_shows_its_content_and_carries_its_hash(
    posted: list[tuple[str, dict[str, Any]]],
) -> None:
    done = CliRunner().invoke(app, ["public", "publish"], input="y\n")
    assert done.exit_code == 0
    assert "1 fermé, 0 ouvert en partie, 214 ouverts" in done.output
    expected = "PMI Darracq, Suresnes : – → fermé, se rendre à PMI Méditerranée, Antony"
    assert expected in done.output
    assert posted == [("/api/v1/publications/services:publish", {"draft": "a1b2"})]


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_a_publication_that_is_not_confirmed_is_not_sent(
    answer: str, posted: list[tuple[str, dict[str, Any]]]
) -> None:
    done = CliRunner().invoke(app, ["public", "publish"], input=answer)
    assert done.exit_code == 1
    assert posted == []


def test_a_script_publishes_the_state_that_was_shown(
    posted: list[tuple[str, dict[str, Any]]],
) -> None:
    done = CliRunner().invoke(app, ["public", "show"])
    assert "Empreinte pour --draft : a1b2" in done.output
    done = CliRunner().invoke(app, ["public", "publish", "--draft", "0ld"])
    assert done.exit_code == 0
    assert posted == [("/api/v1/publications/services:publish", {"draft": "0ld"})]
