"""Read an exercise file, check it against the territory and turn it into a scenario.

Every fault is noted with its line; reading goes on after a fault. Events pass the same reader as
reports over HTTP, so a file that passes can be played. Format: docs/how-to/write-an-exercise.md.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from schemas.people.responders import RespondersInvalid, parse_responders
from services.simulation.exercise_actions import read_actions, read_requests
from services.simulation.exercise_events import read_events
from services.simulation.exercise_reading import (
    PARIS,
    ExerciseReader,
    is_scalar,
    is_writable,
    quote_value,
    to_plain_value,
)
from services.simulation.expectations import (
    find_faults,
    find_pointless_conditions,
    list_unread_fields,
)
from services.simulation.scenarios import ExerciseDaysOff, Scenario
from services.territory import SourceProblem, Territory
from services.territory.source import YamlInvalid, is_too_large, read_yaml

_FIELDS: Final = {
    "exercise": True,
    "title": True,
    "start": True,
    "events": True,
    "actions": False,
    "requests": False,
    "responders": False,
    "expectations": False,
    "calendar": False,
}
"""Field → whether it is required."""
YEARS: Final = range(1971, 3000)
MAX_FILE_BYTES: Final = 1 << 20
"""Largest size of a file: thousands of events, about ten seconds to read."""
MAX_RESPONDERS: Final = 500
"""Most responder lines of an exercise; a realm accepts no more."""


AGENT: Final = "agent"
"""Role that stands for everybody of a site in headcounts and call-outs."""


class ExerciseInvalid(ValueError):
    """Signal an exercise file that cannot be played; `problems` holds reasons and lines."""

    def __init__(self, problems: list[SourceProblem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Exercise:
    """Content of a file that can be played."""

    scenario: Scenario
    responders: tuple[dict[str, Any], ...] = ()
    checks: tuple[dict[str, Any], ...] = ()


def load_exercise(file: Path, territory: Territory) -> Exercise:
    """Load the exercise of a file.

    Raises ExerciseInvalid and OSError.
    """
    reading = ExerciseReader(file.name, territory)
    if (size := file.stat().st_size) > MAX_FILE_BYTES:
        raise ExerciseInvalid(
            [
                SourceProblem(
                    file.name,
                    0,
                    f"{size} bytes are too many for an exercise, {MAX_FILE_BYTES} at most",
                )
            ]
        )
    try:
        document = read_yaml(file)
    except YamlInvalid as error:
        raise ExerciseInvalid(
            [SourceProblem(file.name, error.line, f"no YAML: {error.what}")]
        ) from error
    exercise = _read_exercise(reading, document)
    if reading.problems:
        raise ExerciseInvalid(sorted(reading.problems, key=lambda p: p.line))
    return exercise


def _read_exercise(r: ExerciseReader, document: Any) -> Exercise:
    if not isinstance(document, dict):
        r.fault(document, None, f"an exercise is expected: {', '.join(_FIELDS)}")
        return Exercise(Scenario("", "", 0, ()))
    for name in document:
        if name not in _FIELDS:
            r.fault(document, name, f"no field {name!r}; there are {', '.join(_FIELDS)}")
    for name, required_fields in _FIELDS.items():
        if required_fields and document.get(name) in (None, "", []):
            r.fault(document, None, f"{name} is missing")
    id = str(document.get("exercise", ""))
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z_-]{0,30}", id):
        r.fault(
            document,
            "exercise",
            f"exercise: {quote_value(id)} is no name for a realm (letters, digits, - and _, at most 31)",
        )
    if not is_scalar(title := document.get("title", "")) or not is_writable(title):
        r.fault(document, "title", "title: one line is expected")
    r.start = _read_start(r, document)
    unsorted_events = [*read_events(r, document), *read_requests(r, document)]
    events = sorted(unsorted_events, key=lambda e: e.reported_at)
    return Exercise(
        Scenario(
            id,
            str(title),
            r.start,
            tuple(events),
            _read_calendar(r, document),
            tuple(sorted(read_actions(r, document), key=lambda a: (a.at, a.id))),
        ),
        tuple(_read_responders(r, document)),
        tuple(sorted(_read_checks(r, document), key=lambda c: float(c["at_min"]))),
    )


def _read_start(r: ExerciseReader, document: Mapping[str, Any]) -> int:
    raw_start = document.get("start")
    try:
        start = (
            raw_start if isinstance(raw_start, datetime) else datetime.fromisoformat(str(raw_start))
        )
    except ValueError:
        r.fault(
            document,
            "start",
            f"start: {quote_value(raw_start)} is no time; 2027-03-02T08:00 is one, local time",
        )
        return 0
    if start.year not in YEARS:
        r.fault(
            document, "start", f"start: a year from {YEARS.start} to {YEARS.stop - 1} is expected"
        )
        return 0
    return int((start if start.tzinfo else start.replace(tzinfo=PARIS)).timestamp() * 1000)


def _read_calendar(r: ExerciseReader, document: Mapping[str, Any]) -> ExerciseDaysOff | None:
    """Return the days off that the exercise names, or None to use those of the territory."""
    calendar = document.get("calendar")
    if calendar is None:
        return None
    if (
        not isinstance(calendar, dict)
        or is_too_large(calendar)
        or set(calendar) - {"holidays", "school_holidays"}
    ):
        r.fault(
            document,
            "calendar",
            "calendar: {holidays: [2027-05-01], school_holidays: [[2027-02-06, 2027-02-21]]}",
        )
        return None
    days, spans = (
        to_plain_value(calendar.get("holidays") or []),
        to_plain_value(calendar.get("school_holidays") or []),
    )
    pairs = (
        [span for span in spans if isinstance(span, list) and len(span) == 2]
        if isinstance(spans, list)
        else []
    )
    if not isinstance(days, list) or not isinstance(spans, list) or len(pairs) != len(spans):
        r.fault(document, "calendar", "calendar: holidays are days, school_holidays pairs of days")
        return None
    for day in (*days, *(day for pair in pairs for day in pair)):
        if not _is_day(day):
            r.fault(calendar, None, f"calendar: {quote_value(day)} is not a day such as 2027-05-01")
            return None
    return ExerciseDaysOff(
        tuple(map(str, days)), tuple((str(first), str(last)) for first, last in pairs)
    )


def _is_day(candidate: Any) -> bool:
    try:
        date.fromisoformat(str(candidate))
    except ValueError:
        return False
    return True


def _read_responders(r: ExerciseReader, document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    lines = document.get("responders") or []
    if not isinstance(lines, list):
        r.fault(
            document, "responders", "responders: a list of lines (docs/reference/responders.md)"
        )
        return
    if len(lines) > MAX_RESPONDERS:
        r.fault(document, "responders", f"responders: {len(lines)} lines, {MAX_RESPONDERS} at most")
        return
    roles = {*r.territory.policy.roles, AGENT}
    scopes = {
        *(site.id for site in r.territory.sites),
        *(site.pole for site in r.territory.sites),
        *(a.pole for a in r.territory.activities),
    }
    for number, line in enumerate(lines):
        if is_too_large(line) or not is_writable(line):
            r.fault(
                lines,
                number,
                "responders: nothing that a line can hold (docs/reference/responders.md)",
            )
            continue
        try:
            parse_responders([to_plain_value(line)])
        except (RespondersInvalid, TypeError) as error:
            r.fault(lines, number, f"responders: {str(error).removeprefix('responder 1: ')}")
        else:
            before = len(r.problems)
            if (role := line.get("role")) is not None:
                r.known_word(line, "role", "role", role, roles)
            if (scope := line.get("scope")) is not None:
                r.known_word(line, "scope", "pôle or site", scope, scopes)
            if len(r.problems) == before:
                yield to_plain_value(line)


def _read_checks(r: ExerciseReader, document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    checks = document.get("expectations") or []
    if not isinstance(checks, list):
        r.fault(
            document,
            "expectations",
            "expectations: a list of checks (docs/reference/rules.md, section 12)",
        )
        return
    names: set[str] = set()
    for number, check in enumerate(checks):
        if not isinstance(check, dict) or is_too_large(check):
            r.fault(checks, number, "an expectation is a mapping: id, at_min, kind")
            continue
        before, expectation = len(r.problems), to_plain_value(check)
        for name, what in find_faults(expectation):
            r.fault(check if name else checks, name or number, what)
        if len(r.problems) > before:
            continue
        for name, what in find_pointless_conditions(expectation):
            r.fault(check if name else checks, name or number, what)
        for name in list_unread_fields(expectation):
            r.fault(
                check,
                name,
                f"no field {quote_value(name)} in an expectation of kind {expectation['kind']}",
            )
        if expectation["id"] in names:
            r.fault(
                check,
                "id",
                f"id: {quote_value(expectation['id'])} is the name of another expectation too",
            )
        names.add(expectation["id"])
        _check_references(r, check, expectation)
        if len(r.problems) == before:
            yield expectation


def _check_references(r: ExerciseReader, node: Any, check: Mapping[str, Any]) -> None:
    """Note references to events, sites, activities and plans that do not exist."""
    for key in ("event", "of_event", "events", "of"):
        for id in _as_list(check.get(key)):
            if isinstance(id, str) and id not in r.ids:
                r.fault(node, key, f"{key}: no event {quote_value(id)}")
    for key in ("site", "sites", "includes", "excludes"):
        for site in _as_list(check.get(key)):
            r.known_site(node, key, site)
    for key, kind, valid_words in (
        ("pole", "pôle", {s.pole for s in r.territory.sites}),
        ("site_kind", "kind of site", {s.kind for s in r.territory.sites}),
    ):
        for word in _as_list(check.get(key)):
            r.known_word(node, key, kind, word, valid_words)
    for activity in _as_list(check.get("activity")):
        r.known_activity(node, "activity", activity)
    for plan in _as_list(check.get("plan")):
        if plan not in {p.id for p in r.territory.plans}:
            r.fault(node, "plan", f"plan: no plan {quote_value(plan)}")


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
