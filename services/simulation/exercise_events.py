"""Read the events of an exercise file and turn each into a report that intake accepts.

Every fault is noted with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any, Final

import orjson

from schemas.base import MINUTE_MS
from schemas.realms import MOST_MINUTES
from schemas.tokens import is_token
from services.alerts.reference.constants import COLOURS
from services.intake.reports.native import parse_one
from services.runtime.http.problems import ProblemError
from services.runtime.kafka.clients import iso
from services.simulation.exercise_reading import (
    PARIS,
    Reading,
    is_scalar,
    is_writable,
    named,
    plain,
    short,
)
from services.simulation.scenarios import Event
from services.territory.source import sprawls

_EVENT: Final = {
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
_OWN: Final = frozenset({"at", "learnt", "from"})
_OF_REPORT: Final = {report: own for own, report in _EVENT.items()} | {
    "occurred_at": "at",
    "source": "from",
}
_CLOCK: Final = re.compile(r"^(?:(?P<day>[+-]?\d+) ?[dj] ?)?(?P<hour>\d{1,2})[:h](?P<minute>\d\d)$")
_SEVERAL: Final = ("zone", "activities", "refers_to", "lifts", "sites")
_ONE: Final = ("id", "site", "commune", "from")


def events_of(r: Reading, document: Mapping[str, Any]) -> Iterator[Event]:
    """Yield the events without faults in file order; note the faults of the others."""
    events = document.get("events")
    if not isinstance(events, list):
        if events not in (None, ""):
            r.fault(document, "events", "events: a list is expected")
        return
    known = [
        (n, e) for n, e in enumerate(events, start=1) if isinstance(e, dict) and not sprawls(e)
    ]
    for number, event in enumerate(events):
        if not isinstance(event, dict):
            r.fault(events, number, "an event is a mapping: at, type, severity, and where")
        elif sprawls(event):
            r.fault(events, number, "an event holds too much, or itself")
    times = {n: (_minutes(r, e, "at"), _minutes(r, e, "learnt")) for n, e in known}
    for n, event in known:
        at, learnt = times[n]
        id = _id(event, n)
        if id in r.ids:
            r.fault(event, "id", f"id: {named(id)} is the name of another event too")
        r.ids[id] = (_ms(r, learnt if learnt is not None else at or 0), n)
    for n, event in known:
        at, learnt = times[n]
        if at is None:
            if event.get("at") is None:
                r.fault(event, None, "at is missing: minutes from the start, or 08:15")
            continue
        if learnt is not None and learnt < at:
            r.fault(event, "learnt", "learnt: before it happened")
        yield from _event(r, event, n, _ms(r, at), _ms(r, at if learnt is None else learnt))


def _id(event: Mapping[str, Any], n: int) -> str:
    given = event.get("id")
    return f"E{n:03}" if given is None else str(given)


def _ms(r: Reading, minutes: float) -> int:
    return r.start + round(minutes * MINUTE_MS)


def _minutes(r: Reading, event: Mapping[str, Any], key: str) -> float | None:
    """Convert a time to minutes from the start.

    Accepts a number of minutes, `08:15` (first day) and `+1d 08:15`. Returns None and notes a fault
    for anything else.
    """
    given = event.get(key)
    if given is None:
        return None
    if isinstance(given, int | float) and not isinstance(given, bool):
        minutes = float(given) if abs(given) <= MOST_MINUTES else None
    elif (
        (clock := _CLOCK.match(str(given))) is None
        or int(clock["hour"]) > 23
        or int(clock["minute"]) > 59
    ):
        r.fault(
            event,
            key,
            f"{key}: {short(given)} is no time: minutes from the start, 08:15, or +1d 08:15",
        )
        return None
    else:
        minutes = _clock_minutes(
            r, int(clock["day"] or 0), int(clock["hour"]), int(clock["minute"])
        )
    if minutes is None or abs(minutes) > MOST_MINUTES:
        r.fault(event, key, f"{key}: {short(given)} is no time within ten years of the start")
        return None
    return minutes


def _clock_minutes(r: Reading, days: int, hour: int, minute: int) -> float | None:
    """Convert a local time of a day to minutes from the start, or None if the day is out of range."""
    if abs(days) > MOST_MINUTES:
        return None
    first = datetime.fromtimestamp(r.start / 1000, PARIS)
    day = date.fromordinal(max(first.date().toordinal() + days, 1)) if days < 400_000 else date.max
    then = datetime(day.year, day.month, day.day, hour, minute, tzinfo=PARIS)
    return (then.timestamp() * 1000 - r.start) / MINUTE_MS


def _event(r: Reading, event: Mapping[str, Any], n: int, at: int, learnt: int) -> Iterator[Event]:
    before = len(r.problems)
    for name in event:
        if name not in _EVENT and name not in _OWN:
            r.fault(
                event,
                name,
                f"no field {short(name)}; there are {', '.join(sorted([*_EVENT, *_OWN]))}",
            )
    shaped = len(r.problems)
    _forms(r, event)
    if len(r.problems) > shaped:
        return
    _places(r, event)
    _references(r, event, n, learnt)
    if not is_token(_id(event, n)):
        r.fault(
            event,
            "id",
            f"id: {short(_id(event, n))} is no code: letters without accents, digits, . _ : and - only, at most 64",
        )
    if (colour := event.get("colour")) is not None:
        r.known_word(event, "colour", "colour", str(colour), set(COLOURS))
    body = {report: plain(event[own]) for own, report in _EVENT.items() if own in event}
    if event.get("effective") is not None:
        body["effective"] = list(_windows(r, event))
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
        "alias": (id := _id(event, n)),
        "occurred_at": iso(at),
        "recorded_at": iso(learnt),
        "source": {"name": source},
    }
    _taken(r, event, body)
    if len(r.problems) == before:
        yield Event(id, learnt, body)


def _taken(r: Reading, event: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """Note each fault for which intake would refuse the report."""
    try:
        parse_one(orjson.dumps(body))
    except ProblemError as error:
        for fault in error.problem.faults:
            own = _OF_REPORT.get(fault.field.split(".")[0].split("[")[0], fault.field)
            r.fault(
                event,
                own if own in event else None,
                f"{own}: {fault.message['en']}"
                if own in event
                else f"{own} is missing, or {fault.message['en']}",
            )


def _windows(r: Reading, event: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the windows of `effective` with `from` and `to` as ISO times.

    A window without `to` has an open end.
    """
    given = event["effective"]
    windows = given if isinstance(given, list) else [given]
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
            if (minutes := _minutes(r, window, name)) is not None
        }
        if "from" not in times:
            continue
        if times.get("to", times["from"] + 1) <= times["from"]:
            r.fault(window, "to", "to: not after from")
            continue
        yield {name: iso(_ms(r, minutes)) for name, minutes in times.items()}


