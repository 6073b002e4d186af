"""Languages of messages. The catalogue is text (`<lang>/messages.po`), compiled in memory: nothing binary, nothing to build."""

from __future__ import annotations

import re
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

SOURCE: Final = "fr"
LANGUAGES: Final = ("fr", "en")
FOLDER: Final = Path(__file__).parent
_BEFORE: Final = re.compile(r" (?=[:;!?»%])")
_AFTER: Final = re.compile(r"(?<=«) ")


class Translator:
    """`_("Niveau N{level}", level=3)`: translates, then fills the braces."""

    def __init__(self, lang: str, catalogue: Translations | None) -> None:
        self.lang = lang
        self._catalogue = catalogue

    def __call__(self, text: str, /, **values: object) -> str:
        if self._catalogue is None:  # French puts no-break spaces around : ; ! ? « » %
            return _AFTER.sub("\u00a0", _BEFORE.sub("\u00a0", text)).format(**values)
        return str(self._catalogue.gettext(text)).format(**values)


@cache
def translator(lang: str) -> Translator:
    """The translator of a language; French for one that there is not."""
    if lang not in LANGUAGES or lang == SOURCE:
        return Translator(SOURCE, None)
    with (FOLDER / lang / "messages.po").open("rb") as file:
        catalogue = read_po(file, locale=lang)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translator(lang, Translations(compiled))
