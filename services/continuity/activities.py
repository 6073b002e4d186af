"""What one activity looks like now: state (D41), clocks (D42), forecast (D45), path (D47); and the facts if that changed.

`settle` is called after every change that touches an activity, and at the instants that its clocks named (`ClockRow.next_at`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from schemas.alerts import Why
from schemas.base import Instant
from schemas.continuity import ActivityChanged, ActivityRow, CauseHeard, ClockRow, LocalClocks, Step, StrategyRow
from schemas.words import ActivityState, ClockState, SiteStatus
from services.continuity.alarms import AT_ONCE, Due, ask_about_forecast, raise_alarms
from services.continuity.bia import HUNDRED, Need
from services.continuity.calendars import local_day
from services.continuity.capacity import (
    Assessment,
    Blow,
    Onset,
    assess,
    cause_end,
    dependency_end,
    fell_at,
    flags_true,
    local_loss,
    onsets,
    starts_at,
)
from services.continuity.clocks import (
    Interruption,
    Limit,
    Limits,
    begin,
    idle_clock,
    interruption_of,
    limits_of,
    running_clock,
    stopped_clock,
)
from services.continuity.forecast import breach, expected_back, latest
from services.continuity.state import Draft, Place, State

PATHS: Final = 5
"""Paths that a row shows; it counts the others."""
_TROUBLED: Final = frozenset((ActivityState.INTERRUPTED, ActivityState.RESTORED))


def key_of(activity: str) -> str:
    """Key of the deadline of an activity's clocks."""
    return f"activity:{activity}"


@dataclass(frozen=True, slots=True)
class Change:
    """What happened since the activity was last settled, as far as its clocks care."""

    back_at: Instant | None = None
    """When what was lifted was lifted; None: now."""
    sites: frozenset[str] = frozenset()
    """Sites whose own clocks must be read again, beside those that are due."""


NOTHING: Final = Change()


class Clocks(NamedTuple):
    """Both clocks of one interruption, and the percentages that became due."""

    rto: ClockRow
    dmia: ClockRow
    due: tuple[Due, ...]


# ── clocks ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _read(need: Need, limits: Limits, before: tuple[ClockRow, ClockRow] | None, measured: Interruption | None, now: Instant) -> Clocks:
    """Clock rows of an interruption at `now`. A row that only time would change stays as it was."""
    rows: list[ClockRow] = []
    due: list[Due] = []
    for limit, was in zip((limits.rto, limits.dmia), before or (None, None), strict=True):
        if measured is None:
            rows.append(_keep(was, idle_clock(limit)))
            continue
        raised = was.alarms if was is not None and _same_clock(was, measured) else ()
        if measured.stopped_at is not None:
            rows.append(_keep(was, stopped_clock(limit, measured, raised)))
            continue
        row = running_clock(limit, measured, need, raised, now)
        due += [Due(limit.base, pct, _limit_at(limit, measured, row)) for pct in row.alarms if pct not in raised]
        rows.append(_keep(was, row))
    return Clocks(rows[0], rows[1], tuple(due))


def _limit_at(limit: Limit, measured: Interruption, row: ClockRow) -> Instant:
    return measured.started_at + limit.ms if row.deadline is None else row.deadline


def _same_clock(was: ClockRow, measured: Interruption) -> bool:
    """True unless a new interruption began: its start moves only by a late report, and then earlier or with its pauses."""
    return was.started_at is not None and (measured.started_at <= was.started_at or bool(measured.pauses))


def _keep(was: ClockRow | None, row: ClockRow) -> ClockRow:
    """`was` if nothing but the reading differs."""
    if was is None or was.model_copy(update={"consumed_pct": row.consumed_pct, "as_of": row.as_of}) != row:
        return row
    return was


