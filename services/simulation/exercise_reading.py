"""Collect faults of an exercise file; judge, quote and convert its values."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

from services.territory import SourceProblem, Territory
from services.territory.source import MAX_QUOTED_CHARACTERS, find_line, is_too_large

PARIS: Final = ZoneInfo("Europe/Paris")


@dataclass
class ExerciseReader:
    """An exercise file while it is read, with the faults found so far."""

    name: str
    territory: Territory
    problems: list[SourceProblem] = field(default_factory=list)
    start: int = 0
    ids: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Event id → (time when it is learnt, its number in the file)."""

    def fault(self, node: Any, key: Any, what: str) -> None:
        """Note a fault of a key or element of a node, or of the node itself."""
        self.problems.append(SourceProblem(self.name, find_line(node, key), what))

    def known_site(self, node: Any, key: Any, site: Any) -> None:
        """Note a fault if the site does not exist."""
        self.known_word(node, key, "site", str(site), {s.id for s in self.territory.sites})

    def known_activity(self, node: Any, key: Any, activity: Any) -> None:
        """Note a fault if the activity does not exist."""
        self.known_word(
            node, key, "activity", str(activity), {a.id for a in self.territory.activities}
        )

    def known_word(self, node: Any, key: Any, kind: str, word: Any, valid_words: set[str]) -> None:
        """Note a fault if a word is not in `valid_words`; suggest the closest match."""
        if word not in valid_words:
            self.fault(
                node,
                key,
                f"{key}: no {kind} {format_id(word)}{_suggest_match(str(word), valid_words)}",
            )


def _suggest_match(word: str, valid_words: set[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word[:MAX_QUOTED_CHARACTERS], sorted(valid_words), 1)
    return f"; {near[0]}?" if near else ""


def quote_value(value: Any) -> str:
    """Quote a value in an error message, shortened."""
    text = (
        repr(value if isinstance(value, str) else to_plain_value(value))
        if not is_too_large(value)
        else "this"
    )
    return text if len(text) <= MAX_QUOTED_CHARACTERS else f"{text[:MAX_QUOTED_CHARACTERS]}…"


def format_id(value: Any) -> str:
    """Write an id in an error message."""
    text = str(value)
    return text if text.isprintable() and len(text) <= MAX_QUOTED_CHARACTERS else quote_value(text)


def is_scalar(value: Any) -> bool:
    """Return whether a value is single: text, number, time or None."""
    return isinstance(value, str) or not isinstance(value, Collection)


def is_writable(value: Any) -> bool:
    """Return whether a value can be written as JSON.

    False for NaN, infinity, huge numbers and lone surrogates.
    """
    try:
        orjson.dumps(to_plain_value(value))
        json.dumps(to_plain_value(value), allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def to_plain_value(value: Any) -> Any:
    """Convert values of the YAML reader to plain Python values, times to ISO text."""
    if isinstance(value, Mapping):
        return {str(key): to_plain_value(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain_value(one) for one in value]
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=PARIS)).isoformat()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    return str(value)
