"""Read the events of an exercise file and turn each into a report that intake accepts.

Every fault is noted with its line.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any, Final

import orjson

from schemas.base import MINUTE_MS, is_token
from schemas.catalogue.sources import is_entitled
from schemas.reference import MeasuresSection
from schemas.topics import MAX_STEP_MINUTES
from services.alerts.reference.territory import COLOURS
from services.intake.reports.native import parse_report
from services.runtime.http.problems import ProblemError
from services.runtime.kafka.clients import format_time
from services.simulation.exercise_reading import (
    PARIS,
    ExerciseReader,
    format_id,
    is_scalar,
    is_writable,
    quote_value,
    to_plain_value,
)
from services.simulation.scenarios import Event
from services.territory.source import is_too_large

_REPORT_FIELDS: Final = {
    "id": "alias",
    "site": "site_id",
    "commune": "commune",
    "zone": "zone",
    "type": "type",
    "severity": "severity",
    "certainty": "certainty",
    "message": "msg_type",
    "refers_to": "references",
    "lifts": "lifts",
    "headline": "headline",
    "description": "description",
    "lost_pct": "capacity_lost_pct",
    "duration_h": "expected_duration_h",
    "persons": "persons_concerned",
    "measure": "measure",
    "phenomenon": "phenomenon",
    "colour": "colour",
    "activities": "affected_activities",
    "plan_hint": "plan_hint",
    "estimated_end": "estimated_end",
    "effective": "effective",
    "urgency": "urgency",
    "area": "area",
    "sites": "sites",
}
"""Field of an event → field of a report."""
_EVENT_ONLY_FIELDS: Final = frozenset({"at", "learnt", "from"})
_EVENT_FIELDS: Final = {report: own for own, report in _REPORT_FIELDS.items()} | {
    "occurred_at": "at",
    "source": "from",
}
_CLOCK_PATTERN: Final = re.compile(
    r"^(?:(?P<day>[+-]?\d+) ?[dj] ?)?(?P<hour>\d{1,2})[:h](?P<minute>\d\d)$"
)
_LIST_FIELDS: Final = ("zone", "activities", "refers_to", "lifts", "sites")
_SCALAR_FIELDS: Final = ("id", "site", "commune", "from")


def read_events(r: ExerciseReader, document: Mapping[str, Any]) -> Iterator[Event]:
    """Yield the events without faults in file order; note the faults of the others."""
    events = document.get("events")
    if not isinstance(events, list):
        if events not in (None, ""):
            r.fault(document, "events", "events: a list is expected")
        return
    readable_events = [
        (n, e) for n, e in enumerate(events, start=1) if isinstance(e, dict) and not is_too_large(e)
    ]
    for number, event in enumerate(events):
        if not isinstance(event, dict):
            r.fault(events, number, "an event is a mapping: at, type, severity, and where")
        elif is_too_large(event):
            r.fault(events, number, "an event holds too much, or itself")
    times = {
        n: (read_minutes(r, e, "at"), read_minutes(r, e, "learnt")) for n, e in readable_events
    }
    for n, event in readable_events:
        at, learnt = times[n]
        id = _build_event_id(event, n)
        if id in r.ids:
            r.fault(event, "id", f"id: {format_id(id)} is the name of another event too")
        r.ids[id] = (to_instant(r, learnt if learnt is not None else at or 0), n)
    for n, event in readable_events:
        at, learnt = times[n]
        if at is None:
            if event.get("at") is None:
                r.fault(event, None, "at is missing: minutes from the start, or 08:15")
            continue
        if learnt is not None and learnt < at:
            r.fault(event, "learnt", "learnt: before it happened")
        yield from _read_event(
            r, event, n, to_instant(r, at), to_instant(r, at if learnt is None else learnt)
        )


def _build_event_id(event: Mapping[str, Any], n: int) -> str:
    event_id = event.get("id")
    return f"E{n:03}" if event_id is None else str(event_id)


def to_instant(r: ExerciseReader, minutes: float) -> int:
    return r.start + round(minutes * MINUTE_MS)


def read_minutes(r: ExerciseReader, event: Mapping[str, Any], key: str) -> float | None:
    """Convert a time to minutes from the start.

    Accepts a number of minutes, `08:15` (first day) and `+1d 08:15`. Returns None and notes a fault
    for anything else.
    """
    raw_time = event.get(key)
    if raw_time is None:
        return None
    if isinstance(raw_time, int | float) and not isinstance(raw_time, bool):
        minutes = float(raw_time) if abs(raw_time) <= MAX_STEP_MINUTES else None
    elif (
        (clock := _CLOCK_PATTERN.match(str(raw_time))) is None
        or int(clock["hour"]) > 23
        or int(clock["minute"]) > 59
    ):
        r.fault(
            event,
            key,
            f"{key}: {quote_value(raw_time)} is no time: minutes from the start, 08:15, or +1d 08:15",
        )
        return None
    else:
        minutes = _convert_clock_to_minutes(
            r, int(clock["day"] or 0), int(clock["hour"]), int(clock["minute"])
        )
    if minutes is None or abs(minutes) > MAX_STEP_MINUTES:
        r.fault(
            event, key, f"{key}: {quote_value(raw_time)} is no time within ten years of the start"
        )
        return None
    return minutes


def _convert_clock_to_minutes(r: ExerciseReader, days: int, hour: int, minute: int) -> float | None:
    """Convert a local time of a day to minutes from the start; None if the day is out of range."""
    if abs(days) > MAX_STEP_MINUTES:
        return None
    first = datetime.fromtimestamp(r.start / 1000, PARIS)
    day = date.fromordinal(max(first.date().toordinal() + days, 1)) if days < 400_000 else date.max
    then = datetime(day.year, day.month, day.day, hour, minute, tzinfo=PARIS)
    return (then.timestamp() * 1000 - r.start) / MINUTE_MS


def _read_event(
    r: ExerciseReader, event: Mapping[str, Any], n: int, at: int, learnt: int
) -> Iterator[Event]:
    before = len(r.problems)
    for name in event:
        if name not in _REPORT_FIELDS and name not in _EVENT_ONLY_FIELDS:
            r.fault(
                event,
                name,
                f"no field {quote_value(name)}; there are {', '.join(sorted([*_REPORT_FIELDS, *_EVENT_ONLY_FIELDS]))}",
            )
    fault_count = len(r.problems)
    _check_forms(r, event)
    if len(r.problems) > fault_count:
        return
    _check_places(r, event)
    _check_references(r, event, n, learnt)
    if not is_token(_build_event_id(event, n)):
        r.fault(
            event,
            "id",
            f"id: {quote_value(_build_event_id(event, n))} is no code: letters without accents, digits, . _ : and - only, at most 64",
        )
    if (colour := event.get("colour")) is not None:
        r.known_word(event, "colour", "colour", str(colour), set(COLOURS))
    body = {
        report: to_plain_value(event[own]) for own, report in _REPORT_FIELDS.items() if own in event
    }
    if event.get("effective") is not None:
        body["effective"] = list(_read_windows(r, event))
    body |= {
        report: str(body[report])
        for report in ("site_id", "commune")
        if body.get(report) is not None
    }
    body |= {
        report: [str(one) for one in body[report]]
        for report in ("zone", "references")
        if body.get(report) is not None
    }
    source = "exercise" if event.get("from") is None else str(event["from"])
    body |= {
        "alias": (id := _build_event_id(event, n)),
        "occurred_at": format_time(at),
        "recorded_at": format_time(learnt),
        "source": {"name": source},
    }
    _check_report_body(r, event, body)
    _check_reserved(r, event, source)
    if len(r.problems) == before:
        yield Event(id, learnt, body)


def _check_report_body(
    r: ExerciseReader, event: Mapping[str, Any], body: Mapping[str, Any]
) -> None:
    """Note each fault for which intake would refuse the report."""
    try:
        parse_report(orjson.dumps(body))
    except ProblemError as error:
        for fault in error.problem.faults:
            own = _EVENT_FIELDS.get(fault.field.split(".")[0].split("[")[0], fault.field)
            r.fault(
                event,
                own if own in event else None,
                f"{own}: {fault.message['en']}"
                if own in event
                else f"{own} is missing, or {fault.message['en']}",
            )


def _check_reserved(r: ExerciseReader, event: Mapping[str, Any], source: str) -> None:
    """Note a measure that the front takes from other sources only. Rule D76."""
    measure = event.get("measure")
    if not isinstance(measure, Mapping) or measure.get("value") is None:
        return
    scope = None if measure.get("scope") is None else str(measure["scope"])
    rules = (s.rules.measures for s in r.territory.sections if isinstance(s, MeasuresSection))
    for rule in itertools.chain.from_iterable(rules):
        is_reserved = rule.outside == "refuse" and rule.name == measure.get("name")
        if is_reserved and not is_entitled(source, scope, rule.sources, rule.scopes):
            r.fault(
                event,
                "measure",
                f"measure: {rule.name} is reserved to {', '.join(rule.sources)} (from)",
            )


def _read_windows(r: ExerciseReader, event: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the windows of `effective` with `from` and `to` as ISO times.

    A window without `to` has an open end.
    """
    effective = event["effective"]
    windows = effective if isinstance(effective, list) else [effective]
    for window in windows:
        if (
            not isinstance(window, dict)
            or window.get("from") is None
            or set(window) - {"from", "to"}
        ):
            r.fault(
                event, "effective", "effective: {from: +1d 08:00, to: +1d 18:00}, or a list of them"
            )
            continue
        times = {
            name: minutes
            for name in ("from", "to")
            if (minutes := read_minutes(r, window, name)) is not None
        }
        if "from" not in times:
            continue
        if times.get("to", times["from"] + 1) <= times["from"]:
            r.fault(window, "to", "to: not after from")
            continue
        yield {name: format_time(to_instant(r, minutes)) for name, minutes in times.items()}


