"""Simulate the breaches of a realm from its rows and the durations of the logs. Rule D132."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final
from weakref import WeakKeyDictionary

import orjson

from schemas import alerts as a
from schemas import continuity as c
from schemas.base import Instant
from schemas.crisis.resource_requests import ResourceRequestRow
from services.console.dependencies.hidden import RowVersion
from services.console.dependencies.queries import (
    index_reference,
    read_present_state,
    select_crisis_realms,
)
from services.console.i18n import get_translator
from services.console.read_model.history import Chronicle
from services.console.read_model.query_base import OpenedRealm, QueryBase, get_snapshot_time
from services.console.read_model.snapshot import RealmSnapshot
from services.console.read_model.time_travel import History
from services.console.resource_base import to_datetime
from services.console.risk import resources as b
from services.console.risk.cases import (
    GENERATOR,
    LearnedLaws,
    Observations,
    RiskFacts,
    build_cases,
    observe_answers,
    observe_arrivals,
    observe_returns,
)
from services.console.risk.simulation import DRAWS, BreachChance, BreachRisk, simulate_breaches
from services.console.texts.names import name_strategy
from services.runtime.http.problems import ProblemError

OBSERVED_LIFE_S: Final = 1800.0
"""Seconds for which the observations of the logs are kept."""
SEED_STEP_MS: Final = 60_000
"""The seed changes each minute, so that a page that renews itself does not flicker."""
READING_WAIT_S: Final = 2.0
"""Longest time in seconds for which a page waits for the logs."""
RECENT_S: Final = 60.0
"""Seconds for which the cell shows the same risks; it renews itself at every fact."""
RECENT_WAIT_S: Final = 1.0
"""Longest time in seconds for which the cell waits for its first risks."""
LEAST_GAIN: Final = 0.01
"""Least change of a risk by which a decision is named."""


@dataclass(frozen=True, slots=True)
class _ObservedDurations:
    at: float
    reading: asyncio.Future[Observations | None]
    last: Observations

    @property
    def newest(self) -> Observations:
        """Newest durations that were read."""
        return (self.reading.result() if self.reading.done() else None) or self.last


@dataclass(slots=True)
class _RecentRisks:
    at: float
    computing: asyncio.Task[b.BreachRisks]
    last: b.BreachRisks | None = None

    def renew_last(self) -> None:
        """Keep the result of a computation that ended well."""
        task = self.computing
        if task.done() and not task.cancelled() and task.exception() is None:
            self.last = task.result()


_DURATIONS: WeakKeyDictionary[History, _ObservedDurations] = WeakKeyDictionary()


def observe_realms(chronicle: Chronicle, realms: Sequence[str]) -> Observations:
    """Return the durations of all these realms."""
    observations = Observations()
    for realm in realms:
        observations.add(observe_returns(_read(chronicle, realm, "sites")))
        observations.answers += observe_answers(_read(chronicle, realm, "plans"))
        observations.arrivals += observe_arrivals(_read(chronicle, realm, "resource_requests"))
    return observations


def _read(chronicle: Chronicle, realm: str, collection: str) -> Iterator[RowVersion]:
    for id, at, value in chronicle.versions(realm, collection):
        yield RowVersion(id, at, orjson.loads(value))


@dataclass(frozen=True, slots=True)
class SimulatedRisks:
    """Risks of a realm at a time, the highest first, with the facts behind them."""

    facts: RiskFacts
    risks: Sequence[BreachRisk]
    observations: Observations
    at: Instant

    def shape(self, view: OpenedRealm) -> list[b.ActivityRisk]:
        """Return the risks as resources, in the language of the shaper."""
        return [_shape(view, self.facts, one, self.at) for one in self.risks]


class RiskQueries(QueryBase):
    """Queries about the risk of breach. The simulation runs in a thread."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._recent_risks: dict[tuple[str, str], _RecentRisks] = {}
        """Realm and language → newest risks."""

    async def breach_risks(self) -> b.BreachRisks:
        """Return the risk of each interrupted activity with a limit ahead, the highest first."""
        view = await self.read()
        simulation = await self.simulate_risks(view.picture)
        return b.BreachRisks(
            items=simulation.shape(view),
            draws=DRAWS,
            returns_seen=simulation.observations.returns,
            answers_seen=len(simulation.observations.answers),
            arrivals_seen=len(simulation.observations.arrivals),
        )

    async def simulate_risks(self, picture: RealmSnapshot) -> SimulatedRisks:
        """Simulate the breaches of a realm from a snapshot."""
        facts = RiskFacts(
            await picture.rows(c.ActivityRow),
            await picture.rows(a.SiteRow),
            await picture.rows(a.FlagRow),
            await picture.rows(a.IncidentRow),
            await picture.rows(ResourceRequestRow),
        )
        network, now = index_reference(picture.reference), get_snapshot_time(picture)
        present = await read_present_state(picture, network, with_people=False)
        observations = Observations()
        cases = build_cases(network, present, facts, LearnedLaws.build(observations), now)
        if cases.activities:
            observations = await self._observe()
            cases = build_cases(network, present, facts, LearnedLaws.build(observations), now)
        risks = await asyncio.to_thread(
            simulate_breaches,
            cases.units,
            cases.activities,
            cases.decisions,
            seed=now // SEED_STEP_MS,
        )
        return SimulatedRisks(facts, sorted(risks, key=_get_key), observations, now)

    async def recent_risks(self) -> b.BreachRisks | None:
        """Return the risks of the last minute.

        While the next ones are computed, the last ones count; None if there are none yet.
        """
        cached_risks, now = self._recent_risks, monotonic()
        recent = cached_risks.get((self._realm, self._lang))
        if recent is not None:
            recent.renew_last()
        if recent is None or (recent.computing.done() and now - recent.at >= RECENT_S):
            computing = asyncio.create_task(self.at(None).breach_risks())
            last = None if recent is None else recent.last
            recent = cached_risks[self._realm, self._lang] = _RecentRisks(now, computing, last)
        if recent.last is None:
            await asyncio.wait((recent.computing,), timeout=RECENT_WAIT_S)
            recent.renew_last()
        return recent.last

    async def _observe(self) -> Observations:
        """Return the durations of the logs.

        While they are read, or cannot be read, the last ones count, or the priors alone.
        """
        history = self._history
        if history is None:
            return Observations()
        observation, now = _DURATIONS.get(history), monotonic()
        if observation is None or now - observation.at >= OBSERVED_LIFE_S:
            reading = asyncio.ensure_future(self._read_durations())
            last = observation.newest if observation is not None else Observations()
            observation = _DURATIONS[history] = _ObservedDurations(now, reading, last)
        await asyncio.wait((observation.reading,), timeout=READING_WAIT_S)
        return observation.newest

    async def _read_durations(self) -> Observations | None:
        realms = [one.name for one in select_crisis_realms(await self.realms())]
        try:
            return await self._from_logs(
                lambda history: history.ask(lambda chronicle: observe_realms(chronicle, realms))
            )
        except ProblemError:
            return None


