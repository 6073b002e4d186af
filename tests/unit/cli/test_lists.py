"""Lists of the shell are complete over all pages; `--json` equals the API."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from typer.testing import CliRunner

import services.cli.data.territory  # noqa: F401  it names `httpx.Client`, which a fixture replaces
from services.cli.__main__ import app
from services.cli.lists import format_dated_time, mark_title
from tests.shipped import FOLDER

TOKEN = {
    "principal": "p",
    "role": "cell",
    "label": "",
    "created_at": 0,
    "revoked_at": None,
    "expires_at": None,
}
USER = {
    "role": "cell",
    "duty": None,
    "enabled": True,
    "has_password": True,
    "has_second_factor": False,
}
SOURCE = {
    "dialect": "cap",
    "enabled": True,
    "site": None,
    "last_seen": None,
    "refused": {},
    "last_refusal": None,
    "silent": False,
    "heartbeat_s": None,
    "per_minute": 0.0,
    "accepted": 0,
}
POST = {
    "role_name": "r",
    "scope_name": None,
    "now": {"holder": None, "deputy": None, "until": None},
    "holder": [],
}


@pytest.fixture(autouse=True)
def paged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Return two pages of one item for each list."""
    rows: dict[str, dict[str, Any]] = {
        "tokens": TOKEN,
        "users": USER,
        "sources": SOURCE,
        "oncall": POST,
    }

    def answer(request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        n = 2 if request.url.params.get("cursor") == "more" else 1
        item = rows[name] | {
            "id": f"x-{n}",
            "login": f"x-{n}",
            "name": f"x-{n}",
            "role_name": f"x-{n}",
        }
        beside = {"limits": [], "gaps": []} if name == "oncall" else {}
        return httpx.Response(
            200, json={"items": [item], "next": "more" if n == 1 else None} | beside
        )

    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("VIGIE_URL", "http://vigie.example")
    monkeypatch.setattr(
        "services.cli.client.httpx.Client",
        partial(httpx.Client, transport=httpx.MockTransport(answer)),
    )


@pytest.mark.parametrize("command", ["token list", "user list", "source list", "oncall who"])
def test_a_list_is_read_to_its_end(command: str) -> None:
    invoke = partial(CliRunner().invoke, app, catch_exceptions=False)
    invocation = invoke(command.split())
    assert (invocation.exit_code, "x-1" in invocation.output, "x-2" in invocation.output) == (
        0,
        True,
        True,
    ), invocation.output
    listing = json.loads(invoke([*command.split(), "--json"]).output)
    assert ([item["id"] for item in listing["items"]], listing["next"]) == (["x-1", "x-2"], None)


@pytest.mark.parametrize(
    ("command", "said", "codes"),
    [
        (
            "changes 2027-02-11T09:00",
            ("Pris en charge N2", "Activé", "Fermé", "ouverte"),
            ("acknowledged", "proposed", "closed"),
        ),
        ("improvement list", ("à faire", "Coordonnateur PCA"), ("open", "coordinateur_pca")),
        ("callout list", ("En cours", "co-1"), ("running",)),
    ],
)
def test_states_are_shown_in_words(
    monkeypatch: pytest.MonkeyPatch, command: str, said: tuple[str, ...], codes: tuple[str, ...]
) -> None:
    def change(collection: str, before: str | None, after: str) -> dict[str, Any]:
        return {
            "collection": collection,
            "id": "x",
            "title": "X",
            "before": before,
            "after": after,
            "at": None,
        }

    moved = [
        change("incidents", None, "acknowledged N2"),
        change("plans", "proposed", "active"),
        change("sites", "normal", "closed"),
        change("tasks", None, "open"),
    ]
    action = {
        "id": "x",
        "text": "X",
        "owner": "coordinateur_pca",
        "due_at": "2027-03-01T08:00:00Z",
        "state": "open",
    }
    callout = {
        "id": "co-1",
        "state": "running",
        "drafted_at": "2027-02-11T08:00:00Z",
        "started_at": "2027-02-11T08:01:00Z",
        "sites": ["cen-1"],
        "people": 3,
        "handed": 2,
        "failed": 1,
    }
    answers = {
        "changes": {"since": "2027-02-11T08:00:00Z", "items": moved},
        "improvements": {"items": [action], "next": None},
        "callouts": {"items": [callout], "next": None},
    }
    door = httpx.MockTransport(
        lambda request: httpx.Response(200, json=answers[request.url.path.rpartition("/")[2]])
    )
    monkeypatch.setattr("services.cli.client.httpx.Client", partial(httpx.Client, transport=door))
    invocation = CliRunner().invoke(app, command.split())
    assert invocation.exit_code == 0, invocation.output
    assert [word for word in said if word not in invocation.output] == []
    assert [code for code in codes if code in invocation.output] == []


@pytest.mark.parametrize("given", ["N9", "5", "", "N", "N33"])
def test_a_level_that_is_none_is_a_fault_of_use(given: str) -> None:
    assert CliRunner().invoke(app, ["level", given]).exit_code == 2


def test_a_folder_is_checked_as_one_document(tmp_path: Path) -> None:
    check_document = json.loads(
        CliRunner().invoke(app, ["territory", "check", str(FOLDER), "--json"]).stdout
    )
    assert check_document["problems"] == []
    assert check_document["version"]
    assert {"section", "bytes"} == check_document["sections"][0].keys()
    invocation = CliRunner().invoke(app, ["territory", "check", str(tmp_path), "--json"])
    faulty_document = json.loads(invocation.stdout)
    assert (
        invocation.exit_code,
        faulty_document["version"],
        {"file", "line", "what"} == faulty_document["problems"][0].keys(),
    ) == (1, None, True)


@pytest.mark.parametrize("command", ["channels", "scenario list"])
def test_a_list_of_one_page_has_its_items_under_the_same_name(command: str) -> None:
    assert json.loads(CliRunner().invoke(app, [*command.split(), "--json"]).output)["items"]


@pytest.mark.parametrize("command", ["incidents", "note texte"])
def test_a_missing_server_is_reported_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def refused(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused", request=request)

    monkeypatch.setattr(
        "services.cli.client.httpx.Client",
        partial(httpx.Client, transport=httpx.MockTransport(refused)),
    )
    invocation = CliRunner().invoke(app, command.split())
    assert (invocation.exit_code, "`vigie up`" in invocation.output) == (1, True), invocation.output


@pytest.mark.parametrize("command", ["play {}", "directory import {}", "oncall import {}"])
def test_a_missing_file_is_named_with_the_error(tmp_path: Path, command: str) -> None:
    invocation = CliRunner().invoke(app, command.format(tmp_path / "absent.yaml").split())
    assert (invocation.exit_code, "Errno" in invocation.output) == (1, False)
    assert "absent.yaml" in invocation.output


@pytest.mark.parametrize(
    ("realm", "as_of", "title"),
    [
        (None, None, "Incidents"),
        ("92", None, "Incidents"),
        ("92~ex-7", None, "Incidents (EXERCICE 92~ex-7)"),
        (None, "2027-02-11T10:00", "Incidents (état du 11/02/2027 10:00)"),
        ("92~ex-7", "2027-02-11T10:00", "Incidents (EXERCICE 92~ex-7, état du 11/02/2027 10:00)"),
    ],
)
def test_a_table_names_the_exercise_and_the_past_time(
    realm: str | None, as_of: str | None, title: str
) -> None:
    assert mark_title("Incidents", realm, as_of) == title


def test_times_that_may_lie_in_another_year_name_it() -> None:
    """An override until January looked like one of the January before."""
    assert format_dated_time("2027-01-03T07:00:00Z") == "03/01/2027 08:00"
    assert format_dated_time(None) == ""