def _check_forms(r: ExerciseReader, event: Mapping[str, Any]) -> None:
    """Note values of the wrong form: a list for one value, or text that no report can carry."""
    for name, value in event.items():
        if name in _SCALAR_FIELDS and not is_scalar(value):
            r.fault(event, name, f"{name}: one word is expected")
        elif (
            name in _LIST_FIELDS
            and value is not None
            and not (isinstance(value, list) and all(map(is_scalar, value)))
        ):
            r.fault(event, name, f"{name}: a list is expected, [a, b]")
        elif not is_writable(value):
            r.fault(event, name, f"{name}: {quote_value(value)} is nothing that a report can hold")


def _check_references(r: ExerciseReader, event: Mapping[str, Any], n: int, learnt: int) -> None:
    for reference in map(str, event.get("refers_to") or ()):
        if reference not in r.ids:
            r.fault(event, "refers_to", f"refers_to: no event {format_id(reference)}")
        elif r.ids[reference][1] == n:
            r.fault(event, "refers_to", "refers_to: itself")
        elif r.ids[reference] > (learnt, n):
            r.fault(event, "refers_to", f"refers_to: {reference} is learnt later")


def _check_places(r: ExerciseReader, event: Mapping[str, Any]) -> None:
    communes = {c.insee for c in r.territory.communes}
    if (site := event.get("site")) is not None:
        r.known_site(event, "site", site)
    if (commune := event.get("commune")) is not None and str(commune) not in communes:
        r.fault(event, "commune", f"commune: no commune {format_id(commune)} (INSEE code)")
    for insee in event.get("zone") or ():
        if str(insee) not in communes:
            r.fault(event, "zone", f"zone: no commune {format_id(insee)} (INSEE code)")
    for site in event.get("sites") or ():
        r.known_site(event, "sites", site)
    for activity in event.get("activities") or ():
        r.known_activity(event, "activities", activity)
