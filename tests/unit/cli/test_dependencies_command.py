"""`vigie dependencies --propose` proposes a hidden dependency."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.cli.crisis import dependencies


def test_a_hidden_dependency_is_proposed_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    decisions: list[Any] = []

    def post(path: str, realm: str | None, body: dict[str, Any], **_options: Any) -> None:
        decisions.append((path, realm, body))

    monkeypatch.setattr(dependencies, "post_decision", post)
    command = ["dependencies", "system:siter", "--propose", "RHF-01", "--reason", "co-pannes"]
    invocation = CliRunner().invoke(app, command)
    assert invocation.exit_code == 0, invocation.output
    body = {"resource": "system:siter", "activity": "RHF-01", "reason": "co-pannes"}
    assert decisions == [("dependencies/proposals", None, body)]


@pytest.mark.parametrize("lost", [[], ["system:ad", "system:sae"]])
def test_a_proposal_names_one_resource(lost: list[str]) -> None:
    invocation = CliRunner().invoke(app, ["dependencies", *lost, "--propose", "RHF-01"])
    assert invocation.exit_code == 2
    assert "one resource" in invocation.output
