"""Hold the phrases of one language: templates, kinds of events, times, numbers and places.

A proposed plan is explained by the condition that holds, with its value. Rule D70.

In a template:

* `{name}` stands for a value, `{name:one|several}` for a number with the fitting word.
* `⟨ … ⟩` is a passage that disappears if one of its values is empty.
* `⟦ … ⟧` also disappears if the message would be too long, the last one first.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from ruamel.yaml import YAML

from schemas.alerts import Why
from schemas.base import MINUTE_MS, Instant
from schemas.catalogue.event_types import EVENT_TYPES
from schemas.catalogue.strategies import STRATEGIES
from services.messages.names import MessageNames
from services.runtime.http.control_characters import remove_control_characters

Value = str | int | float | None
Values = Mapping[str, Value]
_BEFORE_A_DATE: Final = (
    ("à le ", re.compile(r"\b(jusqu.)à le (?=\d)"), r"\1au "),
    ("à le ", re.compile(r"\bà le (?=\d)"), "le "),
    ("de le ", re.compile(r"\bde le (?=\d)"), "du "),
    ("at ", re.compile(r"\bat (?=\d\d? [A-Z])"), "on "),
)
"""Contractions of a word and the article of a date, in both languages.

Each pattern is searched only in a text with its words: a search costs 20 times as much.
"""
_PASSAGE: Final = re.compile(r"⟨([^⟨⟩⟦⟧]*)⟩|⟦([^⟨⟩⟦⟧]*)⟧")
_VALUE: Final = re.compile(r"\{(\w+)(?::([^|{}]*)\|([^{}]*))?\}")
PARIS: Final = ZoneInfo("Europe/Paris")
SOURCE: Final = "fr"
LANGUAGES: Final = ("fr", "en")
PHRASES_FOLDER: Final = Path(__file__).parent
_MINUTES_PER_HOUR: Final = 60
SMALLEST_PLURAL: Final = 2
"""Smallest number with a plural in French."""
_SMALLEST_COUNT: Final = 3
"""Smallest number of people that a message counts. Rule D58."""
_ANYWHERE: Final = "any"
_Args = Mapping[str, str | int | float | bool | list[str] | list[int]]


class MissingValue(LookupError):
    """Signal a value that a template needs and the message does not have."""


@dataclass(frozen=True, slots=True)
class TemplatePassage:
    """A part of a template: fixed, optional with its values, or droppable for lack of room."""

    text: str
    optional: bool = False
    droppable: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the values that it needs."""
        return tuple(value_match[1] for value_match in _VALUE.finditer(self.text))


@cache
def split_template(template: str) -> tuple[TemplatePassage, ...]:
    """Split a template into its passages."""
    passages, at = [], 0
    for match in _PASSAGE.finditer(template):
        if match.start() > at:
            passages.append(TemplatePassage(template[at : match.start()]))
        droppable = match[2] is not None
        passages.append(
            TemplatePassage(match[2] if droppable else match[1], optional=True, droppable=droppable)
        )
        at = match.end()
    if at < len(template):
        passages.append(TemplatePassage(template[at:]))
    return tuple(passages)


def count_droppable(template: str) -> int:
    """Count the passages that can be dropped for lack of room."""
    return sum(passage.droppable for passage in split_template(template))


def render(template: str, values: Values, *, drop: int = 0, lang: str = SOURCE) -> str:
    """Fill a template in, without its last `drop` droppable passages.

    `lang` decides which numbers are singular.

    Raises MissingValue for an empty value in a passage that must stay.
    """
    room = count_droppable(template) - drop
    parts: list[str] = []
    for passage in split_template(template):
        if passage.droppable:
            room -= 1
            if room < 0:
                continue
        if passage.optional and not all(
            values.get(name) not in (None, "", 0) for name in passage.names
        ):
            continue
        parts.append(_VALUE.sub(lambda match: _fill_value(match, values, lang), passage.text))
    return _join_dates(re.sub(r"[ \t]{2,}", " ", "".join(parts)).strip())


def _join_dates(text: str) -> str:
    """Join a date to the word before it: «jusqu’au 12/02», «du 12/02», “on 12 February”."""
    for words, pattern, replacement in _BEFORE_A_DATE:
        if words in text:
            text = pattern.sub(replacement, text)
    return text


def render_lines(template: str, values: Values, lang: str = SOURCE) -> list[str]:
    """Fill in a text of several lines.

    A line disappears if its values are missing.
    """
    lines: list[str] = []
    for line in template.splitlines():
        filled_text = render(line, values, lang=lang)
        if filled_text or not line.strip():
            lines.append(filled_text)
    while lines and not lines[-1]:
        lines.pop()
    return [line for n, line in enumerate(lines) if line or (n and lines[n - 1])]


