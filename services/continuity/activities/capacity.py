"""Compute the capacity of an activity from its sites, kitchens and systems. Rules D40, D47."""

from collections.abc import Iterator, Mapping, Sequence
from heapq import nsmallest
from typing import Final, NamedTuple

from schemas.base import Instant
from schemas.continuity import CauseHeard, DependencyHeard
from schemas.crisis.causes import compute_meals_served
from services.continuity.activities.impact_analysis import (
    FULL_SHARE,
    ISOLATION_FLAG,
    MEALS_ACTIVITY,
    ActivityNeed,
    SiteKindGroup,
)
from services.continuity.state import CLOSURE_TYPES, ContinuityState, UnwellSite, find_incident
from services.runtime.decider.maps import Map

SHOWN_LOSSES: Final = 5
"""Number of losses that a row shows; it counts the others."""
_NO_PLACES: Final[Map[str, UnwellSite]] = Map()
_WORKING_VALUES: Final = frozenset(("up", "restored"))


class CapacityLoss(NamedTuple):
    """One thing that costs an activity capacity, or (0 points) only threatens it."""

    points: int
    kind: str
    """One of site, kitchen, system, supplier."""
    id: str
    source: UnwellSite | DependencyHeard


class CapacityAssessment(NamedTuple):
    """Capacity that is left of an activity."""

    points: int
    points_of_sites: int
    """Before systems and suppliers bound it."""
    ceiling: int
    """Most points that systems, suppliers and kitchens allow."""
    worst: tuple[CapacityLoss, ...]
    """Gravest first, at most `SHOWN_LOSSES`."""
    hits: int
    """Number of all losses."""
    reports: tuple[str | None, ...]
    """Report behind each of the gravest."""
    distinct: tuple[str, ...]
    """Those reports, each once."""
    incident: str | None
    """Incident of the gravest loss that belongs to one."""


class CapacityOnset(NamedTuple):
    """Loss from `since` to `end`: a site (`unit`) loses `points`, or `cap` limits the activity."""

    since: Instant
    unit: str
    points: int
    cap: int | None
    end: Instant | None
    """Expected end; None: unknown."""


def get_effective_start(dependency: DependencyHeard) -> Instant:
    """Return when the value of a dependency begins to count. Rule D9."""
    return (
        dependency.since
        if dependency.effective_from is None
        else max(dependency.since, dependency.effective_from)
    )


def compute_served_share(dependency: DependencyHeard | None, now: Instant) -> int | None:
    """Return the share that a kitchen, system or supplier still gives, in hundredths of a percent.

    `down` gives nothing; a number is the share served; `degraded` gives everything, because the
    loss is not stated. None: unhurt, or nothing is known.
    """
    if dependency is None or (
        dependency.effective_from is not None and dependency.effective_from > now
    ):
        return None
    match dependency.value:
        case bool():
            return None
        case str() as word:
            return 0 if word == "down" else FULL_SHARE if word == "degraded" else None
        case share:
            return None if share >= 100 else round(max(share, 0) * 100)


def _assess_system(
    state: ContinuityState, system: str, now: Instant
) -> tuple[int, DependencyHeard] | None:
    """Return the share that a system gives and the dependency that says so.

    Total isolation leaves nothing unless the system is spared or was restored since (D40). None:
    unhurt, or nothing is known.
    """
    own, isolation = (
        state.dependencies.get(f"system:{system}"),
        state.dependencies.get(ISOLATION_FLAG),
    )
    if isolation is not None and isolation.value is True and get_effective_start(isolation) <= now:
        assert state.bia is not None
        is_spared = system in state.bia.policy.systems_spared
        is_restored = (
            own is not None and own.value in _WORKING_VALUES and own.since > isolation.since
        )
        if not is_spared and not is_restored:
            return 0, isolation
    share = compute_served_share(own, now)
    return None if share is None or own is None else (share, own)


