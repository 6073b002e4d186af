"""An unknown site is an error that names similar ones; no report is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app

SITES = {
    "cen-1": "Siège",
    "col-117": "Collège Georges Seurat",
    "pmi-04": "Centre PMI Nanterre 1",
    "pmi-05": "PMI Nanterre 2",
}
COMMUNES = {"92050": "Nanterre", "92012": "Boulogne-Billancourt"}
OUTAGE = ["report", "--type", "outage_power", "--severity", "3"]
REPORT = [*OUTAGE, "--site"]
DOUBT = {"field": "commune", "code": "unknown", "detail": "hors du territoire : 99999"}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[httpx.Request]:
    """List the reports posted to a Vigie with SITES."""
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("VIGIE_URL", "http://vigie.example")
    posted: list[httpx.Request] = []

    def answering(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            posted.append(request)
            doubts = {"warnings": [DOUBT]} if b"99999" in request.content else {}
            return httpx.Response(202, json={"report_id": "r-1", **doubts})
        if request.url.path == "/api/v1/realms/93":
            return httpx.Response(404, json={"detail": "There is no realm of this name."})
        if request.url.path == "/api/v1/realms/92~ex-away":
            return httpx.Response(503, json={"code": "console_away"})
        if request.url.path == "/api/v1/reference/communes":
            communes = [{"insee": code, "name": name} for code, name in COMMUNES.items()]
            return httpx.Response(200, json={"section": "communes", "communes": communes})
        return httpx.Response(
            200,
            json={"items": [{"id": id, "name": name} for id, name in SITES.items()], "next": None},
        )

    monkeypatch.setattr(
        "services.cli.client.httpx.Client",
        partial(httpx.Client, transport=httpx.MockTransport(answering)),
    )
    return posted


@pytest.mark.parametrize(
    ("site", "meant"),
    [
        ("zzz-9", "vigie sites"),
        ("cen1", "cen-1 (Siège)"),
        ("seurat", "col-117"),
        ("SIEGE", "cen-1"),
        ("nanterre", "pmi-04 (Centre PMI Nanterre 1) ou pmi-05"),
    ],
)
def test_an_unknown_site_is_refused_with_those_that_may_be_meant(
    sent: list[httpx.Request], site: str, meant: str
) -> None:
    done = CliRunner().invoke(app, [*REPORT, site])
    assert done.exit_code == 1
    assert f"site inconnu, {site} : rien n’a été envoyé" in done.output
    assert meant in done.output
    assert sent == []


@pytest.mark.parametrize("arguments", [["cen-1"], ["zzz-9", "--unknown-site"]])
def test_a_known_site_and_one_that_is_meant_so_are_sent(
    sent: list[httpx.Request], arguments: list[str]
) -> None:
    done = CliRunner().invoke(app, [*REPORT, *arguments])
    assert (done.exit_code, done.stdout) == (0, "r-1\n")
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("commune", "meant"), [("99999", "commune inconnue, 99999"), ("nanterre", "92050 (Nanterre)")]
)
def test_an_unknown_commune_is_refused_with_those_that_may_be_meant(
    sent: list[httpx.Request], commune: str, meant: str
) -> None:
    done = CliRunner().invoke(app, [*OUTAGE, "--commune", commune])
    assert done.exit_code == 1
    assert meant in done.output
    assert "rien n’a été envoyé" in done.output
    assert sent == []


@pytest.mark.parametrize(
    "command",
    [
        ["report", "--type", "fire", "--severity", "4", "--commune", "99999"],
        ["report", "--type", "outage_power", "--severity", "5", "--commune", "99999"],
        [*OUTAGE, "--commune", "99999", "--unknown-site"],
    ],
)
def test_danger_at_an_unknown_place_is_sent_and_the_doubt_named(
    sent: list[httpx.Request], command: list[str]
) -> None:
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, done.stdout, len(sent)) == (0, "r-1\n", 1)
    assert "accepté, mais commune : hors du territoire : 99999" in done.stderr


@pytest.mark.parametrize("command", [[*REPORT, "cen-1"], ["line", "117 FEU"]])
def test_an_unknown_realm_is_refused(sent: list[httpx.Request], command: list[str]) -> None:
    """The log refused the report of a fire after its receipt, and the command had succeeded."""
    done = CliRunner().invoke(app, [*command, "--realm", "93"])
    assert done.exit_code == 1
    assert "territoire inconnu, 93 : rien n’a été envoyé" in done.output
    assert sent == []
    done = CliRunner().invoke(app, [*command, "--realm", "92~ex-away"])
    assert (done.exit_code, len(sent)) == (0, 1), "reports do not depend on the console"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """List the lines typed to a Vigie with site 117 only."""
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("VIGIE_URL", "http://vigie.example")
    lines: list[dict[str, Any]] = []

    def answering(request: httpx.Request) -> httpx.Response:
        lines.append(line := json.loads(request.content))
        if "117" in line["text"] or not line.get("known_site"):
            return httpx.Response(202, json={"report_id": "r-1"})
        fault = {
            "field": "text",
            "code": "unknown_site",
            "detail": "aucun site 999 dans le territoire",
        }
        return httpx.Response(422, json={"detail": f"text: {fault['detail']}", "errors": [fault]})

    monkeypatch.setattr(
        "services.cli.client.httpx.Client",
        partial(httpx.Client, transport=httpx.MockTransport(answering)),
    )
    return lines


def test_a_line_about_an_unknown_site_is_refused_with_the_next_step(
    typed: list[dict[str, Any]],
) -> None:
    done = CliRunner().invoke(app, ["line", "999 ELEC"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "aucun site 999 dans le territoire" in done.stderr
    assert "Rien n’a été envoyé" in done.stderr
    assert "--unknown-site" in done.stderr
    assert len(typed) == 1


@pytest.mark.parametrize("arguments", [["117 ELEC"], ["999 ELEC", "--unknown-site"]])
def test_a_line_about_a_known_site_and_one_that_is_meant_so_are_sent(
    typed: list[dict[str, Any]], arguments: list[str]
) -> None:
    done = CliRunner().invoke(app, ["line", *arguments])
    assert (done.exit_code, done.stdout) == (0, "r-1\n")
    assert len(typed) == 1


def test_a_report_does_not_wait_for_a_list_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, sent: list[httpx.Request]
) -> None:
    def answering(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        posting: Callable[[], httpx.Response] = partial(
            httpx.Response, 202, json={"report_id": "r-2"}
        )
        return (
            posting()
            if request.method == "POST"
            else httpx.Response(403, json={"title": "forbidden"})
        )

    monkeypatch.setattr(
        "services.cli.client.httpx.Client",
        partial(httpx.Client, transport=httpx.MockTransport(answering)),
    )
    assert CliRunner().invoke(app, [*REPORT, "zzz-9"]).exit_code == 0
    assert [request.method for request in sent] == ["GET", "POST"]


@pytest.mark.parametrize(
    ("typed", "meant"), [("reprot", "report"), ("statsu", "status"), ("incident", "incidents")]
)
def test_a_mistyped_command_names_the_one_that_is_meant(typed: str, meant: str) -> None:
    done = CliRunner().invoke(app, [typed])
    assert done.exit_code == 2
    assert "Did you mean" in done.output
    assert meant in done.output


def test_a_time_without_an_offset_is_one_of_paris(sent: list[httpx.Request]) -> None:
    """Every other command took it; a report was refused."""
    done = CliRunner().invoke(app, [*REPORT, "cen-1", "--occurred-at", "2027-02-11T03:10"])
    assert done.exit_code == 0, done.output
    assert json.loads(sent[0].content)["occurred_at"] == "2027-02-11T03:10:00+01:00"
    done = CliRunner().invoke(app, [*REPORT, "cen-1", "--occurred-at", "demain"])
    assert done.exit_code == 2
    assert len(sent) == 1
