"""Find the site that a person means: by its code, its id or its name."""

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from services.intake.field.short_line import (
    EMERGENCY_NUMBERS,
    ShortLine,
    fold_text,
    is_near_word,
    split_words,
)
from services.runtime.http.problems import build_field_problem

log = structlog.get_logger(__name__)

_ARTICLES: Final = frozenset(
    {"A", "AU", "AUX", "D", "DE", "DES", "DU", "EN", "ET", "L", "LA", "LE", "LES"}
)
"""Words of a name that people leave out or change."""
_CODE_WORDS: Final = frozenset({"CODE", "N", "NUMERO", "SITE"})
"""Words that may stand before the code of a site."""


_KINDS: Final = {"CLG": "COLLEGE", "COL": "COLLEGE", "GYM": "GYMNASE"}
"""Short forms of the first words of names."""
_MIN_FUZZY: Final = 5
"""Fewest letters of a word of a name that is read with one mistake."""


@dataclass(frozen=True, slots=True)
class NamedSite:
    """A site, with the words of its name and of its commune."""

    id: str
    kind: str
    """First word of the name, such as COLLEGE."""
    last: str
    """Last word of the name, mostly that of a person."""
    words: frozenset[str]
    commune: frozenset[str]


class SiteCodes:
    """Site codes and names of the live territory."""

    def __init__(self, territory: Path) -> None:
        self._file = territory / "sites.csv"
        self._read_at: float | None = None
        self._codes: dict[str, str] = {}
        self._sites: tuple[NamedSite, ...] = ()
        self._short_names: Counter[tuple[str, str]] = Counter()
        """(kind, last word) → number of sites that are called so."""
        self._commune_words: frozenset[str] = frozenset()
        self._name_words: frozenset[str] = frozenset()

    def site_of(
        self, site_code: str | None, own: tuple[str, ...], *, optional: bool = False
    ) -> str | None:
        """Return the site id of a code or id. An unknown one is kept for a person to link.

        Without one, the sender's only site counts. If there is none or several, the result is None
        where a site is `optional`: danger is accepted, and the cell asks where it is. Otherwise
        raises ProblemError `invalid`. Rule D8, unknown places.
        """
        if site_code is not None:
            return self._read().get(site_code, site_code.lower() if "-" in site_code else site_code)
        if len(own) == 1:
            return own[0]
        if optional:
            return None
        raise build_field_problem(
            "text",
            "site",
            "code du site attendu, par exemple 117 ELEC",
            "a site code is expected, for example 117 ELEC",
        )

    def site_of_line(self, line: ShortLine, text: str, own: tuple[str, ...]) -> str | None:
        """Return the site that a line is about: that of its code or of its words, see `site_of`."""
        if line.site is None and (site := self.find_named(text)) is not None:
            return site
        return self.site_of(line.site, own, optional=line.is_danger)

    def knows(self, site: str) -> bool:
        """Return whether this is a site of the territory; True if the territory is unreadable."""
        sites_by_code = self._read()
        return not sites_by_code or site in sites_by_code.values()

    def find_code(self, site_code: str) -> str | None:
        """Return the site id of a known code or id."""
        return self._read().get(site_code)

    def find_named(self, text: str) -> str | None:
        """Return the only site that a text names; None if it names none or might mean several.

        A name counts with all its words, or with its first and last word, if no other site has
        both and the last one is no commune: «collège Mermoz», not «centre de Nanterre». Among
        several, the commune in the text decides. A text that names no site as it stands may have a
        mistake in each word.
        """
        self._read()
        written_words = frozenset(_split_name(text))
        corrected_words = frozenset(map(self._correct_word, written_words))
        for words in dict.fromkeys((written_words, corrected_words)):
            called_sites = [
                site for site in self._sites if site.words <= words or self._is_called(site, words)
            ]
            if (site := _choose_site(called_sites, words)) is not None:
                return site
        return None

    def _correct_word(self, word: str) -> str:
        """Return the word of a name that is meant: «CLG», «COLEGE», «MERMOS».

        A word of five letters or more may have one mistake after its first letter, if it then is
        one word of all names.
        """
        if word in self._name_words or len(word) < _MIN_FUZZY:
            return _KINDS.get(word, word)
        near_words = [one for one in self._name_words if is_near_word(word, one)]
        return near_words[0] if len(near_words) == 1 else word

    def find_place(self, text: str) -> str | None:
        """Return the only site that a text means which says nothing but a place.

        The text is a code, or words of one name: «mermoz», «gymnase rueil».
        """
        codes = self._read()
        place_words = frozenset(split_words(text)) - _ARTICLES - _CODE_WORDS
        code_words = place_words - (frozenset() if _names_code(text) else EMERGENCY_NUMBERS)
        if len(place_words) == 1 and (site := codes.get(next(iter(code_words), ""))) is not None:
            return site
        if (site := self.find_named(text)) is not None:
            return site
        place_words = frozenset(_split_name(text)) - _ARTICLES
        if not place_words - EMERGENCY_NUMBERS:
            return None
        sites = [one for one in self._sites if place_words <= one.words | one.commune]
        return sites[0].id if len(sites) == 1 else None

    def _is_called(self, site: NamedSite, words: frozenset[str]) -> bool:
        """Return whether a text has the first and the last word of a name, and they are enough."""
        if not {site.kind, site.last} <= words:
            return False
        is_only = self._short_names[site.kind, site.last] == 1
        return is_only and site.last not in self._commune_words

    def _read(self) -> dict[str, str]:
        """Return the site ids by code and id, from the file as it is now."""
        try:
            modified_at = self._file.stat().st_mtime
            if modified_at != self._read_at:
                with self._file.open(encoding="utf-8", newline="") as rows:
                    self._index(list(csv.DictReader(rows)))
                self._read_at = modified_at
        except (OSError, KeyError, ValueError) as error:
            log.error(
                "places.unreadable",
                file=str(self._file),
                error=f"{type(error).__name__}: {error}",
                then="codes stay as they were read before",
            )
        return self._codes

    def _index(self, rows: Sequence[dict[str, str]]) -> None:
        site_codes = [(row["site_id"], row.get("code") or "") for row in rows]
        sites = [site for row in rows if (site := _read_name(row)) is not None]
        self._codes = {id.upper(): id for id, _ in site_codes} | {
            code.upper(): id for id, code in site_codes if code
        }
        self._sites = tuple(sites)
        self._short_names = Counter((site.kind, site.last) for site in sites)
        self._commune_words = frozenset(word for site in sites for word in site.commune)
        self._name_words = self._commune_words.union(*(site.words for site in sites))


