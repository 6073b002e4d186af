"""`vigie plan proof` and `vigie plan pdf` show and write the answers of the API."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.cli.crisis import plan
from tests.unit.console.held import browsing
from tests.unit.console.test_every_screen import REALM, realm

PLAN = "PCA-solidarites"


async def fetch(path: str) -> Any:
    browser, _ = browsing(realm())
    answer = await browser.get(f"{path}?realm={REALM}", role="coordinator")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_proof_of_a_plan_names_the_changes_that_help_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths: list[str] = []
    proof = await fetch(f"/api/v1/plans/{PLAN}/proof")
    monkeypatch.setattr(plan, "call_api", lambda _method, path: paths.append(path) or proof)
    invocation = CliRunner().invoke(app, ["plan", "proof", PLAN, "--realm", REALM])
    assert invocation.exit_code == 0, invocation.output
    assert paths[0].startswith(f"/api/v1/plans/{PLAN}/proof?realm=")
    assert f"{proof['title']} : prouvé à" in invocation.output
    assert "Jouer un exercice du plan" in invocation.output
    assert "+ 16,7 points" in invocation.output


async def test_without_a_plan_all_plans_and_poles_are_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proofs = await fetch("/api/v1/plan-proofs")
    monkeypatch.setattr(plan, "call_api", lambda _method, _path: proofs)
    invocation = CliRunner().invoke(app, ["plan", "proof"])
    assert invocation.exit_code == 0, invocation.output
    assert all(one["name"] in invocation.output for one in proofs["poles"])
    assert all(one["id"] in invocation.output for one in proofs["items"])


def test_a_proposed_plan_is_postponed_until_a_time_in_paris(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"state": "applied", "result": {}})

    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("VIGIE_URL", "http://vigie.example")
    monkeypatch.setattr(
        "services.cli.client.httpx.Client",
        partial(httpx.Client, transport=httpx.MockTransport(answer)),
    )
    invocation = CliRunner().invoke(app, ["plan", "postpone", PLAN, "--until", "2027-02-11T18:00"])
    assert invocation.exit_code == 0, invocation.output
    assert requests[-1].url.path == f"/api/v1/plans/{PLAN}/postpone"
    assert json.loads(requests[-1].content)["until"] == "2027-02-11T18:00:00+01:00"


def test_the_pdf_of_a_plan_is_written_as_it_comes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paths: list[str] = []

    def download(path: str, _realm: str | None, _as_of: str | None) -> httpx.Response:
        paths.append(path)
        return httpx.Response(200, content=b"%PDF-x")

    monkeypatch.setattr(plan, "download_document", download)
    file = tmp_path / "plan.pdf"
    invocation = CliRunner().invoke(app, ["plan", "pdf", PLAN, str(file)])
    assert invocation.exit_code == 0, invocation.output
    assert (paths, file.read_bytes()) == ([f"/api/v1/plans/{PLAN}/pdf"], b"%PDF-x")
