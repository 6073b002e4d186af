"""The French guide as its tests read it: sections, pictures, and the screen's words in bold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.runtime.process.settings import REPOSITORY

FOLDER = REPOSITORY / "docs" / "guide"
IMAGE = re.compile(r"!\[([^]]+)\]\(images/([a-z-]+)\.png\)")
BOLD = re.compile(r"\*\*([^*]+)\*\*")


@dataclass(frozen=True, slots=True)
class Section:
    page: Path
    title: str
    text: str

    @property
    def pictures(self) -> list[str]:
        return [name for _alt, name in IMAGE.findall(self.text)]

    @property
    def words(self) -> list[str]:
        """What the reader is told to find on the screen."""
        return [" ".join(word.split()) for word in BOLD.findall(self.text)]


def sections() -> Iterator[Section]:
    for page in sorted(FOLDER.glob("*.md")):
        for part in re.split(r"^(?=#{1,2} )", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[
            1:
        ]:
            title, _, text = part.partition("\n")
            yield Section(page, title.lstrip("# "), text)
