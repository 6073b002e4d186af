"""Build the cases of a simulation from the rows of one snapshot. Rule D132. Pure.

Return, answer and arrival times follow log-normal laws. A prior counts like some observations;
observed durations of the log move it by their number.

Return, answer and arrival times are read from versions of rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log, sqrt
from typing import Any, Final

from schemas import alerts as a
from schemas import continuity as c
from schemas.base import HOUR_MS, MINUTE_MS, Instant
from schemas.crisis.resource_requests import MOVING_STATES, WAITING_STATES, ResourceRequestRow
from schemas.words import ActivityState, ClockState, EventType
from services.console.dependencies.hidden import RowVersion
from services.console.dependencies.network import (
    FULL_PCT,
    MEALS_ACTIVITY,
    DependencyNetwork,
    PresentState,
)
from services.console.risk.simulation import FailedUnit, InterruptedActivity, OpenDecision

GENERATOR: Final = "generator"
GENERATORS_TRIED: Final = 8
"""Sites without power for which a generator is simulated: requested ones, then the weightiest."""
UNIT_TYPES: Final = {
    "system": EventType.OUTAGE_IT,
    "supplier": EventType.SUPPLIER_FAILURE,
    "kitchen": EventType.SUPPLIER_FAILURE,
}
LEAST_SPAN_MS: Final = 60_000
PRIOR_WEIGHT: Final = 8
"""Observations that a prior counts for."""


@dataclass(slots=True)
class Observations:
    """Durations that the logs hold."""

    overruns: list[float] = field(default_factory=list)
    """Real duration of a cause as a multiple of the one first announced."""
    unannounced_durations: dict[EventType, list[float]] = field(default_factory=dict)
    """Type → durations in ms of causes that never had an announced end."""
    answers: list[float] = field(default_factory=list)
    """Time in ms from the proposal of a plan to its decision."""
    arrivals: list[float] = field(default_factory=list)
    """Time in ms from the commitment of a resource to its arrival."""

    def add(self, other: "Observations") -> None:
        """Add the observations of another realm."""
        self.overruns += other.overruns
        self.answers += other.answers
        self.arrivals += other.arrivals
        for type, durations in other.unannounced_durations.items():
            self.unannounced_durations.setdefault(type, []).extend(durations)

    @property
    def returns(self) -> int:
        """Number of ended causes."""
        return len(self.overruns) + sum(map(len, self.unannounced_durations.values()))


@dataclass(frozen=True, slots=True)
class _OpenCause:
    type: EventType | None
    since: Instant
    announced_end: Instant | None
    """First announced end."""


def observe_returns(versions: Iterable[RowVersion]) -> Observations:
    """Return the durations of causes that ended, from the versions of sites."""
    observations = Observations()
    open_causes: dict[str, dict[str, _OpenCause]] = {}
    for version in versions:
        before = open_causes.get(version.id, {})
        now: dict[str, _OpenCause] = {}
        causes: Sequence[Mapping[str, Any]] = version.row.get("causes", ())
        for cause in causes:
            earlier_cause = before.get(cause["id"])
            announced_end = earlier_cause.announced_end if earlier_cause is not None else None
            expected_end = cause.get("expected_end")
            now[cause["id"]] = _OpenCause(
                _parse_type(cause.get("type")),
                int(cause["since"]),
                announced_end
                if announced_end is not None or expected_end is None
                else int(expected_end),
            )
        for id, known_cause in before.items():
            if id not in now:
                _add_return(observations, known_cause, version)
        open_causes[version.id] = now
    return observations


def _parse_type(text: object) -> EventType | None:
    return next((type for type in EventType if type == text), None)


def _add_return(observations: Observations, cause: _OpenCause, version: RowVersion) -> None:
    end = version.row.get("lifted_at") or version.at
    real = min(int(end), version.at) - cause.since
    if real <= 0:
        return
    if cause.announced_end is not None:
        if cause.announced_end > cause.since:
            observations.overruns.append(real / (cause.announced_end - cause.since))
    elif cause.type is not None:
        observations.unannounced_durations.setdefault(cause.type, []).append(float(real))


def observe_answers(versions: Iterable[RowVersion]) -> list[float]:
    """Return the times from the proposal of a plan to its decision."""
    return _observe_spans(versions, "proposed_at", "decided_at")


def observe_arrivals(versions: Iterable[RowVersion]) -> list[float]:
    """Return the times from the commitment of a resource to its arrival."""
    return _observe_spans(versions, "committed_at", "arrived_at")


def _observe_spans(versions: Iterable[RowVersion], start: str, end: str) -> list[float]:
    """Return the spans between two times of rows; each pair of times counts once."""
    spans: dict[tuple[str, int, int], float] = {}
    for version in versions:
        first, last = version.row.get(start), version.row.get(end)
        if first is not None and last is not None and last > first:
            spans[version.id, int(first), int(last)] = float(last - first)
    return list(spans.values())


@dataclass(frozen=True, slots=True)
class DurationLaw:
    """Log-normal law of a duration."""

    median_ms: float
    sigma: float
    """Standard deviation of the logarithm."""

    def learn(self, durations: Iterable[float]) -> "DurationLaw":
        """Return the law after these observed durations, in its own unit."""
        logs = [log(duration) for duration in durations if duration > 0]
        if not logs:
            return self
        total = PRIOR_WEIGHT + len(logs)
        mean = (PRIOR_WEIGHT * log(self.median_ms) + sum(logs)) / total
        spread = PRIOR_WEIGHT * (self.sigma**2 + (log(self.median_ms) - mean) ** 2)
        spread += sum((one - mean) ** 2 for one in logs)
        return DurationLaw(exp(mean), sqrt(spread / total))


def _law(hours: float, sigma: float) -> DurationLaw:
    return DurationLaw(hours * HOUR_MS, sigma)


OVERRUN: Final = DurationLaw(1.15, 0.45)
"""Real duration as a multiple of the announced one: most ends come a little late."""
UNANNOUNCED: Final[Mapping[EventType, DurationLaw]] = {
    EventType.OUTAGE_POWER: _law(4, 0.9),
    EventType.OUTAGE_WATER: _law(6, 0.9),
    EventType.OUTAGE_IT: _law(8, 1.1),
    EventType.SUPPLIER_FAILURE: _law(12, 1.0),
    EventType.FIRE: _law(48, 1.2),
}
"""Duration of a cause without an announced end, by type."""
OTHER_UNANNOUNCED: Final = _law(12, 1.2)
ANSWER: Final = DurationLaw(12 * MINUTE_MS, 0.8)
"""Time until a person takes an open decision."""
SETUP: Final[Mapping[str, DurationLaw]] = {
    "SR-DEG": _law(0.5, 0.6),
    "SR-TELE": _law(1, 0.6),
    "SR-SITE": _law(2, 0.6),
    "SR-RH": _law(2, 0.7),
    "SR-FOUR": _law(3, 0.8),
    "SR-MUT": _law(4, 0.8),
}
"""Time from the decision to a strategy at work, by code; SR-SUSP restores nothing."""
ARRIVAL: Final = _law(1.5, 0.6)
"""Time from the decision to a resource in place, without an announced arrival."""


@dataclass(frozen=True, slots=True)
class LearnedLaws:
    """Laws after the observations of the logs."""

    overrun: DurationLaw
    unannounced_laws: Mapping[EventType, DurationLaw]
    answer: DurationLaw
    arrival: DurationLaw

    @classmethod
    def build(cls, observations: Observations) -> "LearnedLaws":
        """Combine the priors and the observations."""
        types = {*UNANNOUNCED, *observations.unannounced_durations}
        return cls(
            OVERRUN.learn(observations.overruns),
            {
                type: cls._prior(type).learn(observations.unannounced_durations.get(type, ()))
                for type in types
            },
            ANSWER.learn(observations.answers),
            ARRIVAL.learn(observations.arrivals),
        )

    @staticmethod
    def _prior(type: EventType) -> DurationLaw:
        return UNANNOUNCED.get(type, OTHER_UNANNOUNCED)

    def of(self, type: EventType | None, since: Instant, end: Instant | None) -> DurationLaw:
        """Return the law of the whole duration of a failure."""
        if end is not None and end > since:
            span = max(end - since, LEAST_SPAN_MS)
            return DurationLaw(span * self.overrun.median_ms, self.overrun.sigma)
        if type is None:
            return OTHER_UNANNOUNCED
        return self.unannounced_laws.get(type, OTHER_UNANNOUNCED)


@dataclass(frozen=True, slots=True)
class RiskFacts:
    """Rows of one snapshot that the simulation reads."""

    activities: Mapping[str, c.ActivityRow]
    sites: Mapping[str, a.SiteRow]
    flags: Mapping[str, a.FlagRow]
    incidents: Mapping[str, a.IncidentRow]
    requests: Mapping[str, ResourceRequestRow]


@dataclass(frozen=True, slots=True)
class RiskCases:
    """Inputs of a simulation."""

    units: list[FailedUnit]
    activities: list[InterruptedActivity]
    decisions: list[OpenDecision]


def build_cases(
    network: DependencyNetwork,
    present: PresentState,
    facts: RiskFacts,
    laws: LearnedLaws,
    now: Instant,
) -> RiskCases:
    """Build units, activities with a limit ahead, and decisions that wait."""
    units: dict[str, FailedUnit] = {}
    activities = []
    for id, row in sorted(facts.activities.items()):
        if row.state is not ActivityState.INTERRUPTED or id not in network.activities:
            continue
        losses = dict(_iterate_site_losses(network, present, id))
        ceilings = tuple(_iterate_ceilings(network, present, id))
        for unit in (*losses, *ceilings):
            if unit not in units:
                units[unit] = _build_unit(unit, facts, laws, now)
        case = InterruptedActivity(
            id,
            losses,
            ceilings,
            FULL_PCT - row.mbco_pct,
            _find_time_left(row.rto, now),
            _find_time_left(row.dmia, now),
        )
        has_limit = case.rto_in_ms is not None or case.dmia_in_ms is not None
        if has_limit and (ceilings or sum(losses.values()) > case.allowed_gap_pct):
            activities.append(case)
    decisions = [
        *_iterate_strategies(facts, activities, laws),
        *_iterate_generators(network, facts, activities, laws, now),
    ]
    return RiskCases(list(units.values()), activities, decisions)


def _find_time_left(clock: c.ClockRow, now: Instant) -> float | None:
    running = clock.state is ClockState.RUNNING and clock.deadline is not None
    return float(clock.deadline - now) if running and clock.deadline > now else None  # type: ignore[operator]


def _iterate_site_losses(
    network: DependencyNetwork, present: PresentState, activity: str
) -> Iterator[tuple[str, float]]:
    """Yield the points that each site and kitchen takes from an activity. Rule D40."""
    groups = network.groups[activity]
    fed: dict[str, str] = {}
    if activity == MEALS_ACTIVITY:
        for kitchen, sites in network.kitchens.items():
            if present.shares.get(f"kitchen:{kitchen}", FULL_PCT) < FULL_PCT:
                fed |= dict.fromkeys(sites, kitchen)
    points_by_unit: dict[str, float] = {}
    for group in groups:
        total = group.total * len(groups)
        for site, weight in group.weights.items():
            lost_pct = FULL_PCT - present.sites.get(site, FULL_PCT)
            unit = f"site:{site}"
            if site in fed:
                unfed_pct = FULL_PCT - present.shares[f"kitchen:{fed[site]}"]
                lost_pct, unit = (
                    (lost_pct, unit)
                    if lost_pct >= unfed_pct
                    else (unfed_pct, f"kitchen:{fed[site]}")
                )
            if lost_pct > 0:
                points_by_unit[unit] = points_by_unit.get(unit, 0.0) + weight * lost_pct / total
    yield from points_by_unit.items()


def _iterate_ceilings(
    network: DependencyNetwork, present: PresentState, activity: str
) -> Iterator[str]:
    one = network.activities[activity]
    units = [f"system:{id}" for id in one.systems] + [f"supplier:{id}" for id in one.suppliers]
    for unit in units:
        if present.shares.get(unit, FULL_PCT) < one.mbco_pct:
            yield unit


def _build_unit(unit: str, facts: RiskFacts, laws: LearnedLaws, now: Instant) -> FailedUnit:
    prefix, _sign, id = unit.partition(":")
    if prefix == "site":
        type, since, end = _read_site(id, facts, now)
    else:
        row = facts.flags.get(unit) or facts.flags.get("flag:total_isolation")
        incident = None if row is None or row.incident is None else row.incident
        incident_row = None if incident is None else facts.incidents.get(incident)
        type, since = UNIT_TYPES[prefix], now if row is None else row.since
        end = None if incident_row is None else incident_row.estimated_end
    law = laws.of(type, since, None if end is None or end <= now else end)
    return FailedUnit(unit, float(max(now - since, 0)), law.median_ms, law.sigma)


def _read_site(
    id: str, facts: RiskFacts, now: Instant
) -> tuple[EventType | None, Instant, Instant | None]:
    """Return type, start and announced end of the cause that takes most of a site."""
    row = facts.sites.get(id)
    if row is None or not row.causes:
        return None, now if row is None else row.since, None
    worst = max(row.causes, key=lambda cause: (cause.loss_pct, cause.expected_end or 0, cause.id))
    end = worst.expected_end
    if end is None and worst.incident is not None:
        incident_row = facts.incidents.get(worst.incident)
        end = None if incident_row is None else incident_row.estimated_end
    return worst.type, worst.since, end


def _iterate_strategies(
    facts: RiskFacts, activities: list[InterruptedActivity], laws: LearnedLaws
) -> Iterator[OpenDecision]:
    """Yield the next strategy of each activity, if one restores it."""
    for case in activities:
        strategy = facts.activities[case.id].next_strategy
        setup = SETUP.get((strategy or "").partition(":")[0])
        if strategy is not None and setup is not None:
            yield OpenDecision(
                f"strategy {case.id} {strategy}",
                (),
                case.id,
                (laws.answer.median_ms, laws.answer.sigma),
                (setup.median_ms, setup.sigma),
            )


def _lacks_power(id: str, network: DependencyNetwork, facts: RiskFacts, now: Instant) -> bool:
    """Return whether a power cut is the gravest cause of a site without a generator."""
    type, _since, _end = _read_site(id, facts, now)
    return type is EventType.OUTAGE_POWER and not network.sites[id].generator


def _iterate_generators(
    network: DependencyNetwork,
    facts: RiskFacts,
    activities: Sequence[InterruptedActivity],
    laws: LearnedLaws,
    now: Instant,
) -> Iterator[OpenDecision]:
    """Yield a generator for each site without power that has none: requested, or possible."""
    on_the_way = {
        row.site: row
        for row in facts.requests.values()
        if row.kind == GENERATOR and row.state in WAITING_STATES | MOVING_STATES
    }
    weights: dict[str, float] = {}
    for case in activities:
        for unit, points in case.losses.items():
            id = unit.partition(":")[2]
            if unit.startswith("site:") and _lacks_power(id, network, facts, now):
                weights[id] = weights.get(id, 0.0) + points
    ordered_sites = sorted(weights, key=lambda id: (id not in on_the_way, -weights[id], id))
    for id in ordered_sites[:GENERATORS_TRIED]:
        request = on_the_way.get(id)
        arrival, answer = laws.arrival, laws.answer
        if request is not None and request.eta_at is not None and request.eta_at > now:
            arrival = DurationLaw(float(request.eta_at - now), arrival.sigma)
        is_committed = request is not None and request.state in MOVING_STATES
        yield OpenDecision(
            f"generator {id}",
            (f"site:{id}",),
            None,
            (1.0, 0.1) if is_committed else (answer.median_ms, answer.sigma),
            (arrival.median_ms, arrival.sigma),
        )
