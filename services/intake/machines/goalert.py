"""GoAlert's generic, Grafana and Alertmanager integrations, the key of the source as `?token=`."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Final

from python_multipart.exceptions import FormParserError, MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from services.intake.machines import alertmanager
from services.intake.machines.asked import Asked, Reply, text, wrong
from services.intake.machines.signals import Signal, State, flat, short
from services.runtime.principals import Source
from services.runtime.problems import Problem, ProblemError

NAME: Final = "goalert"
PATHS: Final = ("/api/v2/generic/incoming", "/api/v2/grafana/incoming", "/api/v2/prometheusalertmanager/incoming")
MAX_PARTS: Final = 100
_UNDECIDED: Final = frozenset({"no_data", "pending", "paused"})
"""States of a legacy Grafana rule that say neither that something is wrong nor that it is over."""


def fields_of(asked: Asked) -> dict[str, Any]:
    """Fields of a JSON, form or multipart body, and of the query; the body wins. Raises ProblemError."""
    given: dict[str, Any] = dict(reversed(_pairs(asked)))
    return given | asked.json_object() if _is_json(asked) else given


def _is_json(asked: Asked) -> bool:
    return asked.kind == "application/json" or asked.body.lstrip()[:1] == b"{"


def _pairs(asked: Asked) -> list[tuple[str, str]]:
    """Fields of a form or multipart body, then those of the query; a name may come several times. Raises ProblemError."""
    queried = [(name, value) for name, value in asked.queried if name != "token"]
    if _is_json(asked):
        return queried
    return (_parts(asked) if asked.kind == "multipart/form-data" else asked.form_pairs()) + queried


def _parts(asked: Asked) -> list[tuple[str, str]]:
    """Fields of a multipart body; header lines and their number are bounded. Raises ProblemError `invalid`."""
    boundary = parse_options_header(asked.headers["content-type"])[1].get(b"boundary", b"")
    if not boundary:
        raise wrong("content-type", "boundary", "multipart sans « boundary »", "multipart without a boundary")
    parts: list[_Part] = []

    def begin() -> None:
        if len(parts) >= MAX_PARTS:
            raise MultipartParseError(f"more than {MAX_PARTS} parts")
        parts.append(_Part())

    def end_header() -> None:
        parts[-1].close_header()

    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": begin,
                "on_header_field": lambda data, start, end: parts[-1].field.extend(data[start:end]),
                "on_header_value": lambda data, start, end: parts[-1].value.extend(data[start:end]),
                "on_header_end": end_header,
                "on_part_data": lambda data, start, end: parts[-1].content.extend(data[start:end]),
            },
        )
        parser.write(asked.body)
        parser.finalize()
    except (FormParserError, ValueError):
        raise wrong("body", "multipart", "multipart illisible", "unreadable multipart body") from None
    return [(part.name, part.content.decode("utf-8", "replace")) for part in parts if part.name is not None]


@dataclass(slots=True)
class _Part:
    field: bytearray = dataclass_field(default_factory=bytearray)
    value: bytearray = dataclass_field(default_factory=bytearray)
    content: bytearray = dataclass_field(default_factory=bytearray)
    name: str | None = None

    def close_header(self) -> None:
        if self.field.lower() == b"content-disposition":
            name = parse_options_header(bytes(self.value))[1].get(b"name")
            self.name = None if name is None else name.decode("utf-8", "replace")
        self.field.clear()
        self.value.clear()


def signals(asked: Asked, source: Source) -> list[Signal | ProblemError]:
    """Raises ProblemError `invalid` without a summary."""
    if asked.path.startswith(PATHS[2]):
        return alertmanager.signals(asked, source)
    given = fields_of(asked)
    if asked.path.startswith(PATHS[1]):
        return _grafana(asked, given, source)
    summary, details = text(given, "summary"), text(given, "details")
    closes = text(given, "action").lower() == "close"
    key = text(given, "dedup") or short(f"{summary}\x1f{details}")
    if not summary and not (closes and text(given, "dedup")):
        raise wrong("summary", "missing", "obligatoire", "required")
    labels = flat(_meta(asked, given)) | flat({n: v for n, v in given.items() if n not in ("summary", "details", "meta")})
    return [Signal(key, State.CLOSED if closes else State.OPEN, summary, details, labels)]


def _meta(asked: Asked, given: dict[str, Any]) -> Any:
    """An object in JSON; elsewhere `meta=name=value`, as often as there are some."""
    if not isinstance(given.get("meta"), str):
        return given.get("meta")
    return dict(value.split("=", 1) for name, value in reversed(_pairs(asked)) if name == "meta" and "=" in value)


def _grafana(asked: Asked, given: dict[str, Any], source: Source) -> list[Signal | ProblemError]:
    """Unified alerting has Alertmanager's form, the legacy one `ruleName` and `state`."""
    if isinstance(given.get("alerts"), list):
        return alertmanager.signals(asked, source)
    name = text(given, "ruleName", "title")
    if not name:
        raise wrong("ruleName", "missing", "obligatoire", "required")
    state = text(given, "state").lower()
    if state in _UNDECIDED:
        return []
    closes = state in ("ok", "normal", "resolved")
    return [
        Signal(
            short(f"{text(given, 'ruleId')}\x1f{name}"), State.CLOSED if closes else State.OPEN, name, text(given, "message"), flat(given)
        )
    ]


def accepted(asked: Asked, found: list[Signal | ProblemError]) -> Reply:  # noqa: ARG001  the protocol of dialects
    """As GoAlert: 204 would do, a document helps who reads logs."""
    return Reply(200, {"signals": sum(isinstance(f, Signal) for f in found)})


def refused(problem: Problem) -> Reply | None:  # noqa: ARG001
    """The usual problem document."""
    return None
