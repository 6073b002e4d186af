"""Accept messages of any other program: `POST /webhooks/generic/{source}`.

The source's record maps fields to JSON pointers. Without a mapping, common names are tried.
"""

import unicodedata
from typing import Any, Final

from services.intake.integrations.request import (
    IntegrationRequest,
    Reply,
    get_first_text,
    parse_time,
    read_fields,
)
from services.intake.integrations.signals import (
    Transition,
    TransitionState,
    derive_key_from_text,
    flatten_document,
)
from services.runtime.http.problems import build_field_problem
from services.runtime.identity.principals import Source

NAME: Final = "generic"
KEY_LOCATION: Final = "X-Token"
PATHS: Final = ("/webhooks/generic",)
MAX_DIGITS: Final = 20
FIELDS: Final = ("key", "title", "details", "state", "severity", "at", "site")
"""Fields that a mapping may set."""
_COMMON_NAMES: Final = {
    "key": ("dedup_key", "dedup", "alias", "id", "event_id", "fingerprint", "groupKey"),
    "title": ("title", "summary", "subject", "name", "alertname"),
    "details": ("message", "text", "description", "details", "body"),
    "state": ("status", "state", "action", "event_action"),
    "severity": ("severity", "priority", "level"),
    "at": ("timestamp", "time", "date", "occurred_at"),
    "site": ("site", "site_id", "location"),
}
_CLOSING_STATES: Final = {
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
_ACKNOWLEDGING_STATES: Final = {
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


def resolve_pointer(document: Any, pointer: str) -> Any:
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


def signals(request: IntegrationRequest, source: Source) -> list[Transition]:
    """Read a message by the source's mapping. Raises ProblemError `invalid`."""
    transition = read_document(read_fields(request), source)
    if not transition.title:
        raise build_field_problem(
            "title",
            "missing",
            "title, summary, message ou text obligatoire",
            "title, summary, message or text is required",
        )
    return [transition]


def read_document(document: dict[str, Any], source: Source) -> Transition:
    """Read a document by the source's mapping, else by common names. The title may be empty."""

    def value(name: str) -> Any:
        if (pointer := source.fields.get(name)) is not None:
            return resolve_pointer(document, pointer)
        return next(
            (document[n] for n in _COMMON_NAMES[name] if document.get(n) not in (None, "")), None
        )

    field_values = {name: value(name) for name in FIELDS}
    title = get_first_text(field_values, "title") or get_first_text(field_values, "details")
    state = _normalize_text(get_first_text(field_values, "state")) or (
        "false" if field_values["state"] is False else ""
    )
    labels = flatten_document(document)
    if site := get_first_text(field_values, "site"):
        labels["site"] = site
    return Transition(
        get_first_text(field_values, "key") or derive_key_from_text(title),
        TransitionState.CLOSED
        if state in _CLOSING_STATES
        else TransitionState.ACKNOWLEDGED
        if state in _ACKNOWLEDGING_STATES
        else TransitionState.OPEN,
        title,
        get_first_text(field_values, "details"),
        labels,
        _read_severity(field_values["severity"]),
        at=parse_time(field_values["at"]),
    )


def _normalize_text(word: str) -> str:
    """Convert to lower case without accents."""
    return "".join(
        c for c in unicodedata.normalize("NFKD", word.lower()) if not unicodedata.combining(c)
    )


def _read_severity(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int) or (
        isinstance(value, str) and value.strip().isdecimal() and len(value) < MAX_DIGITS
    ):
        number = int(value)
        return number if 1 <= number <= 5 else None
    return _SEVERITY.get(str(value).strip().lower())


def build_reply(request: IntegrationRequest, outcome: list[Transition]) -> Reply:  # noqa: ARG001  protocol of integrations
    return Reply(202, {"signals": len(outcome)})
