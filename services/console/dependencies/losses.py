"""Evaluate the effect of losses on activities, roles and communes, and rank them. D130. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

from schemas.catalogue.strategies import STRATEGIES
from schemas.reference import Plan
from schemas.words import PlanState
from services.console.dependencies.access import ServedCommune, find_served_communes
from services.console.dependencies.network import (
    FULL_PCT,
    MEALS_ACTIVITY,
    NOBODY,
    NOTHING_LOST,
    DependencyNetwork,
    LostResource,
    PresentState,
    ResourceKind,
    WeightedSites,
)
from services.console.dependencies.plan_triggers import Aftermath, ForeseenPlan, foresee_plans
from services.oncall.schedule import OnCallPair, ScopedRole

CRITICALITIES: Final = (1, 2, 3, 4)
SITE_STRATEGY: Final = "SR-SITE"
TELEWORK: Final = "SR-TELE"
NO_TELEWORK: Final = "non"
CARRIED_KIND: Final = {
    ResourceKind.SYSTEM: "system",
    ResourceKind.SUPPLIER: "supplier",
    ResourceKind.KITCHEN: "kitchen",
    ResourceKind.SITE_KIND: "site",
    ResourceKind.SITE: "site",
}
"""Kind of resource → kind of loss in the table of strategies."""
RTO_PLACE: Final = 9
"""Place of the shortest RTO in a rank; every other part is a count."""
ROLE_SIGN: Final = "@"
"""Sign between a role and its scope in the name of a failure."""
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class HitActivity:
    """One activity that the loss hits."""

    activity: str
    before_pct: float
    after_pct: float
    stops: bool
    """It falls under its MBCO through this loss."""
    strategies: tuple[str, ...] = ()
    """Strategies that carry the loss, in the order listed."""

    @property
    def is_bare(self) -> bool:
        """Return whether it stops and no strategy carries it."""
        return self.stops and not self.strategies


@dataclass(frozen=True, slots=True)
class VacantRole:
    """A role that loses a person."""

    role: str
    scope: str | None
    left: str | None
    """Remaining person; None: the role is vacant."""


@dataclass(frozen=True, slots=True)
class EvaluatedLoss:
    """One or two resources lost together, on top of earlier failures."""

    resources: tuple[LostResource, ...]
    hit: tuple[HitActivity, ...] = ()
    """Activities that stop or lose capacity, the most critical first."""
    already: tuple[str, ...] = ()
    """Activities that need it and are interrupted already."""
    roles: tuple[VacantRole, ...] = ()
    plans: tuple[ForeseenPlan, ...] = ()
    """Plans that would be proposed."""
    undecided: tuple[str, ...] = ()
    """Plans for which the deciding role would have nobody."""
    orphan_cards: int = 0
    """Cards of valid plans for which owner and deputy role would have nobody."""
    first_rto_h: float | None = None
    first_dmia_h: float | None = None
    vulnerable_public: int = 0
    """Highest weight (D82) of the activities that stop."""
    rank: tuple[float, ...] = ()
    """Sort key: the worst loss comes first."""
    together: tuple[str, ...] = ()
    """Activities, roles and communes that fail only if both resources are lost."""
    communes: tuple[ServedCommune, ...] = ()
    """Communes with sites that lose transport lines, those without a line first."""

    @property
    def stops(self) -> list[HitActivity]:
        return [one for one in self.hit if one.stops]

    @property
    def counts(self) -> bool:
        """Return whether it stops an activity, empties a role or takes a line from a site."""
        stops = any(one.stops for one in self.hit)
        return stops or any(r.left is None for r in self.roles) or bool(self.communes)


@dataclass(frozen=True, slots=True)
class RankedLosses:
    """The worst losses, and the number of all that count."""

    worst: tuple[EvaluatedLoss, ...]
    total: int


class LossEvaluator:
    """Evaluation of losses in one network, from one present state.

    Two losses share the work for activities that only one of them touches.
    """

    def __init__(self, network: DependencyNetwork, present: PresentState = NOTHING_LOST) -> None:
        self._network, self._present = network, present
        self._hits: dict[tuple[str, frozenset[LostResource]], HitActivity | None] = {}
        self._users = {key: frozenset(ids) for key, ids in network.users.items()}
        self._roles_of = _index_roles(present.on_call)
        self._order = {a.id: (a.criticality, a.rto_h, a.id) for a in network.activities.values()}

    @property
    def people(self) -> tuple[LostResource, ...]:
        """People who hold a role now."""
        return tuple(LostResource(ResourceKind.PERSON, id) for id in sorted(self._roles_of))

    def is_lost(self, resource: LostResource) -> bool:
        """Return whether the resource gives nothing now."""
        match resource.kind:
            case ResourceKind.SITE:
                return self._present.sites.get(resource.id, FULL_PCT) <= 0
            case ResourceKind.SITE_KIND:
                ids = self._network.list_sites_of_kind(resource.id)
                return all(self._present.sites.get(id, FULL_PCT) <= 0 for id in ids)
            case ResourceKind.PERSON:
                return False
            case ResourceKind.LINE:
                return resource.id in self._present.lines
            case _:
                return self._present.shares.get(str(resource), FULL_PCT) <= 0

    def evaluate(self, *resources: LostResource) -> EvaluatedLoss:
        """Return the effect of losing these resources together, with the plans it calls for."""
        return self.complete(self._assess(*resources))

    def complete(self, loss: EvaluatedLoss) -> EvaluatedLoss:
        """Return the loss with the plans that would be proposed or lack a decider."""
        vacant = {(r.role, r.scope) for r in loss.roles if r.left is None}
        after = self._look_after(loss.resources, loss.hit)
        plans = self._network.plans.values() if vacant else ()
        return replace(
            loss,
            plans=foresee_plans(self._network, self._present, after),
            undecided=tuple(plan.id for plan in plans if _lacks_decider(plan, vacant)),
            orphan_cards=self._count_orphan_cards(vacant),
        )

    def _assess(self, *resources: LostResource) -> EvaluatedLoss:
        lost_resources = tuple(sorted(set(resources)))
        touched_ids = [
            a
            for a in self._list_touched(lost_resources)
            if a not in self._present.stopped_activities
        ]
        hit = [one for id in touched_ids if (one := self._hit(id, lost_resources)) is not None]
        hit.sort(key=lambda one: (not one.stops, self._order[one.activity]))
        roles = self._list_roles(lost_resources)
        stops = [self._network.activities[one.activity] for one in hit if one.stops]
        already = [
            a for a in self._list_touched(lost_resources) if a in self._present.stopped_activities
        ]
        lines = {one.id for one in lost_resources if one.kind is ResourceKind.LINE}
        communes = find_served_communes(self._network, lines, self._present.lines) if lines else ()
        return EvaluatedLoss(
            resources=lost_resources,
            hit=tuple(hit),
            already=tuple(sorted(already, key=self._order.__getitem__)),
            roles=roles,
            first_rto_h=min((a.rto_h for a in stops), default=None),
            first_dmia_h=min((a.dmia_h for a in stops), default=None),
            vulnerable_public=max((a.vulnerable_public for a in stops), default=0),
            rank=self._rank(hit, roles, communes),
            communes=communes,
        )

    def rank_single(self, resources: Iterable[LostResource], most: int) -> RankedLosses:
        """Return the worst losses of one resource that works now."""
        losses = [self._assess(one) for one in resources if not self.is_lost(one)]
        ranked_losses = sorted((loss for loss in losses if loss.counts), key=_get_key)
        return RankedLosses(
            tuple(self.complete(loss) for loss in ranked_losses[:most]), len(ranked_losses)
        )

    def rank_pairs(
        self, resources: Iterable[LostResource], most: int, *, together: bool = False
    ) -> RankedLosses:
        """Return the worst pairs that are worse than each of the two alone.

        With `together`, only those that stop something that neither stops alone. A person or a
        transport line adds nothing to a resource of another kind.
        """
        alone = {one: self._assess(one) for one in sorted(resources) if not self.is_lost(one)}
        ranked_pairs: list[tuple[tuple[float, ...], LostResource, LostResource]] = []
        for first, second in self._iterate_pairs(alone):
            a, b = alone[first], alone[second]
            if self._interact(first, second):
                both = self._pair(a, b)
                worse = both.counts and both.rank < min(a.rank, b.rank)
                if worse and (both.together or not together):
                    ranked_pairs.append((both.rank, first, second))
            elif not together and a.counts and b.counts:
                ranked_pairs.append((_add_ranks(a.rank, b.rank), first, second))
        worst = [
            self._pair(alone[first], alone[second])
            for _, first, second in sorted(ranked_pairs)[:most]
        ]
        return RankedLosses(tuple(self.complete(loss) for loss in worst), len(ranked_pairs))

    def _iterate_pairs(
        self, alone: Mapping[LostResource, EvaluatedLoss]
    ) -> Iterator[tuple[LostResource, LostResource]]:
        """Yield the pairs that may be worse than both.

        These are resources that hit something, transport lines among themselves, and people with
        a role in common.
        """
        yield from combinations([one for one, loss in alone.items() if loss.hit], 2)
        yield from combinations([one for one, loss in alone.items() if loss.communes], 2)
        pairs = {
            tuple(sorted((pair.holder, pair.deputy)))
            for pair in self._present.on_call.values()
            if pair.holder is not None and pair.deputy is not None
        }
        for holder, deputy in sorted(pairs):
            first = LostResource(ResourceKind.PERSON, holder)
            second = LostResource(ResourceKind.PERSON, deputy)
            if first in alone and second in alone:
                yield first, second

    def _interact(self, first: LostResource, second: LostResource) -> bool:
        """Return whether the pair is more than both losses added up."""
        places = (ResourceKind.SITE_KIND, ResourceKind.SITE)
        together = first.kind in (ResourceKind.PERSON, ResourceKind.LINE)
        has_shared_users = not self._users.get(str(first), frozenset()).isdisjoint(
            self._users.get(str(second), frozenset())
        )
        return together or has_shared_users or (first.kind in places and second.kind in places)

    def _pair(self, a: EvaluatedLoss, b: EvaluatedLoss) -> EvaluatedLoss:
        both = self._assess(*a.resources, *b.resources)
        single = _name_failures(a) | _name_failures(b)
        return replace(both, together=tuple(sorted(_name_failures(both) - single)))

    def _list_touched(self, lost_resources: Sequence[LostResource]) -> list[str]:
        users = [self._users.get(str(one), frozenset()) for one in lost_resources]
        return sorted(frozenset[str]().union(*users))

    def _hit(self, activity: str, lost_resources: Sequence[LostResource]) -> HitActivity | None:
        touching = frozenset(
            one for one in lost_resources if activity in self._users.get(str(one), ())
        )
        # Fallback kinds may be lost with a kind that does not touch the activity.
        kinds = frozenset(one for one in lost_resources if one.kind is ResourceKind.SITE_KIND)
        key = activity, touching | kinds
        if key not in self._hits:
            self._hits[key] = self._compute_hit(activity, touching, kinds)
        return self._hits[key]

    def _compute_hit(
        self, activity: str, touching: frozenset[LostResource], kinds: frozenset[LostResource]
    ) -> HitActivity | None:
        one = self._network.activities[activity]
        before = self._compute_capacity(activity, frozenset())
        after = self._compute_capacity(activity, touching)
        if after >= before - _ROUNDING:
            return None
        stops = after < one.mbco_pct - _ROUNDING
        return HitActivity(
            activity,
            round(before, 1),
            round(after, 1),
            stops,
            self._list_carrying(activity, touching, kinds) if stops else (),
        )

    def _compute_capacity(self, activity: str, lost_resources: frozenset[LostResource]) -> float:
        """Return the capacity in percent after D40; a lost resource gives nothing."""
        groups = self._network.groups[activity]
        losses = [self._compute_group(activity, group, lost_resources) for group in groups]
        capacity = sum(losses) / len(losses) if losses else FULL_PCT
        one = self._network.activities[activity]
        needed_resources = [LostResource(ResourceKind.SYSTEM, id) for id in one.systems]
        needed_resources += [LostResource(ResourceKind.SUPPLIER, id) for id in one.suppliers]
        for resource in needed_resources:
            share = (
                0.0
                if resource in lost_resources
                else self._present.shares.get(str(resource), FULL_PCT)
            )
            capacity = min(capacity, share)
        return capacity

    def _compute_group(
        self, activity: str, group: WeightedSites, lost_resources: frozenset[LostResource]
    ) -> float:
        if LostResource(ResourceKind.SITE_KIND, group.kind) in lost_resources:
            return 0.0
        lost_sites = {one.id for one in lost_resources if one.kind is ResourceKind.SITE}
        shares = dict.fromkeys(group.weights, FULL_PCT)
        if activity == MEALS_ACTIVITY:
            for kitchen, fed in self._network.kitchens.items():
                resource = LostResource(ResourceKind.KITCHEN, kitchen)
                share = self._present.shares.get(str(resource), FULL_PCT)
                for site in fed:
                    if site in shares:
                        shares[site] = 0.0 if resource in lost_resources else share
        points = 0.0
        for site, weight in group.weights.items():
            now = self._present.sites.get(site, FULL_PCT)
            points += weight * (0.0 if site in lost_sites else min(now, shares[site]))
        return points / group.total

    def _list_carrying(
        self, activity: str, touching: frozenset[LostResource], kinds: frozenset[LostResource]
    ) -> tuple[str, ...]:
        """Return the strategies that carry the loss; empty unless each lost kind is carried."""
        one = self._network.activities[activity]
        needed_kinds = {CARRIED_KIND[resource.kind] for resource in touching}
        strategies: dict[str, None] = {}
        for kind in sorted(needed_kinds):
            carrying = [
                strategy
                for strategy in one.strategies
                if self._carries(strategy, kind, one.telework, kinds)
            ]
            if not carrying:
                return ()
            strategies.update(dict.fromkeys(carrying))
        return tuple(strategy for strategy in one.strategies if strategy in strategies)

    def _carries(
        self, strategy: str, kind: str, telework: str, lost_kinds: frozenset[LostResource]
    ) -> bool:
        code, _sign, more = strategy.partition(":")
        row = STRATEGIES.get(code.strip())
        if row is None or kind not in row.carries:
            return False
        if row.code == TELEWORK:
            return telework != NO_TELEWORK
        return row.code != SITE_STRATEGY or self._has_fallback(more, lost_kinds)

    def _has_fallback(self, fallback_kinds: str, lost_kinds: frozenset[LostResource]) -> bool:
        """Return whether a fallback place is left; a place outside the territory always is."""
        kinds = {site.kind for site in self._network.sites.values()}
        for kind in (part.strip() for part in fallback_kinds.split("|")):
            resource = LostResource(ResourceKind.SITE_KIND, kind)
            if resource not in lost_kinds and (kind not in kinds or not self.is_lost(resource)):
                return True
        return False

    def _list_roles(self, lost_resources: Sequence[LostResource]) -> tuple[VacantRole, ...]:
        people = {one.id for one in lost_resources if one.kind is ResourceKind.PERSON}
        posts = {post for person in people for post in self._roles_of.get(person, ())}
        vacant_roles = []
        for role, scope in sorted(posts, key=lambda post: (post[0], post[1] or "")):
            pair = self._present.on_call.get((role, scope), NOBODY)
            remaining_people = [
                p for p in (pair.holder, pair.deputy) if p is not None and p not in people
            ]
            vacant_roles.append(VacantRole(role, scope, next(iter(remaining_people), None)))
        return tuple(vacant_roles)

    def _count_orphan_cards(self, vacant: set[ScopedRole]) -> int:
        if not vacant:
            return 0
        return sum(
            _is_vacant(card.role, card.pole or plan.pole, vacant)
            and (
                card.deputy_role is None
                or _is_vacant(card.deputy_role, card.deputy_pole or plan.pole, vacant)
            )
            for plan in self._network.plans.values()
            if plan.shelf is PlanState.VALID
            for card in plan.cards
        )

    def _look_after(
        self, lost_resources: Sequence[LostResource], hit: Sequence[HitActivity]
    ) -> Aftermath:
        network = self._network
        out = {id for id, pct in self._present.sites.items() if pct <= 0}
        unfed_sites: set[str] = set()
        down = {key for key, share in self._present.shares.items() if share <= 0}
        for one in lost_resources:
            match one.kind:
                case ResourceKind.SITE:
                    out.add(one.id)
                case ResourceKind.SITE_KIND:
                    out.update(network.list_sites_of_kind(one.id))
                case ResourceKind.SYSTEM | ResourceKind.SUPPLIER:
                    down.add(str(one))
                case ResourceKind.KITCHEN:
                    unfed_sites.update(network.kitchens.get(one.id, ()))
        return Aftermath(
            frozenset(out),
            frozenset(unfed_sites),
            frozenset(down),
            frozenset(one.activity for one in hit if one.stops),
            {one.activity: one.after_pct for one in hit},
        )

    def _rank(
        self,
        hit: Sequence[HitActivity],
        roles: Sequence[VacantRole],
        communes: Sequence[ServedCommune],
    ) -> tuple[float, ...]:
        bare = [self._network.activities[one.activity] for one in hit if one.is_bare]
        stops = [self._network.activities[one.activity] for one in hit if one.stops]
        return (
            *(-sum(a.criticality == c for a in bare) for c in CRITICALITIES),
            *(-sum(a.criticality == c for a in stops) for c in CRITICALITIES),
            -sum(a.vulnerable_public for a in stops),
            min((a.rto_h for a in stops), default=float("inf")),
            -sum(role.left is None for role in roles),
            -len(hit),
            -len(roles),
            -sum(one.staff for one in communes if one.is_cut_off),
            -sum(len(one.sites) for one in communes if one.is_cut_off),
            -sum(one.staff for one in communes),
        )


def _add_ranks(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    """Return the rank of two losses that share nothing: counts add up, the first RTO is kept."""
    return tuple(
        min(one, other) if n == RTO_PLACE else one + other
        for n, (one, other) in enumerate(zip(a, b, strict=True))
    )


def _get_key(loss: EvaluatedLoss) -> tuple[tuple[float, ...], tuple[LostResource, ...]]:
    return loss.rank, loss.resources


def _name_failures(loss: EvaluatedLoss) -> set[str]:
    """Return the activities that stop, the roles with nobody and the communes without a line."""
    stops = {one.activity for one in loss.hit if one.stops}
    stops |= {one.insee for one in loss.communes if one.is_cut_off}
    return stops | {_name_role(r.role, r.scope) for r in loss.roles if r.left is None}


def _name_role(role: str, scope: str | None) -> str:
    return role if scope is None else f"{role}{ROLE_SIGN}{scope}"


def _index_roles(on_call: Mapping[ScopedRole, OnCallPair]) -> dict[str, frozenset[ScopedRole]]:
    """Return the roles of each person, as holder or as deputy."""
    roles_of_person: dict[str, set[ScopedRole]] = {}
    for post, pair in on_call.items():
        for person in (pair.holder, pair.deputy):
            if person is not None:
                roles_of_person.setdefault(person, set()).add(post)
    return {person: frozenset(posts) for person, posts in roles_of_person.items()}


def _lacks_decider(plan: Plan, vacant: set[ScopedRole]) -> bool:
    return plan.shelf is PlanState.VALID and _is_vacant(plan.decides, plan.pole, vacant)


def _is_vacant(role: str, pole: str | None, vacant: set[ScopedRole]) -> bool:
    """Return whether nobody is left in a role of the pôle, or of the whole territory."""
    return (role, pole) in vacant or (role, None) in vacant
