"""Collect the present state of a realm and evaluate losses on top of it. Rule D130."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

import orjson

from schemas import alerts as a
from schemas import continuity as c
from schemas import oncall as o
from schemas.base import Instant
from schemas.crisis.causes import compute_meals_served
from schemas.words import LIBRARY_STATES, ActivityState, PlanState
from services.console.dependencies import resources as d
from services.console.dependencies.access import find_interrupted_lines, list_activity_access
from services.console.dependencies.drawing import name_failure, name_resource
from services.console.dependencies.hidden import (
    RealmVersions,
    RowVersion,
    UndeclaredDependency,
    collect_crises,
    find_hidden_dependencies,
)
from services.console.dependencies.losses import EvaluatedLoss, LossEvaluator, RankedLosses
from services.console.dependencies.network import (
    FULL_PCT,
    DependencyNetwork,
    LostResource,
    PresentState,
    ResourceKind,
)
from services.console.http.problems import NotFound
from services.console.i18n import Translator, get_translator
from services.console.read_model.history import Chronicle
from services.console.read_model.query_base import OpenedRealm, QueryBase, get_snapshot_time
from services.console.read_model.reference_index import IndexedReference
from services.console.read_model.snapshot import RealmSnapshot
from services.console.read_model.time_travel import History
from services.console.resource_base import to_datetime
from services.console.resources import Realm
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames, name_strategy
from services.oncall.schedule import OnCallPair, Schedule, ScopedRole

ISOLATION_FLAG: Final = "flag:total_isolation"
_WORKING: Final = frozenset({"up", "restored"})
_OVER: Final = LIBRARY_STATES | {PlanState.LIFTED, PlanState.RETEX_CLOSED}
KEPT_NETWORKS: Final = 4
_NETWORKS: OrderedDict[str, DependencyNetwork] = OrderedDict()


@dataclass(frozen=True, slots=True)
class LossRequest:
    """Losses to rank: how many resources at once, their kinds, at most how many."""

    size: int = 1
    kinds: tuple[ResourceKind, ...] = ()
    most: int = 20
    together: bool = False
    """Only pairs that stop something that neither stops alone."""
    with_people: bool = False


MINED_LIFE_S: Final = 600.0
"""Seconds for which findings are kept while realms change."""


@dataclass(frozen=True, slots=True)
class MinedDependencies:
    """Findings of one reference version over all recorded crises."""

    version: str
    key: object
    """Version and clocks of the realms behind it."""
    at: float
    findings: list[UndeclaredDependency]
    crises: int


_MINED: WeakKeyDictionary[History, MinedDependencies] = WeakKeyDictionary()
_MINING: WeakKeyDictionary[History, asyncio.Future[MinedDependencies]] = WeakKeyDictionary()
"""Search that runs, so that several readers wait for the same one."""


def select_crisis_realms(realms: Sequence[Realm]) -> list[Realm]:
    """Return the live realms and the newest exercise of each scenario.

    A scenario that is played again repeats its outages, so it proves nothing twice.
    """
    chosen_realms: dict[str, Realm] = {}
    for one in sorted(realms, key=lambda one: one.opened_at):
        if one.kind == "live":
            chosen_realms[one.name] = one
        elif one.kind == "ex":
            chosen_realms[f"scenario {one.title_code}"] = one
    return list(chosen_realms.values())


def _mine_crises(
    chronicle: Chronicle, network: DependencyNetwork, realms: Sequence[str]
) -> tuple[list[UndeclaredDependency], int]:
    kinds = {site.id: site.kind for site in network.sites.values()}
    crises = [
        crisis
        for realm in realms
        for crisis in collect_crises(_read_versions(chronicle, realm), kinds)
    ]
    return find_hidden_dependencies(crises, list_declared(network)), len(crises)


def _read_versions(chronicle: Chronicle, realm: str) -> RealmVersions:
    flags, sites, activities = (
        [
            RowVersion(id, at, orjson.loads(value))
            for id, at, value in chronicle.versions(realm, collection)
        ]
        for collection in ("flags", "sites", "activities")
    )
    return RealmVersions(realm, flags, sites, activities)


def list_declared(network: DependencyNetwork) -> dict[str, set[str]]:
    """Return the resources that each activity names, kinds of site included."""
    declared_resources: dict[str, set[str]] = {id: set() for id in network.activities}
    for resource, activities in network.users.items():
        for activity in activities:
            declared_resources[activity].add(resource)
    for one in network.activities.values():
        declared_resources[one.id].update(
            f"{ResourceKind.SITE_KIND}:{kind}" for kind in one.site_kinds
        )
    return declared_resources


def read_shares(flags: Mapping[str, a.FlagRow], now: Instant) -> dict[str, float]:
    """Return the share in percent that each system, supplier and kitchen of a report gives. D40.

    A supplier that is down without a stated share threatens only, so it keeps its share.
    """
    shares = {}
    for id, row in flags.items():
        prefix = id.partition(":")[0]
        if prefix not in ("system", "supplier", "kitchen") or isinstance(row.value, bool):
            continue
        if (row.effective_from or 0) > now or (row.until is not None and row.until <= now):
            continue
        if prefix == "supplier" and isinstance(row.value, str):
            continue
        share = compute_meals_served(row.value)
        if share < FULL_PCT:
            shares[id] = share
    return shares


def list_isolated(
    flags: Mapping[str, a.FlagRow], network: DependencyNetwork, spared_systems: Sequence[str]
) -> set[str]:
    """Return the systems that a total isolation downs and nobody reported restored. Rule D40."""
    isolation = flags.get(ISOLATION_FLAG)
    if isolation is None or isolation.value is not True:
        return set()
    isolated_systems = set()
    for resource in network.list_resources():
        own = flags.get(str(resource))
        was_restored = own is not None and own.value in _WORKING and own.since > isolation.since
        if (
            resource.kind is ResourceKind.SYSTEM
            and resource.id not in spared_systems
            and not was_restored
        ):
            isolated_systems.add(str(resource))
    return isolated_systems


def list_unmodelled(network: DependencyNetwork) -> list[str]:
    """Return the kinds of resource that no file of the territory ties to an activity or site."""
    return [] if network.lines else ["transport_line"]


def index_reference(reference: IndexedReference) -> DependencyNetwork:
    """Return the network of a reference version; the newest ones are kept."""
    version = reference.version or ""
    if version not in _NETWORKS:
        _NETWORKS[version] = DependencyNetwork.of(reference.sections)
        while len(_NETWORKS) > KEPT_NETWORKS:
            _NETWORKS.popitem(last=False)
    return _NETWORKS[version]


def _find_on_call(
    reference: IndexedReference, duties: Mapping[str, o.DutyRow], at: Instant
) -> dict[ScopedRole, OnCallPair]:
    roster = reference.roster
    schedule = Schedule(roster, duties.values())
    return {post: schedule.pair(*post, at) for post in schedule.posts}


async def read_present_state(
    picture: RealmSnapshot, network: DependencyNetwork, *, with_people: bool
) -> PresentState:
    """Read earlier failures, and with `with_people` the holders of roles."""
    now, reference = get_snapshot_time(picture), picture.reference
    sites = await picture.rows(a.SiteRow)
    flags = await picture.rows(a.FlagRow)
    activities = await picture.rows(c.ActivityRow)
    plans = await picture.rows(c.PlanRow)
    duties = await picture.rows(o.DutyRow) if with_people else {}
    reports = await picture.rows(a.ReportRow) if network.lines else {}
    policy = reference.policy
    spared_systems = policy.systems_spared if policy is not None else ()
    shares = read_shares(flags, now)
    shares |= dict.fromkeys(list_isolated(flags, network, spared_systems), 0.0)
    return PresentState(
        sites={id: row.capacity_pct for id, row in sites.items() if row.capacity_pct < FULL_PCT},
        shares=shares,
        stopped_activities=frozenset(
            id for id, row in activities.items() if row.state is ActivityState.INTERRUPTED
        ),
        plans=frozenset(id for id, row in plans.items() if row.state not in _OVER),
        on_call=_find_on_call(reference, duties, now) if with_people else {},
        lines=find_interrupted_lines(network, flags, reports.values(), now),
    )


class DependencyQueries(QueryBase):
    """Queries about losses of resources. The computation runs in a thread."""

    async def list_dependencies(self, *, with_people: bool) -> list[d.DependencyResource]:
        """Return every resource that may be lost, by kind and name."""
        view, network, evaluator = await self._open(with_people=with_people)
        resources = (*network.list_resources(), *evaluator.people)
        _ = get_translator(self._lang)
        return [_shape_resource(view, one, evaluator, _) for one in resources]

    async def dependency_losses(self, request: LossRequest) -> d.DependencyLosses:
        """Return the worst losses of one resource, or of two, from the current crisis."""
        view, network, evaluator = await self._open(with_people=request.with_people)
        ranking = await asyncio.to_thread(_rank, network, evaluator, request)
        _ = get_translator(self._lang)
        return d.DependencyLosses(
            items=[_shape_loss(view, network, evaluator, loss, _) for loss in ranking.worst],
            total=ranking.total,
            not_modelled=list_unmodelled(network),
        )

    async def dependency_loss(
        self, lost_resources: Sequence[LostResource], *, with_people: bool
    ) -> d.DependencyLoss:
        """Return the effect of losing these resources together. Raises NotFound."""
        view, network, evaluator = await self._open(with_people=with_people)
        people = set(evaluator.people)
        if not lost_resources or not all(
            network.knows(one) or one in people for one in lost_resources
        ):
            raise NotFound
        loss = evaluator.evaluate(*lost_resources)
        return _shape_loss(view, network, evaluator, loss, get_translator(self._lang))

    async def hidden_dependencies(self) -> d.HiddenDependencies:
        """Return the undeclared dependencies of all recorded crises. Raises `broker_away`."""
        view = await self.read()
        names, network = view.picture.reference.names, index_reference(view.picture.reference)
        version = view.picture.reference.version or ""
        realms = select_crisis_realms(await self.realms())
        dependencies = await self._mine(version, network, realms)
        _ = get_translator(self._lang)
        return d.HiddenDependencies(
            items=[_shape_hidden(one, names, _) for one in dependencies.findings],
            crises=dependencies.crises,
        )

    async def _mine(
        self, version: str, network: DependencyNetwork, realms: Sequence[Realm]
    ) -> MinedDependencies:
        """Return the findings, computed again when a realm has changed and the last are old."""
        key = version, tuple((one.name, one.clock) for one in realms)
        last_findings, now = _MINED.get(self._history) if self._history else None, time.monotonic()
        fresh = (
            last_findings is not None
            and now - last_findings.at < MINED_LIFE_S
            and last_findings.version == version
        )
        if last_findings is not None and (last_findings.key == key or fresh):
            return last_findings
        running = _MINING.get(self._history) if self._history is not None else None
        if running is None or running.done():
            names = [one.name for one in realms]
            running = asyncio.ensure_future(self._search(version, key, network, names))
            if self._history is not None:
                _MINING[self._history] = running
        return await asyncio.shield(running)

    async def _search(
        self, version: str, key: object, network: DependencyNetwork, realms: Sequence[str]
    ) -> MinedDependencies:
        findings = await self._from_logs(
            lambda history: history.ask(lambda chronicle: _mine_crises(chronicle, network, realms))
        )
        dependencies = MinedDependencies(version, key, time.monotonic(), *findings)
        if self._history is not None:
            _MINED[self._history] = dependencies
        return dependencies

    async def _open(
        self, *, with_people: bool
    ) -> tuple[OpenedRealm, DependencyNetwork, LossEvaluator]:
        view = await self.read()
        network = index_reference(view.picture.reference)
        present = await read_present_state(view.picture, network, with_people=with_people)
        return view, network, LossEvaluator(network, present)


def _rank(
    network: DependencyNetwork, evaluator: LossEvaluator, request: LossRequest
) -> RankedLosses:
    resources = [
        one
        for one in (*network.list_resources(), *evaluator.people)
        if (not request.kinds or one.kind in request.kinds)
        and (request.size == 1 or one.kind is not ResourceKind.SITE)
    ]
    if request.size == 1:
        return evaluator.rank_single(resources, request.most)
    return evaluator.rank_pairs(resources, request.most, together=request.together)


def _shape_resource(
    view: OpenedRealm, one: LostResource, evaluator: LossEvaluator, _: Translator
) -> d.DependencyResource:
    return d.DependencyResource(
        id=str(one),
        kind=one.kind,
        name=name_resource(one, view.picture.reference.names, _),
        down=evaluator.is_lost(one),
    )


def _shape_loss(
    view: OpenedRealm,
    network: DependencyNetwork,
    evaluator: LossEvaluator,
    loss: EvaluatedLoss,
    _: Translator,
) -> d.DependencyLoss:
    names = view.picture.reference.names
    return d.DependencyLoss(
        resources=[_shape_resource(view, one, evaluator, _) for one in loss.resources],
        stopped=len(loss.stops),
        bare=sum(one.is_bare for one in loss.hit),
        activities=[
            d.LossActivity(
                id=one.activity,
                name=names.activity(one.activity, _.lang),
                pole=static.pole,
                pole_name=names.pole(static.pole, _.lang),
                criticality=static.criticality,
                rto_h=static.rto_h,
                dmia_h=static.dmia_h,
                vulnerable_public=static.vulnerable_public,
                before_pct=one.before_pct,
                after_pct=one.after_pct,
                stops=one.stops,
                strategies=[
                    d.LossStrategy(code=strategy, name=name_strategy(strategy, _))
                    for strategy in one.strategies
                ],
            )
            for one in loss.hit
            if (static := network.activities[one.activity])
        ],
        already=list(loss.already),
        roles=[
            d.LossRole(
                role=one.role,
                scope=one.scope,
                name=w.name_role(one.role, one.scope, names, _),
                left=one.left,
            )
            for one in loss.roles
        ],
        plans=[
            d.LossPlan(
                id=plan.plan,
                title=names.plan(plan.plan),
                level=plan.level,
                after_h=plan.after_h,
                text=plan.text,
            )
            for plan in loss.plans
        ],
        undecided=list(loss.undecided),
        orphan_cards=loss.orphan_cards,
        first_rto_h=loss.first_rto_h,
        first_dmia_h=loss.first_dmia_h,
        vulnerable_public=loss.vulnerable_public,
        together=[name_failure(one, names, _) for one in loss.together],
        communes=[
            d.LossCommune(
                insee=one.insee,
                name=names.commune(one.insee),
                lost=[names.line(line) for line in one.lost],
                left=[names.line(line) for line in one.left],
                cut_off=one.is_cut_off,
                sites=len(one.sites),
                agents=one.staff,
                activities=[a.activity for a in list_activity_access(network, (one,))],
            )
            for one in loss.communes
        ],
        access=[
            d.LossAccess(
                id=one.activity,
                name=names.activity(one.activity, _.lang),
                pole=static.pole,
                pole_name=names.pole(static.pole, _.lang),
                criticality=static.criticality,
                sites=one.sites,
                agents=one.staff,
                cut_sites=one.cut_sites,
                cut_agents=one.cut_staff,
            )
            for one in list_activity_access(network, loss.communes)
            if (static := network.activities[one.activity])
        ],
    )


def _shape_hidden(
    one: UndeclaredDependency, names: TerritoryNames, _: Translator
) -> d.HiddenDependency:
    resource = LostResource.parse(one.resource)
    return d.HiddenDependency(
        resource=one.resource,
        resource_name=one.resource if resource is None else name_resource(resource, names, _),
        activity=one.activity,
        activity_name=names.activity(one.activity, _.lang),
        exposed=one.exposed,
        together=len(one.evidence),
        without=one.without,
        degraded_without=one.degraded_without,
        p_value=one.p_value,
        adjusted=one.adjusted,
        evidence=[
            d.CoFailure(
                realm=occurrence.crisis.partition("#")[0],
                out_at=to_datetime(occurrence.out_at),
                degraded_at=to_datetime(occurrence.degraded_at),
            )
            for occurrence in one.evidence
        ],
    )