def _assess_kitchens(
    state: ContinuityState, need: ActivityNeed, now: Instant
) -> dict[str, tuple[int, DependencyHeard]]:
    """Map each failing kitchen to its loss and its source; only meals depend on kitchens."""
    if need.id != MEALS_ACTIVITY or not state.dependencies:
        return {}
    assert state.bia is not None
    failing = {}
    for kitchen in state.bia.kitchens:
        sources = [
            d
            for prefix in ("kitchen", "supplier")
            if (d := state.dependencies.get(f"{prefix}:{kitchen}")) is not None
        ]
        losses = [
            (round((100 - compute_meals_served(d.value)) * 100), d)
            for d in sources
            if compute_served_share(d, now) is not None
        ]
        if losses:
            failing[kitchen] = max(losses, key=lambda loss: loss[0])
    return failing


def _list_unwell_sites(
    state: ContinuityState, need: ActivityNeed, kind: str
) -> Mapping[str, UnwellSite]:
    """Return the sites of a kind that are not well, as this activity sees them."""
    places = state.unwell.get(kind, _NO_PLACES)
    return (
        {site: place.kitchen or place for site, place in places.items()}
        if need.id == MEALS_ACTIVITY
        else places
    )


def _find_unwell_site(
    state: ContinuityState, need: ActivityNeed, kind: str, site: str
) -> UnwellSite | None:
    place = state.unwell.get(kind, _NO_PLACES).get(site)
    return place.kitchen or place if place is not None and need.id == MEALS_ACTIVITY else place


def get_site_loss(place: UnwellSite, need: ActivityNeed) -> int:
    """Return the loss of a site for this activity, in hundredths of a percent."""
    return place.loss_when_closing_is_work if need.closing_is_work else place.loss


