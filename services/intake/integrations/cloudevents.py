# ruff: noqa: ARG001  protocol of integrations
"""Accept CloudEvents 1.0: `POST /api/v1/events` (binary, structured, batch).

`services.intake.integrations.external_events` reads the topic `events.external` with this module,
too. Data with `type` and `severity` as in `POST /api/v1/reports` is a native report. Other data is
read by the source's mapping, as in `generic`. The same (source, id) is the same event.
"""

import base64
from codecs import BOM_UTF8
from dataclasses import replace
from typing import Any, Final
from urllib.parse import unquote

import orjson

from schemas.words import EventType
from services.intake.integrations.generic import read_document
from services.intake.integrations.request import (
    IntegrationRequest,
    Reply,
    get_first_text,
    parse_time,
)
from services.intake.integrations.signals import (
    ForwardedReport,
    RequestPart,
    Transition,
    shorten_key,
)
from services.intake.reports.native import dump_json
from services.runtime.http.problems import ProblemError, build_fault, build_field_problem
from services.runtime.identity.principals import Source

NAME: Final = "cloudevents"
PATHS: Final = ("/api/v1/events",)
MAX_BATCH: Final = 500
JSON: Final = "application/json"
STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"
REQUIRED_ATTRIBUTES: Final = ("id", "source", "specversion", "type")
_DATA: Final = ("data", "data_base64")
"""Names that are no attributes, because they are in the body."""
_TYPES: Final = frozenset(t.value for t in EventType)


def signals(
    request: IntegrationRequest, source: Source
) -> list[Transition | ForwardedReport | ProblemError]:
    """Read each event of a request. Raises ProblemError `invalid`, `not_json`.

    An invalid event in a batch does not affect the others.
    """
    if request.kind == BATCHED:
        events = request.json
        if not isinstance(events, list) or not 1 <= len(events) <= MAX_BATCH:
            raise build_field_problem(
                "body",
                "list",
                f"une liste de 1 à {MAX_BATCH} événements",
                f"a list of 1 to {MAX_BATCH} events",
            )
        return [_read_batch_event(event, source, f"{n}.") for n, event in enumerate(events)]
    if request.kind == STRUCTURED:
        return [_read_event(request.json, source, "")]
    return [_read_event(_read_binary_event(request), source, "ce-")]


def _read_batch_event(
    event: Any, source: Source, where: str
) -> Transition | ForwardedReport | ProblemError:
    try:
        return replace(_read_event(event, source, where), part=RequestPart(event, STRUCTURED))
    except ProblemError as error:
        return error


def read_source(request: IntegrationRequest) -> str:
    """Return the `source` of a single event. Raises ProblemError `invalid`, `not_json`."""
    name = (
        unquote(request.headers.get("ce-source", ""))
        if request.kind != STRUCTURED
        else get_first_text(request.json_object(), "source")
    )
    if not name:
        raise build_field_problem("source", "missing", "obligatoire", "required")
    return name


def convert_to_structured(request: IntegrationRequest) -> tuple[bytes, str]:
    """Return bytes and media type that hold the whole request. Never raises.

    A binary event becomes a structured one, because half of it is in its headers.
    """
    if request.kind in (STRUCTURED, BATCHED):
        return request.body, request.headers["content-type"]
    event = (
        _read_attributes(request)
        | {"datacontenttype": request.headers.get("content-type") or JSON}
        | (_encode_data(request) if request.body else {})
    )
    return orjson.dumps(event), STRUCTURED


def _encode_data(request: IntegrationRequest) -> dict[str, Any]:
    """Return the data of a binary event for a structured one, with the same meaning."""
    try:
        if not _is_json(request.kind):
            return {"data": request.body.decode()}
        _ = request.json
        return {"data": orjson.Fragment(request.body.removeprefix(BOM_UTF8))}
    except (ProblemError, UnicodeDecodeError):
        return {"data_base64": base64.b64encode(request.body).decode()}


def _is_json(kind: str) -> bool:
    return kind in ("", JSON) or kind.endswith("+json")


def _read_attributes(request: IntegrationRequest) -> dict[str, Any]:
    return {
        name[3:]: unquote(value)
        for name, value in request.headers.items()
        if name.startswith("ce-") and name[3:] not in _DATA
    }


def _read_binary_event(request: IntegrationRequest) -> dict[str, Any]:
    if not request.body:
        raise build_field_problem(
            "body",
            "missing",
            "un événement sans données est refusé",
            "an event without data is refused",
        )
    return _read_attributes(request) | {
        "data": request.json if _is_json(request.kind) else request.body.decode("utf-8", "replace")
    }


def _read_event(event: Any, source: Source, where: str) -> Transition | ForwardedReport:
    if not isinstance(event, dict):
        raise build_field_problem(
            where or "body", "object", "un objet est attendu", "an object is expected"
        )
    for name in REQUIRED_ATTRIBUTES:
        if not get_first_text(event, name):
            raise build_field_problem(f"{where}{name}", "missing", "obligatoire", "required")
    if event["specversion"] != "1.0":
        raise build_field_problem(
            f"{where}specversion", "enum", "1.0 est attendu", "1.0 is expected"
        )
    if event.get("data") is None and "data_base64" not in event:
        raise build_field_problem(
            f"{where}data",
            "missing",
            "un événement sans données est refusé",
            "an event without data is refused",
        )
    key, at = f"{event['source']}\x1f{event['id']}", parse_time(event.get("time"))
    data = _read_data(event, where)
    if isinstance(data, dict) and get_first_text(data, "type") in _TYPES and "severity" in data:
        return ForwardedReport(
            shorten_key(key),
            data | ({} if at is None or "occurred_at" in data else {"occurred_at": at.isoformat()}),
        )
    document = (
        data
        if isinstance(data, dict)
        else {"message": data if isinstance(data, str) else dump_json(data).decode()}
    )
    transition = read_document(document, source)
    labels = {
        **transition.labels,
        **{
            f"ce.{n}": get_first_text(event, n)
            for n in ("type", "source", "subject")
            if get_first_text(event, n)
        },
    }
    own_key = (
        transition.key
        if source.fields.get("key") or get_first_text(document, "dedup_key", "dedup", "alias", "id")
        else shorten_key(get_first_text(event, "subject") or key)
    )
    return replace(
        transition,
        key=own_key,
        title=transition.title or get_first_text(event, "subject", "type"),
        labels=labels,
        at=transition.at or at,
        event=key,
    )


def _read_data(event: dict[str, Any], where: str) -> Any:
    if "data_base64" not in event:
        return event.get("data", {})
    try:
        raw = base64.b64decode(str(event["data_base64"]), validate=True)
    except ValueError:
        raise build_field_problem(
            f"{where}data_base64", "base64", "base64 illisible", "unreadable base64"
        ) from None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        if (
            kind := get_first_text(event, "datacontenttype").partition(";")[0].strip().lower()
        ) and _is_json(kind):
            fault = build_fault(
                f"{where}data_base64", "json_invalid", "JSON illisible", "unreadable JSON"
            )
            raise ProblemError("not_json", faults=(fault,)) from None
        return raw.decode("utf-8", "replace")


def build_reply(
    request: IntegrationRequest, outcome: list[Transition | ForwardedReport | ProblemError]
) -> Reply:
    return Reply(202, {"accepted": sum(not isinstance(f, ProblemError) for f in outcome)})
