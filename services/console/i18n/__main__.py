"""`python -m services.console.i18n`: brings the catalogues in line with the sources; new texts wait there, untranslated."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from services.console.i18n import DOMAIN, FOLDER, LANGUAGES, SOURCE

CONSOLE = Path(__file__).resolve().parents[1]
METHODS = [("templates/**.html", "jinja2.ext:babel_extract"), ("**.py", "python")]
OPTIONS = {"templates/**.html": {"trimmed": "false", "silent": "false"}}
WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)
"""In the head of every catalogue, whenever it was updated: a date that changes says nothing and meets itself in every merge."""
KEYWORDS = {"_": None, "N_": None, "plural": (1, 2)}


def extracted() -> Catalog:
    """Every text of the console, in French."""
    catalogue = Catalog(locale=None, domain=DOMAIN, project="vigie", charset="utf-8")
    for file, line, message, comments, context in extract_from_dir(
        CONSOLE, METHODS, OPTIONS, KEYWORDS, comment_tags=()
    ):
        catalogue.add(message, None, [(file, line)], auto_comments=comments, context=context)
    return catalogue


def load(lang: str) -> Catalog:
    """The catalogue of one language as it is kept."""
    path = FOLDER / lang / f"{DOMAIN}.po"
    if not path.exists():
        return Catalog(locale=lang, domain=DOMAIN, project="vigie", charset="utf-8")
    with path.open("rb") as f:
        return read_po(f, locale=lang, domain=DOMAIN)


def main() -> None:
    """Update every catalogue; texts that are gone are dropped."""
    template = extracted()
    for lang in LANGUAGES:
        if lang == SOURCE:
            continue
        catalogue = load(lang)
        catalogue.update(template, no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        catalogue.creation_date = WRITTEN
        (FOLDER / lang).mkdir(exist_ok=True)
        with (FOLDER / lang / f"{DOMAIN}.po").open("wb") as f:
            write_po(
                f,
                catalogue,
                sort_output=True,
                no_location=True,
                omit_header=False,
                ignore_obsolete=True,
                width=0,
            )
        missing = sum(
            1
            for m in catalogue
            if m.id and not all(m.string if isinstance(m.string, tuple | list) else (m.string,))
        )
        print(f"{lang}: {len(catalogue)} texts, {missing} to translate")


if __name__ == "__main__":
    main()
