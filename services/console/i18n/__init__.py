"""Languages of the console: French in the source, English in a catalogue. Rule D60.

Catalogues are read as text (`<lang>/vigie.po`) and compiled in memory, so there is no build step.
Translators run `python -m services.console.i18n` to update them from the sources.
"""

import re
from functools import cache
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import Translations

from schemas.catalogue.channels import CHANNELS
from schemas.catalogue.event_types import list_texts
from schemas.catalogue.strategies import list_strategy_names

SOURCE = "fr"
LANGUAGES = ("fr", "en")
FOLDER = Path(__file__).parent
DOMAIN = "vigie"

_SPACE_BEFORE_SIGN = re.compile(r" (?=[:;!?»%])")
_SPACE_AFTER_QUOTE = re.compile(r"(?<=«) ")


_DATED = re.compile(
    r"(?<!’)\b(à|À|depuis|avant|dès|après|pour|jusqu’à) "
    r"((?:lun|mar|mer|jeu|ven|sam|dim)\. \d\d/\d\d|\d\d/\d\d/\d{4})(?: (\d\d:\d\d))?"
)
_BEFORE_DAYS = {"à": "le", "À": "Le", "jusqu’à": "jusqu’au"}


def write_dated_times(text: str) -> str:
    """Write the time of another day as it is read aloud: `à jeu. 14/01 13:32` is no French.

    It becomes `le jeu. 14/01 à 13:32`.
    """
    return _DATED.sub(_write_dated_time, text) if "/" in text else text


def _write_dated_time(found: re.Match[str]) -> str:
    preposition, day, hour = found.groups()
    words = _BEFORE_DAYS.get(preposition, f"{preposition} le")
    return f"{words} {day} à {hour}" if hour else f"{words} {day}"


def add_french_spaces(text: str) -> str:
    """Put the no-break spaces of French around `: ; ! ? « » %`."""
    return _SPACE_AFTER_QUOTE.sub("\u00a0", _SPACE_BEFORE_SIGN.sub("\u00a0", text))


def N_(text: str) -> str:  # noqa: N802  gettext's own name for this mark
    """Mark a text for the catalogues; it is translated where it is shown."""
    return text


class Translator:
    """Translator into one language. `_("{n} sites", n=3)` translates, then fills the braces."""

    def __init__(self, lang: str, catalogue: Translations | None) -> None:
        self.lang = lang
        self._catalogue = catalogue
        self._cache: dict[str, str] = {}

    def _text(self, text: str) -> str:
        translation = self._cache.get(text)
        if translation is None:
            translation = self._cache[text] = (
                add_french_spaces(text)
                if self._catalogue is None
                else str(self._catalogue.gettext(text))
            )
        return translation

    def __call__(self, text: str, /, **values: object) -> str:
        if not values:
            return self._text(text)
        filled_text = self._text(text).format(**values)
        return write_dated_times(filled_text) if self.lang == SOURCE else filled_text

    def plural(self, one: str, many: str, n: float, /, **values: object) -> str:
        """Translate `one` or `many` by the plural rule of the language.

        `n` may stand in the braces; thousands stand apart. In French, 0 is singular.
        """
        if self._catalogue is None:
            text = self._text(one if abs(n) < 2 else many)
        else:
            text = str(self._catalogue.ngettext(one, many, int(n) if n == int(n) else 2))
        number = n if abs(n) < 1000 else format_decimal(n, locale=self.lang)
        filled_text = text.format(**{"n": number, **values})
        return write_dated_times(filled_text) if self.lang == SOURCE else filled_text


@cache
def get_translator(lang: str) -> Translator:
    """Return the translator of `fr` or `en`; French for any other language."""
    if lang == SOURCE or lang not in LANGUAGES:
        return Translator(SOURCE, None)
    with (FOLDER / lang / f"{DOMAIN}.po").open("rb") as f:
        catalogue = read_po(f, locale=lang)
    channels = [row.label for row in CHANNELS.values()]
    for text in (*list_texts(), *channels, *list_strategy_names()):
        catalogue.add(text.fr, text.en)
    mo_file = BytesIO()
    write_mo(mo_file, catalogue)
    mo_file.seek(0)
    return Translator(lang, Translations(mo_file))
