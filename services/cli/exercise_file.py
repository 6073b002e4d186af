"""An exercise as one file that an organiser writes (docs/how-to/write-an-exercise.md): read, checked against the territory, turned into a scenario.

Every fault has its line; nothing stops at the first. A file that passes plays: each event goes through the same reader as a report over HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from schemas.base import MINUTE_MS
from schemas.responders import RespondersInvalid, parse_responders
from services.cli.checks import KINDS
from services.cli.scenarios import Event, Scenario
from services.intake.native import parse_one
from services.runtime.kafka import iso
from services.runtime.problems import ProblemError
from services.territory import Problem, Territory

PARIS: Final = ZoneInfo("Europe/Paris")
_HEAD: Final = {"exercise": True, "title": True, "start": True, "events": True, "responders": False, "expectations": False}
"""Field → needed."""
_EVENT: Final = {
    "id": "alias", "site": "site_id", "commune": "commune", "zone": "zone", "type": "type", "severity": "severity", "certainty": "certainty", "message": "msg_type",
    "refers_to": "references", "lifts": "lifts", "headline": "headline", "description": "description", "lost_pct": "capacity_lost_pct",
    "duration_h": "expected_duration_h", "persons": "persons_concerned", "measure": "measure", "phenomenon": "phenomenon", "colour": "colour",
    "activities": "affected_activities", "plan_hint": "plan_hint", "estimated_end": "estimated_end",
}  # fmt: skip
"""Field of an event → field of a report."""
_OWN: Final = frozenset({"at", "learnt", "from"})
_OF_REPORT: Final = {report: own for own, report in _EVENT.items()} | {"occurred_at": "at", "source": "from"}
_CLOCK: Final = re.compile(r"^(?:(?P<day>[+-]?\d+) ?[dj] ?)?(?P<hour>\d{1,2})[:h](?P<minute>\d\d)$")
_CHECK: Final = {"id", "kind", "at_min", "why"}


class ExerciseInvalid(ValueError):
    """The file cannot be played; `problems` says why, each with its line."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Exercise:
    """A file that can be played."""

    scenario: Scenario
    responders: tuple[dict[str, Any], ...] = ()
    checks: tuple[dict[str, Any], ...] = ()


@dataclass
class _Reading:
    """One file with a place to note faults."""

    name: str
    territory: Territory
    problems: list[Problem] = field(default_factory=list)
    start: int = 0
    ids: dict[str, int] = field(default_factory=dict)
    """Event id → time at which it is learnt."""

    def fault(self, node: Any, key: Any, what: str) -> None:
        self.problems.append(Problem(self.name, _line(node, key), what))


def _line(node: Any, key: Any = None) -> int:
    """1-based line of a key or element of a node, or of the node itself."""
    marks = getattr(node, "lc", None)
    if marks is None:
        return 0
    try:
        place = marks.data[key] if key is not None else (marks.line,)
    except (KeyError, TypeError, AttributeError):
        place = (marks.line,)
    return int(place[0]) + 1


def load_exercise(file: Path, territory: Territory) -> Exercise:
    """The exercise in a file. Raises ExerciseInvalid, OSError."""
    reading = _Reading(file.name, territory)
    try:
        document = YAML(typ="rt").load(file.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        line = 0 if error.problem_mark is None else error.problem_mark.line + 1
        raise ExerciseInvalid([Problem(file.name, line, f"no YAML: {error.problem or 'it cannot be read'}")]) from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise ExerciseInvalid([Problem(file.name, 0, f"no YAML: {str(error).splitlines()[0]}")]) from error
    found = _read(reading, document)
    if reading.problems:
        raise ExerciseInvalid(sorted(reading.problems, key=lambda p: p.line))
    return found


def _read(r: _Reading, document: Any) -> Exercise:
    if not isinstance(document, dict):
        r.fault(document, None, f"an exercise is expected: {', '.join(_HEAD)}")
        return Exercise(Scenario("", "", 0, ()))
    for name in document:
        if name not in _HEAD:
            r.fault(document, name, f"no field {name!r}; there are {', '.join(_HEAD)}")
    for name, needed in _HEAD.items():
        if needed and document.get(name) in (None, "", []):
            r.fault(document, None, f"{name} is missing")
    id = str(document.get("exercise", ""))
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z_-]{0,30}", id):
        r.fault(document, "exercise", f"exercise: {id!r} is no name for a realm (letters, digits, - and _, at most 31)")
    r.start = _start(r, document)
    events = sorted(_events(r, document.get("events")), key=lambda e: e.reported_at)
    title = str(document.get("title", ""))
    return Exercise(
        Scenario(id, title, r.start, tuple(events)),
        tuple(_responders(r, document)),
        tuple(sorted(_checks(r, document), key=lambda c: float(c["at_min"]))),
    )


def _start(r: _Reading, document: Mapping[str, Any]) -> int:
    given = document.get("start")
    try:
        start = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
    except ValueError:
        r.fault(document, "start", f"start: {given!r} is no time; 2027-03-02T08:00 is one, local time")
        return 0
    return int((start if start.tzinfo else start.replace(tzinfo=PARIS)).timestamp() * 1000)


