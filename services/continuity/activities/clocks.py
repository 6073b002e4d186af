"""RTO and DMIA (MTPD) clocks: start, pauses, stop, consumed time, next change. Rules D42, D43.

A clock measures an interruption from the `occurred_at` of the cause that took the activity under
its MBCO until the activity is back. An activity that is interrupted again within 60 min keeps its
clock; the time in between is a pause and does not count *(decided)*.

The forecast says when an interrupted activity is back, and whether that breaches its DMIA. Rule D45.
"""

from bisect import bisect_left
from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil
from typing import Final, NamedTuple

from schemas.base import DAY_MS, HOUR_MS, MINUTE_MS, Instant
from schemas.continuity import ClockRow
from schemas.words import ClockBase, ClockState
from services.continuity.activities.calendars import OpenHours
from services.continuity.activities.capacity import CapacityOnset, compute_points_left
from services.continuity.activities.impact_analysis import ActivityNeed

SAME_CLOCK_MS: Final = 60 * MINUTE_MS
"""An interruption that begins again within this time keeps its clock. Rule D42."""
MOST_PAUSES: Final = 24
"""Most pauses that a clock keeps; beyond it, the oldest two become one that counts the same.

Trouble that comes and goes for days must not make the rows grow without end.
"""
_OPEN_HOURS_BELOW_MS: Final = DAY_MS
"""An RTO below this makes both limits count open hours; otherwise all hours count. Rule D43."""


@dataclass(frozen=True, slots=True)
class ClockLimit:
    """Longest time that an activity may stop."""

    base: ClockBase
    hours: float
    ms: int
    calendar: OpenHours | None
    """Open hours that count, or None if all hours count."""

    def compute_elapsed_ms(self, start: Instant, end: Instant) -> int:
        """Return the counted ms between two instants."""
        return (
            max(end - start, 0)
            if self.calendar is None
            else self.calendar.compute_elapsed_ms(start, end)
        )

    def advance(self, start: Instant, ms: int) -> Instant | None:
        """Return the instant when `ms` counted ms have passed; None: never."""
        return start + max(ms, 0) if self.calendar is None else self.calendar.advance(start, ms)


@dataclass(frozen=True, slots=True)
class ClockLimits:
    """Limits in force for one pair of clocks."""

    rto: ClockLimit
    dmia: ClockLimit


def compute_limits(
    need: ActivityNeed, day: int, flags: Container[str] = (), causes: Collection[str | None] = ()
) -> ClockLimits:
    """Return the limits on a local day: the shortest of the BIA's own and of the valid surcharges.

    `flags` are ids (`flag:…`) that are true. `causes` are types of causes open on the site (local
    clocks only). The RTO is never longer than the DMIA. Rule D43.
    """
    rto, dmia = need.activity.rto_h, need.activity.dmia_h
    if need.windows or need.by_flag or (need.by_cause and causes):
        surcharges = [s for window, s in need.windows if window.holds_on(day)]
        surcharges += [s for s in need.by_flag if f"flag:{s.flag}" in flags]
        surcharges += [s for s in need.by_cause if s.cause in causes]
        for surcharge in surcharges:
            dmia = min(dmia, surcharge.dmia_h)
            rto = min(rto, dmia if surcharge.rto_h is None else surcharge.rto_h)
    return _build_limits(min(rto, dmia), dmia, need.hours)


@lru_cache(maxsize=1024)
def _build_limits(rto_h: float, dmia_h: float, hours: OpenHours | None) -> ClockLimits:
    calendar = _choose_calendar(rto_h, hours)
    return ClockLimits(
        _build_limit(ClockBase.RTO, rto_h, calendar), _build_limit(ClockBase.DMIA, dmia_h, calendar)
    )


def _choose_calendar(rto_h: float, hours: OpenHours | None) -> OpenHours | None:
    """Return the one calendar that both limits use; None counts all hours.

    With two calendars, an RTO of 8 open hours could end after a DMIA of 24 h. Rule D43.
    """
    return hours if round(rto_h * HOUR_MS) < _OPEN_HOURS_BELOW_MS else None


def _build_limit(base: ClockBase, hours: float, calendar: OpenHours | None) -> ClockLimit:
    return ClockLimit(base, hours, round(hours * HOUR_MS), calendar)


@dataclass(frozen=True, slots=True)
class Interruption:
    """Interruption that a clock measures; the RTO and DMIA of an activity or site share it."""

    started_at: Instant
    pauses: tuple[tuple[Instant, Instant], ...] = ()
    stopped_at: Instant | None = None
    """Time of the end, or None while the interruption lasts."""

    @property
    def resumed_at(self) -> Instant:
        """Start of the last stretch without a break."""
        return self.pauses[-1][1] if self.pauses else self.started_at

    def stop(self, at: Instant) -> "Interruption":
        """Stop at `at`, or at the last resumption if that is later (a correction)."""
        return replace(self, stopped_at=max(at, self.resumed_at))

    def earlier(self, start: Instant) -> "Interruption":
        """Move the start back for a late report; only the first stretch can move (D7)."""
        return replace(self, started_at=start) if start < self.started_at else self


