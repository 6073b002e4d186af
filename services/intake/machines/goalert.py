"""GoAlert's generic, Grafana and Alertmanager integrations, the key of the source as `?token=`."""

from __future__ import annotations

from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final

from services.intake.machines import alertmanager
from services.intake.machines.asked import Asked, Reply, text, wrong
from services.intake.machines.signals import Signal, State, flat, short
from services.runtime.principals import Source
from services.runtime.problems import Problem

NAME: Final = "goalert"
PATHS: Final = ("/api/v2/generic/incoming", "/api/v2/grafana/incoming", "/api/v2/prometheusalertmanager/incoming")
MAX_PARTS: Final = 100


def fields_of(asked: Asked) -> dict[str, Any]:
    """Fields of a JSON, form or multipart body, and of the query; the body wins. Raises ProblemError."""
    given: dict[str, Any] = {name: value for name, value in asked.query.items() if name != "token"}
    if asked.kind == "application/json" or asked.body.lstrip()[:1] == b"{":
        return given | asked.json_object()
    if asked.kind == "multipart/form-data":
        return given | _parts(asked)
    return given | asked.form()


def _parts(asked: Asked) -> dict[str, str]:
    head = b"content-type: " + asked.headers["content-type"].encode("latin-1") + b"\r\n\r\n"
    parsed: Message = BytesParser(policy=HTTP).parsebytes(head + asked.body)
    found: dict[str, str] = {}
    for part in list(parsed.walk())[1 : MAX_PARTS + 1]:
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            found.setdefault(name, payload.decode("utf-8", "replace"))
    return found


def signals(asked: Asked, source: Source) -> list[Signal]:
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
    labels = flat(given.get("meta")) | flat({n: v for n, v in given.items() if n not in ("summary", "details", "meta")})
    return [Signal(key, State.CLOSED if closes else State.OPEN, summary, details, labels)]


def _grafana(asked: Asked, given: dict[str, Any], source: Source) -> list[Signal]:
    """Unified alerting has Alertmanager's form, the legacy one `ruleName` and `state`."""
    if isinstance(given.get("alerts"), list):
        return alertmanager.signals(asked, source)
    name = text(given, "ruleName", "title")
    if not name:
        raise wrong("ruleName", "missing", "obligatoire", "required")
    closes = text(given, "state").lower() in ("ok", "normal", "resolved")
    return [
        Signal(
            short(f"{text(given, 'ruleId')}\x1f{name}"), State.CLOSED if closes else State.OPEN, name, text(given, "message"), flat(given)
        )
    ]


def accepted(asked: Asked, found: list[Signal]) -> Reply:  # noqa: ARG001  the protocol of dialects
    """As GoAlert: 204 would do, a document helps who reads logs."""
    return Reply(200, {"signals": len(found)})


def refused(problem: Problem) -> Reply | None:  # noqa: ARG001
    """The usual problem document."""
    return None
