"""An exercise file while it is read: where its faults are noted, and how its values are judged, shown and taken."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

from services.territory import Problem, Territory
from services.territory.source import MOST_SHOWN, line_of, sprawls

PARIS: Final = ZoneInfo("Europe/Paris")


@dataclass
class Reading:
    """One file with a place to note faults."""

    name: str
    territory: Territory
    problems: list[Problem] = field(default_factory=list)
    start: int = 0
    ids: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Event id → time at which it is learnt, and its place in the file among those of that time."""

    def fault(self, node: Any, key: Any, what: str) -> None:
        """Note what is wrong with a key or element of a node, or with the node itself."""
        self.problems.append(Problem(self.name, line_of(node, key), what))

    def known_site(self, node: Any, key: Any, site: Any) -> None:
        """A fault if there is no such site."""
        self.known_word(node, key, "site", str(site), {s.id for s in self.territory.sites})

    def known_activity(self, node: Any, key: Any, activity: Any) -> None:
        """A fault if there is no such activity."""
        self.known_word(
            node, key, "activity", str(activity), {a.id for a in self.territory.activities}
        )

    def known_word(self, node: Any, key: Any, kind: str, word: Any, known: set[str]) -> None:
        """A fault if a word is none of those that there are of its kind."""
        if word not in known:
            self.fault(node, key, f"{key}: no {kind} {named(word)}{_near(str(word), known)}")


def _near(wanted: str, known: set[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(wanted[:MOST_SHOWN], sorted(known), 1)
    return f"; {near[0]}?" if near else ""


def short(value: Any) -> str:
    """A value as an error quotes it."""
    text = repr(value if isinstance(value, str) else plain(value)) if not sprawls(value) else "this"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def named(value: Any) -> str:
    """An id as an error names it."""
    text = str(value)
    return text if text.isprintable() and len(text) <= MOST_SHOWN else short(text)


def is_scalar(value: Any) -> bool:
    """True for a word, a number, a time or nothing."""
    return isinstance(value, str) or not isinstance(value, Collection)


def is_writable(value: Any) -> bool:
    """False for numbers beyond all bounds or that are none, and for halves of characters."""
    try:
        orjson.dumps(plain(value))
        json.dumps(plain(value), allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def plain(value: Any) -> Any:
    """Without the marks of the YAML reader; times as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=PARIS)).isoformat()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    return str(value)
