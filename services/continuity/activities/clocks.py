"""RTO and DMIA (MTPD) clocks: when they start, pause, stop, how much they have consumed, and when that next matters (D42, D43).

A clock measures an interruption: from the `occurred_at` of the cause that took the activity under its MBCO until it is back. Back and
interrupted again within 60 min is the same clock; the time in between is a pause and does not count *(decided)*.
"""

from __future__ import annotations

from collections.abc import Collection, Container
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil
from typing import Final, NamedTuple

from schemas.base import DAY_MS, HOUR_MS, MINUTE_MS, Instant
from schemas.continuity import ClockRow
from schemas.words import ClockBase, ClockState
from services.continuity.activities.calendars import OpenHours
from services.continuity.activities.impact_analysis import Need

SAME_CLOCK_MS: Final = 60 * MINUTE_MS
"""D42: interrupted again within this time, the same clock goes on."""
MOST_PAUSES: Final = 24
"""What comes and goes for days must not grow the rows without end: beyond, the oldest two become one that counts the same."""
_OPEN_HOURS_BELOW_MS: Final = DAY_MS
"""D43: both limits of an activity whose RTO is under 24 h count its open hours; those of any other all hours."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How long an activity may stop."""

    base: ClockBase
    hours: float
    ms: int
    calendar: OpenHours | None
    """None: all hours count."""

    def elapsed(self, start: Instant, end: Instant) -> int:
        """Counted ms between two instants."""
        return max(end - start, 0) if self.calendar is None else self.calendar.elapsed(start, end)

    def advance(self, start: Instant, ms: int) -> Instant | None:
        """When `ms` counted ms have passed; None: never."""
        return start + max(ms, 0) if self.calendar is None else self.calendar.advance(start, ms)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits in force for one clock pair."""

    rto: Limit
    dmia: Limit


def limits_of(
    need: Need, day: int, flags: Container[str] = (), causes: Collection[str | None] = ()
) -> Limits:
    """Limits on a local day: the shortest of the BIA's own and of the surcharges that hold (D43).

    `flags`: ids (`flag:…`) that are true; `causes`: types of causes open on the site (local clocks only). The RTO is never longer than the DMIA.
    """
    rto, dmia = need.activity.rto_h, need.activity.dmia_h
    if need.windows or need.by_flag or (need.by_cause and causes):
        held = [s for window, s in need.windows if window.holds_on(day)]
        held += [s for s in need.by_flag if f"flag:{s.flag}" in flags]
        held += [s for s in need.by_cause if s.cause in causes]
        for surcharge in held:
            dmia = min(dmia, surcharge.dmia_h)
            rto = min(rto, dmia if surcharge.rto_h is None else surcharge.rto_h)
    return _limits(min(rto, dmia), dmia, need.hours)


@lru_cache(maxsize=1024)
def _limits(rto_h: float, dmia_h: float, hours: OpenHours | None) -> Limits:
    calendar = _calendar_of(rto_h, hours)
    return Limits(_limit(ClockBase.RTO, rto_h, calendar), _limit(ClockBase.DMIA, dmia_h, calendar))


def _calendar_of(rto_h: float, hours: OpenHours | None) -> OpenHours | None:
    """Return the one calendar by which both limits run: else an RTO of 8 open hours could end after a DMIA of 24 h (D43)."""
    return hours if round(rto_h * HOUR_MS) < _OPEN_HOURS_BELOW_MS else None


def _limit(base: ClockBase, hours: float, calendar: OpenHours | None) -> Limit:
    return Limit(base, hours, round(hours * HOUR_MS), calendar)


@dataclass(frozen=True, slots=True)
class Interruption:
    """What a clock measures. RTO and DMIA of one activity (or site) measure the same one."""

    started_at: Instant
    pauses: tuple[tuple[Instant, Instant], ...] = ()
    stopped_at: Instant | None = None
    """None: it lasts."""

    @property
    def resumed_at(self) -> Instant:
        """Since when it lasts without a break."""
        return self.pauses[-1][1] if self.pauses else self.started_at

    def stop(self, at: Instant) -> Interruption:
        """Back at `at`, or at the last resumption if that is later (a correction)."""
        return replace(self, stopped_at=max(at, self.resumed_at))

    def earlier(self, start: Instant) -> Interruption:
        """A late report: it began before what was known. Only the first stretch can move (D7)."""
        return replace(self, started_at=start) if start < self.started_at else self


def begin(before: Interruption | None, start: Instant, limit: Limit) -> Interruption:
    """An interruption from `start`: the same as `before` if that stopped 60 min before at most, else a new one."""
    if before is None or before.stopped_at is None or start - before.stopped_at > SAME_CLOCK_MS:
        return Interruption(start)
    if start <= before.stopped_at:  # learnt late: it never really stopped
        return replace(before, stopped_at=None).earlier(start)
    return replace(
        before, pauses=_few((*before.pauses, (before.stopped_at, start)), limit), stopped_at=None
    )


def _few(
    pauses: tuple[tuple[Instant, Instant], ...], limit: Limit
) -> tuple[tuple[Instant, Instant], ...]:
    """At most MOST_PAUSES. What ran between the oldest two moves before them, in hours that count: the limit has consumed as much as before."""
    while len(pauses) > MOST_PAUSES:
        (first, until), (since, last), *later = pauses
        joined = limit.advance(first, limit.elapsed(until, since))
        pauses = ((last if joined is None else min(joined, last), last), *later)
    return pauses


def consumed_ms(limit: Limit, measured: Interruption, now: Instant) -> int:
    """Counted ms up to `now` or its end, without the pauses."""
    end = now if measured.stopped_at is None else measured.stopped_at
    total = limit.elapsed(measured.started_at, end)
    return total - sum(limit.elapsed(a, b) for a, b in measured.pauses)


def _pct(ms: int, limit: Limit) -> float:
    """Floored to a hundredth, so that a whole percentage is reached in the row exactly when it is reached."""
    return (ms * 10_000 // limit.ms) / 100 if limit.ms else 100.0


def consumed_pct(need: Need, row: ClockRow, rto_h: float, now: Instant) -> float:
    """Percentage at `now` of a running row, which may be older; 0 for one that does not run. `rto_h`: the RTO in force beside it."""
    if row.state is not ClockState.RUNNING or row.started_at is None:
        return 0.0
    limit = _limit(row.base, row.limit_h, _calendar_of(rto_h, need.hours))
    return _pct(consumed_ms(limit, Interruption(row.started_at, row.pauses), now), limit)


# ── rows ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Clocks(NamedTuple):
    """Both clocks of one interruption, and what became due: (base, percentage, limit)."""

    rto: ClockRow
    dmia: ClockRow
    due: tuple[tuple[ClockBase, int, Instant], ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """What a change makes of an interruption: it lasts since `start`, or (None) does not, since `back_at`."""

    start: Instant | None
    back_at: Instant
    anew: bool = False
    """Percentages that matter may be others now (new reference data): a running clock is read, whatever it waits for."""


def _measured_after(before: ClockRow | None, turn: Turn, limit: Limit) -> Interruption | None:
    """The interruption of a clock after a change. Both clocks of a pair have the same, but each joins its old pauses by the hours that it counts."""
    start, back_at = turn.start, turn.back_at
    if before is None or before.started_at is None:
        return None if start is None else Interruption(start)
    known = Interruption(before.started_at, before.pauses, before.stopped_at)
    if before.state is ClockState.RUNNING:
        return known.stop(back_at) if start is None else known.earlier(start)
    return known if start is None else begin(known, start, limit)


def read_clocks(
    need: Need, limits: Limits, before: tuple[ClockRow, ClockRow] | None, turn: Turn, now: Instant
) -> Clocks:
    """Clock rows at `now`. A row that only time would change, before its `next_at`, stays the row that it was."""
    due: list[tuple[ClockBase, int, Instant]] = []
    rto_was, dmia_was = (None, None) if before is None else before
    rto = _read(need, limits.rto, rto_was, turn, now, due)
    dmia = _read(need, limits.dmia, dmia_was, turn, now, due)
    return Clocks(rto, dmia, tuple(due))


def _read(
    need: Need,
    limit: Limit,
    was: ClockRow | None,
    turn: Turn,
    now: Instant,
    due: list[tuple[ClockBase, int, Instant]],
) -> ClockRow:
    measured = _measured_after(was, turn, limit)
    if (
        was is not None
        and _still(was, limit, measured, now)
        and not (turn.anew and was.state is ClockState.RUNNING)
    ):
        return was
    if measured is None:
        return ClockRow(base=limit.base, state=ClockState.NEVER, limit_h=limit.hours)
    raised = raised_before(was, measured)
    if measured.stopped_at is not None:
        return _stopped(limit, measured, raised)
    row = _running(limit, measured, need, raised, now)
    due += [
        (limit.base, pct, _limit_at(limit, measured, row))
        for pct in row.alarms
        if pct not in raised
    ]
    return row


def _still(was: ClockRow, limit: Limit, measured: Interruption | None, now: Instant) -> bool:
    """Nothing but the reading would differ."""
    if was.limit_h != limit.hours:
        return (
            measured is not None
            and measured.stopped_at is not None
            and was.state is ClockState.STOPPED
        )  # it was measured by the limit of its day
    if measured is None:
        return was.state is ClockState.NEVER
    if (was.started_at, was.pauses, was.stopped_at) != (
        measured.started_at,
        measured.pauses,
        measured.stopped_at,
    ):
        return False
    return was.next_at is None or now < was.next_at


def raised_before(was: ClockRow | None, now: Interruption | ClockRow) -> tuple[int, ...]:
    """Alarms that the same clock raised before; none for a new interruption. A clock's start moves only by a late report, and then earlier."""
    if was is None or was.started_at is None or now.started_at is None:
        return ()
    return was.alarms if now.started_at <= was.started_at or now.pauses else ()


