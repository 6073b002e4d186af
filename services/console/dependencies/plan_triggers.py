"""Foresee which plans a loss would make Vigie propose. Rules D49, D130. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas import reference as ref
from schemas.predicates import COMPARISONS, AllOf, AnyOf, Measured, Predicate
from schemas.words import PlanState
from services.console.dependencies.network import FULL_PCT, DependencyNetwork, PresentState

AT_ONCE: Final = 0.0


@dataclass(frozen=True, slots=True)
class Aftermath:
    """State after a loss: resources that are out, activities that stop through it."""

    sites_out: frozenset[str]
    sites_unfed: frozenset[str]
    down: frozenset[str]
    """`system:…`, `supplier:…` and `kitchen:…` that give nothing."""
    stops: frozenset[str]
    capacities: Mapping[str, float]
    """Activity that the loss hits → capacity left in percent."""


@dataclass(frozen=True, slots=True)
class ForeseenPlan:
    """A plan that would be proposed, and when."""

    plan: str
    level: int
    after_h: float
    """Hours after the loss: 0 at once, else when a clock reaches its share of RTO or DMIA."""
    text: str
    """Trigger in the words of the plan."""


def foresee_plans(
    network: DependencyNetwork, present: PresentState, after: Aftermath
) -> tuple[ForeseenPlan, ...]:
    """Return the valid plans that the loss triggers, the soonest first.

    Only metrics that a loss moves by itself count: systems, sites, meals, activities and their
    clocks. A trigger that also needs another metric is not foreseen.
    """
    triggered_plans = []
    for plan in network.plans.values():
        if plan.shelf is not PlanState.VALID or plan.id in present.plans:
            continue
        candidates = [
            ForeseenPlan(plan.id, trigger.level, hours, trigger.text)
            for trigger in plan.triggers
            if (hours := _find_hours(trigger.when, network, present, after)) is not None
        ]
        if candidates:
            triggered_plans.append(min(candidates, key=lambda one: (one.after_h, -one.level)))
    return tuple(sorted(triggered_plans, key=lambda one: (one.after_h, one.plan)))


def _find_hours(
    predicate: Predicate, network: DependencyNetwork, present: PresentState, after: Aftermath
) -> float | None:
    """Return the hours until the predicate holds through the loss; None if it does not."""
    match predicate:
        case Measured():
            return _measure(predicate, network, present, after)
        case AnyOf(any=parts):
            part_hours = [_find_hours(part, network, present, after) for part in parts]
            return min((hours for hours in part_hours if hours is not None), default=None)
        case AllOf(all=parts):
            part_hours = [_find_hours(part, network, present, after) for part in parts]
            finite_hours = [hours for hours in part_hours if hours is not None]
            return (
                max(finite_hours) if finite_hours and len(finite_hours) == len(part_hours) else None
            )
        case _:
            return None


def _measure(
    condition: Measured, network: DependencyNetwork, present: PresentState, after: Aftermath
) -> float | None:
    args = condition.args
    match condition.metric:
        case "activity_rto_pct":
            hours = [a.rto_h for a in _select(args, network) if a.id in after.stops]
        case "activity_dmia_pct":
            hours = [a.dmia_h for a in _select(args, network) if a.id in after.stops]
        case _:
            value, value_before = _count(condition.metric, args, network, present, after)
            if value is None or value == value_before:
                return None
            holds = COMPARISONS[condition.op](value, float(condition.value))
            return AT_ONCE if holds else None
    if condition.op not in (">=", ">") or not hours:
        return None
    return min(hours) * float(condition.value) / FULL_PCT


def _count(
    metric: str,
    args: Mapping[str, Any],
    network: DependencyNetwork,
    present: PresentState,
    after: Aftermath,
) -> tuple[float | None, float | None]:
    """Return a metric after the loss and before it; None for a metric that no loss moves."""
    was_down = {key for key, share in present.shares.items() if share <= 0}
    was_out = {id for id, pct in present.sites.items() if pct <= 0}
    match metric:
        case "system_down":
            systems = [f"system:{system}" for system in _list(args, "systems")]
            return _overlap(systems, after.down), _overlap(systems, was_down)
        case "sites_out":
            sites = _list_sites(args, network)
            return _overlap(sites, after.sites_out), _overlap(sites, was_out)
        case "catering_down":
            sites = [s for s in _list_sites(args, network) if network.sites[s].kitchen is not None]
            without = after.sites_out | after.sites_unfed
            return _overlap(sites, without), _overlap(sites, was_out)
        case "activities_interrupted":
            activity_ids = [a.id for a in _select(args, network)]
            stopped_count = _overlap(activity_ids, present.stopped_activities)
            new_stops = _overlap(activity_ids, after.stops - present.stopped_activities)
            return stopped_count + new_stops, stopped_count
        case "activity_capacity_min":
            activity_ids = [a.id for a in _select(args, network)]
            capacities = [after.capacities[id] for id in activity_ids if id in after.capacities]
            return (min(capacities), FULL_PCT) if capacities else (None, None)
        case _:
            return None, None


def _overlap(ids: Sequence[str], affected_ids: frozenset[str] | set[str]) -> float:
    return float(len(affected_ids.intersection(ids)))


def _list(args: Mapping[str, Any], *names: str) -> list[str]:
    values: list[str] = []
    for name in names:
        argument = args.get(name, ())
        values += [argument] if isinstance(argument, str) else list(argument)
    return values


def _list_sites(args: Mapping[str, Any], network: DependencyNetwork) -> list[str]:
    kinds = _list(args, "kind", "kinds")
    return [site.id for site in network.sites.values() if not kinds or site.kind in kinds]


def _select(args: Mapping[str, Any], network: DependencyNetwork) -> Iterator[ref.Activity]:
    """Yield the activities that the arguments of a metric name: by id, pôle and criticality."""
    ids, poles = _list(args, "activities"), _list(args, "pole", "poles")
    argument = args.get("criticality", ())
    ranks = [argument] if isinstance(argument, int) else list(argument)
    for activity in network.activities.values():
        if (
            (not ids or activity.id in ids)
            and (not poles or activity.pole in poles)
            and (not ranks or activity.criticality in ranks)
        ):
            yield activity
