"""Read the proof of plans, losses and first actions for drills. Rule D95."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Any, Final

from pydantic import Field

from schemas import continuity as c
from schemas.base import DAY_MS, Instant
from schemas.delivery import NotificationRow
from services.console.dependencies.drawing import name_resource
from services.console.dependencies.losses import EvaluatedLoss, LossEvaluator
from services.console.dependencies.network import DependencyNetwork
from services.console.dependencies.queries import index_reference
from services.console.drills.composition import (
    ComposedDrill,
    PlanWeakness,
    compose_drill,
    rank_weaknesses,
)
from services.console.drills.progress import (
    ExerciseRun,
    RoleProgress,
    follow_roles,
    measure_first_actions,
)
from services.console.http.problems import NotFound, RealmUnknown
from services.console.i18n import Translator, get_translator
from services.console.proof.judgement import EXERCISE_DAYS, ProofFacts
from services.console.proof.queries import ProofQueries, is_exercise
from services.console.read_model.query_base import get_snapshot_time
from services.console.resource_base import Resource, Time, to_datetime, to_instant
from services.console.resources import Realm
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.oncall.schedule import get_local_day
from services.runtime.http.problems import ProblemError


class DrillProposal(Resource):
    """A plan to exercise, and why."""

    plan: str
    title: str
    score: float = Field(description="product of the three shares, each at least 0.1")
    unreached_pct: float = Field(description="people and partners not reached in 30 days")
    loss_pct: float = Field(description="activities that stop in the worst loss of the plan")
    unexercised_pct: float = Field(description="cards not done in time in 12 months")
    resource: str | None = Field(description="resource of that loss, such as system:ad")
    resource_name: str
    stopped: int = Field(description="activities that stop in that loss")
    cards: int = Field(description="cards that were never exercised")
    contacts: list[str] = Field(description="roles of which somebody is not reached")
    full_hosts: list[str] = Field(description="kinds of fallback site without a free place")


class DrillProposals(Resource):
    """Plans to exercise, the weakest first."""

    items: list[DrillProposal]
    next: None = None


class DrillDetail(DrillProposal):
    """One drill of 15 minutes, as an exercise file."""

    seed: int
    exercised_cards: list[str] = Field(description="cards that it expects to be done")
    document: dict[str, Any] = Field(description="the exercise, in the format of exercise files")
    file: str = Field(description="the same as a YAML file, for `vigie play`")


class FirstAction(Resource):
    """Time to the first useful action of a role in one exercise."""

    realm: str
    title: str
    opened_at: Time
    minutes: float


class RoleFirstActions(Resource):
    """First useful actions of a role, the oldest exercise first."""

    role: str
    name: str
    runs: list[FirstAction]
    trend_min: float | None = Field(
        description="newest less oldest, negative is quicker; null with one exercise"
    )


class ExerciseProgress(Resource):
    """First useful actions of all roles over the closed exercises of the last year."""

    items: list[RoleFirstActions]
    exercises: int
    next: None = None


RUNS_KEPT: Final = 2_000
"""Closed exercises of which the times stay in memory."""
LOSSES_KEPT: Final = 2
"""Reference versions of which the losses stay in memory."""
_LOSSES: OrderedDict[str, tuple[EvaluatedLoss, ...]] = OrderedDict()


def evaluate_losses(version: str, network: DependencyNetwork) -> tuple[EvaluatedLoss, ...]:
    """Return the losses of one resource on a quiet day, the worst first; the newest are kept."""
    if version not in _LOSSES:
        resources = list(network.list_resources())
        ranking = LossEvaluator(network).rank_single(resources, len(resources))
        _LOSSES[version] = ranking.worst
        while len(_LOSSES) > LOSSES_KEPT:
            _LOSSES.popitem(last=False)
    return _LOSSES[version]


class DrillQueries(ProofQueries):
    """Queries about drills."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._runs: dict[str, ExerciseRun] = {}
        """Closed exercise → its times; they never change again."""

    async def drill_proposals(
        self, *, partners: Mapping[str, Instant] | None = None
    ) -> DrillProposals:
        """Return the plans to exercise, the weakest first."""
        facts, _network, weaknesses = await self._rank(partners)
        _ = get_translator(self._lang)
        return DrillProposals(items=[_shape_proposal(facts, one, _) for one in weaknesses])

    async def drill(
        self, plan: str, seed: int, *, partners: Mapping[str, Instant] | None = None
    ) -> DrillDetail:
        """Return the drill of one plan. Raises NotFound if there is none."""
        facts, network, weaknesses = await self._rank(partners)
        weakness = next((one for one in weaknesses if one.plan == plan), None)
        if weakness is None:
            raise NotFound
        today: date = get_local_day(facts.now)
        drill = compose_drill(
            network.plans[plan], weakness, network, facts.reference.names, today, seed
        )
        if drill is None:
            raise NotFound
        return _shape_drill(facts, drill, get_translator(self._lang))

    async def exercise_progress(self) -> ExerciseProgress:
        """Return the first useful actions over the closed exercises of the last year."""
        view = await self.read()
        now = get_snapshot_time(view.picture)
        runs = [
            run
            for one in await self.realms()
            if is_exercise(one, view.picture)
            and 0 <= now - to_instant(one.opened_at) <= EXERCISE_DAYS * DAY_MS
            if (run := await self._measure_exercise(one)) is not None
        ]
        names, _ = view.picture.reference.names, get_translator(self._lang)
        progress = [_shape_progress(one, names, _) for one in follow_roles(runs)]
        return ExerciseProgress(items=progress, exercises=len(runs))

    async def _rank(
        self, partners: Mapping[str, Instant] | None
    ) -> tuple[ProofFacts, DependencyNetwork, list[PlanWeakness]]:
        facts, proofs = await self.plan_proofs(partners=partners)
        network = index_reference(facts.reference)
        evaluate = partial(evaluate_losses, facts.reference.version or "", network)
        losses = await asyncio.to_thread(evaluate)
        return facts, network, rank_weaknesses(proofs, losses, len(network.activities))

    async def _measure_exercise(self, realm: Realm) -> ExerciseRun | None:
        """Return the times of a closed exercise; None if its log cannot be read now."""
        cached_run = self._runs.get(realm.name)
        if cached_run is not None:
            return cached_run
        try:
            picture = (await self.at(None).of(realm.name).read()).picture
            plans = await picture.rows(c.PlanRow)
            site_cards = await picture.rows(c.SiteCardRow)
            messages = await picture.rows(NotificationRow)
        except (RealmUnknown, ProblemError):
            return None
        minutes = measure_first_actions(plans.values(), site_cards.values(), messages.values())
        run = ExerciseRun(realm.name, realm.title_code, realm.opened_at, minutes)
        if len(self._runs) < RUNS_KEPT:
            self._runs[realm.name] = run
        return run


