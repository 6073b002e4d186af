"""RTO and DMIA (MTPD) clocks: when they start, pause, stop, how much they have consumed, and when that next matters (D42, D43).

A clock measures an interruption: from the `occurred_at` of the cause that took the activity under its MBCO until it is back. Back and
interrupted again within 60 min is the same clock; the time in between is a pause and does not count *(decided)*.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from schemas.base import DAY_MS, HOUR_MS, MINUTE_MS, Instant
from schemas.continuity import ClockRow
from schemas.words import ClockBase, ClockState
from services.continuity.bia import Need
from services.continuity.calendars import OpenHours

SAME_CLOCK_MS: Final = 60 * MINUTE_MS
"""D42: interrupted again within this time, the same clock goes on."""
_OPEN_HOURS_BELOW_MS: Final = DAY_MS
"""D43: limits under 24 h count open hours, longer ones all hours."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How long an activity may stop."""

    base: ClockBase
    hours: float
    calendar: OpenHours | None
    """None: all hours count."""

    @property
    def ms(self) -> int:
        return round(self.hours * HOUR_MS)

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


def limits_of(need: Need, day: int, flags: Container[str] = (), causes: Container[str | None] = ()) -> Limits:
    """Limits on a local day: the shortest of the BIA's own and of the surcharges that hold (D43).

    `flags`: ids (`flag:…`) that are true; `causes`: types of causes open on the site (local clocks only). The RTO is never longer than the DMIA.
    """
    activity = need.activity
    rto, dmia = activity.rto_h, activity.dmia_h
    held = [s for window, s in need.windows if window.holds_on(day)]
    held += [s for s in need.by_flag if f"flag:{s.flag}" in flags]
    held += [s for s in need.by_cause if s.cause in causes]
    for surcharge in held:
        dmia = min(dmia, surcharge.dmia_h)
        rto = min(rto, dmia if surcharge.rto_h is None else surcharge.rto_h)
    return Limits(_limit(ClockBase.RTO, min(rto, dmia), need.hours), _limit(ClockBase.DMIA, dmia, need.hours))


def _limit(base: ClockBase, hours: float, calendar: OpenHours | None) -> Limit:
    return Limit(base, hours, calendar if hours * HOUR_MS < _OPEN_HOURS_BELOW_MS else None)


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


def begin(before: Interruption | None, start: Instant) -> Interruption:
    """An interruption from `start`: the same as `before` if that stopped 60 min before at most, else a new one."""
    if before is None or before.stopped_at is None or start - before.stopped_at > SAME_CLOCK_MS:
        return Interruption(start)
    if start <= before.stopped_at:  # learnt late: it never really stopped
        return replace(before, stopped_at=None).earlier(start)
    return replace(before, pauses=(*before.pauses, (before.stopped_at, start)), stopped_at=None)


def interruption_of(row: ClockRow) -> Interruption | None:
    """The interruption that a row measures or measured."""
    if row.started_at is None:
        return None
    return Interruption(row.started_at, row.pauses, row.stopped_at)


def consumed_ms(limit: Limit, measured: Interruption, now: Instant) -> int:
    """Counted ms up to `now` or its end, without the pauses."""
    end = now if measured.stopped_at is None else measured.stopped_at
    total = limit.elapsed(measured.started_at, end)
    return total - sum(limit.elapsed(a, b) for a, b in measured.pauses)


def _pct(ms: int, limit: Limit) -> float:
    """Floored to a hundredth, so that a whole percentage is reached in the row exactly when it is reached."""
    return (ms * 10_000 // limit.ms) / 100 if limit.ms else 100.0


def consumed_pct(need: Need, row: ClockRow, measured: Interruption, now: Instant) -> float:
    """Percentage of the row's limit at `now`; the row itself may be older."""
    limit = _limit(row.base, row.limit_h, need.hours)
    return _pct(consumed_ms(limit, measured, now), limit)


def idle_clock(limit: Limit) -> ClockRow:
    """A clock that never ran."""
    return ClockRow(base=limit.base, state=ClockState.NEVER, limit_h=limit.hours)


def stopped_clock(limit: Limit, measured: Interruption, alarms: tuple[int, ...]) -> ClockRow:
    """A clock whose activity is back."""
    return ClockRow(
        base=limit.base, state=ClockState.STOPPED, limit_h=limit.hours, started_at=measured.started_at, stopped_at=measured.stopped_at,
        consumed_pct=_pct(consumed_ms(limit, measured, 0), limit), alarms=alarms, pauses=measured.pauses, as_of=measured.stopped_at,
    )  # fmt: skip


def running_clock(limit: Limit, measured: Interruption, need: Need, alarms: tuple[int, ...], now: Instant) -> ClockRow:
    """A clock at `now`. `alarms` already raised; the row adds every one that is due, each once (D44)."""
    used = consumed_ms(limit, measured, now)
    left = [mark for mark in need.marks[limit.base] if used < _mark_ms(limit, mark)]
    due = {pct for pct in need.alarms[limit.base] if used >= _mark_ms(limit, pct)}
    since = measured.resumed_at
    used_before = used - limit.elapsed(since, now)
    ticking = now >= since and (limit.calendar is None or limit.calendar.is_open(now))
    return ClockRow(
        base=limit.base, state=ClockState.RUNNING, limit_h=limit.hours, started_at=measured.started_at, pauses=measured.pauses,
        deadline=limit.advance(since, limit.ms - used_before), consumed_pct=_pct(used, limit),
        alarms=tuple(sorted(due | set(alarms))), ticking=ticking, as_of=now,
        next_at=_next_at(limit, since, used_before, left, now),
    )  # fmt: skip


def _mark_ms(limit: Limit, pct: float) -> int:
    return ceil(limit.ms * pct / 100)


def _next_at(limit: Limit, since: Instant, used_before: int, left: list[float], now: Instant) -> Instant | None:
    """The next percentage, or before it the next opening or closing; None when every percentage has passed."""
    if not left:
        return None
    mark = limit.advance(since, _mark_ms(limit, left[0]) - used_before)
    edge = limit.calendar.next_edge(now) if limit.calendar is not None else None
    return min((at for at in (mark, edge) if at is not None and at > now), default=None)
