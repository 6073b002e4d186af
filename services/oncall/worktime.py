"""Check the limits of working time: 10 h a day, 48 h a week, 11 h of rest a day, 35 h a week.

Pure. Rule D39.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Literal

from schemas.base import HOUR_MS, Instant
from schemas.oncall import Place
from schemas.reference import WorkingTime
from services.oncall.schedule import Schedule, get_local_day, to_instant

WorkSpan = tuple[Instant, Instant]
WorkLimit = Literal["day", "week", "daily_rest", "weekly_rest"]


@dataclass(frozen=True, slots=True)
class WorktimeBreach:
    """A limit that the schedule breaks; it needs a decision by name.

    Rule D39.
    """

    person: str
    limit: WorkLimit
    start: Instant
    end: Instant
    hours: float
    """Hours worked or rested in that span."""


def compute_work(
    rota: Schedule,
    rules: WorkingTime,
    start: Instant,
    end: Instant,
    call_outs: Mapping[str, Iterable[Instant]] | None = None,
) -> dict[str, list[WorkSpan]]:
    """Map each person to merged spans of work.

    On call at home, only call-outs are work. A person on call by the roster alone has no planned
    work.
    """
    spans_by_person: dict[str, list[WorkSpan]] = {}
    for role, scope in rota.posts:
        if role in rules.standby_roles or rota.is_static(role, scope):
            continue
        for span in rota.spans(role, scope, Place.HOLDER, start, end):
            for person in span.stand.persons if span.stand.by != "roster" else ():
                spans_by_person.setdefault(person, []).append((span.start, span.end))
    for person, call_out_spans in (call_outs or {}).items():
        spans_by_person.setdefault(person, []).extend(
            (at, at + round(rules.call_out_h * HOUR_MS))
            for at in call_out_spans
            if start <= at < end
        )
    return {person: merge_spans(spans) for person, spans in spans_by_person.items()}


def merge_spans(spans: Iterable[WorkSpan]) -> list[WorkSpan]:
    """Merge spans into ascending ones without overlap; adjacent spans become one."""
    out: list[WorkSpan] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        elif start < end:
            out.append((start, end))
    return out


def find_breaches(person: str, work: list[WorkSpan], rules: WorkingTime) -> list[WorktimeBreach]:
    """List every limit that these spans break, in order."""
    breaches = [
        *_find_excess_work(person, work, "day", 1, rules.day_h),
        *_find_excess_work(person, work, "week", 7, rules.week_h),
        *_find_short_daily_rest(person, work, rules.daily_rest_h),
        *_find_short_weekly_rest(person, work, rules.weekly_rest_h),
    ]
    return sorted(breaches, key=lambda b: (b.start, b.end, b.limit))


def is_rested(work: list[WorkSpan], rules: WorkingTime, at: Instant) -> bool:
    """Return whether no work ended or goes on within the daily rest before `at`."""
    return not any(start <= at and end > at - rules.daily_rest_h * HOUR_MS for start, end in work)


def _list_periods(work: list[WorkSpan], days: int) -> Iterator[WorkSpan]:
    """Yield the local days, or weeks from Monday, that the work touches."""
    if not work:
        return
    day = get_local_day(work[0][0])
    day -= timedelta(days=day.weekday() if days == 7 else 0)
    while (start := to_instant(day, 0)) < work[-1][1]:
        day += timedelta(days=days)
        yield start, to_instant(day, 0)


def _find_excess_work(
    person: str, work: list[WorkSpan], limit: WorkLimit, days: int, most_h: float
) -> Iterator[WorktimeBreach]:
    for start, end in _list_periods(work, days):
        hours = sum(max(0, min(b, end) - max(a, start)) for a, b in work) / HOUR_MS
        if hours > most_h:
            yield WorktimeBreach(person, limit, start, end, hours)


def _find_short_daily_rest(
    person: str, work: list[WorkSpan], least_h: float
) -> Iterator[WorktimeBreach]:
    for (_, end), (start, _) in pairwise(work):
        if (hours := (start - end) / HOUR_MS) < least_h:
            yield WorktimeBreach(person, "daily_rest", end, start, hours)


def _find_short_weekly_rest(
    person: str, work: list[WorkSpan], least_h: float
) -> Iterator[WorktimeBreach]:
    """Find weeks, Monday to Sunday, that contain no long enough rest."""
    for start, end in _list_periods(work, 7):
        inside = [(max(a, start), min(b, end)) for a, b in work if a < end and b > start]
        edges = [start, *(t for span in inside for t in span), end]
        longest = max((b - a) / HOUR_MS for a, b in zip(edges[::2], edges[1::2], strict=True))
        if inside and longest < least_h:
            yield WorktimeBreach(person, "weekly_rest", start, end, longest)
