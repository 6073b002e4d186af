"""Foreign servers and odd input give a sentence and exit 1 or 2, never a traceback."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx2 as httpx
import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app, main
from tests.unit.console.test_pages import line

Answering = Callable[[httpx.Request], httpx.Response]
COMMANDS = (
    ["incidents"],
    ["sites", "--json"],
    ["reassignments"],
    ["timeline", "i-1"],
    ["changes", "2027-02-11T10:00"],
    ["ack", "i-1"],
    ["token", "list"],
    ["source", "list"],
    ["user", "list"],
    ["report", "--type", "outage_power", "--severity", "3"],
    ["oncall", "who"],
    ["readiness"],
    ["export", "i-1"],
)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Answering], None]:
    """Answer every request of a command like this."""
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("VIGIE_URL", "http://vigie.example")
    monkeypatch.chdir(tmp_path)

    def by(answering: Answering) -> None:
        monkeypatch.setattr(
            "services.cli.client.httpx.Client",
            partial(httpx.Client, transport=httpx.MockTransport(answering)),
        )

    return by


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(302, headers={"location": "https://portal.example/login"}),
        httpx.Response(200, headers={"content-type": "application/json"}, content=b"[]"),
        httpx.Response(
            500,
            headers={"content-type": "application/json"},
            content=b'{"title":"broken","errors":"all"}',
        ),
    ],
    ids=["portal", "list", "errors"],
)
def test_another_server_is_reported_as_such(
    command: list[str], answer: httpx.Response, answered: Callable[[Answering], None]
) -> None:
    """A portal on the way, an address of something else: each command ended with a KeyError."""
    answered(lambda _: answer)
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit), done.exception
    assert ("is not Vigie" if answer.status_code < 400 else "broken") in done.output


@pytest.mark.parametrize(
    ("token", "remedy"), [("bad", "the token of VIGIE_TOKEN"), ("", "no token: set VIGIE_TOKEN")]
)
def test_a_refused_token_is_named_by_its_place(
    token: str,
    remedy: str,
    answered: Callable[[Answering], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The user of another account read that a token is missing, and not which one."""
    monkeypatch.setenv("VIGIE_TOKEN", token)
    answered(lambda _: httpx.Response(401, json={"detail": "Donnez un jeton valable."}))
    done = CliRunner().invoke(app, ["incidents"])
    assert done.exit_code == 1
    assert "Donnez un jeton valable." in done.output
    assert remedy in done.output


def test_a_page_in_place_of_an_answer_names_the_address(
    answered: Callable[[Answering], None],
) -> None:
    answered(lambda _: httpx.Response(200, html="<html>Bienvenue</html>"))
    done = CliRunner().invoke(app, ["incidents"])
    assert done.exit_code == 1
    assert "http://vigie.example" in done.output
    assert "VIGIE_URL" in done.output


def test_an_answer_that_cannot_be_unpacked_is_none(answered: Callable[[Answering], None]) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"not gzip")
        )

    answered(broken)
    done = CliRunner().invoke(app, ["incidents"])
    assert (done.exit_code, isinstance(done.exception, SystemExit)) == (1, True)


@pytest.mark.parametrize("key", ["panne-é", "панне", "a" * 200])
def test_a_key_of_any_letters_is_sent(key: str, answered: Callable[[Answering], None]) -> None:
    requests: list[httpx.Request] = []

    def applied(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"state": "applied"})

    answered(applied)
    assert CliRunner().invoke(app, ["ack", str(uuid4()), "--key", key]).exit_code == 0
    (raw,) = [
        value for name, value in requests[0].headers.raw if name.lower() == b"idempotency-key"
    ]
    assert key in (raw.decode("latin-1"), raw.decode("utf-8", "replace"))


