"""At night a refusal names the next step, and every time is that of the walls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from aiokafka.errors import KafkaConnectionError
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.cli.client import error_text
from services.cli.lists import format_local_time
from services.runtime.http.problems import build_unknown_problem

SITES = [{"id": "cen-1", "pole": "multi"}, {"id": "clg-0921353W", "pole": "education"}]
SOURCE = {
    "name": "prometheus-si",
    "enabled": True,
    "dialect": "alertmanager",
    "site": None,
    "silent": False,
    "last_seen": 1_796_190_084_000,  # 06:41:24 in Paris
    "heartbeat_s": None,
    "per_minute": 1,
    "accepted": 3,
    "refused": {},
    "last_refusal": None,
}


class FakeVigie:
    """Vigie with an answer for each path, and a record of all posts."""

    def __init__(self) -> None:
        self.posted: list[str] = []
        self.answers: dict[str, tuple[int, dict[str, Any]]] = {
            "/api/v1/reference/sites": (200, {"sites": SITES}),
            "/api/v1/sources": (200, {"items": [SOURCE], "next": None}),
        }

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "POST":
            self.posted.append(path)
        status, body = self.answers.get(path, (200, {"items": [], "next": None}))
        return httpx.Response(status, json=body)


@pytest.fixture
def vigie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeVigie:
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("VIGIE_URL", "http://vigie.example")
    server = FakeVigie()
    monkeypatch.setattr(
        "services.cli.client.httpx.Client",
        partial(httpx.Client, transport=httpx.MockTransport(server.answer)),
    )
    return server


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the clock of the machine to another zone."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("tokyo")
def test_times_are_those_of_paris_on_a_machine_of_another_zone(vigie: FakeVigie) -> None:
    assert "02/12 06:41:24" in CliRunner().invoke(app, ["source", "list"]).output
    assert format_local_time("2026-12-02T05:41:24+00:00") == "02/12 06:41:24"


@pytest.mark.parametrize(
    ("command", "code", "remedy"),
    [
        (["resolve", "i-1", "--reason", "fini"], "causes_open", '--force --reason "…"'),
        (["level", "N1", "--reason", "calme"], "predicate_holds", '--force --reason "…"'),
        (["level", "N1"], "reason_required", 'add --reason "…"'),
    ],
)
def test_a_refusal_names_the_option_that_it_asks_for(
    vigie: FakeVigie, command: list[str], code: str, remedy: str
) -> None:
    refusal = {"state": "refused", "code": code, "detail": "Non.", "command_id": "c", "result": {}}
    path = "/api/v1/incidents/i-1/resolve" if command[0] == "resolve" else "/api/v1/level"
    vigie.answers[path] = (200, refusal)
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, vigie.posted) == (1, [path])
    assert remedy in done.stderr


def test_without_anybody_to_ask_a_command_names_its_option(vigie: FakeVigie) -> None:
    rows = [{"id": "n-1", "state": "dead", "danger": False, "level": 1, "channel": "sms"}]
    vigie.answers["/api/v1/notifications"] = (200, {"items": rows, "next": None})
    done = CliRunner().invoke(app, ["resend", "--dead"], input="")
    assert done.exit_code == 1
    assert "nothing was done. Add --yes" in done.stderr
    assert vigie.posted == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["user", "add", "a", "--role", "cell", "--site", "clg-nope"], "no site clg-nope"),
        (["user", "add", "a", "--role", "director", "--pole", "nope"], "no pôle nope"),
        (["token", "create", "--role", "source", "--site", "clg-nope"], "no site clg-nope"),
        (["source", "add", "a", "--dialect", "sms", "--site", "cen-x"], "no site cen-x"),
    ],
)
def test_a_limit_to_an_unknown_place_is_refused(
    vigie: FakeVigie, options: list[str], reason: str
) -> None:
    """The account existed, and its holder could report nothing."""
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 1
    assert f"{reason}: nothing was made" in done.stderr
    assert vigie.posted == []


def test_an_account_is_made_while_the_console_is_down(vigie: FakeVigie) -> None:
    vigie.answers["/api/v1/reference/sites"] = (503, {"code": "console_away"})
    vigie.answers["/api/v1/users"] = (201, {"id": "cell-1", "role": "cell", "code": "A-B"})
    done = CliRunner().invoke(app, ["user", "add", "a", "--role", "cell", "--site", "clg-nope"])
    assert (done.exit_code, done.stdout) == (0, "cell-1 (cell)\nA-B\n")


def test_a_token_is_not_limited_to_a_type_that_does_not_exist(vigie: FakeVigie) -> None:
    options = ["token", "create", "--role", "source", "--type", "outage_powr"]
    assert CliRunner().invoke(app, options).exit_code == 2
    assert vigie.posted == []


def test_a_broker_that_is_away_is_named_with_the_next_step() -> None:
    text = error_text(KafkaConnectionError("Unable to bootstrap from [('127.0.0.1', 1)]"))
    assert "does not answer: see `vigie status`, then `vigie doctor`" in text
    assert "bootstrap" not in text


def test_a_file_of_another_encoding_says_how_to_save_it(tmp_path: Path) -> None:
    """Spreadsheets save a CSV in the letters of Windows unless they are told otherwise."""
    file = tmp_path / "people.csv"
    file.write_bytes("person,name\nast,Zoé\n".encode("cp1252"))
    done = CliRunner().invoke(app, ["directory", "import", str(file)])
    assert done.exit_code == 1
    assert "n’est pas en UTF-8 : enregistrez-le en « CSV UTF-8 »" in done.stderr


def test_a_missing_object_is_named_without_the_address() -> None:
    problem = build_unknown_problem("login", "aucun compte de ce nom", "no account of this name")
    assert problem.problem.sentence("fr") == "Aucun compte de ce nom."
    assert problem.problem.sentence("en") == "No account of this name."


@pytest.mark.parametrize("verb", ["disable", "enable"])
def test_a_source_that_was_switched_says_so(vigie: FakeVigie, verb: str) -> None:
    done = CliRunner().invoke(app, ["source", verb, "prometheus-si"])
    assert (done.exit_code, "prometheus-si" in done.stdout) == (0, True)
