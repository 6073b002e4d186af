"""Business impact analysis of a realm, compiled once per reference version.

Everything here is derived from the sections of the reference data and never stored. Capacity is
counted in whole points, so that a sum does not depend on the order of its terms: an activity has
`whole` points, and a hundredth of a percent of loss at a site costs the site's weight times the
scale of its group.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from math import lcm
from typing import Final

from schemas import reference as ref
from schemas.base import MINUTE_MS
from schemas.predicates import CONTINUITY_METRICS, Measured, list_measured
from schemas.words import ClockBase
from services.continuity.activities.calendars import DayWindow, OpenHours, compile_open_hours
from services.logistics import ResourceCatalogue
from services.runtime.decider.maps import Map

MEALS_ACTIVITY: Final = "EDU-01"
"""The activity that depends on kitchens: it counts the colleges that a kitchen serves.

Rules D13, D40.
"""
ISOLATION_FLAG: Final = "flag:total_isolation"
STRIKE_FLAG: Final = "flag:strike_notice"
FULL_SHARE: Final = 10_000
"""100 % in hundredths of a percent."""
_REQUIRED_SECTIONS: Final = (
    ref.Section.SITES,
    ref.Section.ACTIVITIES,
    ref.Section.ESCALATION,
    ref.Section.PLANS,
)


class ReferenceIncomplete(ValueError):
    """Error: a reference version was put in force before all its sections had come."""


@dataclass(frozen=True, slots=True)
class SiteKindGroup:
    """Sites of one kind that count for an activity. Rule D40."""

    kind: str
    weights: Mapping[str, int]
    """Site → its staff, at least 1."""
    total: int


@dataclass(frozen=True, slots=True)
class ActivityNeed:
    """One activity with its needs and limits."""

    activity: ref.Activity
    groups: tuple[SiteKindGroup, ...]
    scales: tuple[int, ...]
    """Points per weight and hundredth of a percent, by group."""
    whole: int
    minimum: int
    """Points of the MBCO."""
    local: SiteKindGroup | None
    """Sites with a clock of their own. Rule D42."""
    profile: tuple[object, ...]
    """Equal profiles lose the same share of their capacity through the same sites."""
    closing_is_work: bool
    """Closures do not count (`fermeture_sans_perte`)."""
    hours: OpenHours | None
    """Open hours that limits under 24 h count; None: always."""
    work_hours: OpenHours | None
    """Open hours when agents of other activities may work for it (D80); None: always."""
    windows: tuple[tuple[DayWindow, ref.Surcharge], ...]
    by_flag: tuple[ref.Surcharge, ...]
    by_cause: tuple[ref.Surcharge, ...]
    """Surcharges of local clocks while their cause is open on the site."""
    alarms: Mapping[ClockBase, tuple[int, ...]]
    """Percentages that raise an alarm (D44), ascending."""
    marks: Mapping[ClockBase, tuple[float, ...]]
    """Those percentages and the thresholds of predicates, ascending."""

    @property
    def id(self) -> str:
        return self.activity.id

    def percent(self, points: int) -> float:
        """Convert points into a percentage, to a tenth.

        It is never rounded up to the whole or to the MBCO: a degraded activity would show 100 %.
        """
        percentage = round(points * 100 / self.whole, 1)
        if (points < self.whole and percentage >= 100) or (
            points < self.minimum and percentage >= self.activity.mbco_pct
        ):
            return points * 1000 // self.whole / 10
        return percentage


OFFICE_HOURS_RTO_H: Final = 24
"""RTO in hours from which work waits for office hours."""


@dataclass(frozen=True, slots=True)
class ContinuityMetric:
    """Metric of continuity that predicates read."""

    key: str
    name: str
    thresholds: tuple[tuple[str, float], ...]
    activities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImpactAnalysis:
    """Compiled sections of one reference version."""

    version: str
    needs: Mapping[str, ActivityNeed]
    sites: Mapping[str, ref.Site]
    policy: ref.Escalation
    plans: Mapping[str, ref.Plan]
    metrics: tuple[ContinuityMetric, ...]
    kitchens: Mapping[str, tuple[str, ...]]
    """Kitchen → colleges that it serves."""
    by_kind: Mapping[str, tuple[str, ...]]
    """Kind of site → activities that count it, by id."""
    by_dependency: Mapping[str, tuple[str, ...]]
    """`system:…`, `kitchen:…`, `supplier:…`, `flag:…` → activities that it touches, by id."""
    resources: ResourceCatalogue = field(default_factory=ResourceCatalogue)
    """Kinds, stocks and partners for resource requests. Rule D88."""

    def recipients(self, base: ClockBase, pct: int, criticality: int) -> tuple[str, ...]:
        """Return the roles that receive this alarm of an activity of this criticality.

        Rules D44, D73.
        """
        mine = (a for a in self.policy.alarms if a.base == base.value and a.pct == pct)
        return next((a.to for a in mine if not a.criticality or criticality in a.criticality), ())

    def pilots(self, level: int) -> tuple[str, ...]:
        """Return the roles that pilot a territory level."""
        return next((rule.pilots for rule in self.policy.levels if rule.level == level), ())

    def sitrep_every_ms(self, level: int) -> int | None:
        """Return the interval of situation reports at a territory level; None: it has none.

        Rule D54.
        """
        every_min = next(
            (rule.sitrep_every_min for rule in self.policy.levels if rule.level == level), None
        )
        return None if every_min is None else every_min * MINUTE_MS


def compile_impact_analysis(
    version: str, sections: Map[str, ref.ReferencePublished]
) -> ImpactAnalysis:
    """Compile these sections. Raise ReferenceIncomplete if one is missing."""
    missing = [s for s in _REQUIRED_SECTIONS if s not in sections]
    if missing:
        raise ReferenceIncomplete(f"reference {version} lacks {', '.join(missing)}")
    data = {name: section.data for name, section in sections.items()}
    sites, activities = data[ref.Section.SITES], data[ref.Section.ACTIVITIES]
    policy_section, plan_section = data[ref.Section.ESCALATION], data[ref.Section.PLANS]
    assert isinstance(sites, ref.Sites)
    assert isinstance(activities, ref.Activities)
    assert isinstance(policy_section, ref.EscalationPolicy)
    assert isinstance(plan_section, ref.Plans)
    policy, plans = policy_section.policy, {p.id: p for p in plan_section.plans}
    kinds: dict[str, dict[str, int]] = {}
    kitchens: dict[str, list[str]] = {}
    for site in sites.sites:
        kinds.setdefault(site.kind, {})[site.id] = max(site.staff, 1)
        if site.kitchen:
            kitchens.setdefault(site.kitchen, []).append(site.id)
    with_kitchen = {s for places in kitchens.values() for s in places}
    metrics = _compile_metrics(policy, plans, activities.activities)
    hours = {
        c.id: compile_open_hours(c, policy.holidays, policy.school_holidays)
        for c in policy.calendars
    }
    needs = {
        a.id: _compile_need(a, policy, kinds, with_kitchen, hours, metrics)
        for a in sorted(activities.activities, key=lambda a: a.id)
    }
    by_kind: dict[str, list[str]] = {}
    by_dependency: dict[str, list[str]] = {}
    for need in needs.values():
        for group in need.groups:
            by_kind.setdefault(group.kind, []).append(need.id)
        for dependency in _iterate_dependencies(need, policy, kitchens):
            by_dependency.setdefault(dependency, []).append(need.id)
    return ImpactAnalysis(
        version,
        needs,
        {s.id: s for s in sites.sites},
        policy,
        plans,
        metrics,
        {k: tuple(v) for k, v in kitchens.items()},
        {k: tuple(v) for k, v in by_kind.items()},
        {k: tuple(dict.fromkeys(v)) for k, v in by_dependency.items()},
        ResourceCatalogue.of_sections(data.values()),
    )


def _compile_need(
    activity: ref.Activity,
    policy: ref.Escalation,
    kinds: Mapping[str, Mapping[str, int]],
    with_kitchen: set[str],
    hours: Mapping[str, OpenHours | None],
    metrics: tuple[ContinuityMetric, ...],
) -> ActivityNeed:
    def group(kind: str) -> SiteKindGroup:
        weights = kinds.get(kind, {})
        if activity.id == MEALS_ACTIVITY:
            weights = {site: weight for site, weight in weights.items() if site in with_kitchen}
        return SiteKindGroup(kind, weights, sum(weights.values()))

    places = policy.served_places.get(activity.id, ())
    groups = tuple(
        g for g in (group(kind) for kind in activity.site_kinds if kind not in places) if g.total
    )
    common = lcm(*(g.total for g in groups)) if groups else 1
    whole = FULL_SHARE * common * max(len(groups), 1)
    alarms = {
        base: tuple(sorted({a.pct for a in policy.alarms if a.base == base.value}))
        for base in (ClockBase.RTO, ClockBase.DMIA)
    }
    holidays = frozenset(date.fromisoformat(d).toordinal() for d in policy.holidays)
    surcharges = [s for s in policy.surcharges if s.activity == activity.id]
    return ActivityNeed(
        activity,
        groups,
        tuple(common // g.total for g in groups),
        whole,
        minimum=round(activity.mbco_pct * 100) * whole // FULL_SHARE,
        local=group(activity.site_kinds[0])
        if activity.id in policy.local_clocks and activity.site_kinds
        else None,
        profile=(
            tuple(g.kind for g in groups),
            activity.id in policy.closure_without_loss,
            activity.id == MEALS_ACTIVITY,
        ),
        closing_is_work=activity.id in policy.closure_without_loss,
        hours=None
        if activity.continuous
        else hours.get(policy.calendar_of_activity.get(activity.id, "")),
        work_hours=None
        if activity.continuous
        else hours.get(choose_work_calendar(activity, policy)),
        windows=tuple(
            (DayWindow(frozenset(s.days_of_month), s.working_days_before_month_end, holidays), s)
            for s in surcharges
            if s.days_of_month or s.working_days_before_month_end
        ),
        by_flag=tuple(s for s in surcharges if s.flag),
        by_cause=tuple(s for s in surcharges if s.cause),
        alarms=alarms,
        marks={
            base: _list_marks(base, pcts, activity.id, metrics) for base, pcts in alarms.items()
        },
    )


def choose_work_calendar(activity: ref.Activity, policy: ref.Escalation) -> str:
    """Return the id of an activity's work calendar; empty: day and night.

    Work that may stop for a day waits for office hours.
    """
    usual = policy.reassignment.work_calendar if activity.rto_h >= OFFICE_HOURS_RTO_H else None
    return policy.calendar_of_activity.get(activity.id) or usual or ""


def _list_marks(
    base: ClockBase, alarms: tuple[int, ...], activity: str, metrics: tuple[ContinuityMetric, ...]
) -> tuple[float, ...]:
    watched_metrics = {
        value
        for m in metrics
        if m.name == f"activity_{base.value}_pct" and activity in m.activities
        for _, value in m.thresholds
    }
    return tuple(sorted(watched_metrics | set(alarms)))


def _iterate_dependencies(
    need: ActivityNeed, policy: ref.Escalation, kitchens: Mapping[str, list[str]]
) -> Iterator[str]:
    """Yield the ids of the dependencies that may change this activity."""
    yield from (f"system:{system}" for system in need.activity.systems)
    yield from (f"supplier:{supplier}" for supplier in need.activity.suppliers)
    yield from (f"flag:{s.flag}" for s in need.by_flag)
    if any(system not in policy.systems_spared for system in need.activity.systems):
        yield ISOLATION_FLAG
    if need.id == MEALS_ACTIVITY:
        yield from (
            f"{prefix}:{kitchen}" for kitchen in kitchens for prefix in ("kitchen", "supplier")
        )


def _compile_metrics(
    policy: ref.Escalation, plans: Mapping[str, ref.Plan], activities: tuple[ref.Activity, ...]
) -> tuple[ContinuityMetric, ...]:
    """List each metric of continuity that a predicate names, with all its thresholds."""
    metrics_by_key: dict[str, list[Measured]] = {}
    for m in _iterate_predicates(policy, plans):
        if m.metric in CONTINUITY_METRICS:
            metrics_by_key.setdefault(m.key, []).append(m)
    return tuple(
        ContinuityMetric(
            key,
            key_metrics[0].metric,
            tuple(sorted({(m.op, float(m.value)) for m in key_metrics})),
            _select_activities(key_metrics[0], activities),
        )
        for key, key_metrics in sorted(metrics_by_key.items())
    )


def _iterate_predicates(
    policy: ref.Escalation, plans: Mapping[str, ref.Plan]
) -> Iterator[Measured]:
    for rule in policy.levels:
        yield from list_measured(rule.when)
        yield from list_measured(rule.propose_when)
    for plan in plans.values():
        for trigger in plan.triggers:
            yield from list_measured(trigger.when)
        if plan.stand_down:
            yield from list_measured(plan.stand_down.when)


def _select_activities(
    comparison: Measured, activities: tuple[ref.Activity, ...]
) -> tuple[str, ...]:
    def matches(a: ref.Activity) -> bool:
        args = comparison.args
        return (
            a.criticality in args.get("criticality", (a.criticality,))
            and args.get("pole", a.pole) == a.pole
            and a.id in args.get("activities", (a.id,))
            and a.id not in args.get("sauf_activites", ())
        )

    return tuple(sorted(a.id for a in activities if matches(a)))
