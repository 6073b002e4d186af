"""Commands that show a realm can show it at a past time."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import COMMANDS, _load_command, app
from services.cli.crisis import documents

NOT_OF_A_TIME = {
    "export": "the evidence of all times",
    "whatif": "replays from a time by --at",
    "tune": "replays whole crises",
    "dlq": "letters lie outside the picture",
    "directory": "people lie outside the picture",
    "commission": "asks the machine, too",
    "token": "rights, not the picture",
    **dict.fromkeys(("play", "report", "line", "cap", "bench", "card", "plan", "text"), "writes"),
}
WRITES = [
    "ack",
    "escalate",
    "reapply",
    "resolve",
    "level",
    "plan",
    "card",
    "note",
    "resend",
    "hold",
    "start",
    "stop",
    "draft",
    "close",
    "add",
    "end",
    "done",
    "compute",
    "announce",
    "approve",
    "decline",
    "step",
    "override",
    "swap",
    "answer",
    "ask",
    "enable",
    "templates",
    "revise",
    "readdress",
    "submit",
    "validate",
    "refuse",
    "publish",
    "retract",
    "accept",
    "complete",
    "cancel",
    "withdraw",
    "import",
    "load",
    "official-days",
    "propose",
    "edit",
    "new",
    "retire",
    "confirm",
    "solve",
    "drop",
    "feeds",
    "ask",
    "offer",
    "commit",
    "depart",
    "arrive",
    "release",
    "cancel",
    "count",
    "dismiss",
    "sign",
    "play",
    "skip",
    "restore",
]


def test_a_validated_report_has_the_state_of_the_requested_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bodies: list[dict[str, Any]] = []
    monkeypatch.setattr(
        documents, "post_decision", lambda _path, _realm, body, **_more: bodies.append(body)
    )
    CliRunner().invoke(
        app, ["sitrep", "--validate", "--as-of", "2027-02-11T10:15"], catch_exceptions=False
    )
    assert [body["as_of"] for body in bodies] == ["2027-02-11T10:15:00+01:00"]


def commands(node: Any, path: tuple[str, ...] = ()) -> Any:
    if hasattr(node, "commands"):
        for name, child in node.commands.items():
            yield from commands(child, (*path, name))
    else:
        yield path, node


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - NOT_OF_A_TIME.keys()))
def test_every_read_of_a_realm_takes_a_time(name: str) -> None:
    for path, command in commands(_load_command(name), (name,)):
        options = {option for parameter in command.params for option in parameter.opts}
        if "--realm" in options and path[-1] not in WRITES:
            assert "--as-of" in options, " ".join(path)
