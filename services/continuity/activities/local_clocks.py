"""Local clocks (`horloges_locales`): one pair per site for activities with clocks of their own.

They read the site and its kitchen only; a system that is down counts for the clock of the territory
*(decided)*. They alarm the manager of the site and the director of the pôle. Levels and plan
triggers do not read them. Rule D42.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from schemas.base import Instant
from schemas.continuity import LocalClockChanged, LocalClockRow
from schemas.words import ClockState
from services.continuity.activities.alarms import LOCAL_ALARMS_PER_STEP, DueAlarm
from services.continuity.activities.calendars import get_local_day
from services.continuity.activities.capacity import (
    assess_site_loss,
    forecast_cause_end,
    forecast_dependency_end,
    get_effective_start,
    list_true_flags,
)
from services.continuity.activities.clocks import (
    SAME_CLOCK_MS,
    ClockPair,
    InterruptionChange,
    compute_limits,
    find_breach,
    find_latest_end,
    list_raised_alarms,
    read_clocks,
)
from services.continuity.activities.impact_analysis import FULL_SHARE, ActivityNeed
from services.continuity.activities.reasons import Path, build_path
from services.continuity.decision import ContinuityDecision
from services.continuity.state import NO_LOCAL_CLOCKS, ContinuityState, find_worst_cause


@dataclass(frozen=True, slots=True)
class LocalClockChanges:
    """Changes in the local clocks of one activity."""

    rows: tuple[LocalClockRow, ...] = ()
    running: int = 0
    """Number of clocks that started to run, less those that stopped."""
    due_alarms: tuple[DueAlarm, ...] = ()
    """Alarms that these clocks raise."""

    def facts(self) -> list[LocalClockChanged]:
        """Return one fact for each row, by site."""
        return [LocalClockChanged(row=row) for row in self.rows]


def update_local_clocks(
    draft: ContinuityDecision,
    need: ActivityNeed,
    changed_sites: frozenset[str],
    back_at: Instant,
    *,
    anew: bool = False,
) -> LocalClockChanges:
    """Update the local clocks that a change moves.

    These are the clocks of touched sites, the clocks that are due, and running clocks at sites that
    the reference data no longer list. A clock that stopped more than 60 min ago resumes only by a
    late report about the time within these 60 min (D42, D7).
    """
    now, before = draft.now, draft.state.local.get(need.id, NO_LOCAL_CLOCKS)
    sites: Collection[str] = () if need.local is None else need.local.weights
    stale = {
        site
        for site, one in before.items()
        if (one.next_at is not None and one.next_at <= now)
        or (site not in sites and _is_running(one))
    }
    stale |= {site for site in changed_sites if site in sites}
    rows: list[LocalClockRow] = []
    due_alarms: list[DueAlarm] = []
    running = 0
    for site in sorted(stale):
        was = before.get(site)
        row, alarms = _update_site_clocks(
            draft, need, was, site, InterruptionChange(None, back_at, anew)
        )
        if row is not None and len(due_alarms) + len(alarms) > LOCAL_ALARMS_PER_STEP:
            row, alarms = _postpone_alarms(row, was, now), []
        if row is not None and row != was:
            rows.append(row)
            running += _is_running(row) - (was is not None and _is_running(was))
        due_alarms += alarms
    return LocalClockChanges(tuple(rows), running, tuple(due_alarms))


def _is_running(one: LocalClockRow) -> bool:
    return one.clocks[0].state is ClockState.RUNNING


def find_next_local_change(state: ContinuityState, activity: str) -> Instant | None:
    """Return the next instant when time alone changes a local clock of this activity."""
    return min(
        [
            one.next_at
            for one in state.local.get(activity, NO_LOCAL_CLOCKS).values()
            if one.next_at is not None
        ],
        default=None,
    )


def _postpone_alarms(row: LocalClockRow, was: LocalClockRow | None, now: Instant) -> LocalClockRow:
    """Postpone the alarms of a site to the next step, 1 ms later, to bound the Transaction."""
    before = (None, None) if was is None else was.clocks
    clocks = tuple(
        c.model_copy(update={"alarms": list_raised_alarms(b, c), "next_at": now + 1})
        for c, b in zip(row.clocks, before, strict=True)
    )
    return row.model_copy(update={"clocks": clocks, "next_at": now + 1})


def _update_site_clocks(
    draft: ContinuityDecision,
    need: ActivityNeed,
    was: LocalClockRow | None,
    site: str,
    change: InterruptionChange,
) -> tuple[LocalClockRow | None, list[DueAlarm]]:
    """Compute the row and the due alarms of one site after a change.

    `turn.back_at` is the time when ended causes ended.
    """
    state, now = draft.state, draft.now
    counts = need.local is not None and site in need.local.weights
    loss, causes, kitchen = assess_site_loss(state, need, site, now) if counts else (0, (), None)
    minimum = round(need.activity.mbco_pct * 100)
    out = FULL_SHARE - loss < minimum
    if not out and (was is None or (was.same_until is not None and was.same_until < now)):
        return None, []
    breaking = [cause for cause in causes if FULL_SHARE - round(cause.loss_pct * 100) < minimum]
    begins = [cause.since for cause in breaking]
    ends = [forecast_cause_end(state, cause, now) for cause in breaking]
    if kitchen is not None:
        begins.append(get_effective_start(kitchen))
        ends.append(forecast_dependency_end(state, kitchen, now))
    day = get_local_day(now) if need.windows else 0
    flags = list_true_flags(state.dependencies, need, now) if need.by_flag else ()
    limits = compute_limits(
        need, day, flags, [cause.type.value for cause in causes] if need.by_cause else ()
    )
    before = None if was is None else (was.clocks[0], was.clocks[1])
    clocks = read_clocks(
        need,
        limits,
        before,
        replace(change, start=min(min(begins, default=now), now) if out else None),
        now,
    )
    stopped_at = clocks.rto.stopped_at
    row = LocalClockRow(
        id=f"{need.id}/{site}",
        activity=need.id,
        site=site,
        capacity_pct=(FULL_SHARE - loss) / 100,
        clocks=(clocks.rto, clocks.dmia),
        same_until=None if stopped_at is None else stopped_at + SAME_CLOCK_MS,
        forecast_breach_at=find_breach(find_latest_end(ends), clocks.dmia.deadline, now)
        if out
        else None,
        next_at=_compute_next_at(need, clocks, now),
    )
    if not clocks.due_alarms:
        return row, []
    source = find_worst_cause(causes) if kitchen is None else kitchen
    path = build_path(
        None if source is None else source.report, "site", site, need.id, need.activity.pole
    )
    return row, _build_alarms(clocks, site, path, None if source is None else source.incident)


def _compute_next_at(need: ActivityNeed, clocks: ClockPair, now: Instant) -> Instant | None:
    """Return the next instant when time alone changes the clocks.

    That is one of their own instants, or an earlier midnight that changes their limits. Rule D43.
    """
    own = [at for at in (clocks.rto.next_at, clocks.dmia.next_at) if at is not None]
    return min([*own, *(window.next_edge(now) for window, _ in need.windows)]) if own else None


def _build_alarms(clocks: ClockPair, site: str, path: Path, incident: str | None) -> list[DueAlarm]:
    since = clocks.rto.started_at
    return [
        DueAlarm(base, pct, limit_at, site, path, incident, since)
        for base, pct, limit_at in clocks.due_alarms
    ]
