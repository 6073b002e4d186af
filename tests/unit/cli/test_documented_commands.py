"""Every `vigie` command in README and docs is one that exists, with the options that it takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.cli.__main__ import COMMANDS, _load_command
from services.runtime.process.settings import REPOSITORY

PAGES = (
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
)
_LINE = re.compile(r"^(?:\S*/)?vigie\s+(?P<rest>.*)$")
_INLINE = re.compile(r"`(?:\S*/)?vigie ([a-z][^`]*)`")


def commands(page: Path) -> Iterator[tuple[int, str]]:
    """List (line, arguments of `vigie`) in code blocks and inline code."""
    fenced = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("```"):
            fenced = not fenced
        elif (fenced or line.startswith("    ")) and (found := _LINE.match(line.strip())):
            yield number, re.split(r"\s{2,}|\s+#\s|\s+[>|]\s", found["rest"])[0]
        for inline in _INLINE.findall(line):
            yield number, inline


ALL = [(page, number, text) for page in PAGES for number, text in commands(page)]


@pytest.mark.parametrize(
    ("page", "number", "text"), ALL, ids=[f"{p.relative_to(REPOSITORY)}:{n}" for p, n, _ in ALL]
)
def test_a_documented_command_exists(page: Path, number: int, text: str) -> None:
    if text.startswith("--"):
        return
    name, *rest = shlex.split(
        text.replace("’", "'") if text.count("'") % 2 == 0 else text.replace("'", " ")
    )
    for one in name.split("|"):
        assert one in COMMANDS, f"{page}:{number}: no command vigie {one}"
    check(_load_command(name.split("|")[0]), rest, f"{page}:{number}")


def check(command: Any, words: list[str], where: str) -> None:
    """Check that subcommands and options exist, without the brackets of a synopsis."""
    if hasattr(command, "commands") and words:
        for one in words[0].split("|"):
            if re.fullmatch(r"[a-z][a-z-]*", one):
                found = command.commands.get(one)
                assert found is not None, f"{where}: no {command.name} {one}"
                check(found, words[1:] if "|" not in words[0] else [], where)
        return
    known = {
        name
        for p in command.params
        if p.param_type_name == "option"
        for name in (*p.opts, *p.secondary_opts)
    }
    for word in words:
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", word):
            assert option in {*known, "--help"}, (
                f"{where}: {command.name} takes no {option}; there are {', '.join(sorted(known))}"
            )


def test_the_pages_are_read() -> None:
    assert len(ALL) > 120
    assert {"up", "play", "verify", "backup", "kit"} <= {text.split()[0] for _, _, text in ALL}
