"""Commands that README, CONTRIBUTING and docs show, read from the pages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
_INLINE: Final = re.compile(r"`((?:\.venv/bin/)?vigie [^`]+)`")
_COMMENT: Final = re.compile(r"\s{3,}(?!\.venv/bin/vigie |vigie ).*|\s+#\s.*|\s+\(or .*")
_BEGINS: Final = re.compile(r"^(?:\.venv/bin/)?vigie\s")


@dataclass(frozen=True, slots=True)
class Command:
    """One `vigie` command as a page shows it."""

    page: str
    line: int
    text: str

    @property
    def arguments(self) -> list[str]:
        """As a shell gives them; what is optional (`[--json]`) is given, of `A|B` the first."""
        words = shlex.split(_BEGINS.sub("", self.text).replace("[", "").replace("]", ""))
        return [w for n, w in enumerate(words) if w != ">" and (n == 0 or words[n - 1] != ">")]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced or indented block."""

    page: str
    line: int
    language: str
    text: str


def pages() -> list[Path]:
    """List every page written for people."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks() -> Iterator[Block]:
    """List fenced blocks with their language, indented ones without."""
    for page in pages():
        name, lines = str(page.relative_to(ROOT)), page.read_text(encoding="utf-8").splitlines()
        language: str | None = None
        began, block_lines = 0, list[str]()
        for n, line in enumerate([*lines, ""], 1):
            if line.startswith("```"):
                if language is None:
                    language, began, block_lines = line[3:].strip(), n + 1, []
                else:
                    yield Block(name, began, language, "\n".join(block_lines))
                    language, block_lines = None, []
            elif language is not None:
                block_lines.append(line)
            elif line.startswith("    "):
                began = began if block_lines else n
                block_lines.append(line[4:])
            elif block_lines:
                yield Block(name, began, "", "\n".join(block_lines))
                block_lines = []


def commands() -> list[Command]:
    """List every command on a page, in a block or in a sentence; a name alone (`vigie up`) too."""
    page_commands = []
    for block in blocks():
        if block.language in ("", "sh"):
            for n, line in enumerate(block.text.splitlines()):
                page_commands += [Command(block.page, block.line + n, text) for text in _of(line)]
    for page in pages():
        name = str(page.relative_to(ROOT))
        for n, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            page_commands += [
                Command(name, n, text) for match in _INLINE.findall(line) for text in _of(match)
            ]
    return page_commands


def _of(line: str) -> Iterator[str]:
    """Return the commands of a line, without comments."""
    for part in re.split(r"\s{3,}(?=(?:\.venv/bin/)?vigie )", line.strip()):
        if _BEGINS.match(part):
            yield _COMMENT.sub("", part).strip()
