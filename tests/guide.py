"""The French guide as its tests read it: sections, pictures, and the screen's words in bold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.console.i18n.__main__ import load_catalogue
from services.runtime.process.settings import REPOSITORY

FOLDER = REPOSITORY / "docs" / "guide"
IMAGE = re.compile(r"!\[([^]]+)\]\(images/([a-z-]+)\.png\)")
BOLD = re.compile(r"\*\*([^*]+)\*\*")


def screen_texts() -> Iterator[str]:
    """Yield every French text of the screens, and its plural.

    The catalogue of translations has them all (tests/unit/console/test_texts.py): to read the
    sources again takes seconds.
    """
    for message in load_catalogue("en"):
        yield from message.id if isinstance(message.id, tuple) else (message.id,)


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