def _measured(before: ClockRow | None, start: Instant | None, back_at: Instant) -> Interruption | None:
    """The interruption after this change: `start` since when it lasts (None: it does not)."""
    known = None if before is None else interruption_of(before)
    running = before is not None and before.state is ClockState.RUNNING
    if start is None:
        return known.stop(back_at) if running and known is not None else known
    if running and known is not None:
        return known.earlier(start)
    return begin(known, start)


def _territory_start(draft: Draft, need: Need, acting: list[Onset]) -> Instant:
    """Since when it is interrupted: the person's word, else the cause's time, never before a strategy or declaration ended."""
    said = draft.state.declared.get(need.id)
    if said is not None:
        return said.occurred_at
    fell = fell_at(need, acting)
    return max(draft.now if fell is None else min(fell, draft.now), draft.state.floors.get(need.id, 0))


def _local(draft: Draft, need: Need, before: tuple[LocalClocks, ...], change: Change) -> tuple[tuple[LocalClocks, ...], list[Due]]:
    """Local clocks after a change, and their alarms: of the sites named, and of those whose clock is due."""
    if need.local is None:
        return before, []
    now, known = draft.now, {one.site: one for one in before}
    stale = {one.site for one in before if any(c.next_at is not None and c.next_at <= now for c in one.clocks)}
    due: list[Due] = []
    for site in sorted(stale | (change.sites & need.local.weights.keys())):
        if len(due) >= AT_ONCE:
            break
        made, alarms = _local_clocks(draft, need, known.get(site), site, change)
        if made is not None:
            known[site] = made
        due += alarms
    return tuple(known[site] for site in sorted(known)), due


def _local_clocks(draft: Draft, need: Need, was: LocalClocks | None, site: str, change: Change) -> tuple[LocalClocks | None, list[Due]]:
    state, now = draft.state, draft.now
    loss, causes, kitchen = local_loss(state, need, site, now)
    minimum = round(need.activity.mbco_pct * 100)
    breaking = [cause for cause in causes if HUNDRED - round(cause.loss_pct * 100) < minimum]
    begun = [cause.since for cause in breaking] + ([starts_at(kitchen)] if kitchen is not None else [])
    out = HUNDRED - loss < minimum
    if was is None and not out:
        return None, []
    limits = _limits(draft, need, [cause.type.value for cause in causes])
    clocks_before = None if was is None else (was.clocks[0], was.clocks[1])
    start = min(min(begun, default=now), now) if out else None
    measured = _measured(clocks_before[0] if clocks_before else None, start, _back_at(change, now))
    rto, dmia, due = _read(need, limits, clocks_before, measured, now)
    ends = [cause_end(state, cause, now) for cause in breaking] + ([dependency_end(state, kitchen, now)] if kitchen is not None else [])
    made = LocalClocks(
        site=site, capacity_pct=(HUNDRED - loss) / 100, clocks=(rto, dmia),
        forecast_breach_at=breach(latest(ends), dmia.deadline, now) if out else None,
    )  # fmt: skip
    if not due:
        return made, []
    worst = max(causes, key=_gravity, default=None)
    report = kitchen.report if worst is None and kitchen is not None else None if worst is None else worst.report
    incident = kitchen.incident if worst is None and kitchen is not None else None if worst is None else worst.incident
    head = () if report is None else (Step(kind="report", id=report),)
    path = (*head, Step(kind="site", id=site), *_tail(need))
    return made, [alarm._replace(site=site, path=path, incident=incident) for alarm in due]


def _limits(draft: Draft, need: Need, causes: Container[str | None] = ()) -> Limits:
    day = local_day(draft.now) if need.windows else 0
    flags = flags_true(draft.state.dependencies, need, draft.now) if need.by_flag else ()
    return limits_of(need, day, flags, causes)


def _back_at(change: Change, now: Instant) -> Instant:
    return now if change.back_at is None else min(change.back_at, now)


# ── state and reasons ──────────────────────────────────────────────────────────────────────────────────────────────


