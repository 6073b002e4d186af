"""Fill the territory's templates of statements with the known facts of an incident. Pure.

Facts that Vigie does not know stay in the text as blanks, `[heure du prochain point]`, for a person
to fill. Rule D91.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from schemas import reference as ref
from schemas.alerts import IncidentRow
from services.console.i18n import Translator, get_translator
from services.console.resources import to_datetime
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.console.web import times

ANY_EVENT: Final = "any"
COMMUNES_NAMED: Final = 6
SITES_NAMED: Final = 3
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
_BLANK: Final = re.compile(r"\[[^\[\]\n]{1,120}\]")


def find_section(sections: Iterable[ref.SectionData]) -> ref.Statements:
    """Return the templates of a version; none if the territory has no file of them."""
    statement_sections = (one for one in sections if isinstance(one, ref.Statements))
    return next(statement_sections, ref.Statements(templates=()))


def list_blanks(text: str) -> list[str]:
    """Return the blanks of a text that a person has to fill, each once."""
    return list(dict.fromkeys(_BLANK.findall(text)))


def select_templates(
    templates: Iterable[ref.StatementTemplate],
    *,
    event: str | None = None,
    audience: str | None = None,
    plain: bool | None = None,
) -> list[ref.StatementTemplate]:
    """Return the templates for an event, those of the event itself before those for any."""
    matching_templates = [
        one
        for one in templates
        if (event is None or one.event in (event, ANY_EVENT))
        and (audience is None or one.audience == audience)
        and (plain is None or one.plain is plain)
    ]
    return sorted(matching_templates, key=lambda one: one.event == ANY_EVENT)


def fill_text(text: str, values: Mapping[str, str], blanks: Mapping[str, str]) -> str:
    """Fill the placeholders of a template; an unknown value becomes a blank with its words."""

    def fill(placeholder: re.Match[str]) -> str:
        name = placeholder[1]
        return values.get(name) or f"[{blanks.get(name, name.replace('_', ' '))}]"

    return _PLACEHOLDER.sub(fill, text)


def describe_incident(
    row: IncidentRow | None, names: TerritoryNames, territory: str, lang: str, now: datetime
) -> dict[str, str]:
    """Return the values that Vigie knows: places, hours, the territory. No code, no person."""
    _ = get_translator(lang)
    common_values = {"territoire": territory, "heure": format_hour(now, now, lang)}
    if row is None:
        return common_values
    communes = [names.commune(insee) for insee in row.communes]
    sites = [names.site(site) for site in row.members]
    return {
        **common_values,
        "communes": join_places(communes, COMMUNES_NAMED, "communes", _),
        "sites": join_places(sites, SITES_NAMED, "sites", _),
        "depuis": format_hour(to_datetime(row.opened_at), now, lang),
    }


def join_places(places: Sequence[str], most: int, what: str, _: Translator) -> str:
    """Name a few places, count many."""
    if not places:
        return ""
    if len(places) > most:
        many = {
            "communes": _("{n} communes", n=len(places)),
            "sites": _("{n} sites", n=len(places)),
        }
        return many[what]
    return w.join_words(list(places), _)


def format_hour(at: datetime, now: datetime, lang: str) -> str:
    """Write an hour as a statement does: `9 h 40`, with its day if that is another one."""
    local, today = times.to_paris(at), times.to_paris(now)
    hour = f"{local.hour} h {local.minute:02d}" if lang == "fr" else f"{local:%H:%M}"
    hour = hour.removesuffix(" 00") if lang == "fr" else hour
    return hour if local.date() == today.date() else f"{times.day(at, lang)}, {hour}"


def choose_words(template: ref.StatementTemplate, lang: str) -> tuple[str, str]:
    """Return title and text of a template in a language; French if it has no other."""
    if lang == "en" and template.title_en and template.text_en:
        return template.title_en, template.text_en
    return template.title, template.text


def count_blanks(*texts: Any) -> int:
    """Count the blanks that a person still has to fill."""
    return sum(len(list_blanks(text)) for text in texts if text)
