"""Local clocks (`horloges_locales`, D42): one pair per site of an activity that is held on the spot, beside the territory's.

They look at the site and its kitchen only; a system that is down is the territory clock's matter *(decided)*. They alarm the site's
manager and the pôle's director; levels and plan triggers do not read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas.base import Instant
from schemas.continuity import LocalClockChanged, LocalClockRow
from schemas.words import ClockState
from services.continuity.alarms import AT_ONCE, Due
from services.continuity.bia import HUNDRED, Need
from services.continuity.calendars import local_day
from services.continuity.capacity import cause_end, dependency_end, flags_true, local_loss, starts_at
from services.continuity.clocks import SAME_CLOCK_MS, Clocks, limits_of, measured_after, read_clocks
from services.continuity.forecast import breach, latest
from services.continuity.reasons import Path, path_of
from services.continuity.state import NO_LOCAL, Draft, State, worst_cause


@dataclass(frozen=True, slots=True)
class Moved:
    """What changed in the local clocks of one activity."""

    rows: tuple[LocalClockRow, ...] = ()
    running: int = 0
    """Clocks that started to run, less those that ceased."""
    due: tuple[Due, ...] = ()
    """Their alarms."""

    def facts(self) -> list[LocalClockChanged]:
        """One for each row, by site."""
        return [LocalClockChanged(row=row) for row in self.rows]


NOTHING_MOVED: Final = Moved()


def local_clocks(draft: Draft, need: Need, touched: frozenset[str], back_at: Instant) -> Moved:
    """Local clocks that a change moves: of the sites touched, and of those whose clock is due.

    A clock that stopped more than 60 min ago can only be followed by a new one (D42).
    """
    if need.local is None:
        return NOTHING_MOVED
    now, before = draft.now, draft.state.local.get(need.id, NO_LOCAL)
    stale = {site for site, one in before.items() if one.next_at is not None and one.next_at <= now}
    stale |= touched & need.local.weights.keys()
    rows: list[LocalClockRow] = []
    due: list[Due] = []
    running = 0
    for site in sorted(stale):
        was = before.get(site)
        same = None if was is None or (was.same_until is not None and was.same_until < now) else was
        made, alarms = _of_site(draft, need, same, site, back_at)
        if made is not None and len(due) + len(alarms) > AT_ONCE:
            made, alarms = _later(made, same, now), []
        if made is not None and made != was:
            rows.append(made)
            running += _runs(made) - (was is not None and _runs(was))
        due += alarms
    return Moved(tuple(rows), running, tuple(due))


def _runs(one: LocalClockRow) -> bool:
    return one.clocks[0].state is ClockState.RUNNING


def next_local(state: State, activity: str) -> Instant | None:
    """The next instant at which time alone changes a local clock of this activity."""
    return min([one.next_at for one in state.local.get(activity, NO_LOCAL).values() if one.next_at is not None], default=None)


def _later(made: LocalClockRow, was: LocalClockRow | None, now: Instant) -> LocalClockRow:
    """The alarms of this site wait for the next step: a Transaction holds only so many."""
    raised = ((), ()) if was is None else (was.clocks[0].alarms, was.clocks[1].alarms)
    clocks = tuple(c.model_copy(update={"alarms": a, "next_at": now + 1}) for c, a in zip(made.clocks, raised, strict=True))
    return made.model_copy(update={"clocks": clocks, "next_at": now + 1})


def _of_site(draft: Draft, need: Need, was: LocalClockRow | None, site: str, back_at: Instant) -> tuple[LocalClockRow | None, list[Due]]:
    state, now = draft.state, draft.now
    loss, causes, kitchen = local_loss(state, need, site, now)
    minimum = round(need.activity.mbco_pct * 100)
    out = HUNDRED - loss < minimum
    if was is None and not out:
        return None, []
    breaking = [cause for cause in causes if HUNDRED - round(cause.loss_pct * 100) < minimum]
    begun = [cause.since for cause in breaking]
    ends = [cause_end(state, cause, now) for cause in breaking]
    if kitchen is not None:
        begun.append(starts_at(kitchen))
        ends.append(dependency_end(state, kitchen, now))
    day = local_day(now) if need.windows else 0
    flags = flags_true(state.dependencies, need, now) if need.by_flag else ()
    limits = limits_of(need, day, flags, [cause.type.value for cause in causes] if need.by_cause else ())
    before = None if was is None else (was.clocks[0], was.clocks[1])
    measured = measured_after(None if before is None else before[0], min(min(begun, default=now), now) if out else None, back_at)
    clocks = read_clocks(need, limits, before, measured, now)
    stopped = clocks.rto.stopped_at
    made = LocalClockRow(
        id=f"{need.id}/{site}", activity=need.id, site=site, capacity_pct=(HUNDRED - loss) / 100, clocks=(clocks.rto, clocks.dmia),
        same_until=None if stopped is None else stopped + SAME_CLOCK_MS,
        forecast_breach_at=breach(latest(ends), clocks.dmia.deadline, now) if out else None,
        next_at=min((at for at in (clocks.rto.next_at, clocks.dmia.next_at) if at is not None), default=None),
    )  # fmt: skip
    if not clocks.due:
        return made, []
    source = worst_cause(causes) if kitchen is None else kitchen
    path = path_of(None if source is None else source.report, "site", site, need.id, need.activity.pole)
    return made, _alarms(clocks, site, path, None if source is None else source.incident)


def _alarms(clocks: Clocks, site: str, path: Path, incident: str | None) -> list[Due]:
    return [Due(base, pct, limit_at, site, path, incident) for base, pct, limit_at in clocks.due]