def _shape_proposal(facts: ProofFacts, one: PlanWeakness, _: Translator) -> DrillProposal:
    names = facts.reference.names
    return DrillProposal(
        plan=one.plan,
        title=facts.reference.plans[one.plan].title,
        score=one.score,
        unreached_pct=round(100 * one.hole, 1),
        loss_pct=round(100 * one.loss, 1),
        unexercised_pct=round(100 * one.unexercised, 1),
        resource=None if one.worst is None else str(one.worst),
        resource_name="" if one.worst is None else name_resource(one.worst, names, _),
        stopped=one.stopped,
        cards=len(one.cards),
        contacts=list(one.contacts),
        full_hosts=list(one.full_hosts),
    )


def _shape_drill(facts: ProofFacts, drill: ComposedDrill, _: Translator) -> DrillDetail:
    return DrillDetail(
        **dict(_shape_proposal(facts, drill.weakness, _)),
        seed=drill.seed,
        exercised_cards=list(drill.cards),
        document=drill.document,
        file=drill.write_file(),
    )


def _shape_progress(one: RoleProgress, names: TerritoryNames, _: Translator) -> RoleFirstActions:
    return RoleFirstActions(
        role=one.role,
        name=w.name_role(one.role, None, names, _),
        runs=[
            FirstAction(
                realm=run.realm,
                title=run.title,
                opened_at=to_datetime(to_instant(run.opened_at)),
                minutes=run.minutes[one.role],
            )
            for run in one.runs
        ],
        trend_min=one.trend,
    )
