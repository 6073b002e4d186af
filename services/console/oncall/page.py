"""Page of the on-call week (astreintes): shifts per post, readiness band, and gaps to fill."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Final

from schemas.oncall import Place
from services.console.i18n import Translator
from services.console.oncall.resources import Duty, DutySpan, Hole, OnCall, OnCallPost, Readiness
from services.console.texts import words as w
from services.console.texts.names import Names
from services.console.web import times
from services.oncall.localtime import instant

SLOTS: Final = 12
"""Columns of a day in the grid; each spans two hours."""
WEEK: Final = 7
SHOWN_HOLES: Final = 40
SHOWN_DECISIONS: Final = 40
BAND: Final = (150.0, 760.0)
"""Left edge and width of the readiness band."""
ROW: Final = 22
GRAVE: Final = frozenset({"nobody", "unreachable"})


@dataclass(frozen=True, slots=True)
class Cell:
    """One or more columns in a row of the grid."""

    columns: int
    persons: tuple[str, ...]
    by: str
    hole: bool
    current: bool
    told: str
    """Exact span, for screen readers and short shifts."""


@dataclass(frozen=True, slots=True)
class Row:
    key: str
    name: str
    deputy: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Day:
    label: str
    today: bool
    holiday: bool


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    width: float
    tone: str


@dataclass(frozen=True, slots=True)
class Band:
    name: str
    y: int
    bars: tuple[Bar, ...]


def monday_of(day: date) -> date:
    """Return the first day of the week."""
    return day - timedelta(days=day.weekday())


def edges_of(monday: date) -> list[int]:
    """Return the instants between the columns; days of 23 and 25 hours have twelve columns, too."""
    days = [monday + timedelta(days=n) for n in range(WEEK + 1)]
    starts = [instant(day, 0) for day in days]
    return [a + (b - a) * slot // SLOTS for a, b in pairwise(starts) for slot in range(SLOTS)] + [
        starts[-1]
    ]


def rows_of(found: OnCall, edges: list[int], now: datetime, lang: str) -> list[Row]:
    """Build two rows per post: holder and deputy."""
    made: list[Row] = []
    for post in found.items:
        made.append(Row(f"{post.id}-h", _name(post), False, _cells(post.holder, edges, now, lang)))
        made.append(Row(f"{post.id}-d", _name(post), True, _cells(post.deputy, edges, now, lang)))
    return made


def _name(post: OnCallPost) -> str:
    return post.role_name if post.scope_name is None else f"{post.role_name}, {post.scope_name}"


def _cells(spans: list[DutySpan], edges: list[int], now: datetime, lang: str) -> tuple[Cell, ...]:
    """Fill each column with its longest shift; a gap wins, however short."""
    columns = [_column(spans, a, b) for a, b in pairwise(edges)]
    cells: list[Cell] = []
    for n, span in enumerate(columns):
        if n and columns[n - 1] is span:
            last = cells[-1]
            cells[-1] = Cell(
                last.columns + 1, last.persons, last.by, last.hole, last.current, last.told
            )
        else:
            told = f"{times.day(span.start, lang)} {times.hm(span.start)} – {times.day(span.end, lang)} {times.hm(span.end)}"
            cells.append(
                Cell(
                    1,
                    tuple(span.persons),
                    span.by,
                    not span.persons,
                    span.start <= now < span.end,
                    told,
                )
            )
    return tuple(cells)


def _column(spans: list[DutySpan], a: int, b: int) -> DutySpan:
    def share(span: DutySpan) -> tuple[bool, int]:
        overlap = min(b, times.ms(span.end)) - max(a, times.ms(span.start))
        return (overlap > 0 and not span.persons, overlap)

    return max(spans, key=share)


def days_of(monday: date, now: datetime, holidays: frozenset[str], lang: str) -> list[Day]:
    today = times.local(now).date()
    made = []
    for n in range(WEEK):
        day = monday + timedelta(days=n)
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=times.PARIS)
        made.append(Day(times.day(noon, lang), day == today, day.isoformat() in holidays))
    return made


def bands_of(proof: Readiness) -> list[Band]:
    """Build one readiness bar per role over the horizon, territory-wide roles first."""
    begin, total = times.ms(proof.start), max(times.ms(proof.end) - times.ms(proof.start), 1)
    x0, width = BAND
    tones = {"ready": "y", "reserve": "w", "hole": "x"}
    made = []
    for n, role in enumerate(proof.roles):
        bars = (
            Bar(
                round(x0 + width * (times.ms(a) - begin) / total, 1),
                round(width * (times.ms(b) - times.ms(a)) / total, 1),
                tones[state],
            )
            for a, b, state in role.band
        )
        made.append(Band(role.role_name, ROW * (n + 1), tuple(bars)))
    return made


def ticks_of(proof: Readiness) -> list[tuple[float, str]]:
    """Return a tick for every second day."""
    days = (proof.end - proof.start) // timedelta(days=1)
    x0, width = BAND
    return [
        (
            round(x0 + width * n / max(days, 1), 1),
            times.local(proof.start + timedelta(days=n)).strftime("%d/%m"),
        )
        for n in range(0, days + 1, 2)
    ]


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision in force about the schedule: an override, a swap or a calendar."""

    id: str
    kind: str
    post: str
    place: Place
    persons: str
    """Tokens of the persons, or the text for nobody if the decision leaves the post empty."""
    start: datetime
    end: datetime
    by: str


def choices(names: Names, _: Translator) -> list[tuple[str, str]]:
    """List (token, label) of each person on a post, by role: nobody knows the tokens by heart.

    Screens show no names. Rule D58.
    """
    return sorted(
        ((code, f"{w.person_name(code, names, _)} ({code})") for code in names.holders),
        key=lambda pair: pair[1],
    )


def decided_of(duties: Iterable[Duty], now: datetime, names: Names, _: Translator) -> list[Decided]:
    """List the decisions in force that have not ended, in the given order."""
    return [
        Decided(
            d.id,
            f"{w.word(w.STAND, d.kind, _)} {d.calendar}"
            if d.calendar
            else w.word(w.STAND, d.kind, _),
            w.role_name(d.role, d.scope, names, _),
            d.place,
            ", ".join(p or _("personne") for p in d.persons),
            d.start,
            d.end,
            w.person_name(d.by, names, _),
        )
        for d in duties
        if d.state == "in_force" and d.end > now
    ]


def when_of(hole: Hole, now: datetime, _: Translator) -> str:
    """Describe the start of a hole: `maintenant`, `dans 1 j`."""
    if hole.start <= now:
        return _("maintenant")
    return _("dans {span}", span=times.lasted(hole.start - now, _.lang))
