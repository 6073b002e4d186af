"""Running RTO and DMIA clocks of activities and sites, next limit first (« Ce qui casse d’abord »).

Rules D42 to D45.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from schemas.words import ActivityState, ClockState
from services.console.i18n import N_
from services.console.resources import Activity, Clock, Incident, LocalClock, Site
from services.console.texts.names import shorten_activity_name, shorten_site_name

DMIA = N_("DMIA")
Tone = Literal["run", "warn", "late", "done"]


@dataclass(frozen=True, slots=True)
class ClockBar:
    """Bar of a clock, from its start (0) to the DMIA (100).

    `at` is the filled part now. If `until` is set, the bar reaches 100 at that time.
    """

    at: float
    tick: float
    tone: Tone
    forecast: bool
    """True if the end is expected after the DMIA: the rest of the bar is hatched."""
    frozen_at: datetime
    until: datetime | None

    @property
    def hatch(self) -> str:
        """SVG path of the hatching between the filled part and the end."""
        start = self.at + 2
        return "".join(
            f"M{start + 2 * k:.1f} 1V9" for k in range(max(0, int((100 - start) / 2) + 1))
        )


@dataclass(frozen=True, slots=True)
class RunningClock:
    """One pair of running clocks."""

    activity: str
    title: str
    """Short name of the activity."""
    name: str
    """Name of the site of a local clock, else of the activity."""
    criticality: int
    site: str | None
    capacity_pct: float
    mbco_pct: float
    started_at: datetime | None
    rto_at: datetime | None
    mtpd_at: datetime | None
    rto_over: bool
    mtpd_over: bool
    breach_at: datetime | None
    expected_end: datetime | None
    bar: ClockBar

    @property
    def next_base(self) -> str:
        """Next limit: `RTO` or `DMIA`, a key of the catalogues."""
        return DMIA if self.rto_over else "RTO"

    @property
    def next_base_name(self) -> str:
        """Next limit in full, for people who do not know the letters."""
        return (
            N_("durée maximale d’interruption (DMIA)")
            if self.rto_over
            else N_("délai de reprise (RTO)")
        )

    @property
    def passed_word(self) -> str:
        """Participle that goes with `next_base` once it has passed, in its gender."""
        return N_("dépassée") if self.rto_over else N_("dépassé")

    @property
    def next_at(self) -> datetime | None:
        """Next limit, or the last one if both have passed."""
        return self.mtpd_at if self.rto_over else self.rto_at

    @property
    def key(self) -> str:
        return f"{self.activity}-{self.site}" if self.site else self.activity


def build_bar(rto: Clock, mtpd: Clock, now: datetime, *, forecast: bool) -> ClockBar:
    """Compute the bar of a pair of clocks at `now`."""
    tick = 100.0 * rto.limit_h / mtpd.limit_h if mtpd.limit_h else 100.0
    at = min(100.0, max(0.0, mtpd.percent_at(now)))
    spent_pct = rto.percent_at(now)
    is_stopped = mtpd.state is ClockState.STOPPED
    tone: Tone = (
        "done"
        if is_stopped
        else "late"
        if spent_pct >= 100
        else "warn"
        if spent_pct >= 50
        else "run"
    )
    until = mtpd.deadline if mtpd.ticking and at < 100 else None
    return ClockBar(at, min(100.0, tick), tone, forecast and not is_stopped, now, until)


def _build_running_clock(
    a: Activity, rto: Clock, mtpd: Clock, now: datetime, local: LocalClock | None
) -> RunningClock:
    breach = local.forecast_breach_at if local else a.forecast_breach_at
    return RunningClock(
        activity=a.id,
        title=a.short_name or shorten_activity_name(a.name),
        name=shorten_site_name(local.site_name) if local else shorten_activity_name(a.name),
        criticality=a.criticality,
        site=local.site if local else None,
        capacity_pct=local.capacity_pct if local else a.capacity_pct,
        mbco_pct=a.mbco_pct,
        started_at=rto.started_at,
        rto_at=rto.deadline,
        mtpd_at=mtpd.deadline,
        rto_over=rto.percent_at(now) >= 100,
        mtpd_over=mtpd.percent_at(now) >= 100,
        breach_at=breach,
        expected_end=a.expected_end,
        bar=build_bar(rto, mtpd, now, forecast=breach is not None),
    )


def list_running_clocks(activities: Iterable[Activity], now: datetime) -> list[RunningClock]:
    """List the running clocks, next limit first.

    Sites of an activity appear only while its territory-wide clock does not run.
    """
    running_clocks: list[RunningClock] = []
    for a in activities:
        if ClockState.RUNNING in (a.rto.state, a.mtpd.state):
            running_clocks.append(_build_running_clock(a, a.rto, a.mtpd, now, None))
            continue
        running_clocks += [
            _build_running_clock(a, one.rto, one.mtpd, now, one)
            for one in a.local
            if one.rto and one.mtpd and ClockState.RUNNING in (one.rto.state, one.mtpd.state)
        ]
    return sorted(
        running_clocks, key=lambda r: (r.next_at is None, r.next_at, r.criticality, r.key)
    )


def list_breaches(clocks: Iterable[RunningClock]) -> list[RunningClock]:
    """List the clocks of activities and single sites that break the DMIA by their announced end."""
    return [clock for clock in clocks if clock.breach_at is not None]


def add_announced_ends(
    clocks: Iterable[RunningClock],
    sites: Iterable[Site],
    incidents: Iterable[Incident],
    now: datetime,
) -> list[RunningClock]:
    """Add the announced end to the clocks of sites.

    Rows of sites have none. It is the latest end announced for a current cause at the site.
    """
    causes, ends = (
        {site.id: site.causes for site in sites},
        {i.id: i.estimated_end for i in incidents},
    )

    def find_announced_end(site: str) -> datetime | None:
        announced_ends = (
            c.expected_end or ends.get(c.incident or "")
            for c in causes.get(site, ())
            if not c.planned
        )
        return max((end for end in announced_ends if end is not None and end > now), default=None)

    return [
        c if c.site is None else replace(c, expected_end=find_announced_end(c.site)) for c in clocks
    ]


@dataclass(frozen=True, slots=True)
class ClocksByLimit:
    """Running clocks with a limit ahead, next first, and those past their last limit."""

    ahead: list[RunningClock]
    overdue: list[RunningClock]


def split_passed_clocks(clocks: Iterable[RunningClock], now: datetime) -> ClocksByLimit:
    """Separate the clocks with a limit ahead from those past their last limit."""
    all_clocks = list(clocks)
    ahead = [c for c in all_clocks if c.next_at is None or c.next_at > now]
    return ClocksByLimit(
        ahead, [c for c in all_clocks if c.next_at is not None and c.next_at <= now]
    )


def count_local_clocks(activity: Activity) -> int:
    """Count the sites of the activity with a running clock of their own."""
    return sum(
        1 for one in activity.local if one.rto is not None and one.rto.state is ClockState.RUNNING
    )


AFFECTED_STATES = (
    ActivityState.INTERRUPTED,
    ActivityState.DEGRADED,
    ActivityState.THREATENED,
    ActivityState.RESTORED,
)