def _computed(need: Need, points: int, found: Assessment, before: ActivityRow | None) -> ActivityState:
    """D41. `points`: with strategies; `found`: without. Restored lasts until nothing is hit any more."""
    if points < need.minimum:
        return ActivityState.INTERRUPTED
    if not found.blows:
        return ActivityState.NOMINAL
    if before is not None and before.computed in _TROUBLED:
        return ActivityState.RESTORED
    return ActivityState.DEGRADED if found.points < need.whole else ActivityState.THREATENED


def _paths(need: Need, blows: tuple[Blow, ...], strategies: list[StrategyRow]) -> tuple[tuple[Step, ...], ...]:
    """D47: report → site → activity → pôle, system → activity → pôle; strategies last."""
    tail = _tail(need)
    found = [(*_head(blow), *tail) for blow in blows[:PATHS]]
    found += [(Step(kind="strategy", id=s.strategy), *tail) for s in strategies]
    return tuple(found)


def _tail(need: Need) -> tuple[Step, Step]:
    return Step(kind="activity", id=need.id), Step(kind="pole", id=need.activity.pole)


def _head(blow: Blow) -> Iterator[Step]:
    report = _report(blow)
    if report is not None:
        yield Step(kind="report", id=report)
    yield Step(kind=blow.kind, id=blow.id)


def _report(blow: Blow) -> str | None:
    if not isinstance(blow.source, Place):
        return blow.source.report
    worst = _worst_cause(blow.source)
    return None if worst is None else worst.report


def _worst_cause(place: Place) -> CauseHeard | None:
    return max(place.causes, key=_gravity, default=None)


def _gravity(cause: CauseHeard) -> tuple[float, int, int, str]:
    return cause.loss_pct, cause.severity, -cause.since, cause.id


def _incident(blows: tuple[Blow, ...]) -> str | None:
    """The incident of the gravest thing that belongs to one."""
    for blow in blows:
        if isinstance(blow.source, Place):
            worst = _worst_cause(blow.source)
            incident = None if worst is None else worst.incident
        else:
            incident = blow.source.incident
        if incident is not None:
            return incident
    return None


def _why(draft: Draft, need: Need, found: Assessment, strategies: list[StrategyRow], since: Instant) -> tuple[Why, ...]:
    reasons: list[Why] = []
    reports = tuple(dict.fromkeys(r for blow in found.blows[:PATHS] if (r := _report(blow)) is not None))
    if found.points < need.whole:
        reasons.append(
            Why(
                code="D42" if found.points < need.minimum else "D40", metric="activity_capacity_min", args={"activities": [need.id]},
                op="<", threshold=need.activity.mbco_pct, value=need.percent(found.points), at=since, reports=reports,
            )
        )  # fmt: skip
    down = sorted(blow.id for blow in found.blows if blow.kind == "system" and blow.points)
    if down:
        reasons.append(Why(code="system_down", metric="system_down", args={"systems": down}, value=len(down)))
    reasons += [Why(code="strategy", args={"strategy": s.strategy}, value=s.expected_capacity_pct, at=s.started_at) for s in strategies]
    said = draft.state.declared.get(need.id)
    if said is not None:
        reasons.append(Why(code="declared", args={"by": said.author}, at=said.occurred_at))
    return tuple(reasons)


def active_strategies(state: State, activity: str) -> list[StrategyRow]:
    """In the order of activation."""
    return sorted(
        (s for s in state.strategies.values() if s.activity == activity and s.state == "active"), key=lambda s: (s.started_at, s.id)
    )


def next_strategy(need: Need, active: Iterable[StrategyRow]) -> str | None:
    """The first listed one that is not active (D51)."""
    taken = {s.strategy for s in active}
    return next((s for s in need.activity.strategies if s not in taken), None)