def assess_capacity(state: ContinuityState, need: ActivityNeed, now: Instant) -> CapacityAssessment:
    """Compute the capacity of an activity.

    It is the mean, over the kinds of site, of their capacity weighted by staff, less the kitchens,
    bounded by systems and suppliers. Rule D40.
    """
    lost_points, site_blows = 0, []
    for group, scale in zip(need.groups, need.scales, strict=True):
        weights = group.weights
        for site, place in _list_unwell_sites(state, need, group.kind).items():
            if (weight := weights.get(site)) is not None:
                points = (
                    (place.loss_when_closing_is_work if need.closing_is_work else place.loss)
                    * weight
                    * scale
                )
                lost_points += points
                site_blows.append((-points, "site", site, place))
    if not state.dependencies:
        return _build_assessment(need.whole - lost_points, need.whole, site_blows)
    blows: list[tuple[int, str, str, UnwellSite | DependencyHeard]] = [*site_blows]
    unfed_points = 0
    for kitchen, (loss, source) in _assess_kitchens(state, need, now).items():
        points = sum(
            _compute_kitchen_loss(state, need, group, scale, site, loss)
            for group, scale, site in _iterate_fed_sites(state, need, kitchen)
        )
        unfed_points += points
        blows.append((-points, "kitchen", kitchen, source))
    most = need.whole - unfed_points
    for kind, id, share, source in _iterate_ceilings(state, need, now):
        ceiling = share * (need.whole // FULL_SHARE)
        blows.append((ceiling - need.whole, kind, id, source))
        most = min(most, ceiling)
    return _build_assessment(need.whole - lost_points - unfed_points, most, blows)


def _build_assessment(
    of_sites: int,
    ceiling: int,
    losses: Sequence[tuple[int, str, str, UnwellSite | DependencyHeard]],
) -> CapacityAssessment:
    """Build the assessment with the gravest losses.

    Ties are ordered by kind and id, which are unique, so the order of a map never shows.
    """
    gravest = sorted(losses) if len(losses) <= SHOWN_LOSSES else nsmallest(SHOWN_LOSSES, losses)
    worst = tuple(CapacityLoss(-cost, kind, id, source) for cost, kind, id, source in gravest)
    behind = [
        source.worst if isinstance(source, UnwellSite) else source for _, _, _, source in gravest
    ]
    reports = tuple([None if one is None else one.report for one in behind])
    incident = next(
        (one.incident for one in behind if one is not None and one.incident is not None), None
    )
    return CapacityAssessment(
        min(of_sites, ceiling),
        of_sites,
        ceiling,
        worst,
        len(losses),
        reports,
        tuple(dict.fromkeys([r for r in reports if r is not None])),
        incident,
    )


def _iterate_fed_sites(
    state: ContinuityState, need: ActivityNeed, kitchen: str
) -> Iterator[tuple[SiteKindGroup, int, str]]:
    assert state.bia is not None
    for group, scale in zip(need.groups, need.scales, strict=True):
        for site in state.bia.kitchens.get(kitchen, ()):
            if site in group.weights:
                yield group, scale, site


def _compute_kitchen_loss(
    state: ContinuityState,
    need: ActivityNeed,
    group: SiteKindGroup,
    scale: int,
    site: str,
    loss: int,
) -> int:
    """Return the loss of a college through a kitchen beyond its own: losses do not add up (D14)."""
    place = _find_unwell_site(state, need, group.kind, site)
    own = get_site_loss(place, need) if place else 0
    return max(loss - own, 0) * group.weights[site] * scale


def _iterate_ceilings(
    state: ContinuityState, need: ActivityNeed, now: Instant
) -> Iterator[tuple[str, str, int, DependencyHeard]]:
    """Yield (kind, id, share left, source) of each system and supplier that is hit."""
    assert state.bia is not None
    for system in need.activity.systems:
        if (ceiling := _assess_system(state, system, now)) is not None:
            yield "system", system, *ceiling
    for supplier in need.activity.suppliers:
        own = state.dependencies.get(f"supplier:{supplier}")
        if (
            supplier in state.bia.kitchens
            or own is None
            or (share := compute_served_share(own, now)) is None
        ):
            continue
        # A supplier that is down only threatens: a stated share is needed to say how much is left.
        yield "supplier", supplier, FULL_SHARE if isinstance(own.value, str) else share, own


def assess_site_loss(
    state: ContinuityState, need: ActivityNeed, site: str, now: Instant
) -> tuple[int, tuple[CauseHeard, ...], DependencyHeard | None]:
    """Return the loss of a site for this activity: (loss, its causes, the kitchen that failed it).

    A kitchen that serves a share starts no local clock, because it is unknown which sites it fails
    *(decided)*. Systems count for the clock of the territory only.
    """
    assert need.local is not None
    place = _find_unwell_site(state, need, need.local.kind, site)
    loss, causes = (get_site_loss(place, need), place.causes) if place else (0, ())
    if need.closing_is_work:
        causes = tuple(cause for cause in causes if cause.type not in CLOSURE_TYPES)
    for kitchen, (kitchen_loss, source) in _assess_kitchens(state, need, now).items():
        if (
            kitchen_loss == FULL_SHARE
            and state.bia is not None
            and site in state.bia.kitchens[kitchen]
        ):
            return FULL_SHARE, causes, source
    return loss, causes, None


def forecast_cause_end(state: ContinuityState, cause: CauseHeard, now: Instant) -> Instant | None:
    """Return the expected end of a cause, its own or else of its incident; None if passed (D17)."""
    return _choose_future_end(state, cause.expected_end, cause.incident, now)


def forecast_dependency_end(
    state: ContinuityState, dependency: DependencyHeard, now: Instant
) -> Instant | None:
    """Return the expected end of a dependency's outage, taken from its incident."""
    return _choose_future_end(state, None, dependency.incident, now)


def _choose_future_end(
    state: ContinuityState, end: Instant | None, incident: str | None, now: Instant
) -> Instant | None:
    if end is None and (incident_row := find_incident(state, incident)) is not None:
        end = incident_row.estimated_end
    return None if end is None or end <= now else end


def list_onsets(state: ContinuityState, need: ActivityNeed, now: Instant) -> list[CapacityOnset]:
    """List everything that takes capacity now with its start and expected end, ordered by start."""
    onsets: list[CapacityOnset] = []
    for group, scale in zip(need.groups, need.scales, strict=True):
        for site, place in _list_unwell_sites(state, need, group.kind).items():
            if (weight := group.weights.get(site)) is None:
                continue
            for loss, cause in (
                place.costs_when_closing_is_work if need.closing_is_work else place.costs
            ):
                onsets.append(
                    CapacityOnset(
                        cause.since,
                        site,
                        loss * weight * scale,
                        None,
                        forecast_cause_end(state, cause, now),
                    )
                )
    for kitchen, (loss, source) in _assess_kitchens(state, need, now).items():
        end = forecast_dependency_end(state, source, now)
        for group, scale, site in _iterate_fed_sites(state, need, kitchen):
            onsets.append(
                CapacityOnset(
                    get_effective_start(source), site, loss * group.weights[site] * scale, None, end
                )
            )
    for _kind, id, share, source in _iterate_ceilings(state, need, now):
        if share < FULL_SHARE:
            onsets.append(
                CapacityOnset(
                    get_effective_start(source),
                    id,
                    0,
                    share * (need.whole // FULL_SHARE),
                    forecast_dependency_end(state, source, now),
                )
            )
    onsets.sort(key=lambda o: o[:3])
    return onsets


def compute_points_left(need: ActivityNeed, acting: list[CapacityOnset]) -> int:
    """Return the points left when exactly these act.

    Each site loses its largest loss; the lowest ceiling bounds the rest.
    """
    worst: dict[str, int] = {}
    ceiling = need.whole
    for onset in acting:
        if onset.cap is not None:
            ceiling = min(ceiling, onset.cap)
        else:
            worst[onset.unit] = max(worst.get(onset.unit, 0), onset.points)
    return min(need.whole - sum(worst.values()), ceiling)


def find_fall_below_minimum(need: ActivityNeed, acting: list[CapacityOnset]) -> Instant | None:
    """Return the instant when the activity fell under its MBCO; None if it did not.

    The order in which losses happened counts, not the order in which they were reported. Rules D7,
    D42.
    """
    worst: dict[str, int] = {}
    capacity = ceiling = need.whole
    for onset in acting:
        if onset.cap is not None:
            ceiling = min(ceiling, onset.cap)
        elif onset.points > (before := worst.get(onset.unit, 0)):
            worst[onset.unit] = onset.points
            capacity -= onset.points - before
        if min(capacity, ceiling) < need.minimum:
            return onset.since
    return None


def find_last_restoration(state: ContinuityState, need: ActivityNeed, now: Instant) -> Instant:
    """Return the latest known restoration of anything that the activity needs; 0: none.

    The last report need not be about the last restoration: an activity is back when everything that
    it needs is back (D7, D42). A restoration of no weight only makes the bound later.
    """
    assert state.bia is not None
    sites = (state.sites.get(site) for group in need.groups for site in group.weights)
    restorations = [
        site.lifted_at for site in sites if site is not None and site.lifted_at is not None
    ]
    for id, flag in state.dependencies.items():
        gives = id == ISOLATION_FLAG or not id.startswith("flag:")
        if (
            gives
            and need.id in state.bia.by_dependency.get(id, ())
            and compute_served_share(flag, now) is None
            and get_effective_start(flag) <= now
        ):
            restorations.append(flag.since)
    return min(max(restorations, default=0), now)


def list_true_flags(
    dependencies: Mapping[str, DependencyHeard], need: ActivityNeed, now: Instant
) -> tuple[str, ...]:
    """Return the flags that hold now and shorten limits of this activity."""
    return tuple(
        id
        for s in need.by_flag
        if (d := dependencies.get(id := f"flag:{s.flag}")) is not None
        and d.value is True
        and get_effective_start(d) <= now
    )
