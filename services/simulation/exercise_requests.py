"""Read the resource requests of an exercise file. Rule D88, resource requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from schemas.crisis.resource_requests import MAX_QUANTITY, RequestPriority
from schemas.reference import ResourceRules, ResourcesSection
from services.runtime.kafka.clients import format_time
from services.simulation.exercise_events import read_minutes, to_instant
from services.simulation.exercise_reading import ExerciseReader, is_scalar, quote_value
from services.simulation.scenarios import Event
from services.territory.source import is_too_large

REQUESTS_PATH: Final = "/api/v1/resource-requests"
MAX_REQUESTS: Final = 500
_FIELDS: Final = frozenset(
    {"at", "kind", "quantity", "site", "metier", "from", "until", "priority", "reason"}
)
_PRIORITIES: Final = {priority.value for priority in RequestPriority}


def read_requests(r: ExerciseReader, document: Mapping[str, Any]) -> Iterator[Event]:
    """Yield the requests without faults; note the faults of the others."""
    request_list = document.get("requests") or []
    if not isinstance(request_list, list) or len(request_list) > MAX_REQUESTS:
        r.fault(document, "requests", f"requests: a list of {MAX_REQUESTS} at most is expected")
        return
    rules = _find_rules(r)
    if request_list and rules is None:
        r.fault(document, "requests", "requests: the territory has no moyens.yaml")
        return
    for number, request in enumerate(request_list):
        if not isinstance(request, dict) or is_too_large(request):
            r.fault(request_list, number, "a request is a mapping: at, kind, quantity, site")
        elif rules is not None:
            yield from _read_request(r, request, number + 1, rules)


def _find_rules(r: ExerciseReader) -> ResourceRules | None:
    sections = r.territory.sections
    return next((s.rules for s in sections if isinstance(s, ResourcesSection)), None)


def _read_request(
    r: ExerciseReader, request: Mapping[str, Any], number: int, rules: ResourceRules
) -> Iterator[Event]:
    before = len(r.problems)
    for name in request:
        if name not in _FIELDS:
            r.fault(
                request,
                name,
                f"no field {quote_value(name)}; there are {', '.join(sorted(_FIELDS))}",
            )
        elif not is_scalar(request[name]):
            r.fault(request, name, f"{name}: one value is expected")
    if len(r.problems) > before:
        return
    times = {name: read_minutes(r, request, name) for name in ("at", "from", "until")}
    if times["at"] is None and request.get("at") is None:
        r.fault(request, None, "at is missing: minutes from the start, or 08:15")
    quantity = request.get("quantity", 1)
    if (
        isinstance(quantity, bool)
        or not isinstance(quantity, int)
        or not (1 <= quantity <= MAX_QUANTITY)
    ):
        r.fault(request, "quantity", f"quantity: {quote_value(quantity)} is no number from 1 on")
    kinds = {kind.id: kind for kind in rules.kinds}
    r.known_word(request, "kind", "kind of resource", str(request.get("kind")), set(kinds))
    r.known_site(request, "site", request.get("site"))
    kind = kinds.get(str(request.get("kind")))
    if kind is not None and kind.by_metier is (request.get("metier") is None):
        r.fault(request, "kind", "metier: people have one, other kinds have none")
    if (priority := request.get("priority")) is not None:
        r.known_word(request, "priority", "priority", str(priority), _PRIORITIES)
    if len(r.problems) == before and times["at"] is not None:
        at = to_instant(r, times["at"])
        text_fields = ("kind", "metier", "site", "priority", "reason")
        body = {name: str(request[name]) for name in text_fields if request.get(name) is not None}
        body |= {
            name: format_time(to_instant(r, minutes))
            for name in ("from", "until")
            if (minutes := times[name]) is not None
        }
        yield Event(f"D{number:03}", at, body | {"quantity": quantity}, REQUESTS_PATH)
