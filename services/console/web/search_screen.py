"""Page `/recherche`: search in sites, incidents, lines and people."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from services.console.attention.cell_page import fold_text
from services.console.i18n import N_, Translator
from services.console.logbook.line_list import build_entries
from services.console.resources import Incident, Line, Site
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames
from services.console.web.screen_context import LINE_LIMIT, ScreenData, ScreenPage, load_lines
from services.runtime.identity.permissions import Permission

MAX_QUERY_LENGTH: Final = 80
RESULTS_SHOWN: Final = 30


def has_all_words(query: str, *texts: str) -> bool:
    """Return whether every requested word is in the texts, ignoring accents and case."""
    there = fold_text(" ".join(texts))
    return all(word in there for word in fold_text(query).split())


def find_sites(sites: Iterable[Site], query: str) -> list[Site]:
    """Return the sites by name, commune or id, ordered by commune; all without a query."""
    matching_sites = [s for s in sites if has_all_words(query, s.id, s.name, s.commune_name)]
    return sorted(
        matching_sites, key=lambda s: (fold_text(s.commune_name), fold_text(s.name), s.id)
    )


def find_incidents(incidents: Iterable[Incident], query: str, _: Translator) -> list[Incident]:
    """Return the incidents by number, title or family, open ones first, closed ones too."""
    if not query:
        return []
    matching_incidents = [
        i
        for i in incidents
        if has_all_words(query, i.number, i.title, w.translate_code(world.FAMILY, i.kind, _))
    ]
    return sorted(
        matching_incidents, key=lambda i: (i.closed_at is not None, -i.opened_at.timestamp())
    )[:RESULTS_SHOWN]


def find_lines(lines: Iterable[Line], query: str) -> list[Line]:
    """Return the lines with the requested words, newest first."""
    return (
        [
            line.model_copy(update={"group": None})
            for line in lines
            if has_all_words(query, line.text)
        ]
        if query
        else []
    )


@dataclass(frozen=True, slots=True)
class FoundPerson:
    """A person known by role, never by name. Rule D58."""

    token: str
    role: str


def find_people(names: TerritoryNames, query: str, _: Translator) -> list[FoundPerson]:
    """Return the holders of the requested roles."""
    if not query:
        return []
    people = [FoundPerson(token, w.name_person(token, names, _)) for token in names.holders]
    return sorted(
        (p for p in people if has_all_words(query, p.role)), key=lambda p: fold_text(p.role)
    )[:RESULTS_SHOWN]


async def build_search_page(x: ScreenData) -> dict[str, Any]:
    """Build `search.html`: the sites, incidents, lines and people that the reader may see."""
    search_query = x.request.query_params.get("q", "").strip()[:MAX_QUERY_LENGTH]
    incidents = (await x.queries.incidents(limit=LINE_LIMIT)).items if search_query else []
    lines = await load_lines(x, kinds=("all",), limit=LINE_LIMIT) if search_query else []
    may_read_log = x.shell.reader.may(Permission.LOG_READ)
    return {
        "q": search_query,
        "sites": find_sites(x.sites, search_query)[:RESULTS_SHOWN] if search_query else [],
        "incidents": find_incidents(incidents, search_query, x._),
        "people": find_people(x.names, search_query, x._) if may_read_log else [],
        "entries": build_entries(find_lines(lines, search_query), x.names, x._, RESULTS_SHOWN),
        "may_read_log": may_read_log,
    }


PAGE: Final = ScreenPage("search", "/recherche", "search.html", build_search_page, N_("Rechercher"))
