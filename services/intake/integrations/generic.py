"""Accept messages of any other program: `POST /webhooks/generic/{source}`.

The source's record maps fields to JSON pointers. Without a mapping, common names are tried.
"""

from __future__ import annotations

import unicodedata
from typing import Any, Final

from services.intake.integrations.forms import fields_of
from services.intake.integrations.request import Asked, Reply, text, wrong
from services.intake.integrations.signals import Signal, State, flat, named_by_words
from services.intake.integrations.times import read_time
from services.runtime.http.problems import Problem
from services.runtime.identity.principals import Source

NAME: Final = "generic"
PATHS: Final = ("/webhooks/generic",)
MANY_DIGITS: Final = 20
FIELDS: Final = ("key", "title", "details", "state", "severity", "at", "site")
"""Fields that a mapping may set."""
_NAMES: Final = {
    "key": ("dedup_key", "dedup", "alias", "id", "event_id", "fingerprint", "groupKey"),
    "title": ("title", "summary", "subject", "name", "alertname"),
    "details": ("message", "text", "description", "details", "body"),
    "state": ("status", "state", "action", "event_action"),
    "severity": ("severity", "priority", "level"),
    "at": ("timestamp", "time", "date", "occurred_at"),
    "site": ("site", "site_id", "location"),
}
_CLOSES: Final = {
    "resolved",
    "resolve",
    "ok",
    "close",
    "closed",
    "up",
    "recovery",
    "recovered",
    "normal",
    "clear",
    "cleared",
    "restored",
    "healthy",
    "solved",
    "fixed",
    "success",
    "end",
    "false",
    "0",
    "resolu",
    "resolue",
    "retabli",
    "retablie",
    "termine",
    "terminee",
    "fin",
    "clos",
    "cloture",
    "cloturee",
}
_ACKS: Final = {
    "acknowledge",
    "acknowledged",
    "acknowledgement",
    "acknowledgment",
    "ack",
    "acquitte",
    "acquittee",
}
"""States of other programs, in lower case without accents."""
_SEVERITY: Final = {
    "critical": 4,
    "disaster": 4,
    "emergency": 4,
    "high": 4,
    "p1": 4,
    "error": 3,
    "major": 3,
    "average": 3,
    "p2": 3,
    "p3": 3,
    "warning": 2,
    "minor": 2,
    "p4": 2,
    "info": 1,
    "information": 1,
    "low": 1,
    "p5": 1,
}


def pointed(document: Any, pointer: str) -> Any:
    """Resolve a JSON pointer (RFC 6901); None if it leads nowhere."""
    at = document
    for raw in pointer.split("/")[1:]:
        part = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(at, dict):
            at = at.get(part)
        elif isinstance(at, list) and part.isdecimal() and int(part) < len(at):
            at = at[int(part)]
        else:
            return None
    return at


def signals(asked: Asked, source: Source) -> list[Signal]:
    """Read a message by the source's mapping. Raises ProblemError `invalid`."""
    found = signal_of(fields_of(asked), source)
    if not found.title:
        raise wrong(
            "title",
            "missing",
            "title, summary, message ou text obligatoire",
            "title, summary, message or text is required",
        )
    return [found]


def signal_of(given: dict[str, Any], source: Source) -> Signal:
    """Read a document by the source's mapping, else by common names. The title may be empty."""

    def value(name: str) -> Any:
        if (pointer := source.fields.get(name)) is not None:
            return pointed(given, pointer)
        return next((given[n] for n in _NAMES[name] if given.get(n) not in (None, "")), None)

    said = {name: value(name) for name in FIELDS}
    title = text(said, "title") or text(said, "details")
    state = _plain(text(said, "state")) or ("false" if said["state"] is False else "")
    labels = flat(given)
    if site := text(said, "site"):
        labels["site"] = site
    return Signal(
        text(said, "key") or named_by_words(title),
        State.CLOSED if state in _CLOSES else State.ACKNOWLEDGED if state in _ACKS else State.OPEN,
        title,
        text(said, "details"),
        labels,
        _severity(said["severity"]),
        at=read_time(said["at"]),
    )


def _plain(word: str) -> str:
    """Convert to lower case without accents."""
    return "".join(
        c for c in unicodedata.normalize("NFKD", word.lower()) if not unicodedata.combining(c)
    )


def _severity(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int) or (
        isinstance(value, str) and value.strip().isdecimal() and len(value) < MANY_DIGITS
    ):
        number = int(value)
        return number if 1 <= number <= 5 else None
    return _SEVERITY.get(str(value).strip().lower())


def accepted(asked: Asked, found: list[Signal]) -> Reply:  # noqa: ARG001  protocol of integrations
    return Reply(202, {"signals": len(found)})


def refused(problem: Problem) -> Reply | None:  # noqa: ARG001
    """Use the standard problem document."""
    return None