# ── settle ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def settle(draft: Draft, activity: str, change: Change = NOTHING) -> None:
    """Record the activity's new row if it differs, the alarms that became due, and its next deadline."""
    need, now, state = draft.bia.needs[activity], draft.now, draft.state
    before = state.activities.get(activity)
    found = assess(state, need, now)
    strategies = active_strategies(state, activity) if state.strategies else []
    expected = max((round(s.expected_capacity_pct * 100) * (need.whole // HUNDRED) for s in strategies), default=0)
    points = max(found.points, expected)
    computed = _computed(need, points, found, before)
    said = state.declared.get(activity)
    current = computed if said is None or said.state is None else said.state
    out = current is ActivityState.INTERRUPTED
    acting = onsets(state, need, now) if out else []
    start = _territory_start(draft, need, acting) if out else None
    was = None if before is None else (before.rto, before.dmia)
    measured = _measured(before.rto if before else None, start, _back_at(change, now))
    rto, dmia, due = _read(need, _limits(draft, need), was, measured, now)
    local, local_due = _local(draft, need, before.local if before else (), change)
    end = expected_back(need, acting) if acting else None
    since = _since(before, current, rto, found, now)
    row = ActivityRow(
        id=activity, pole=need.activity.pole, criticality=need.activity.criticality, state=current, computed=computed,
        declared=None if said is None else said.state, declared_by=None if said is None else said.author,
        capacity_pct=need.percent(points), computed_pct=need.percent(found.points), mbco_pct=need.activity.mbco_pct, since=since,
        rto=rto, dmia=dmia, local=local, local_running=sum(one.clocks[0].state is ClockState.RUNNING for one in local),
        forecast_breach_at=breach(end, dmia.deadline, now), expected_end=end, incident=_incident(found.blows),
        path=_paths(need, found.blows, strategies), path_more=max(len(found.blows) - PATHS, 0),
        strategies=tuple(s.strategy for s in strategies), next_strategy=next_strategy(need, strategies),
        why=_why(draft, need, found, strategies, since),
    )  # fmt: skip
    if row != before:
        draft.record(ActivityChanged(row=row))
    head = row.path[0] if row.path else ()
    raise_alarms(draft, row, [*(alarm._replace(path=head, incident=row.incident) for alarm in due), *local_due])
    if row.forecast_breach_at is not None and (before is None or before.forecast_breach_at is None):
        ask_about_forecast(draft, row)
    draft.arm(key_of(activity), _next_due(need, row, out, now))


def _since(before: ActivityRow | None, current: ActivityState, rto: ClockRow, found: Assessment, now: Instant) -> Instant:
    """When the state began."""
    if current is ActivityState.INTERRUPTED and rto.started_at is not None:
        return rto.pauses[-1][1] if rto.pauses else rto.started_at
    if before is not None and before.state is current:
        return before.since
    if before is not None and before.state is ActivityState.INTERRUPTED and rto.stopped_at is not None:
        return rto.stopped_at
    if before is not None and before.state is not ActivityState.NOMINAL:
        return now
    return min((_began(blow) for blow in found.blows), default=now)


def _began(blow: Blow) -> Instant:
    if not isinstance(blow.source, Place):
        return starts_at(blow.source)
    if blow.source.status is SiteStatus.UNKNOWN or not blow.source.causes:
        return blow.source.since
    return min(cause.since for cause in blow.source.causes)


def _next_due(need: Need, row: ActivityRow, out: bool, now: Instant) -> Instant | None:
    """The next instant at which time alone changes this activity; later than now, so that a bounded step goes on."""
    clocks = [row.rto, row.dmia, *(clock for one in row.local for clock in one.clocks)]
    instants = [clock.next_at for clock in clocks if clock.next_at is not None]
    if out and need.windows and (row.rto.next_at is not None or row.dmia.next_at is not None):
        instants += [window.next_edge(now) for window, _ in need.windows]
    return max(min(instants), now + 1) if instants else None


def touched_by_site(draft: Draft, site: str) -> tuple[str, ...]:
    """Activities that count this site, by id."""
    place = draft.bia.sites.get(site)
    return () if place is None else draft.bia.by_kind.get(place.kind, ())
