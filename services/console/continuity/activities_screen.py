"""Page `/activites`: activities, their clocks and alarms."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from schemas.ranks import STRATEGY_ROLE
from schemas.reference_changes import RecordKind
from schemas.words import ActivityState, ClockBase, ClockState
from services.console.continuity.arbitrations import list_arbitrations
from services.console.continuity.clocks import (
    DMIA,
    ClockBar,
    RunningClock,
    build_bar,
    count_local_clocks,
    list_breaches,
)
from services.console.i18n import N_, Translator
from services.console.reference.record_names import build_form_address, build_new_form_address
from services.console.reference.record_rights import may_propose_new_record, may_propose_record
from services.console.resources import Activity, Alarm, Clock, Incident, Pole
from services.console.risk.page import build_risk_lines, write_sentences
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames, shorten_activity_name
from services.console.web import times
from services.console.web.screen_context import ScreenData, ScreenPage, find_unknown_value

CLOCKS_SHOWN: Final = 14
AXIS_LEFT: Final = 385.0
AXIS_RIGHT: Final = 1040.0
ROW_HEIGHT: Final = 25
GRAVEST_FIRST: Final = (
    ActivityState.INTERRUPTED,
    ActivityState.DEGRADED,
    ActivityState.THREATENED,
    ActivityState.RESTORED,
    ActivityState.NOMINAL,
)


@dataclass(frozen=True, slots=True)
class ClockLane:
    """One clock on the time axis, in units of the drawing."""

    running: RunningClock
    y: float
    x0: float
    x_now: float
    x_rto: float | None
    x_mtpd: float
    x_back: float | None
    """End of the hatched part: the announced end if it is after the DMIA."""
    verdict: str
    breaks: bool


@dataclass(frozen=True, slots=True)
class TimeAxis:
    lanes: list[ClockLane]
    ticks: list[tuple[float, str]]
    x_now: float
    x_back: float | None
    height: float
    more: int


def _find_axis_end(
    clocks: Sequence[RunningClock], restored_at: datetime | None, now: datetime
) -> datetime:
    """Return the end of the axis.

    It lies a little after the announced end, or after the limits of the next 12 hours.
    """
    near = [c.mtpd_at for c in clocks if c.mtpd_at and c.mtpd_at < now + timedelta(hours=12)]
    last = max([now + timedelta(hours=1), *near[:CLOCKS_SHOWN]])
    if restored_at is not None and restored_at > now:
        last = max(last, restored_at) if restored_at < now + timedelta(hours=24) else last
    return last + (last - now) / 20


def draw_axis(
    clocks: Sequence[RunningClock], restored_at: datetime | None, now: datetime, _: Translator
) -> TimeAxis | None:
    """Draw the time axis; return None if no clock runs."""
    drawable = [
        c
        for c in clocks
        if c.started_at is not None
        and c.mtpd_at is not None
        and c.mtpd_at > now - timedelta(hours=12)
    ]
    visible_clocks = drawable[:CLOCKS_SHOWN]
    if not visible_clocks:
        return None
    end = _find_axis_end(visible_clocks, restored_at, now)
    begin = max(min(c.started_at for c in visible_clocks if c.started_at), now - (end - now))
    span = (end - begin).total_seconds()

    def x(at: datetime) -> float:
        return round(
            AXIS_LEFT
            + (AXIS_RIGHT - AXIS_LEFT) * min(1.0, max(0.0, (at - begin).total_seconds() / span)),
            1,
        )

    lanes = []
    for k, c in enumerate(visible_clocks):
        assert c.started_at is not None
        assert c.mtpd_at is not None
        expected_end = c.expected_end or restored_at
        breaks = c.mtpd_over or c.breach_at is not None
        lanes.append(
            ClockLane(
                c,
                53 + ROW_HEIGHT * k,
                x(c.started_at),
                x(now),
                x(c.rto_at) if c.rto_at else None,
                x(c.mtpd_at),
                x(expected_end)
                if breaks and expected_end and expected_end > c.mtpd_at
                else x(end)
                if breaks and expected_end is None
                else None,
                _describe_limits(c, now, _),
                breaks,
            )
        )
    return TimeAxis(
        lanes,
        _place_ticks(begin, end, x),
        x(now),
        x(restored_at) if restored_at and begin < restored_at <= end else None,
        53 + ROW_HEIGHT * len(visible_clocks) + 9,
        len(clocks) - len(visible_clocks),
    )


def _place_ticks(
    begin: datetime, end: datetime, x: Callable[[datetime], float]
) -> list[tuple[float, str]]:
    hours = (end - begin).total_seconds() / 3600
    step = next((m for m in (10, 30, 60, 120, 180, 360, 720) if hours * 60 / m <= 10), 1440)
    first = times.to_paris(begin).replace(second=0, microsecond=0)
    first += timedelta(minutes=step - (first.hour * 60 + first.minute) % step)
    marks = [first + timedelta(minutes=step * k) for k in range(12)]
    return [(x(mark), times.label_tick(mark)) for mark in marks if mark < end]


def _describe_limits(c: RunningClock, now: datetime, _: Translator) -> str:
    rto, mtpd = times.hm_day(c.rto_at, now, _.lang), times.hm_day(c.mtpd_at, now, _.lang)
    first = _("RTO passé {at}", at=rto) if c.rto_over else _("RTO {at}", at=rto)
    if c.mtpd_over:
        return _("{rto}, DMIA dépassée {at}", rto=first, at=mtpd)
    if c.breach_at is not None:
        return _("{rto}, rupture {at}", rto=first, at=mtpd)
    return (
        _("{rto}, DMIA {at}, tient", rto=first, at=mtpd)
        if c.expected_end
        else _("{rto}, DMIA {at}", rto=first, at=mtpd)
    )


@dataclass(frozen=True, slots=True)
class ActivityLine:
    id: str
    name: str
    full_name: str
    criticality: int
    state: ActivityState
    declared: bool
    bar: ClockBar | None
    base: str
    limit_at: datetime | None
    over: bool
    soon: bool
    stopped_at: datetime | None
    capacity_pct: float
    mbco_pct: float


@dataclass(frozen=True, slots=True)
class PoleCard:
    id: str
    name: str
    interrupted: int
    capacity_pct: float
    mbco_pct: float
    below: int
    """Number of activities below their own minimum."""
    lines: list[ActivityLine]
    local: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class ActivitiesView:
    axis: TimeAxis | None
    back: datetime | None
    counts: list[tuple[ActivityState, int]]
    breaches: int
    local: int
    poles: list[PoleCard]


@dataclass(frozen=True, slots=True)
class SelectedActivity:
    """The selected activity: its computed and its declared state. Rule D41."""

    activity: Activity
    declared_by: str
    rto: tuple[datetime, bool] | None
    """Limit of the running clock, and whether it has passed; None if no clock runs."""
    mtpd: tuple[datetime, bool] | None
    pdma_h: float
    reentry_at: datetime | None
    """Time when data older than the PDMA were last declared. Rule D46."""


def _get_running_limit(clock: Clock, now: datetime) -> tuple[datetime, bool] | None:
    if clock.state is not ClockState.RUNNING or clock.deadline is None:
        return None
    return clock.deadline, clock.percent_at(now) >= 100


def build_selected_activity(
    a: Activity,
    pdma_h: float,
    alarms: Iterable[Alarm],
    now: datetime,
    names: TerritoryNames,
    _: Translator,
) -> SelectedActivity:
    """Build the selected activity; `alarms` are those of all activities, newest first."""
    reentry = next(
        (x.raised_at for x in alarms if x.activity == a.id and x.base is ClockBase.PDMA), None
    )
    return SelectedActivity(
        a,
        w.name_person(a.declared_by, names, _) if a.declared_by else "",
        _get_running_limit(a.rto, now),
        _get_running_limit(a.mtpd, now),
        pdma_h,
        reentry,
    )


def build_activity_line(a: Activity, now: datetime) -> ActivityLine:
    """Build the line of one activity in the list of its pôle."""
    running = ClockState.RUNNING in (a.rto.state, a.mtpd.state)
    over = a.rto.percent_at(now) >= 100
    limit = a.mtpd.deadline if over else a.rto.deadline
    stopped_at = (
        a.rto.stopped_at
        if a.rto.state is ClockState.STOPPED and a.state is ActivityState.RESTORED
        else None
    )
    bar = (
        build_bar(a.rto, a.mtpd, now, forecast=a.forecast_breach_at is not None)
        if running or stopped_at
        else None
    )
    soon = limit is not None and limit - now < timedelta(hours=2)
    return ActivityLine(
        a.id,
        a.short_name or shorten_activity_name(a.name),
        a.name,
        a.criticality,
        a.state,
        a.declared is not None,
        bar,
        DMIA if over else "RTO",
        limit,
        over,
        soon,
        stopped_at,
        a.capacity_pct,
        a.mbco_pct,
    )


def build_activities_view(
    activities: Sequence[Activity],
    clocks: Sequence[RunningClock],
    incidents: Sequence[Incident],
    now: datetime,
    poles: Sequence[Pole],
    _: Translator,
) -> ActivitiesView:
    """Build the whole page; `poles` come in the order of the territory."""
    announced_ends = [i.estimated_end for i in incidents if i.estimated_end is not None]
    restored_at = max(announced_ends, default=None)
    counts = Counter(a.state for a in activities)
    by_pole: dict[str, list[Activity]] = {}
    for a in activities:
        by_pole.setdefault(a.pole, []).append(a)
    cards = [
        PoleCard(
            pole.id,
            pole.name,
            pole.activities.get(ActivityState.INTERRUPTED, 0),
            pole.capacity_pct,
            pole.mbco_pct,
            pole.activities_below,
            [build_activity_line(a, now) for a in mine],
            [(a.short_name or a.id, n) for a in mine if (n := count_local_clocks(a))],
        )
        for pole in poles
        if (mine := by_pole.get(pole.id))
    ]
    return ActivitiesView(
        draw_axis(clocks, restored_at, now, _),
        restored_at,
        [(s, counts[s]) for s in GRAVEST_FIRST if counts[s]],
        len(list_breaches(clocks)),
        sum(count_local_clocks(a) for a in activities),
        cards,
    )


async def build_activities_page(x: ScreenData) -> dict[str, Any]:
    """Build the values of the page."""
    now = x.shell.now
    alarms = await x.queries.alarms()
    view = build_activities_view(
        x.activities, x.clocks, x.shell.overview.incidents, now, x.shell.overview.poles, x._
    )
    risks = build_risk_lines(await x.queries.breach_risks(), x._)
    activity = next(
        (a for a in x.activities if a.id == x.request.query_params.get("activite")), None
    )
    missing = find_unknown_value(x.request, "activite", (a.id for a in x.activities))
    pdma_h = x.reference.activities[activity.id].pdma_h if activity else 0
    return {
        "view": view,
        "risks": risks,
        "risk_of": write_sentences(risks),
        "arbitrations": list_arbitrations(alarms, x.activities, now, x._),
        "not_there": missing
        and x._("Aucune activité ne porte l’identifiant « {id} ».", id=missing),
        "decides": w.name_role(STRATEGY_ROLE, None, x.names, x._),
        "plan_of": {plan.pole: plan.id for plan in x.reference.plans.values() if plan.pole},
        "may_propose": activity is not None and may_propose_record(x.shell, activity.pole),
        "may_add": may_propose_new_record(x.shell, RecordKind.ACTIVITY),
        "new_activity": build_new_form_address(RecordKind.ACTIVITY),
        "edit_activity": build_form_address(RecordKind.ACTIVITY, activity.id) if activity else "",
        "states": GRAVEST_FIRST,
        "shown": build_selected_activity(activity, pdma_h, alarms, now, x.names, x._)
        if activity
        else None,
    }


PAGE: Final = ScreenPage(
    "activities", "/activites", "activities.html", build_activities_page, N_("Activités")
)
