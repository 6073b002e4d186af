"""Find dependencies that the impact analysis does not declare, from co-failures. D131. Pure.

A candidate is a resource and an activity that does not name it. Each recorded crisis counts once:
was the resource out, and did somebody declare the activity degraded while it was? Fisher's exact
test compares crises with and without the outage, and the procedure of Benjamini and Hochberg bounds
the share of false findings among all candidates. A crisis where a declared dependency explains
the degradation proves nothing about others and is left out, as is, for the weaker candidates of an
activity, one that a stronger candidate explains.

Outages and declared degradations of recorded crises are read from versions of rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from math import exp, inf, lgamma
from typing import Any, Final

from schemas.base import HOUR_MS, MINUTE_MS, Instant
from schemas.words import ActivityState, SiteStatus
from services.console.dependencies.network import ResourceKind

LONGEST_LAG_MS: Final = 8 * HOUR_MS
"""Longest time from an outage to a degradation that it explains."""
CLOCK_SLACK_MS: Final = 10 * MINUTE_MS
"""Time by which a declaration may precede the report of its cause."""
AFTER_END_MS: Final = 30 * MINUTE_MS
"""Time after the end of an outage in which its effect may still be declared."""
FALSE_SHARE: Final = 0.2
"""Bound of the expected share of false findings."""
PROVABLE: Final = 0.001
"""Largest p-value of a candidate in the best case; above it, no finding could survive."""
LEAST_CRISES: Final = 3
"""Least number of crises in which both failed; fewer prove nothing."""
QUIET_MS: Final = 48 * HOUR_MS
"""Time without outage or degradation that parts two crises of the live realm."""
OUT: Final = frozenset({SiteStatus.CLOSED, SiteStatus.EVACUATED})
BAD: Final = frozenset({ActivityState.DEGRADED, ActivityState.INTERRUPTED})
DEPENDENCIES: Final = ("system:", "supplier:", "kitchen:")


@dataclass(frozen=True, slots=True)
class Outage:
    """Time when a resource was out; `until` None: to the end of the crisis."""

    resource: str
    since: Instant
    until: Instant | None = None


@dataclass(frozen=True, slots=True)
class Degradation:
    """Declaration of a person that an activity is degraded or interrupted."""

    activity: str
    at: Instant


@dataclass(frozen=True, slots=True)
class RecordedCrisis:
    """Outages and degradations of one crisis."""

    id: str
    outages: tuple[Outage, ...]
    degradations: tuple[Degradation, ...]


@dataclass(frozen=True, slots=True)
class JointFailure:
    """One crisis where the resource failed, and then the activity."""

    crisis: str
    out_at: Instant
    degraded_at: Instant


@dataclass(frozen=True, slots=True)
class UndeclaredDependency:
    """A dependency that nobody declared, with its evidence."""

    resource: str
    activity: str
    evidence: tuple[JointFailure, ...]
    exposed: int
    """Crises in which the resource was out."""
    without: int
    """Crises in which it was not out."""
    degraded_without: int
    """Crises among those in which the activity was degraded nevertheless."""
    p_value: float
    adjusted: float
    """Expected share of false findings among those at least as strong."""


@dataclass(frozen=True, slots=True)
class _Tested:
    resource: str
    activity: str
    hits: Mapping[str, JointFailure]
    exposed: int
    degraded_without: int
    without: int
    p_value: float

    @property
    def key(self) -> tuple[float, int, int, str]:
        return self.p_value, -len(self.hits), self.exposed, self.resource


def find_hidden_dependencies(
    crises: Sequence[RecordedCrisis], resources_by_activity: Mapping[str, Iterable[str]]
) -> list[UndeclaredDependency]:
    """Return the undeclared dependencies, surest first.

    `resources_by_activity` holds the declared resources.
    """
    names = {
        activity: frozenset(resources) for activity, resources in resources_by_activity.items()
    }
    table = _CrisisTable(crises, names)
    selection: list[_Tested] = []
    tests = 0
    for activity in sorted(table.degradations):
        declared_resources = names.get(activity, frozenset())
        candidates = [
            r
            for r in sorted(table.exposed)
            if r not in declared_resources and table.can_prove(r, activity)
        ]
        tests += len(candidates)
        selection += _select_for_activity(table, activity, candidates)
    return _adjust(selection, tests)


def _select_for_activity(
    table: "_CrisisTable", activity: str, candidates: Sequence[str]
) -> list[_Tested]:
    """Select candidates by strength; each takes out the degradations that it explains."""
    unexplained_times, silent = dict(table.degradations[activity]), set(table.explained[activity])
    remaining_resources, selection = list(candidates), []
    while remaining_resources:
        tests = [
            table.test(resource, activity, unexplained_times, silent)
            for resource in remaining_resources
        ]
        best = min(tests, key=lambda one: one.key)
        if len(best.hits) < LEAST_CRISES or best.p_value > FALSE_SHARE:
            break
        selection.append(best)
        remaining_resources.remove(best.resource)
        for crisis in best.hits:
            remaining_times = table.drop_explained(crisis, best.resource, unexplained_times[crisis])
            if remaining_times:
                unexplained_times[crisis] = remaining_times
            else:
                del unexplained_times[crisis]
                silent.add(crisis)
    return selection


class _CrisisTable:
    """Crises indexed by resource and by activity, without explained degradations."""

    def __init__(
        self, crises: Sequence[RecordedCrisis], names: Mapping[str, frozenset[str]]
    ) -> None:
        self.exposed: dict[str, dict[str, list[Outage]]] = {}
        """Resource → crisis → its outages."""
        self.degradations: dict[str, dict[str, tuple[Instant, ...]]] = {}
        """Activity → crisis → times that no declared dependency explains."""
        self.explained: dict[str, set[str]] = {}
        """Activity → crises in which a declared dependency explains every degradation."""
        self._count = len(crises)
        for crisis in crises:
            for outage in crisis.outages:
                self.exposed.setdefault(outage.resource, {}).setdefault(crisis.id, []).append(
                    outage
                )
            times: dict[str, list[Instant]] = {}
            for one in crisis.degradations:
                declared_resources = names.get(one.activity, frozenset())
                own = [outage for outage in crisis.outages if outage.resource in declared_resources]
                degradation_times = times.setdefault(one.activity, [])
                if not any(_explains(outage, one.at) for outage in own):
                    degradation_times.append(one.at)
            for activity, degradation_times in times.items():
                self.degradations.setdefault(activity, {})
                self.explained.setdefault(activity, set())
                if degradation_times:
                    self.degradations[activity][crisis.id] = tuple(sorted(degradation_times))
                else:
                    self.explained[activity].add(crisis.id)

    def can_prove(self, resource: str, activity: str) -> bool:
        """Return whether the numbers of crises could prove anything, however they fell together.

        Candidates that could not are no tests. This looks at the margins of the table alone, so it
        biases no test (Tarone).
        """
        silent = self.explained[activity]
        exposed_count = len(self.exposed[resource].keys() - silent)
        failures = len(self.degradations[activity])
        most = min(exposed_count, failures)
        without = self._count - len(silent) - exposed_count
        best = compute_fisher(most, exposed_count, failures - most, without)
        return most >= LEAST_CRISES and best <= PROVABLE

    def test(
        self,
        resource: str,
        activity: str,
        unexplained_times: Mapping[str, Sequence[Instant]],
        silent: AbstractSet[str],
    ) -> _Tested:
        """Compare crises with and without the outage, except those that prove nothing."""
        exposed_crises = self.exposed[resource].keys() - silent
        hits = {}
        for crisis, times in unexplained_times.items():
            if (hit := self._find_hit(crisis, resource, times)) is not None:
                hits[crisis] = hit
        elsewhere = sum(crisis not in exposed_crises for crisis in unexplained_times)
        without = self._count - len(silent) - len(exposed_crises)
        p_value = compute_fisher(len(hits), len(exposed_crises), elsewhere, without)
        return _Tested(resource, activity, hits, len(exposed_crises), elsewhere, without, p_value)

    def _find_hit(
        self, crisis: str, resource: str, times: Sequence[Instant]
    ) -> JointFailure | None:
        for outage in self.exposed[resource].get(crisis, ()):
            for at in times:
                if _explains(outage, at):
                    return JointFailure(crisis, outage.since, at)
        return None

    def drop_explained(
        self, crisis: str, resource: str, times: Sequence[Instant]
    ) -> tuple[Instant, ...]:
        """Return the times that the outages of the resource do not explain."""
        outages = self.exposed[resource].get(crisis, ())
        return tuple(at for at in times if not any(_explains(o, at) for o in outages))


def _explains(outage: Outage, at: Instant) -> bool:
    """Return whether a degradation follows an outage: during it, and soon enough."""
    until = inf if outage.until is None else outage.until + AFTER_END_MS
    lag = at - outage.since
    return -CLOCK_SLACK_MS <= lag <= LONGEST_LAG_MS and at <= until


def compute_fisher(hits: int, exposed_count: int, elsewhere: int, without: int) -> float:
    """Return the one-sided p-value of Fisher's exact test.

    It is the probability of at least `hits` failures among `exposed_count` crises, if
    `hits + elsewhere` failures fell on all crises by chance.
    """
    failures, total = hits + elsewhere, exposed_count + without
    most = min(exposed_count, failures)
    if hits <= max(0, failures - without):
        return 1.0
    whole = _log_choose(total, failures)
    terms = (
        exp(_log_choose(exposed_count, k) + _log_choose(without, failures - k) - whole)
        for k in range(hits, most + 1)
        if failures - k <= without
    )
    return min(1.0, sum(terms))


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _adjust(selection: Sequence[_Tested], tests: int) -> list[UndeclaredDependency]:
    """Keep the findings below the bound of false findings. Benjamini and Hochberg."""
    ordered_tests = sorted(selection, key=lambda one: (one.p_value, one.activity, one.resource))
    bounds, smallest = [1.0] * len(ordered_tests), 1.0
    for n in range(len(ordered_tests) - 1, -1, -1):
        smallest = min(smallest, ordered_tests[n].p_value * tests / (n + 1))
        bounds[n] = smallest
    return [
        UndeclaredDependency(
            one.resource,
            one.activity,
            tuple(one.hits[crisis] for crisis in sorted(one.hits)),
            one.exposed,
            one.without,
            one.degraded_without,
            one.p_value,
            bound,
        )
        for one, bound in zip(ordered_tests, bounds, strict=True)
        if bound <= FALSE_SHARE
    ]


@dataclass(frozen=True, slots=True)
class RowVersion:
    """A row as one fact wrote it."""

    id: str
    at: Instant
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RealmVersions:
    """Versions of one realm, in the order of its log."""

    realm: str
    flags: Sequence[RowVersion]
    sites: Sequence[RowVersion]
    activities: Sequence[RowVersion]


def collect_crises(versions: RealmVersions, kinds: Mapping[str, str]) -> list[RecordedCrisis]:
    """Return the crises of a realm; `kinds`: site → its kind.

    Two quiet days part crises. An outage belongs to the crisis where it began.
    """
    outages = [
        *_iterate_flag_outages(versions.flags),
        *_iterate_site_outages(versions.sites, kinds),
    ]
    degradations = list(_iterate_degradations(versions.activities))
    events: list[tuple[Instant, Outage | Degradation]] = [(o.since, o) for o in outages]
    events += [(one.at, one) for one in degradations]
    crises: list[RecordedCrisis] = []
    group: list[Outage | Degradation] = []
    last: Instant | None = None
    for at, event in sorted(events, key=lambda pair: pair[0]):
        if last is not None and at - last > QUIET_MS:
            crises.append(_build_crisis(versions.realm, len(crises), group))
            group = []
        group.append(event)
        last = at
    if group:
        crises.append(_build_crisis(versions.realm, len(crises), group))
    return crises


def _build_crisis(
    realm: str, number: int, events: Sequence[Outage | Degradation]
) -> RecordedCrisis:
    return RecordedCrisis(
        f"{realm}#{number + 1}",
        tuple(event for event in events if isinstance(event, Outage)),
        tuple(event for event in events if isinstance(event, Degradation)),
    )


def _iterate_flag_outages(versions: Iterable[RowVersion]) -> Iterator[Outage]:
    """Yield the outages of systems, suppliers and kitchens."""
    began: dict[str, Instant] = {}
    for version in versions:
        if not version.id.startswith(DEPENDENCIES):
            continue
        out = _is_out(version.row.get("value"))
        since = _find_start(version)
        if out and version.id not in began:
            began[version.id] = since
        elif not out and version.id in began:
            start = began.pop(version.id)
            yield Outage(version.id, start, max(start, since))
    yield from (Outage(id, start) for id, start in began.items())


def _is_out(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return value == "down" if isinstance(value, str) else value == 0


def _find_start(version: RowVersion) -> Instant:
    """Return when a row begins to hold."""
    since = version.row.get("since", version.at)
    effective = version.row.get("effective_from")
    return int(since) if effective is None else max(int(since), int(effective))


def _iterate_site_outages(
    versions: Iterable[RowVersion], kinds: Mapping[str, str]
) -> Iterator[Outage]:
    """Yield the times when a site of a kind was closed or evacuated."""
    out: dict[str, set[str]] = {}
    began: dict[str, Instant] = {}
    for version in versions:
        kind = kinds.get(version.id)
        if kind is None:
            continue
        there = out.setdefault(kind, set())
        if version.row.get("status") in OUT:
            there.add(version.id)
            began.setdefault(kind, _find_start(version))
        elif version.id in there:
            there.discard(version.id)
            if not there:
                start = began.pop(kind)
                end = max(start, _find_start(version))
                yield Outage(f"{ResourceKind.SITE_KIND}:{kind}", start, end)
    yield from (Outage(f"{ResourceKind.SITE_KIND}:{kind}", at) for kind, at in began.items())


def _iterate_degradations(versions: Iterable[RowVersion]) -> Iterator[Degradation]:
    """Yield each time a person declares an activity degraded or interrupted."""
    bad: set[str] = set()
    for version in versions:
        if version.row.get("declared") not in BAD:
            bad.discard(version.id)
        elif version.id not in bad:
            bad.add(version.id)
            yield Degradation(version.id, version.at)