def _fill_value(placeholder: re.Match[str], values: Values, lang: str) -> str:
    value = values.get(placeholder[1])
    if isinstance(value, str):
        value = remove_control_characters(value)
    if value is None or value == "":
        raise MissingValue(placeholder[1])
    if placeholder[2] is None:
        return str(value)
    return f"{value} {placeholder[2] if _is_singular(value, lang) else placeholder[3]}"


def _is_singular(number: str | float, lang: str) -> bool:
    """Return whether a number takes the singular; in French, all below 2 do."""
    if lang == SOURCE and isinstance(number, int | float):
        return number < SMALLEST_PLURAL
    return number == 1


def cut_words(text: str, length: int) -> str:
    """Shorten a text to `length` characters, between two words."""
    if len(text) <= length:
        return text
    return text[: length - 1].rsplit(" ", 1)[0].rstrip(" ,;:–") + "…"


def describe_reason(why_json: object, names: MessageNames, phrases: "Phrases") -> str:
    """Return a reason in words, or "" for one that is unknown or does not hold.

    `why_json` is the JSON of a `Why`, as the facts of a message carry it.
    """
    why = _parse_reason(why_json)
    if why is None or why.metric is None or why.value is False:
        return ""
    return phrases.reason(why.metric, _list_values(why, names, phrases))


def _parse_reason(why_json: object) -> Why | None:
    if not isinstance(why_json, str):
        return None
    try:
        return Why.model_validate_json(why_json)
    except ValidationError:
        return None


def _list_values(why: Why, names: MessageNames, phrases: "Phrases") -> dict[str, str | int | float]:
    """Return the values that the words of a metric may use."""
    number = _to_number(why.value)
    kinds = _to_list(why.args.get("kinds")) or _to_list(why.args.get("kind"))
    phenomena = _to_list(why.args.get("phenomenon"))
    phenomenon_names = [
        phrases.term("phenomena", p) or p.replace("-", " ") for p in phenomena if p != _ANYWHERE
    ]
    station = str(why.args.get("station") or "").rpartition("-")[2]
    return {
        "n": number,
        "value": phrases.number(number),
        "count": _count_sites(int(number), kinds, phrases),
        "kinds": phrases.term("site_kinds_many", kinds[0]) or "" if len(kinds) == 1 else "",
        "colour": phrases.term("colours", why.value) or "",
        "phenomena": _join_choices(phenomenon_names, phrases),
        "station": station.capitalize(),
        "flag": phrases.term("flags", why.args.get("name")) or "",
        "measure": (phrases.term("measures", why.args.get("name")) or "").replace(
            "{value}", phrases.number(number)
        ),
        "event": phrases.term("events", why.args.get("cause")) or "",
        "road": str(why.args.get("road") or ""),
        "pct": _to_number(why.args.get("pct")),
        "horizon": _to_number(why.args.get("horizon_h")),
        "minutes": _to_number(why.args.get("window_min")),
        "hours": int(_to_number(why.args.get("window_min"))) // _MINUTES_PER_HOUR,
        "scope": _name_scope(str(why.args.get("scope") or ""), names, phrases),
        "activities": _name_activities(why.args, names, phrases),
    }


def _join_choices(names: list[str], phrases: "Phrases") -> str:
    """Join alternatives: `A, B ou C`."""
    head, tail = names[:-1], names[-1:]
    return phrases.word("or").join([", ".join(head), *tail] if head else tail)


def _count_sites(number: int, kinds: list[str], phrases: "Phrases") -> str:
    """Count sites by their kind (`3 collèges`), or as sites if they may be of several."""
    table = "site_kinds" if number == 1 else "site_kinds_many"
    name = phrases.term(table, kinds[0]) if len(kinds) == 1 else None
    return phrases.word("sites", n=number) if name is None else f"{number} {name}"


def _name_scope(scope: str, names: MessageNames, phrases: "Phrases") -> str:
    family, _, id = scope.partition(":")
    match family:
        case "pole":
            return _in_language(names.poles.get(id), phrases)
        case "site":
            return names.sites[id][0] if id in names.sites else ""
        case "kind":
            return phrases.term("site_kinds_many", id) or ""
        case _:
            return ""


def _name_activities(args: _Args, names: MessageNames, phrases: "Phrases") -> str:
    """Name the one activity of a condition, else the pôle of several, else count them."""
    ids = _to_list(args.get("activities"))
    if len(ids) == 1:
        return _in_language(names.activities.get(ids[0]), phrases)
    if ids:
        return phrases.word("one_of", n=len(ids))
    return _in_language(names.poles.get(str(args.get("pole"))), phrases)