def begin_interruption(
    before: Interruption | None, start: Instant, limit: ClockLimit
) -> Interruption:
    """Resume the interruption that stopped at most 60 min before `start`, else begin one."""
    if before is None or before.stopped_at is None or start - before.stopped_at > SAME_CLOCK_MS:
        return Interruption(start)
    if start <= before.stopped_at:  # learnt late: it never really stopped
        return replace(before, stopped_at=None).earlier(start)
    return replace(
        before,
        pauses=_merge_oldest_pauses((*before.pauses, (before.stopped_at, start)), limit),
        stopped_at=None,
    )


def _merge_oldest_pauses(
    pauses: tuple[tuple[Instant, Instant], ...], limit: ClockLimit
) -> tuple[tuple[Instant, Instant], ...]:
    """Merge the oldest pauses until at most MOST_PAUSES are left.

    The running time between two merged pauses moves before them, in counted hours, so the consumed
    time stays the same.
    """
    while len(pauses) > MOST_PAUSES:
        (first, until), (since, last), *later = pauses
        end = limit.advance(first, limit.compute_elapsed_ms(until, since))
        pauses = ((last if end is None else min(end, last), last), *later)
    return pauses


def compute_consumed_ms(limit: ClockLimit, interruption: Interruption, now: Instant) -> int:
    """Return the counted ms up to `now` or to the end, without the pauses."""
    end = now if interruption.stopped_at is None else interruption.stopped_at
    total = limit.compute_elapsed_ms(interruption.started_at, end)
    return total - sum(limit.compute_elapsed_ms(a, b) for a, b in interruption.pauses)