def _names_code(text: str) -> bool:
    """Return whether a text says that its number is that of a site: «site 112»."""
    return not _CODE_WORDS.isdisjoint(split_words(text))


def _split_name(text: str) -> list[str]:
    """Split into capital words without accents, also at hyphens: people leave them out."""
    return re.findall(r"[A-Z0-9]+", fold_text(text))


def _read_name(row: dict[str, str]) -> NamedSite | None:
    """Return the words of a site's name; None if it is a single word."""
    name = [word for word in _split_name(row.get("name") or "") if word not in _ARTICLES]
    if len(set(name)) < 2:
        return None
    commune = frozenset(_split_name(row.get("commune") or ""))
    return NamedSite(row["site_id"], name[0], name[-1], frozenset(name), commune)


def _choose_site(sites: Collection[NamedSite], words: frozenset[str]) -> str | None:
    """Return the site with most words in a text, then the one with its commune there, or None."""
    in_communes = [site for site in sites if site.commune and site.commune <= words]
    for candidates in (_list_longest(sites, words), _list_longest(in_communes, words)):
        if len(candidates) == 1:
            return candidates[0].id
    return None


def _list_longest(sites: Iterable[NamedSite], words: frozenset[str]) -> list[NamedSite]:
    sites = list(sites)
    most = max((len(site.words & words) for site in sites), default=0)
    return [site for site in sites if len(site.words & words) == most]