def _forms(r: Reading, event: Mapping[str, Any]) -> None:
    """Note values of the wrong form: a list for a single value, or text that no report can carry."""
    for name, value in event.items():
        if name in _ONE and not is_scalar(value):
            r.fault(event, name, f"{name}: one word is expected")
        elif (
            name in _SEVERAL
            and value is not None
            and not (isinstance(value, list) and all(map(is_scalar, value)))
        ):
            r.fault(event, name, f"{name}: a list is expected, [a, b]")
        elif not is_writable(value):
            r.fault(event, name, f"{name}: {short(value)} is nothing that a report can hold")


def _references(r: Reading, event: Mapping[str, Any], n: int, learnt: int) -> None:
    for reference in map(str, event.get("refers_to") or ()):
        if reference not in r.ids:
            r.fault(event, "refers_to", f"refers_to: no event {named(reference)}")
        elif r.ids[reference][1] == n:
            r.fault(event, "refers_to", "refers_to: itself")
        elif r.ids[reference] > (learnt, n):
            r.fault(event, "refers_to", f"refers_to: {reference} is learnt later")


def _places(r: Reading, event: Mapping[str, Any]) -> None:
    communes = {c.insee for c in r.territory.communes}
    if (site := event.get("site")) is not None:
        r.known_site(event, "site", site)
    if (commune := event.get("commune")) is not None and str(commune) not in communes:
        r.fault(event, "commune", f"commune: no commune {named(commune)} (INSEE code)")
    for insee in event.get("zone") or ():
        if str(insee) not in communes:
            r.fault(event, "zone", f"zone: no commune {named(insee)} (INSEE code)")
    for site in event.get("sites") or ():
        r.known_site(event, "sites", site)
    for activity in event.get("activities") or ():
        r.known_activity(event, "activities", activity)
