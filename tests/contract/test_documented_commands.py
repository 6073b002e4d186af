"""Every documented command is valid, with its options and files."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from services.cli.__main__ import COMMANDS, _load_command
from tests.documented import Command, commands

ALL = sorted({c.text: c for c in commands()}.values(), key=str)
FILE = re.compile(r"\.(yaml|json|csv|xml|pdf|zip|html|ics|backup)$|^FILE$")


USAGE = typer.BadParameter.__mro__[1]
load_command = cache(_load_command)


def words_of(command: Command, folder: Path) -> list[str]:
    """Return the arguments; their files and folders lie empty in `folder`."""
    words = [
        {"N": "2"}.get(w, str(folder) + w if w.startswith("/") else w) for w in command.arguments
    ]
    for word in words:
        if FILE.search(word):
            (folder / word).parent.mkdir(parents=True, exist_ok=True)
            (folder / word).touch()
        elif re.fullmatch(r"[\w.-]+(/[\w.-]+)+", word):
            (folder / word).mkdir(parents=True)
    return words


def parsed(name: str, *words: str) -> None:
    """Parse the command. Raises USAGE, or KeyError for an unknown command."""
    remaining_words = list(words)
    if name.startswith("-"):
        assert name == "--help"
        return
    if name not in COMMANDS:
        raise KeyError(name)
    node: Any = load_command(name)
    while hasattr(node, "commands") and remaining_words:
        name = remaining_words.pop(0)
        node = node.commands[name]
    if remaining_words:  # a name alone is not run
        node.make_context(name, remaining_words)


def test_the_pages_are_read() -> None:
    assert len(ALL) > 250
    assert {"up", "play", "verify", "backup", "kit"} <= {c.arguments[0] for c in ALL}


def test_every_documented_command_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = []
    for number, command in enumerate(ALL):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        try:
            parsed(*words_of(command, folder))
        except (KeyError, USAGE) as refusal:
            refusals.append(f"{command.page}:{command.line}: {command.text}: {refusal!r}")
    assert not refusals, "\n".join(refusals)


@pytest.mark.parametrize(
    "wrong",
    [
        "vigie backupp FILE",
        "vigie play S04 --sped max",
        "vigie oncall whom",
        "vigie status --targets more",
    ],
)
def test_a_command_that_is_none_is_found(wrong: str) -> None:
    with pytest.raises((KeyError, USAGE)):
        parsed(*Command("page", 1, wrong).arguments)
