"""`vigie stimulus` plays, skips and notes the stimuli of an exercise."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import pytest
from typer.testing import CliRunner

from services.cli import client as client_module
from services.cli.__main__ import app
from services.cli.crisis import decide

REALM = "92~ex-animation"


def make_row(id: str, **fields: Any) -> dict[str, Any]:
    body = {"type": "outage_water", "severity": 3, "alias": id}
    return {"id": id, "realm": REALM, "state": "planned", "body": body} | fields


class Client:
    """Answer the list of stimuli in place of the API, and record the posts."""

    rows: tuple[dict[str, Any], ...] = (make_row("E1"), make_row("E2", body=None))
    posted: list[tuple[str, dict[str, Any], str]]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def get(self, path: str) -> dict[str, Any]:
        assert path.startswith("/api/v1/stimuli?")
        return {"items": list(self.rows)}

    def post(self, path: str, body: dict[str, Any], key: str) -> tuple[int, dict[str, Any]]:
        self.posted.append((path, body, key))
        return 202, {"report_id": "r-1"}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    made.posted = []
    monkeypatch.setattr(client_module, "ApiClient", lambda *_: made)
    return made


def test_a_stimulus_is_played_once_under_the_key_of_its_play(client: Client) -> None:
    invocation = CliRunner().invoke(app, ["stimulus", "play", "E1", "--realm", REALM])
    assert invocation.exit_code == 0, invocation.output
    assert "E1 joué" in invocation.output
    ((path, body, key),) = client.posted
    assert (path, key) == ("/api/v1/reports", f"{REALM}:E1")
    assert body == client.rows[0]["body"] | {"realm": REALM}


@pytest.mark.parametrize(
    ("id", "reason"),
    [("E9", "no stimulus E9; there are: E1, E2"), ("E2", "E2 is told by a person")],
)
def test_without_a_report_nothing_is_sent(id: str, reason: str, client: Client) -> None:
    invocation = CliRunner().invoke(app, ["stimulus", "play", id])
    assert invocation.exit_code == 1
    assert reason in invocation.output
    assert client.posted == []


def test_skip_restore_and_note_are_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    decisions: list[tuple[str, str, dict[str, Any]]] = []
    monkeypatch.setattr(
        decide,
        "post_decision",
        lambda path, realm, body, **_rest: decisions.append((path, realm, body)),
    )
    for words in (
        ["skip", "E1"],
        ["restore", "E1"],
        ["note", "E1", "--mark", "2", "--text", "Trop lent"],
    ):
        invocation = CliRunner().invoke(app, ["stimulus", *words, "--realm", REALM])
        assert invocation.exit_code == 0, invocation.output
    assert decisions == [
        ("stimuli/E1:skip", REALM, {}),
        ("stimuli/E1:restore", REALM, {}),
        ("stimuli/E1:note", REALM, {"mark": 2, "text": "Trop lent"}),
    ]


def test_an_empty_note_is_refused_before_it_is_sent() -> None:
    invocation = CliRunner().invoke(app, ["stimulus", "note", "E1", "--text", " "])
    assert invocation.exit_code == 2
    assert "--mark" in invocation.output
