"""Read the actions and the resource requests of an exercise file.

Every fault is noted with its line.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from schemas.crisis.resource_requests import MAX_QUANTITY, RequestPriority
from schemas.ranks import SITE_MANAGER_ROLE
from schemas.reference import ResourceRules, ResourcesSection
from schemas.words import ActionPriority
from services.runtime.kafka.clients import format_time
from services.simulation.exercise_events import read_minutes, to_instant
from services.simulation.exercise_reading import ExerciseReader, is_scalar, is_writable, quote_value
from services.simulation.scenarios import Event, PlannedAction
from services.territory.source import is_too_large

LONGEST_TITLE: Final = 160
_REQUIRED: Final = ("at", "title", "to", "due")
_FIELDS: Final = frozenset({*_REQUIRED, "about", "plan", "priority"})
REQUESTS_PATH: Final = "/api/v1/resource-requests"
MAX_REQUESTS: Final = 500
_REQUEST_FIELDS: Final = frozenset(
    {"at", "kind", "quantity", "site", "metier", "from", "until", "priority", "reason"}
)
_PRIORITIES: Final = {priority.value for priority in RequestPriority}


def read_actions(r: ExerciseReader, document: Mapping[str, Any]) -> Iterator[PlannedAction]:
    """Yield the actions without faults; note the faults of the others."""
    actions = document.get("actions") or []
    if not isinstance(actions, list):
        r.fault(document, "actions", "actions: a list is expected")
        return
    for number, action in enumerate(actions, start=1):
        if not isinstance(action, dict) or is_too_large(action):
            r.fault(actions, number - 1, "an action is a mapping: at, title, to, due")
            continue
        before = len(r.problems)
        planned_action = _read_action(r, action, number)
        if planned_action is not None and len(r.problems) == before:
            yield planned_action


def _read_action(r: ExerciseReader, action: Mapping[str, Any], number: int) -> PlannedAction | None:
    for name, value in action.items():
        if name not in _FIELDS:
            field_names = ", ".join(sorted(_FIELDS))
            r.fault(action, name, f"no field {quote_value(name)}; there are {field_names}")
        elif not is_scalar(value) or not is_writable(value):
            r.fault(action, name, f"{name}: one word or line is expected")
    for name in _REQUIRED:
        if action.get(name) in (None, ""):
            r.fault(action, None, f"{name} is missing")
    at, due_min = read_minutes(r, action, "at"), read_minutes(r, action, "due")
    if at is None or due_min is None:
        return None
    if due_min <= at:
        r.fault(action, "due", "due: not after at")
    if len(str(action.get("title", ""))) > LONGEST_TITLE:
        r.fault(action, "title", f"title: at most {LONGEST_TITLE} characters")
    _check_assignee(r, action)
    _check_subject(r, action, to_instant(r, at))
    body = {
        "title": str(action.get("title", "")),
        "assignee": str(action.get("to", "")),
        "due_at": format_time(to_instant(r, due_min)),
        **{name: str(action[name]) for name in ("plan", "priority") if name in action},
    }
    about = action.get("about")
    return PlannedAction(
        f"A{number:03}", to_instant(r, at), body, None if about is None else str(about)
    )


def _check_assignee(r: ExerciseReader, action: Mapping[str, Any]) -> None:
    """Note an assignee that is no site, no role and no role in a scope."""
    assignee = str(action.get("to", ""))
    sites, roles = {s.id for s in r.territory.sites}, set(r.territory.policy.roles)
    if assignee in sites:
        return
    role, _, scope = assignee.partition(":")
    r.known_word(action, "to", "role or site", role, {*roles, SITE_MANAGER_ROLE, *sites})
    if scope:
        poles = {s.pole for s in r.territory.sites}
        r.known_word(action, "to", "pôle or site", scope, sites | poles)


def _check_subject(r: ExerciseReader, action: Mapping[str, Any], at: int) -> None:
    """Note an unknown event, plan or priority, and an event that comes later."""
    if (about := action.get("about")) is not None:
        if str(about) not in r.ids:
            r.fault(action, "about", f"about: no event {quote_value(about)}")
        elif r.ids[str(about)][0] > at:
            r.fault(action, "about", f"about: {quote_value(about)} is learnt later")
    if (plan := action.get("plan")) is not None:
        r.known_word(action, "plan", "plan", plan, {p.id for p in r.territory.plans})
    if (priority := action.get("priority")) is not None:
        words = {one.value for one in ActionPriority}
        r.known_word(action, "priority", "priority", str(priority), words)


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
        if name not in _REQUEST_FIELDS:
            r.fault(
                request,
                name,
                f"no field {quote_value(name)}; there are {', '.join(sorted(_REQUEST_FIELDS))}",
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