def _compute_percentage(ms: int, limit: ClockLimit) -> float:
    """Compute the consumed percentage, rounded down to a hundredth.

    Rounding down makes the row show a whole percentage exactly when it is reached.
    """
    return (ms * 10_000 // limit.ms) / 100 if limit.ms else 100.0


def compute_consumed_pct(need: ActivityNeed, row: ClockRow, rto_h: float, now: Instant) -> float:
    """Return the consumed percentage at `now` of a running row; 0 for a row that does not run.

    The row may be old. `rto_h` is the RTO in force beside it.
    """
    if row.state is not ClockState.RUNNING or row.started_at is None:
        return 0.0
    limit = _build_limit(row.base, row.limit_h, _choose_calendar(rto_h, need.hours))
    return _compute_percentage(
        compute_consumed_ms(limit, Interruption(row.started_at, row.pauses), now), limit
    )


class ClockPair(NamedTuple):
    """Both clocks of one interruption, and the alarms that are due: (base, percentage, limit)."""

    rto: ClockRow
    dmia: ClockRow
    due_alarms: tuple[tuple[ClockBase, int, Instant], ...]


@dataclass(frozen=True, slots=True)
class InterruptionChange:
    """Effect of a change on an interruption: it lasts since `start`, or ended at `back_at`."""

    start: Instant | None
    back_at: Instant
    anew: bool = False
    """Reads a running clock before its `next_at`, as new reference data may change its marks."""


def _update_interruption(
    before: ClockRow | None, change: InterruptionChange, limit: ClockLimit
) -> Interruption | None:
    """Return the interruption of a clock after a change.

    Both clocks of a pair measure the same one, but each merges its old pauses by the hours that it
    counts.
    """
    start, back_at = change.start, change.back_at
    if before is None or before.started_at is None:
        return None if start is None else Interruption(start)
    interruption = Interruption(before.started_at, before.pauses, before.stopped_at)
    if before.state is ClockState.RUNNING:
        return interruption.stop(back_at) if start is None else interruption.earlier(start)
    return interruption if start is None else begin_interruption(interruption, start, limit)


def read_clocks(
    need: ActivityNeed,
    limits: ClockLimits,
    before: tuple[ClockRow, ClockRow] | None,
    change: InterruptionChange,
    now: Instant,
) -> ClockPair:
    """Compute the clock rows at `now`; an unchanged row stays as it is until its `next_at`."""
    due_alarms: list[tuple[ClockBase, int, Instant]] = []
    rto_was, dmia_was = (None, None) if before is None else before
    rto = _read_clock(need, limits.rto, rto_was, change, now, due_alarms)
    dmia = _read_clock(need, limits.dmia, dmia_was, change, now, due_alarms)
    return ClockPair(rto, dmia, tuple(due_alarms))


def _read_clock(
    need: ActivityNeed,
    limit: ClockLimit,
    was: ClockRow | None,
    change: InterruptionChange,
    now: Instant,
    due_alarms: list[tuple[ClockBase, int, Instant]],
) -> ClockRow:
    interruption = _update_interruption(was, change, limit)
    if (
        was is not None
        and _is_unchanged(was, limit, interruption, now)
        and not (change.anew and was.state is ClockState.RUNNING)
    ):
        return was
    if interruption is None:
        return ClockRow(base=limit.base, state=ClockState.NEVER, limit_h=limit.hours)
    alarms = list_raised_alarms(was, interruption)
    if interruption.stopped_at is not None:
        return _build_stopped_row(limit, interruption, alarms)
    row = _build_running_row(limit, interruption, need, alarms, now)
    due_alarms += [
        (limit.base, pct, _get_limit_instant(limit, interruption, row))
        for pct in row.alarms
        if pct not in alarms
    ]
    return row


def _is_unchanged(
    was: ClockRow, limit: ClockLimit, interruption: Interruption | None, now: Instant
) -> bool:
    """Check whether nothing but the reading would differ."""
    if was.limit_h != limit.hours:
        return (
            interruption is not None
            and interruption.stopped_at is not None
            and was.state is ClockState.STOPPED
        )  # it was measured by the limit of its day
    if interruption is None:
        return was.state is ClockState.NEVER
    if (was.started_at, was.pauses, was.stopped_at) != (
        interruption.started_at,
        interruption.pauses,
        interruption.stopped_at,
    ):
        return False
    return was.next_at is None or now < was.next_at


def list_raised_alarms(was: ClockRow | None, now: Interruption | ClockRow) -> tuple[int, ...]:
    """Return the alarms that the same clock raised before; empty for a new interruption.

    A late report may move the start of a clock, but only to an earlier time.
    """
    if was is None or was.started_at is None or now.started_at is None:
        return ()
    return was.alarms if now.started_at <= was.started_at or now.pauses else ()


def _get_limit_instant(limit: ClockLimit, interruption: Interruption, row: ClockRow) -> Instant:
    return interruption.started_at + limit.ms if row.deadline is None else row.deadline


def _build_stopped_row(
    limit: ClockLimit, interruption: Interruption, alarms: tuple[int, ...]
) -> ClockRow:
    return ClockRow(
        base=limit.base,
        state=ClockState.STOPPED,
        limit_h=limit.hours,
        started_at=interruption.started_at,
        stopped_at=interruption.stopped_at,
        consumed_pct=_compute_percentage(compute_consumed_ms(limit, interruption, 0), limit),
        alarms=alarms,
        pauses=interruption.pauses,
        as_of=interruption.stopped_at,
    )


def _build_running_row(
    limit: ClockLimit,
    interruption: Interruption,
    need: ActivityNeed,
    alarms: tuple[int, ...],
    now: Instant,
) -> ClockRow:
    """Build the row of a running clock; it adds each due alarm once to `alarms` (D44)."""
    used = compute_consumed_ms(limit, interruption, now)
    marks = [(mark, ceil(limit.ms * mark / 100)) for mark in need.marks[limit.base]]
    marks_past = [mark for mark, ms in marks if ms <= used]
    since = interruption.resumed_at
    before = used - limit.compute_elapsed_ms(since, now)
    mark_at = next((limit.advance(since, ms - before) for _, ms in marks if ms > used), None)
    return ClockRow(
        base=limit.base,
        state=ClockState.RUNNING,
        limit_h=limit.hours,
        started_at=interruption.started_at,
        pauses=interruption.pauses,
        deadline=limit.advance(since, limit.ms - before),
        consumed_pct=_compute_percentage(used, limit),
        alarms=tuple(
            sorted({pct for pct in need.alarms[limit.base] if pct in marks_past} | set(alarms))
        ),
        ticking=now >= since and (limit.calendar is None or limit.calendar.is_open(now)),
        as_of=now,
        reached=max(marks_past, default=0.0),
        next_at=None if len(marks_past) == len(marks) else _compute_next_at(limit, mark_at, now),
    )


def _compute_next_at(limit: ClockLimit, mark_at: Instant | None, now: Instant) -> Instant | None:
    """Return the next percentage, opening or closing, whichever comes first."""
    edge = limit.calendar.next_edge(now) if limit.calendar is not None else None
    return min((at for at in (mark_at, edge) if at is not None and at > now), default=None)


def forecast_restoration(need: ActivityNeed, acting: list[CapacityOnset]) -> Instant | None:
    """Return the instant when capacity is expected to reach the MBCO again.

    It is the latest end among the causes that must end for it. If some of these have no announced
    end, it is the latest announced one, because the activity cannot be back before *(decided)*.
    None: no end is announced.
    """
    ends = sorted({onset.end for onset in acting if onset.end is not None})
    if not ends:
        return None

    def back_by(end: Instant) -> bool:
        return (
            compute_points_left(need, [o for o in acting if o.end is None or o.end > end])
            >= need.minimum
        )

    first = bisect_left(ends, True, key=back_by)
    return ends[min(first, len(ends) - 1)]


def find_latest_end(ends: Sequence[Instant | None]) -> Instant | None:
    """Return the latest announced end; each cause alone stops the one site."""
    return max((end for end in ends if end is not None), default=None)


def find_breach(expected: Instant | None, limit_at: Instant | None, now: Instant) -> Instant | None:
    """Return the limit if the expected end lies after it and it has not passed yet."""
    if expected is None or limit_at is None or limit_at <= now or expected <= limit_at:
        return None
    return limit_at
