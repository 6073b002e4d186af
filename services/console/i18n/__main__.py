"""Update the catalogues from the sources: `python -m services.console.i18n`.

New texts stay untranslated.
"""

from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from services.console.i18n import DOMAIN, FOLDER, LANGUAGES, SOURCE

CONSOLE = Path(__file__).resolve().parents[1]
METHODS = [("**.html", "jinja2.ext:babel_extract"), ("**.py", "python")]
OPTIONS = {"**.html": {"trimmed": "false", "silent": "false"}}
CREATION_DATE = datetime(2026, 1, 1, tzinfo=UTC)
"""Fixed date in the head of every catalogue: a real one would conflict in every merge."""
KEYWORDS = {"_": None, "N_": None, "plural": (1, 2)}


def extract_texts() -> Catalog:
    """Extract all French texts of the console."""
    catalogue = Catalog(locale=None, domain=DOMAIN, project="vigie", charset="utf-8")
    for file, line, message, comments, context in extract_from_dir(
        CONSOLE, METHODS, OPTIONS, KEYWORDS, comment_tags=()
    ):
        catalogue.add(message, None, [(file, line)], auto_comments=comments, context=context)
    return catalogue


def load_catalogue(lang: str) -> Catalog:
    """Load the stored catalogue of one language."""
    path = FOLDER / lang / f"{DOMAIN}.po"
    if not path.exists():
        return Catalog(locale=lang, domain=DOMAIN, project="vigie", charset="utf-8")
    with path.open("rb") as f:
        return read_po(f, locale=lang, domain=DOMAIN)


def main() -> None:
    """Update every catalogue and drop texts that no longer exist."""
    template = extract_texts()
    for lang in LANGUAGES:
        if lang == SOURCE:
            continue
        catalogue = load_catalogue(lang)
        catalogue.update(template, no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        catalogue.creation_date = CREATION_DATE
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
