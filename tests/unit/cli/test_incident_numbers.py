"""Every command with an incident accepts its number, as given by telephone."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import httpx2 as httpx
import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app

ID = "aac02f05-ff8a-57e6-b08b-18a76eeb0e61"
NUMBER = "92-2026-1128-01"
KNOWN = [{"id": "1-of-another", "number": f"{NUMBER}2"}, {"id": ID, "number": NUMBER}]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Ask for the requests of a command, except the search of the number."""
    request_lines: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/incidents":
            return httpx.Response(200, json={"items": KNOWN, "next": None})
        request_lines.append(f"{request.url} {request.content.decode()}")
        return httpx.Response(
            200, json={"items": [], "next": None, "state": "applied", "result": {"callout": "c"}}
        )

    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("VIGIE_URL", "http://vigie.example")
    monkeypatch.setattr(
        "services.cli.client.httpx.Client",
        partial(httpx.Client, transport=httpx.MockTransport(answer)),
    )
    return request_lines


@pytest.mark.parametrize("named", [NUMBER, ID])
@pytest.mark.parametrize(
    "command",
    [
        "timeline {}",
        "ack {}",
        "escalate {}",
        "reapply {}",
        "resolve {}",
        "note texte --incident {}",
        "level N3 --scope {}",
        "retex {} --json",
        "sites --incident {}",
        "activities --incident {}",
        "plans --incident {}",
        "notifications --incident {}",
        "reassignments --incident {}",
        "plan activate PT-ELEC --incident {}",
        "headcount start cen-2 --incident {}",
        "callout draft texte --incident {}",
        "improvement add texte --owner rh --due 2027-03-01 --incident {}",
    ],
)
def test_an_incident_is_named_by_its_id_or_its_number(
    asked: list[str], command: str, named: str
) -> None:
    invocation = CliRunner().invoke(app, command.format(named).split())
    assert [line for line in asked[:1] if ID in line and NUMBER not in line], (
        invocation.output,
        asked,
    )


def test_an_unknown_number_is_requested_unchanged(asked: list[str]) -> None:
    CliRunner().invoke(app, ["ack", "92-2026-1128-09"])
    assert "/incidents/92-2026-1128-09/" in asked[0]