def _events(r: _Reading, events: Any) -> Iterator[Event]:
    if not isinstance(events, list):
        return
    known = [(n, e) for n, e in enumerate(events, start=1) if isinstance(e, dict)]
    for number, event in enumerate(events):
        if not isinstance(event, dict):
            r.fault(events, number, "an event is a mapping: at, type, severity, and where")
    times = {n: (_minutes(r, e, "at"), _minutes(r, e, "learnt")) for n, e in known}
    for n, event in known:
        at, learnt = times[n]
        id = str(event.get("id", f"E{n:03}"))
        if id in r.ids:
            r.fault(event, "id", f"id: {id} is the name of another event too")
        r.ids[id] = _ms(r, learnt if learnt is not None else at or 0)
    for n, event in known:
        at, learnt = times[n]
        if at is None:
            if "at" not in event:
                r.fault(event, None, "at is missing: minutes from the start, or 08:15")
            continue
        if learnt is not None and learnt < at:
            r.fault(event, "learnt", "learnt: before it happened")
        yield from _event(r, event, str(event.get("id", f"E{n:03}")), _ms(r, at), _ms(r, at if learnt is None else learnt))


def _ms(r: _Reading, minutes: float) -> int:
    return r.start + round(minutes * MINUTE_MS)


def _minutes(r: _Reading, event: Mapping[str, Any], key: str) -> float | None:
    """Minutes from the start: a number, `08:15` on the first day, `+1d 08:15`."""
    given = event.get(key)
    if isinstance(given, bool) or given is None:
        if given is not None:
            r.fault(event, key, f"{key}: {given!r} is no time")
        return None
    if isinstance(given, int | float):
        return float(given)
    if (clock := _CLOCK.match(str(given))) is None or int(clock["hour"]) > 23 or int(clock["minute"]) > 59:
        r.fault(event, key, f"{key}: {given!r} is no time: minutes from the start, 08:15, or +1d 08:15")
        return None
    first = datetime.fromtimestamp(r.start / 1000, PARIS)
    day = date.fromordinal(first.date().toordinal() + int(clock["day"] or 0))
    then = datetime(day.year, day.month, day.day, int(clock["hour"]), int(clock["minute"]), tzinfo=PARIS)
    return (then.timestamp() * 1000 - r.start) / MINUTE_MS


def _event(r: _Reading, event: Mapping[str, Any], id: str, at: int, learnt: int) -> Iterator[Event]:
    before = len(r.problems)
    for name in event:
        if name not in _EVENT and name not in _OWN:
            r.fault(event, name, f"no field {name!r}; there are {', '.join(sorted([*_EVENT, *_OWN]))}")
    _places(r, event)
    for reference in event.get("refers_to") or ():
        if reference not in r.ids:
            r.fault(event, "refers_to", f"refers_to: no event {reference}")
        elif r.ids[reference] > learnt:
            r.fault(event, "refers_to", f"refers_to: {reference} is learnt later")
    body = {report: _plain(event[own]) for own, report in _EVENT.items() if own in event}
    body |= {"alias": id, "occurred_at": iso(at), "recorded_at": iso(learnt), "source": {"name": str(event.get("from", "exercise"))}}
    if len(r.problems) > before:
        return
    try:
        parse_one(orjson.dumps(body))
    except ProblemError as error:
        for fault in error.problem.faults:
            own = _OF_REPORT.get(fault.field.split(".")[0].split("[")[0], fault.field)
            r.fault(
                event,
                own if own in event else None,
                f"{own}: {fault.message['en']}" if own in event else f"{own} is missing, or {fault.message['en']}",
            )
        return
    yield Event(id, learnt, body)


def _places(r: _Reading, event: Mapping[str, Any]) -> None:
    sites, communes = {s.id for s in r.territory.sites}, {c.insee for c in r.territory.communes}
    if (site := event.get("site")) is not None and site not in sites:
        r.fault(event, "site", f"site: no site {site}{_near(str(site), sites)}")
    if (commune := event.get("commune")) is not None and str(commune) not in communes:
        r.fault(event, "commune", f"commune: no commune {commune} (INSEE code)")
    for insee in event.get("zone") or ():
        if str(insee) not in communes:
            r.fault(event, "zone", f"zone: no commune {insee} (INSEE code)")
    for activity in event.get("activities") or ():
        if activity not in {a.id for a in r.territory.activities}:
            r.fault(event, "activities", f"activities: no activity {activity}")


def _near(wanted: str, known: set[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(wanted, sorted(known), 1)
    return f"; {near[0]}?" if near else ""


def _responders(r: _Reading, document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    lines = document.get("responders") or []
    if not isinstance(lines, list):
        r.fault(document, "responders", "responders: a list of lines (docs/reference/responders.md)")
        return
    for number, line in enumerate(lines):
        try:
            parse_responders([_plain(line)])
        except (RespondersInvalid, TypeError) as error:
            r.fault(lines, number, f"responders: {str(error).removeprefix('responder 1: ')}")
        else:
            yield _plain(line)


def _checks(r: _Reading, document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    checks = document.get("expectations") or []
    if not isinstance(checks, list):
        r.fault(document, "expectations", "expectations: a list of checks (docs/reference/rules.md, section 12)")
        return
    for number, check in enumerate(checks):
        if not isinstance(check, dict):
            r.fault(checks, number, "an expectation is a mapping: id, at_min, kind")
        elif missing := sorted(_CHECK - {"why"} - set(check)):
            r.fault(checks, number, f"an expectation needs {', '.join(missing)}")
        elif check["kind"] not in KINDS:
            r.fault(check, "kind", f"kind: no kind {check['kind']!r}; there are {', '.join(sorted(KINDS))}")
        elif isinstance(check["at_min"], bool) or not isinstance(check["at_min"], int | float):
            r.fault(check, "at_min", "at_min: minutes from the start")
        else:
            yield _plain(check)


def _plain(value: Any) -> Any:
    """Without the marks of the YAML reader; times as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=PARIS)).isoformat()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    return str(value)
