"""Accept CloudEvents 1.0: `POST /api/v1/events` (binary, structured, batch).

`services.intake.integrations.external_events` reads the topic `events.external` with this module,
too. Data with `type` and `severity` as in `POST /api/v1/reports` is a native report. Other data is
read by the source's mapping, as in `generic`. The same (source, id) is the same event.
"""

from __future__ import annotations

import base64
from codecs import BOM_UTF8
from dataclasses import replace
from typing import Any, Final
from urllib.parse import unquote

import orjson

from schemas.words import EventType
from services.intake.integrations.generic import signal_of
from services.intake.integrations.request import Asked, Reply, text, wrong
from services.intake.integrations.signals import Part, Signal, Told, short
from services.intake.integrations.times import read_time
from services.intake.reports.native import dumped
from services.runtime.http.problems import Problem, ProblemError, fault
from services.runtime.identity.principals import Source

NAME: Final = "cloudevents"
PATHS: Final = ("/api/v1/events",)
BATCH: Final = 500
JSON: Final = "application/json"
STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"
REQUIRED: Final = ("id", "source", "specversion", "type")
_DATA: Final = ("data", "data_base64")
"""Names that are no attributes, because they are in the body."""
_TYPES: Final = frozenset(t.value for t in EventType)


def signals(asked: Asked, source: Source) -> list[Signal | Told | ProblemError]:
    """Read each event of a request. Raises ProblemError `invalid`, `not_json`.

    An invalid event in a batch does not affect the others.
    """
    if asked.kind == BATCHED:
        events = asked.json
        if not isinstance(events, list) or not 1 <= len(events) <= BATCH:
            raise wrong(
                "body",
                "list",
                f"une liste de 1 à {BATCH} événements",
                f"a list of 1 to {BATCH} events",
            )
        return [_judged(event, source, f"{n}.") for n, event in enumerate(events)]
    if asked.kind == STRUCTURED:
        return [_told(asked.json, source, "")]
    return [_told(_binary(asked), source, "ce-")]


def _judged(event: Any, source: Source, where: str) -> Signal | Told | ProblemError:
    try:
        return replace(_told(event, source, where), part=Part(event, STRUCTURED))
    except ProblemError as error:
        return error


def source_in(asked: Asked) -> str:
    """Return the `source` of a single event. Raises ProblemError `invalid`, `not_json`."""
    name = (
        unquote(asked.headers.get("ce-source", ""))
        if asked.kind != STRUCTURED
        else text(asked.json_object(), "source")
    )
    if not name:
        raise wrong("source", "missing", "obligatoire", "required")
    return name


def whole(asked: Asked) -> tuple[bytes, str]:
    """Return bytes and media type that hold the whole request. Never raises.

    A binary event becomes a structured one, because half of it is in its headers.
    """
    if asked.kind in (STRUCTURED, BATCHED):
        return asked.body, asked.headers["content-type"]
    event = (
        _attributes(asked)
        | {"datacontenttype": asked.headers.get("content-type") or JSON}
        | (_data_of(asked) if asked.body else {})
    )
    return orjson.dumps(event), STRUCTURED


def _data_of(asked: Asked) -> dict[str, Any]:
    """Return the data of a binary event for a structured one, with the same meaning."""
    try:
        if not _is_json(asked.kind):
            return {"data": asked.body.decode()}
        _ = asked.json
        return {"data": orjson.Fragment(asked.body.removeprefix(BOM_UTF8))}
    except (ProblemError, UnicodeDecodeError):
        return {"data_base64": base64.b64encode(asked.body).decode()}


def _is_json(kind: str) -> bool:
    return kind in ("", JSON) or kind.endswith("+json")


def _attributes(asked: Asked) -> dict[str, Any]:
    return {
        name[3:]: unquote(value)
        for name, value in asked.headers.items()
        if name.startswith("ce-") and name[3:] not in _DATA
    }


def _binary(asked: Asked) -> dict[str, Any]:
    if not asked.body:
        raise wrong(
            "body",
            "missing",
            "un événement sans données est refusé",
            "an event without data is refused",
        )
    return _attributes(asked) | {
        "data": asked.json if _is_json(asked.kind) else asked.body.decode("utf-8", "replace")
    }


def _told(event: Any, source: Source, where: str) -> Signal | Told:
    if not isinstance(event, dict):
        raise wrong(where or "body", "object", "un objet est attendu", "an object is expected")
    for name in REQUIRED:
        if not text(event, name):
            raise wrong(f"{where}{name}", "missing", "obligatoire", "required")
    if event["specversion"] != "1.0":
        raise wrong(f"{where}specversion", "enum", "1.0 est attendu", "1.0 is expected")
    if event.get("data") is None and "data_base64" not in event:
        raise wrong(
            f"{where}data",
            "missing",
            "un événement sans données est refusé",
            "an event without data is refused",
        )
    key, at = f"{event['source']}\x1f{event['id']}", read_time(event.get("time"))
    data = _data(event, where)
    if isinstance(data, dict) and text(data, "type") in _TYPES and "severity" in data:
        return Told(
            short(key),
            data | ({} if at is None or "occurred_at" in data else {"occurred_at": at.isoformat()}),
        )
    given = (
        data
        if isinstance(data, dict)
        else {"message": data if isinstance(data, str) else dumped(data).decode()}
    )
    found = signal_of(given, source)
    labels = {
        **found.labels,
        **{f"ce.{n}": text(event, n) for n in ("type", "source", "subject") if text(event, n)},
    }
    own_key = (
        found.key
        if source.fields.get("key") or text(given, "dedup_key", "dedup", "alias", "id")
        else short(text(event, "subject") or key)
    )
    return replace(
        found,
        key=own_key,
        title=found.title or text(event, "subject", "type"),
        labels=labels,
        at=found.at or at,
        event=key,
    )


def _data(event: dict[str, Any], where: str) -> Any:
    if "data_base64" not in event:
        return event.get("data", {})
    try:
        raw = base64.b64decode(str(event["data_base64"]), validate=True)
    except ValueError:
        raise wrong(
            f"{where}data_base64", "base64", "base64 illisible", "unreadable base64"
        ) from None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        if (kind := text(event, "datacontenttype").partition(";")[0].strip().lower()) and _is_json(
            kind
        ):
            said = fault(f"{where}data_base64", "json_invalid", "JSON illisible", "unreadable JSON")
            raise ProblemError("not_json", faults=(said,)) from None
        return raw.decode("utf-8", "replace")


def accepted(asked: Asked, found: list[Signal | Told | ProblemError]) -> Reply:  # noqa: ARG001
    return Reply(202, {"accepted": sum(not isinstance(f, ProblemError) for f in found)})


def refused(problem: Problem) -> Reply | None:  # noqa: ARG001
    """Use the standard problem document."""
    return None
