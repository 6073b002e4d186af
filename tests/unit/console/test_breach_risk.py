"""Risk of breach: simulation, learned laws, and their words. Rule D132."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp
from random import Random
from typing import Any

import numpy as np
import orjson
import pytest

from schemas.base import HOUR_MS
from schemas.words import EventType
from services.console.dependencies.hidden import RowVersion
from services.console.i18n import get_translator
from services.console.read_model.history import Chronicle, Version
from services.console.resource_base import to_datetime
from services.console.risk import cases, queries
from services.console.risk.cases import DurationLaw, observe_arrivals, observe_returns
from services.console.risk.page import build_cell_risks, write_percent
from services.console.risk.resources import ActivityRisk, BreachRisks
from services.console.risk.simulation import (
    FailedUnit,
    InterruptedActivity,
    OpenDecision,
    simulate_breaches,
)
from services.runtime.log.chain import Position
from tests.unit.console.held import Held, browsing
from tests.unit.console.test_every_screen import NOW, REALM, START, realm, shown, site
from tests.unit.console.test_hidden_dependencies import Recorded

CRISES = 300
LIMIT_S = 5.0
REAL_OVERRUN = DurationLaw(1.4, 0.6)
REAL_UNANNOUNCED = DurationLaw(7 * HOUR_MS, 0.8)
"""Laws of the generated world, which are not the priors."""


def unit(id: str, hours: float, *, age_h: float = 0, sigma: float = 0.5) -> FailedUnit:
    return FailedUnit(id, age_h * HOUR_MS, hours * HOUR_MS, sigma)


def activity(id: str, units: Mapping[str, float], **changes: Any) -> InterruptedActivity:
    plain = InterruptedActivity(id, units, (), 40.0, 4.0 * HOUR_MS, 8.0 * HOUR_MS)
    return replace(plain, **changes)


def test_a_territory_is_simulated_within_five_seconds() -> None:
    units = [unit(f"site:{n}", 3 + n % 40, age_h=2) for n in range(253)]
    points = {one.id: 100 / 253 for one in units}
    cases = [
        activity(f"a{n}", points, allowed_gap_pct=70.0 - n, rto_in_ms=96 * HOUR_MS * (n + 1) / 55)
        for n in range(55)
    ]
    began = time.process_time()
    assert len(simulate_breaches(units, cases, draws=2_000)) == 55
    assert time.process_time() - began < LIMIT_S


def test_equal_seeds_give_equal_risks() -> None:
    case = activity("a", {"u": 100.0})
    one, again, other = (
        simulate_breaches([unit("u", 5)], [case], seed=seed)[0].chance for seed in (7, 7, 8)
    )
    assert one == again
    assert one != other


def test_the_risk_of_one_unit_is_that_of_its_law() -> None:
    (risk,) = simulate_breaches([unit("u", 4)], [activity("a", {"u": 100.0})], draws=20_000)
    assert risk.chance.rto == pytest.approx(0.5, abs=0.02)
    assert risk.back_median_ms == pytest.approx(4 * HOUR_MS, rel=0.03)
    (old,) = simulate_breaches([unit("u", 4, age_h=8)], [activity("a", {"u": 100.0})], draws=20_000)
    assert old.chance.rto == pytest.approx(0.169, abs=0.02)  # 12 h at least, of those over 8 h


def test_an_activity_is_back_once_enough_units_are_back() -> None:
    units = [unit("soon", 1, sigma=0.01), unit("late", 20, sigma=0.01)]
    half = activity("half", {"soon": 50.0, "late": 35.0})
    full = activity("full", {"soon": 50.0, "late": 50.0})
    cut = activity("cut", {"soon": 50.0}, ceilings=("late",))
    risks = simulate_breaches(units, [half, full, cut])
    assert [one.chance.rto for one in risks] == [0.0, 1.0, 1.0]


def test_a_decision_changes_the_activities_that_it_touches_and_no_other() -> None:
    units = [unit("site:a", 12), unit("site:b", 12)]
    cases = [activity("one", {"site:a": 100.0}), activity("two", {"site:b": 100.0})]
    soon, sure = (0.2 * HOUR_MS, 0.1), (1.0 * HOUR_MS, 0.1)
    generator = OpenDecision("generator a", ("site:a",), None, soon, sure)
    strategy = OpenDecision("strategy two", (), "two", soon, sure)
    first, second = simulate_breaches(units, cases, [generator, strategy])
    assert first.chance.rto is not None
    assert first.chance.rto > 0.9
    assert first.decisions.keys() == {"generator a"}
    assert second.decisions.keys() == {"strategy two"}
    assert first.decisions["generator a"].rto == 0.0
    assert second.decisions["strategy two"].rto == 0.0


def test_observed_durations_move_a_prior_by_their_number() -> None:
    prior = cases.UNANNOUNCED[EventType.OUTAGE_POWER]
    assert prior.learn(()) == prior
    few, many = (prior.learn([20.0 * HOUR_MS] * n) for n in (2, 200))
    assert prior.median_ms < few.median_ms < many.median_ms < 20 * HOUR_MS
    assert many.sigma < prior.sigma


@dataclass(frozen=True, slots=True)
class GeneratedCrisis:
    units: list[FailedUnit]
    cases: list[InterruptedActivity]
    broke: list[bool]
    """By activity: RTO, DMIA."""
    forecast: list[bool]
    """The same after the announced ends alone (D45)."""


def find_return(losses: Mapping[str, float], allowed: float, back: Mapping[str, float]) -> float:
    missing, last = sum(losses.values()), 0.0
    for id in sorted(losses, key=lambda one: back[one]):
        if missing <= allowed:
            break
        missing -= losses[id]
        last = back[id]
    return last


def draw(random: Random, law: DurationLaw, scale: float, age: float) -> float:
    while (duration := scale * law.median_ms * exp(law.sigma * random.gauss(0, 1))) <= age:
        pass
    return duration


def generate_crisis(random: Random, overrun: DurationLaw, unknown: DurationLaw) -> GeneratedCrisis:
    units, real, announced = [], {}, {}
    for n in range(random.randint(12, 40)):
        id, age = f"u{n}", random.expovariate(0.5) * HOUR_MS
        if random.random() < 0.7:
            span = age + random.uniform(0.5, 24) * HOUR_MS
            real[id] = draw(random, REAL_OVERRUN, span, age) - age
            units.append(FailedUnit(id, age, span * overrun.median_ms, overrun.sigma))
            announced[id] = span - age
        else:
            real[id] = draw(random, REAL_UNANNOUNCED, 1.0, age) - age
            units.append(FailedUnit(id, age, unknown.median_ms, unknown.sigma))
    cases, broke, forecast = [], [], []
    for n in range(random.randint(20, 30)):
        chosen = random.sample(units, random.randint(1, 6))
        weights = [random.uniform(0.5, 2) for _ in chosen]
        losses = {
            one.id: 100 * weight / sum(weights) for one, weight in zip(chosen, weights, strict=True)
        }
        allowed = random.choice([20.0, 40.0, 55.0, 70.0])
        rto = random.choice([2, 4, 8, 12, 24, 48]) * random.uniform(0.3, 1) * HOUR_MS
        dmia = rto * random.choice([1.5, 2, 3])
        cases.append(
            activity(f"a{n}", losses, allowed_gap_pct=allowed, rto_in_ms=rto, dmia_in_ms=dmia)
        )
        announced_ends = [announced[id] for id in losses if id in announced]
        ends = {id: announced.get(id, float("inf")) for id in losses}
        expected = find_return(losses, allowed, ends)
        if expected == float("inf"):
            expected = max(announced_ends, default=0.0)
        back = find_return(losses, allowed, real)
        broke += [back > rto, back > dmia]
        forecast += [expected > rto, expected > dmia]
    return GeneratedCrisis(units, cases, broke, forecast)


def test_the_risk_beats_the_forecast_and_is_calibrated_on_generated_crises() -> None:
    random = Random(20_270_211)
    samples = [draw(random, REAL_OVERRUN, 1.0, 0) for _ in range(600)]
    overrun = DurationLaw(cases.OVERRUN.median_ms, cases.OVERRUN.sigma).learn(samples)
    unknown = cases.OTHER_UNANNOUNCED.learn(
        [draw(random, REAL_UNANNOUNCED, 1.0, 0) for _ in range(250)]
    )
    chances: list[float] = []
    broke: list[bool] = []
    forecast: list[bool] = []
    for seed in range(CRISES):
        crisis = generate_crisis(random, overrun, unknown)
        for risk in simulate_breaches(crisis.units, crisis.cases, draws=500, seed=seed):
            chances += [risk.chance.rto or 0.0, risk.chance.dmia or 0.0]
        broke += crisis.broke
        forecast += crisis.forecast
    probabilities, truth = np.array(chances), np.array(broke, dtype=float)
    brier = float(np.mean((probabilities - truth) ** 2))
    assert brier < float(np.mean((np.array(forecast, dtype=float) - truth) ** 2))
    decile = np.minimum((probabilities * 10).astype(int), 9)
    for n in range(10):
        assert abs(probabilities[decile == n].mean() - truth[decile == n].mean()) <= 0.07, n


def version(id: str, at: int, **row: Any) -> RowVersion:
    return RowVersion(id, at, {"id": id, **row})


def test_ended_causes_are_read_with_their_first_announced_end() -> None:
    cause = {"id": "c", "type": "outage_power", "since": START, "expected_end": None}
    announced = cause | {"expected_end": START + 2 * HOUR_MS}
    moved = cause | {"expected_end": START + 9 * HOUR_MS}
    other = {"id": "d", "type": "fire", "since": START, "expected_end": None}
    observations = observe_returns(
        [
            version("cen-1", START, causes=[cause]),
            version("cen-1", START + 1, causes=[announced, other]),
            version("cen-1", START + 2, causes=[moved, other]),
            version("cen-1", START + 5 * HOUR_MS, causes=[other], lifted_at=START + 3 * HOUR_MS),
            version("cen-1", START + 7 * HOUR_MS, causes=[], lifted_at=START + 7 * HOUR_MS),
        ]
    )
    assert observations.overruns == [1.5]
    assert observations.unannounced_durations == {EventType.FIRE: [7.0 * HOUR_MS]}
    arrived = version("r", 3, committed_at=START, arrived_at=START + HOUR_MS)
    assert observe_arrivals([version("r", 1), arrived, arrived]) == [float(HOUR_MS)]


def clock(base: str, limit_h: float, left_h: float) -> dict[str, object]:
    return {
        "base": base,
        "state": "running",
        "limit_h": limit_h,
        "started_at": START,
        "deadline": NOW + round(left_h * HOUR_MS),
        "as_of": NOW,
    }


def outage() -> Held:
    """Return a power cut at the central sites: the security of buildings is interrupted."""
    realm_state = realm()
    central = [s.id for s in realm_state.reference.sites.values() if s.kind == "site_central"]
    for id in central:
        realm_state.put("sites", site(id, expected_end=NOW + 2 * HOUR_MS))
    one = realm_state.reference.activities["RHF-01"]
    realm_state.put(
        "activities",
        {
            "id": one.id,
            "pole": one.pole,
            "criticality": one.criticality,
            "state": "interrupted",
            "computed": "interrupted",
            "capacity_pct": 0.0,
            "mbco_pct": one.mbco_pct,
            "since": START,
            "rto": clock("rto", 3, 2),
            "dmia": clock("dmia", 6, 5),
            "next_strategy": "SR-TELE",
        },
    )
    return realm_state


async def test_the_api_gives_the_risk_as_it_is_and_with_each_decision() -> None:
    browser, _ = browsing(outage())
    answer = await browser.get(f"/api/v1/risks?realm={REALM}")
    assert answer.status_code == 200, answer.text
    document = answer.json()
    (one,) = document["items"]
    assert one["activity"] == "RHF-01"
    assert 30 < one["rto_pct"] < 90
    assert one["dmia_pct"] < one["rto_pct"]
    kinds = {decision["kind"] for decision in one["decisions"]}
    assert "strategy" in kinds
    for decision in one["decisions"]:
        assert decision["rto_pct"] < one["rto_pct"]
    again = await browser.get(f"/api/v1/risks?realm={REALM}")
    assert again.json() == document


async def test_the_page_writes_the_risk_beside_the_forecast_in_both_languages() -> None:
    browser, _ = browsing(outage())
    text = await shown(browser, "/activites?activite=RHF-01")
    assert "Risque de rupture" in text
    assert "de risque de dépasser le RTO" in text
    english = await shown(browser, "/activites?activite=RHF-01", lang="en")
    assert "Risk of breach" in english


def rate(activity: str, rto: float | None, dmia: float | None) -> ActivityRisk:
    return ActivityRisk(
        activity=activity,
        name=f"nom de {activity}",
        rto_pct=rto,
        dmia_pct=dmia,
        back_at=to_datetime(NOW),
        decisions=[],
    )


def test_the_cell_names_the_three_largest_risks_of_running_clocks() -> None:
    rated = [rate("A", 80, 9), rate("gone", 70, 9), rate("B", None, 6), rate("C", 3, 0.4)]
    risks = BreachRisks(
        items=[*rated, rate("D", 2, None), rate("E", 0.9, 0.2)],
        draws=2_000,
        returns_seen=0,
        answers_seen=0,
        arrivals_seen=0,
    )
    _ = get_translator("fr")
    lines = build_cell_risks(risks, {"A", "B", "C", "D", "E"}, _)
    assert [line.activity for line in lines] == ["A", "B", "C"]
    chances = [line.chance.replace("\u00a0", " ") for line in lines]
    assert chances[:2] == [
        "80 % de risque de dépasser le RTO, 9 % de risque de dépasser la DMIA",
        "6 % de risque de dépasser la DMIA",
    ]
    assert build_cell_risks(risks, {"E"}, _) == []
    assert build_cell_risks(None, {"A"}, _) == []


async def test_the_cell_shows_the_risk_and_computes_it_once_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed, simulated = [1_000.0], []
    simulate = queries.simulate_breaches

    def count(*args: Any, **options: Any) -> Any:
        simulated.append(1)
        return simulate(*args, **options)

    monkeypatch.setattr(queries, "simulate_breaches", count)
    monkeypatch.setattr(queries, "RECENT_WAIT_S", 60.0)
    monkeypatch.setattr(queries, "monotonic", lambda: passed[0])
    browser, model = browsing(outage())
    assert "Risque de rupture" in await shown(browser, "/")
    first = await model.of(REALM).recent_risks()
    assert first is await model.of(REALM).recent_risks()
    assert len(simulated) == 1
    passed[0] += queries.RECENT_S
    assert await model.of(REALM).recent_risks() is first
    await model._recent_risks[REALM, "fr"].computing
    renewed = await model.of(REALM).recent_risks()
    assert renewed is not first
    assert len(simulated) == 2


async def test_a_calm_cell_computes_no_risk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(queries, "simulate_breaches")
    browser, _ = browsing(realm())
    assert "Risque de rupture" not in await shown(browser, "/")


async def test_durations_of_the_log_move_the_risk(monkeypatch: pytest.MonkeyPatch) -> None:
    browser, model = browsing(outage())
    before = (await browser.get(f"/api/v1/risks?realm={REALM}")).json()
    chronicle, versions = Chronicle.in_memory(), []
    for n in range(40):
        at = START - (50 - n) * 24 * HOUR_MS
        cause = {"id": f"c-{n}", "type": "fire", "since": at, "expected_end": at + HOUR_MS}
        for end, causes in ((at, [cause]), (at + 4 * HOUR_MS, [])):
            row = orjson.dumps({"id": "cen-1", "causes": causes})
            versions.append(Version(REALM, "sites", "cen-1", end, len(versions), row))
    chronicle.add("alerts", 0, versions, Position())
    monkeypatch.setattr(model, "_history", Recorded(chronicle))
    after = (await browser.get(f"/api/v1/risks?realm={REALM}")).json()
    assert (before["returns_seen"], after["returns_seen"]) == (0, 40)
    assert after["items"][0]["rto_pct"] > before["items"][0]["rto_pct"] + 20


async def test_a_calm_realm_has_no_risk() -> None:
    browser, _ = browsing(realm())
    document = (await browser.get(f"/api/v1/risks?realm={REALM}")).json()
    assert (document["items"], document["draws"]) == ([], 2_000)
    for path in ("/activites", "/activites?activite=RHF-01"):
        assert "Risque de rupture" not in await shown(browser, path)


def test_no_simulated_risk_is_written_as_certain() -> None:
    _ = get_translator("fr")
    percent_texts = [write_percent(pct, _).replace("\u00a0", " ") for pct in (0.0, 63.2, 100.0)]
    assert [one.replace("\u202f", " ") for one in percent_texts] == [
        "moins de 1 %",
        "63 %",
        "plus de 99 %",
    ]