def _get_key(one: BreachRisk) -> tuple[float, float, str]:
    return -(one.chance.dmia or 0.0), -(one.chance.rto or 0.0), one.activity


def _shape(view: OpenedRealm, facts: RiskFacts, one: BreachRisk, now: Instant) -> b.ActivityRisk:
    names, _ = view.picture.reference.names, get_translator(view.shape.lang)
    requested_sites = {row.site for row in facts.requests.values() if row.kind == GENERATOR}
    decisions = []
    for key, chance in one.decisions.items():
        if _compute_gain(one.chance, chance) < LEAST_GAIN:
            continue
        kind, _sign, id = key.partition(" ")
        code = id.partition(" ")[2] if kind == "strategy" else id
        decisions.append(
            b.DecisionRisk(
                kind=kind,
                id=code,
                name=name_strategy(code, _)
                if kind == "strategy"
                else _("un groupe à {site}", site=names.site(id)),
                requested=kind == "generator" and id in requested_sites,
                rto_pct=_to_percent(chance.rto),
                dmia_pct=_to_percent(chance.dmia),
            )
        )
    return b.ActivityRisk(
        activity=one.activity,
        name=names.activity(one.activity, _.lang),
        rto_pct=_to_percent(one.chance.rto),
        dmia_pct=_to_percent(one.chance.dmia),
        back_at=to_datetime(now + round(one.back_median_ms)),
        decisions=sorted(
            decisions, key=lambda d: ((d.dmia_pct or 0) + (d.rto_pct or 0), d.kind, d.id)
        ),
    )


def _compute_gain(before: BreachChance, after: BreachChance) -> float:
    return max((before.rto or 0.0) - (after.rto or 0.0), (before.dmia or 0.0) - (after.dmia or 0.0))


def _to_percent(share: float | None) -> float | None:
    return None if share is None else round(share * 100, 1)
