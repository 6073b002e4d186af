"""`vigie dependencies --propose` proposes a hidden dependency."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.cli.crisis import dependencies


def test_a_hidden_dependency_is_proposed_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    def post(path: str, realm: str | None, body: dict[str, Any], **_options: Any) -> None:
        sent.append((path, realm, body))

    monkeypatch.setattr(dependencies, "post_decision", post)
    command = ["dependencies", "system:siter", "--propose", "RHF-01", "--reason", "co-pannes"]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0, told.output
    body = {"resource": "system:siter", "activity": "RHF-01", "reason": "co-pannes"}
    assert sent == [("dependencies/proposals", None, body)]


@pytest.mark.parametrize("lost", [[], ["system:ad", "system:sae"]])
def test_a_proposal_names_one_resource(lost: list[str]) -> None:
    told = CliRunner().invoke(app, ["dependencies", *lost, "--propose", "RHF-01"])
    assert told.exit_code == 2
    assert "one resource" in told.output