def _in_language(pair: tuple[str, str] | None, phrases: "Phrases") -> str:
    return "" if pair is None else pair[phrases.lang == "en"]


def _to_list(value: str | float | bool | list[str] | list[int] | None) -> list[str]:
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _to_number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if value == int(value) else value


@dataclass(frozen=True, slots=True)
class Phrases:
    """Content of one language file."""

    lang: str
    words: Mapping[str, Any]

    @property
    def templates(self) -> Mapping[str, Mapping[str, str]]:
        """Templates of every message."""
        template_table: Mapping[str, Mapping[str, str]] = self.words["templates"]
        return template_table

    def word(self, name: str, **values: str | int) -> str:
        """Fill a phrase in; spaces at its ends are kept."""
        text = str(self.words[name])
        filled_text = render(text, values, lang=self.lang)
        return text[: len(text) - len(text.lstrip())] + filled_text + text[len(text.rstrip()) :]

    def term(self, table: str, key: object) -> str | None:
        """Return the entry of a table such as `kinds`, or None."""
        entry = self.words.get(table, {}).get(key)
        return None if entry is None else str(entry)

    def reason(self, metric: str, values: Mapping[str, str | int | float]) -> str:
        """Fill in the words of a metric; "" without words or without their values."""
        phrase = self.term("reasons", metric)
        try:
            return "" if phrase is None else render(phrase, values, lang=self.lang)
        except MissingValue:
            return ""

    def number(self, value: float) -> str:
        """Format a number: `79,4` and `180 000` in French."""
        point, group = (",", "\u00a0") if self.lang == SOURCE else (".", ",")
        return f"{value:,}".replace(",", "_").replace(".", point).replace("_", group)

    def time(self, at: Instant, seen_at: Instant, *, spoken: bool) -> str:
        """Format a time of day, with the date if it is not the day of reading."""
        local, today = (
            datetime.fromtimestamp(at / 1000, PARIS),
            datetime.fromtimestamp(seen_at / 1000, PARIS).date(),
        )
        if not spoken:
            return self._format_date("clock" if local.date() == today else "dated", local)
        full = "spoken_full" if local.minute == 0 else "spoken"
        clock = self._format_date(full, local)
        return (
            clock if local.date() == today else self._format_date("spoken_dated", local, time=clock)
        )

    def stamp(self, at: Instant) -> str:
        """Format the date and time of a message."""
        return self._format_date("stamp", datetime.fromtimestamp(at / 1000, PARIS))

    def _format_date(self, name: str, local: datetime, **more: str) -> str:
        month_name = self.words["months"][local.month - 1]
        shape = str(self.words[name])
        return shape.format(
            day=local.day,
            month=local.month,
            month_name=month_name,
            year=local.year,
            hour=local.hour,
            minute=local.minute,
            **more,
        )

    def format_time_left(self, limit: Instant, now: Instant, *, spoken: bool) -> str:
        """Format the time until a limit; "" after it."""
        minutes = (limit - now) // MINUTE_MS
        if minutes <= 0:
            return ""
        if minutes < _MINUTES_PER_HOUR:
            return str(self.words["spoken_minutes" if spoken else "minutes"]).format(n=minutes)
        hours, rest = divmod(minutes, _MINUTES_PER_HOUR)
        return str(self.words["hours" if rest else "whole_hours"]).format(h=hours, m=rest)

    def agents(self, number: object) -> str:
        """Format a number of agents; fewer than three are not counted."""
        if isinstance(number, bool) or not isinstance(number, int | float) or number <= 0:
            return ""
        return (
            self.word("fewer") if number < _SMALLEST_COUNT else self.word("agents", n=int(number))
        )

    def join_names(self, names: Sequence[str], most: int) -> str:
        """Join names as `A, B et C`, or the first ones and the number of the rest."""
        if not names:
            return ""
        if len(names) > most:
            return ", ".join(names[:most]) + self.word("more", n=len(names) - most)
        if len(names) == 1:
            return names[0]
        return ", ".join(names[:-1]) + self.word("and") + names[-1]


@cache
def load_phrases(lang: str) -> Phrases:
    """Load the phrases of a language; French for an unknown one."""
    name = lang if lang in LANGUAGES else SOURCE
    words = YAML(typ="safe").load((PHRASES_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    words["events"] = {
        row.type.value: getattr(row.phrase, name) for row in EVENT_TYPES.values() if row.phrase
    }
    words["strategies"] = {code: getattr(row.phrase, name) for code, row in STRATEGIES.items()}
    return Phrases(name, words)