def _limit_at(limit: Limit, measured: Interruption, row: ClockRow) -> Instant:
    return measured.started_at + limit.ms if row.deadline is None else row.deadline


def _stopped(limit: Limit, measured: Interruption, alarms: tuple[int, ...]) -> ClockRow:
    return ClockRow(
        base=limit.base,
        state=ClockState.STOPPED,
        limit_h=limit.hours,
        started_at=measured.started_at,
        stopped_at=measured.stopped_at,
        consumed_pct=_pct(consumed_ms(limit, measured, 0), limit),
        alarms=alarms,
        pauses=measured.pauses,
        as_of=measured.stopped_at,
    )


def _running(
    limit: Limit, measured: Interruption, need: Need, alarms: tuple[int, ...], now: Instant
) -> ClockRow:
    """`alarms` already raised; the row adds every one that is due, each once (D44)."""
    used = consumed_ms(limit, measured, now)
    marks = [(mark, ceil(limit.ms * mark / 100)) for mark in need.marks[limit.base]]
    reached = [mark for mark, ms in marks if ms <= used]
    since = measured.resumed_at
    before = used - limit.elapsed(since, now)
    mark_at = next((limit.advance(since, ms - before) for _, ms in marks if ms > used), None)
    return ClockRow(
        base=limit.base,
        state=ClockState.RUNNING,
        limit_h=limit.hours,
        started_at=measured.started_at,
        pauses=measured.pauses,
        deadline=limit.advance(since, limit.ms - before),
        consumed_pct=_pct(used, limit),
        alarms=tuple(
            sorted({pct for pct in need.alarms[limit.base] if pct in reached} | set(alarms))
        ),
        ticking=now >= since and (limit.calendar is None or limit.calendar.is_open(now)),
        as_of=now,
        reached=max(reached, default=0.0),
        next_at=None if len(reached) == len(marks) else _next_at(limit, mark_at, now),
    )


def _next_at(limit: Limit, mark_at: Instant | None, now: Instant) -> Instant | None:
    """The next percentage, or before it the next opening or closing."""
    edge = limit.calendar.next_edge(now) if limit.calendar is not None else None
    return min((at for at in (mark_at, edge) if at is not None and at > now), default=None)
