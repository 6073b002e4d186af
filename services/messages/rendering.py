"""Render message templates.

* `{name}` stands for a value, `{name:one|several}` for a number with the fitting word.
* `⟨ … ⟩` is a passage that disappears if one of its values is empty.
* `⟦ … ⟧` also disappears if the message would be too long, the last one first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

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


def list_value_names(template: str) -> frozenset[str]:
    """Return the names of all values in a template."""
    return frozenset(name for passage in split_template(template) for name in passage.names)


def render(template: str, values: Values, *, drop: int = 0) -> str:
    """Fill a template in, without its last `drop` droppable passages.

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
        parts.append(_VALUE.sub(lambda match: _fill_value(match, values), passage.text))
    return _join_dates(re.sub(r"[ \t]{2,}", " ", "".join(parts)).strip())


def _join_dates(text: str) -> str:
    """Join a date to the word before it: «jusqu’au 12/02», «du 12/02», “on 12 February”."""
    for words, pattern, replacement in _BEFORE_A_DATE:
        if words in text:
            text = pattern.sub(replacement, text)
    return text


def render_lines(template: str, values: Values) -> list[str]:
    """Fill in a text of several lines.

    A line disappears if its values are missing.
    """
    lines: list[str] = []
    for line in template.splitlines():
        filled_text = render(line, values)
        if filled_text or not line.strip():
            lines.append(filled_text)
    while lines and not lines[-1]:
        lines.pop()
    return [line for n, line in enumerate(lines) if line or (n and lines[n - 1])]


def _fill_value(placeholder: re.Match[str], values: Values) -> str:
    value = values.get(placeholder[1])
    if value is None or value == "":
        raise MissingValue(placeholder[1])
    if placeholder[2] is None:
        return str(value)
    return f"{value} {placeholder[2] if value == 1 else placeholder[3]}"


def cut_words(text: str, length: int) -> str:
    """Shorten a text to `length` characters, between two words."""
    if len(text) <= length:
        return text
    return text[: length - 1].rsplit(" ", 1)[0].rstrip(" ,;:–") + "…"
