"""Determine the person on call for a role at an instant: override, calendar, rotation, then roster.

A role in a scope has two places, holder and deputy. Results depend only on published data and
decisions; callers pass the instant. Two schedules are compared span by span. Rules D34 and D86.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final, Literal
from zoneinfo import ZoneInfo

from schemas.base import Instant
from schemas.oncall import DutyRow, Place, Rotation, Shift
from schemas.reference import Roster

PARIS: Final = ZoneInfo("Europe/Paris")


@lru_cache(maxsize=4096)
def to_instant(day: date, minute: int) -> Instant:
    """Return the instant of `minute` after local midnight; 1440 is the midnight that ends the day.

    A time skipped by the clock change is as long after the change (02:30 → 03:30). A time that
    exists twice means the first (RFC 5545 3.3.5).
    """
    days_on, minute = divmod(minute, 1440)
    local = datetime.combine(day + timedelta(days=days_on), time(minute // 60, minute % 60), PARIS)
    return int(local.timestamp() * 1000)


def get_local_day(at: Instant) -> date:
    """Return the local date of an instant."""
    return datetime.fromtimestamp(at / 1000, PARIS).date()


def find_next_local_minute(minute: int, after: Instant) -> Instant:
    """Return the first instant after `after` at this local `minute`."""
    day = get_local_day(after)
    while (instant := to_instant(day, minute)) <= after:
        day += timedelta(days=1)
    return instant


def is_inside_window(window: tuple[int, int], at: Instant) -> bool:
    """Return whether `at` lies in the daily local window [from, to).

    It spans midnight if `to` ≤ `from`.
    """
    return any(start <= at < end for start, end in windows_around(window, at))


def windows_around(window: tuple[int, int], at: Instant) -> tuple[tuple[Instant, Instant], ...]:
    """Return the windows that begin on the day before `at`, its local day and the day after."""
    today = get_local_day(at)
    return tuple(get_window_of_day(window, today + timedelta(days=n)) for n in (-1, 0, 1))


def get_window_of_day(window: tuple[int, int], day: date) -> tuple[Instant, Instant]:
    """Return the window that begins on this local day."""
    start, end = window
    return to_instant(day, start), to_instant(day if end > start else day + timedelta(days=1), end)


def list_local_days(start: Instant, end: Instant) -> list[date]:
    """List the local days from the day before `start` to the day of `end`.

    Every daily window that touches the span begins on one of them.
    """
    first, last = get_local_day(start) - timedelta(days=1), get_local_day(end)
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


ScopedRole = tuple[str, str | None]
"""(role, scope)."""
ScheduleSource = Literal["override", "swap", "calendar", "rotation", "roster", "none"]
_PlaceKey = tuple[str, str | None, Place]


@dataclass(frozen=True, slots=True)
class CoverageSpan:
    """Span of a place in which neither schedule changes."""

    role: str
    scope: str | None
    place: Place
    start: Instant
    end: Instant
    before: "Assignment"
    after: "Assignment"

    @property
    def is_changed(self) -> bool:
        return self.before.persons != self.after.persons

    @property
    def is_new_gap(self) -> bool:
        """Return whether somebody was on call, and nobody would be."""
        return bool(self.before.persons) and not self.after.persons


def compare_coverage(
    before: "Schedule", after: "Schedule", posts: Iterable[ScopedRole], start: Instant, end: Instant
) -> list[CoverageSpan]:
    """Return the spans of holder and deputy of some roles, in order."""
    spans: list[CoverageSpan] = []
    for role, scope in posts:
        for place in Place:
            ours = before.spans(role, scope, place, start, end)
            theirs = after.spans(role, scope, place, start, end)
            cuts = sorted({span.start for span in (*ours, *theirs)} | {end})
            for n, cut in enumerate(cuts[:-1]):
                old, new = _find_stand(ours, cut), _find_stand(theirs, cut)
                spans.append(CoverageSpan(role, scope, place, cut, cuts[n + 1], old, new))
    return spans


def _find_stand(spans: "Iterable[AssignmentSpan]", at: Instant) -> "Assignment":
    return next(span.stand for span in spans if span.start <= at < span.end)


@dataclass(frozen=True, slots=True)
class Assignment:
    """People on call in a place, with the source of that."""

    persons: tuple[str, ...]
    """Equals, in order; empty if the place is vacant."""
    by: ScheduleSource
    duty: str | None = None


@dataclass(frozen=True, slots=True)
class AssignmentSpan:
    start: Instant
    end: Instant
    stand: Assignment

    @property
    def person(self) -> str | None:
        """The first person on call."""
        return next(iter(self.stand.persons), None)


@dataclass(frozen=True, slots=True)
class OnCallPair:
    """Person to call for a role, and deputy if there is no answer."""

    holder: str | None
    deputy: str | None


class _CalendarSteps:
    """Calendar shifts of one place as a step function of time."""

    def __init__(self, shifts: Iterable[Shift]) -> None:
        work_shifts = sorted(
            (s for s in shifts if s.person is not None and s.start < s.end),
            key=lambda s: (s.start, s.end, s.person),
        )
        cuts = sorted({t for s in work_shifts for t in (s.start, s.end)})
        self.cuts = cuts
        steps: list[list[str]] = [[] for _ in cuts]
        for s in work_shifts:
            for n in range(bisect_right(cuts, s.start) - 1, bisect_right(cuts, s.end - 1)):
                if s.person is not None and s.person not in steps[n]:
                    steps[n].append(s.person)
        self._steps = [tuple(step) for step in steps]

    def at(self, at: Instant) -> tuple[str, ...]:
        n = bisect_right(self.cuts, at) - 1
        return self._steps[n] if n >= 0 else ()


class Schedule:
    """Immutable on-call schedule of one realm."""

    def __init__(self, roster: Roster | None, duties: Iterable[DutyRow] = ()) -> None:
        duties = tuple(duties)
        self._made_of = (roster, {d.id: d for d in duties})
        self._roster = {(h.role, h.scope): h for h in roster.holders} if roster else {}
        self._rotations: dict[_PlaceKey, list[Rotation]] = {}
        for r in roster.rotations if roster else ():
            self._rotations.setdefault((r.role, r.scope, r.place), []).append(r)
        self._overrides: dict[_PlaceKey, list[DutyRow]] = {}
        self._calendars: dict[_PlaceKey, list[DutyRow]] = {}
        for d in sorted((d for d in duties if d.state == "in_force"), key=lambda d: -d.number):
            kind = self._calendars if d.kind == "calendar" else self._overrides
            kind.setdefault((d.role, d.scope, d.place), []).append(d)
        self._lines = {
            key: _CalendarSteps(s for d in rows for s in d.shifts)
            for key, rows in self._calendars.items()
        }
        keys = (*self._rotations, *self._overrides, *self._calendars)
        self.posts: tuple[ScopedRole, ...] = tuple(
            dict.fromkeys([*self._roster, *((role, scope) for role, scope, _ in keys)])
        )
        """Every role that somebody can hold, in roster order."""
        self.roles = frozenset(role for role, _ in self.posts)
        self._scopes: dict[str, tuple[str | None, ...]] = {}
        for role, scope in self.posts:
            self._scopes[role] = (*self._scopes.get(role, ()), scope)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self._made_of == other._made_of

    __hash__ = None  # type: ignore[assignment]

    def scopes(self, role: str) -> tuple[str | None, ...]:
        """Return the scopes where the role exists."""
        return self._scopes.get(role, ())

    def is_static(self, role: str, scope: str | None) -> bool:
        """Return whether only the roster fills this role, so that its holder never changes."""
        return all(
            (role, scope, place) not in kind
            for place in Place
            for kind in (self._rotations, self._overrides, self._calendars)
        )

    def stand(self, role: str, scope: str | None, place: Place, at: Instant) -> Assignment:
        """Return the people on call in a place at `at`."""
        key = (role, scope, place)
        for duty in self._overrides.get(key, ()):
            for shift in duty.shifts:
                if shift.start <= at < shift.end:
                    return Assignment(
                        (shift.person,) if shift.person is not None else (),
                        "swap" if duty.kind == "swap" else "override",
                        duty.id,
                    )
        calendars = [d for d in self._calendars.get(key, ()) if d.start <= at < d.end]
        if calendars:
            return Assignment(self._lines[key].at(at), "calendar", calendars[0].id)
        rotations = [r for r in self._rotations.get(key, ()) if _is_in_force(r, at)]
        if rotations:
            persons = (_find_person_of_rotation(r, at) for r in rotations)
            return Assignment(tuple(dict.fromkeys(p for p in persons if p is not None)), "rotation")
        holder = self._roster.get((role, scope))
        person = (
            (holder.holder if place is Place.HOLDER else holder.deputy)
            if holder is not None
            else None
        )
        return Assignment(
            (person,) if person is not None else (), "roster" if holder is not None else "none"
        )

    def pair(
        self,
        role: str,
        scope: str | None,
        at: Instant,
        is_rested: Callable[[str], bool] = lambda _: True,
    ) -> OnCallPair:
        """Return the person to call and the deputy.

        Among equals, a rested person comes first; an equal without a call is the last deputy. Rule
        D39.
        """
        first = _sort_rested_first(self.stand(role, scope, Place.HOLDER, at).persons, is_rested)
        second = _sort_rested_first(self.stand(role, scope, Place.DEPUTY, at).persons, is_rested)
        holder = next(iter(first), None)
        return OnCallPair(holder, next((p for p in (*second, *first[1:]) if p != holder), None))

    def spans(
        self, role: str, scope: str | None, place: Place, start: Instant, end: Instant
    ) -> list[AssignmentSpan]:
        """Divide [start, end) without gap or overlap where the people or their source change."""
        assignment_spans: list[AssignmentSpan] = []
        cuts = [
            start,
            *sorted({c for c in self.cuts(role, scope, place, start, end) if start < c < end}),
            end,
        ]
        for a, b in pairwise(cuts):
            stand = self.stand(role, scope, place, a)
            if assignment_spans and assignment_spans[-1].stand == stand:
                assignment_spans[-1] = AssignmentSpan(assignment_spans[-1].start, b, stand)
            elif a < b:
                assignment_spans.append(AssignmentSpan(a, b, stand))
        return assignment_spans

    def cuts(
        self, role: str, scope: str | None, place: Place, start: Instant, end: Instant
    ) -> Iterator[Instant]:
        """Yield every instant in [start, end) at which the people may change.

        May yield more instants, never fewer.
        """
        key = (role, scope, place)
        for duty in self._overrides.get(key, ()):
            yield from (t for s in duty.shifts for t in (s.start, s.end))
        for duty in self._calendars.get(key, ()):
            yield from (duty.start, duty.end)
        if key in self._lines:
            yield from self._lines[key].cuts
        for r in self._rotations.get(key, ()):
            yield from _list_handovers(r, start, end)


def _sort_rested_first(
    persons: tuple[str, ...], is_rested: Callable[[str], bool]
) -> tuple[str, ...]:
    if len(persons) < 2:
        return persons
    return tuple(sorted(persons, key=lambda p: not is_rested(p)))


def _is_in_force(r: Rotation, at: Instant) -> bool:
    return to_instant(r.since, r.hand_off_min) <= at and (
        r.until is None or at < to_instant(r.until, r.hand_off_min)
    )


def _find_person_of_rotation(r: Rotation, at: Instant) -> str | None:
    """Return the person of the rotation at `at`; None outside its hours."""
    if r.hours is not None and not is_inside_window(r.hours, at):
        return None
    turns = (get_local_day(at) - r.since).days // r.every_days + 1
    while to_instant(r.since + timedelta(days=turns * r.every_days), r.hand_off_min) > at:
        turns -= 1
    return r.persons[turns % len(r.persons)]


def _list_handovers(r: Rotation, start: Instant, end: Instant) -> Iterator[Instant]:
    yield to_instant(r.since, r.hand_off_min)
    if r.until is not None:
        yield to_instant(r.until, r.hand_off_min)
    for day in list_local_days(start, end):
        if day >= r.since and (day - r.since).days % r.every_days == 0:
            yield to_instant(day, r.hand_off_min)
        if r.hours is not None:
            yield from get_window_of_day(r.hours, day)