@pytest.mark.parametrize(
    "words", [["ack", "\udce9"], ["note", "site \udce9vacu\udce9"], ["incidents", "--q", "\udce9"]]
)
def test_text_other_than_utf_8_is_reported(
    words: list[str],
    answered: Callable[[Answering], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A terminal in Latin-1 sends such text."""
    answered(lambda _: httpx.Response(200, json={"state": "applied", "items": [], "next": None}))
    monkeypatch.setattr(sys, "argv", ["vigie", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "UTF-8" in capsys.readouterr().err


def test_text_in_brackets_is_shown(answered: Callable[[Answering], None]) -> None:
    """`[urgent]` was taken for a style and left out of the main courante; `[/]` ended the command."""
    text = "[urgent] site [/] fermé :warning:"
    note = line(1, type="NoteAdded", kind="note", text=text).model_dump(mode="json")
    answered(lambda _: httpx.Response(200, json={"items": [note], "next": None}))
    done = CliRunner().invoke(app, ["timeline"])
    assert done.exit_code == 0, done.exception
    assert text in done.output


@pytest.mark.parametrize("command", ["token", "user", "source"])
def test_names_in_brackets_end_no_list(command: str, answered: Callable[[Answering], None]) -> None:
    row = {
        "id": "t-1",
        "principal": "p",
        "role": "cell",
        "label": "[/x]",
        "created_at": 0,
        "revoked_at": None,
        "expires_at": None,
        "login": "[/x]",
        "duty": "[/x]",
        "enabled": False,
        "has_password": True,
        "has_second_factor": False,
        "name": "[/x]",
        "dialect": "cap",
        "site": "[/x]",
        "last_seen": None,
        "refused": {},
        "last_refusal": None,
        "silent": False,
        "heartbeat_s": None,
        "per_minute": 0.0,
        "accepted": 0,
    }
    answered(lambda _: httpx.Response(200, json={"items": [row], "next": None}))
    done = CliRunner().invoke(app, [command, "list"])
    assert done.exit_code == 0, done.exception
    assert "[/x]" in done.output


def test_a_token_is_one_part_of_an_address(answered: Callable[[Answering], None]) -> None:
    """`vigie token revoke ../users/x` asked for something else."""
    raw_paths: list[str] = []

    def taken(request: httpx.Request) -> httpx.Response:
        raw_paths.append(request.url.raw_path.decode())
        return httpx.Response(200, json={})

    answered(taken)
    assert CliRunner().invoke(app, ["token", "revoke", "../users/x?y"]).exit_code == 0
    assert raw_paths == ["/api/v1/tokens/..%2Fusers%2Fx%3Fy"]


def test_a_wrong_field_is_reported_once(answered: Callable[[Answering], None]) -> None:
    one = {"field": "sites", "code": "enum", "detail": "personne n’y travaille"}
    other = {"field": "channels.0", "code": "enum", "detail": "inconnu"}
    answered(
        lambda _: httpx.Response(
            422,
            json={
                "detail": "Un champ n’est pas valable. sites: personne n’y travaille",
                "errors": [one, other],
            },
        )
    )
    output = CliRunner().invoke(app, ["incidents"]).output
    assert output.count("sites: personne n’y travaille") == 1
    assert "channels.0: inconnu" in output


def test_an_output_that_cannot_be_written_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("services.cli.__main__.app", full)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert (
        capsys.readouterr().err == "vigie: the output cannot be written: No space left on device\n"
    )


def test_a_key_to_judge_a_bundle_needs_a_bundle() -> None:
    assert CliRunner().invoke(app, ["verify", "--key", "/srv/key.pem"]).exit_code == 2


def test_a_bundle_is_the_file_of_its_owner_alone(
    answered: Callable[[Answering], None], tmp_path: Path
) -> None:
    """It holds the words of reports and decisions (D58)."""
    bundle = httpx.Response(200, content=b"PK", headers={"content-type": "application/zip"})
    answered(
        lambda asked: (
            bundle
            if asked.url.path.endswith("/export")
            else httpx.Response(200, json={"items": []})
        )
    )
    done = CliRunner().invoke(app, ["export", "i-1", "--out", str(tmp_path / "i-1.zip")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "i-1.zip").stat().st_mode & 0o777 == 0o600
