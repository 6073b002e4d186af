"""Dependencies that the impact analysis does not declare, from recorded crises. Rule D131."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from schemas import reference as ref
from schemas.base import HOUR_MS
from schemas.reference_changes import ProposeReference
from services.console.dependencies import screen
from services.console.dependencies.api import declare_dependency
from services.console.dependencies.hidden import (
    QUIET_MS,
    Degradation,
    Outage,
    RealmVersions,
    RecordedCrisis,
    RowVersion,
    collect_crises,
    compute_fisher,
    find_hidden_dependencies,
)
from services.console.dependencies.queries import list_declared
from services.console.read_model.history import Chronicle, Version
from services.runtime.log.chain import Position
from tests.shipped import territory
from tests.unit.console.generated_crises import START, generate_crises
from tests.unit.console.held import HeldModel, browsing
from tests.unit.console.test_dependency_losses import network
from tests.unit.console.test_every_screen import REALM, realm, shown

UNSEEN_SEEDS = range(9_000, 9_008)
"""Seeds of crises that the bounds of the miner were never tried on."""
LIMIT_S = 5.0


def declared() -> dict[str, frozenset[str]]:
    return {activity: frozenset(names) for activity, names in list_declared(network()).items()}


def crisis(n: int, *, out: bool, degraded: bool, lag_h: float = 1) -> RecordedCrisis:
    at = START + n * 1000 * HOUR_MS
    return RecordedCrisis(
        f"c-{n}",
        (Outage("system:siter", at),) if out else (Outage("system:sae", at),),
        (Degradation("RHF-01", round(at + lag_h * HOUR_MS)),) if degraded else (),
    )


def test_planted_dependencies_are_found_and_few_others() -> None:
    hit = planted = mined_count = 0
    names = declared()
    for seed in UNSEEN_SEEDS:
        made = generate_crises(seed, names)
        began = time.process_time()
        mined = {(o.resource, o.activity) for o in find_hidden_dependencies(made.crises, names)}
        assert time.process_time() - began < LIMIT_S
        hit += len(mined & made.planted)
        planted += len(made.planted)
        mined_count += len(mined)
    assert hit / planted >= 0.8
    assert hit / mined_count >= 0.6


def test_crises_without_hidden_dependencies_yield_almost_nothing() -> None:
    names = declared()
    dependencies = [
        one
        for seed in range(9_100, 9_106)
        for one in find_hidden_dependencies(generate_crises(seed, names, planted=0).crises, names)
    ]
    assert len(dependencies) <= 3


def test_the_evidence_names_each_crisis_with_its_times() -> None:
    crises = [crisis(n, out=n < 8, degraded=n < 7) for n in range(24)]
    (dependency,) = find_hidden_dependencies(crises, {"RHF-01": ("system:si_rh_paie",)})
    assert (dependency.resource, dependency.activity) == ("system:siter", "RHF-01")
    assert (len(dependency.evidence), dependency.exposed, dependency.degraded_without) == (7, 8, 0)
    assert dependency.evidence[0].degraded_at - dependency.evidence[0].out_at == HOUR_MS


def test_a_declared_dependency_explains_the_degradation() -> None:
    crises = [crisis(n, out=n < 8, degraded=n < 7) for n in range(24)]
    assert find_hidden_dependencies(crises, {"RHF-01": ("system:siter",)}) == []
    both = [
        RecordedCrisis(
            one.id,
            (*one.outages, Outage("system:si_rh_paie", START + n * 1000 * HOUR_MS)),
            one.degradations,
        )
        for n, one in enumerate(crises)
    ]
    assert find_hidden_dependencies(both, {"RHF-01": ("system:si_rh_paie",)}) == []


def test_a_degradation_before_or_long_after_the_outage_proves_nothing() -> None:
    for lag_h in (-2, 9):
        crises = [crisis(n, out=n < 8, degraded=n < 7, lag_h=lag_h) for n in range(24)]
        assert find_hidden_dependencies(crises, {"RHF-01": ()}) == []


def test_two_crises_prove_nothing() -> None:
    crises = [crisis(n, out=n < 2, degraded=n < 2) for n in range(200)]
    assert find_hidden_dependencies(crises, {"RHF-01": ()}) == []


def test_the_exact_test_agrees_with_a_count_of_all_arrangements() -> None:
    # 4 of 5 exposed and 1 of 5 others: (C(5,4)·C(5,1) + C(5,5)·C(5,0)) / C(10,5)
    assert compute_fisher(4, 5, 1, 5) == pytest.approx((25 + 1) / 252)
    assert compute_fisher(0, 5, 3, 5) == 1.0


def row(id: str, at: int, **fields: Any) -> RowVersion:
    return RowVersion(id, at, {"id": id, "since": at, **fields})


def test_outages_and_declarations_are_read_from_versions_of_rows() -> None:
    later = START + QUIET_MS + 4 * HOUR_MS
    versions = RealmVersions(
        "92",
        flags=[
            row("system:siter", START, value="down"),
            row("system:siter", START + HOUR_MS, value="up"),
            row("flag:cod_active", START, value=True),
            row("kitchen:cuisine-centrale-sud", later, value=0),
        ],
        sites=[
            row("cen-1", START, status="closed"),
            row("cen-2", START + 1, status="evacuated"),
            row("cen-1", START + 2, status="normal"),
            row("cen-2", START + HOUR_MS, status="normal"),
        ],
        activities=[
            row("RHF-01", START + 5, declared="degraded"),
            row("RHF-01", START + 6, declared="interrupted"),
            row("RHF-01", START + 7, declared=None),
            row("RHF-01", START + HOUR_MS, declared="degraded"),
            row("SOL-01", START, declared=None),
        ],
    )
    first, second = collect_crises(versions, {"cen-1": "site_central", "cen-2": "site_central"})
    assert set(first.outages) == {
        Outage("system:siter", START, START + HOUR_MS),
        Outage("kind:site_central", START, START + HOUR_MS),
    }
    assert [one.at - START for one in first.degradations] == [5, HOUR_MS]
    assert second.outages == (Outage("kitchen:cuisine-centrale-sud", later, None),)
    assert (first.id, second.id) == ("92#1", "92#2")


def test_declaring_a_dependency_changes_one_activity_and_nothing_else() -> None:
    before = territory().sections
    after = declare_dependency(before, "system:siter", "RHF-01")
    (old,) = [s for s in before if isinstance(s, ref.Activities)]
    (new,) = [s for s in after if isinstance(s, ref.Activities)]
    changed = [b for a, b in zip(old.activities, new.activities, strict=True) if a != b]
    assert [(one.id, one.systems[-1]) for one in changed] == [("RHF-01", "siter")]
    assert [s for s in after if not isinstance(s, ref.Activities)] == [
        s for s in before if not isinstance(s, ref.Activities)
    ]
    with pytest.raises(ValueError, match="no activity can name it"):
        declare_dependency(before, "person:dgs", "RHF-01")


class Recorded:
    """History over a chronicle in memory."""

    def __init__(self, chronicle: Chronicle) -> None:
        self._chronicle = chronicle

    async def ask(self, question: Callable[[Chronicle], Any]) -> Any:
        return question(self._chronicle)


def chronicle_of_crises(name: str) -> Chronicle:
    """Return a log in which the payroll is degraded in seven of eight outages of a system."""
    chronicle, versions = Chronicle.in_memory(), []

    def add(collection: str, row: dict[str, Any], at: int) -> None:
        value = orjson.dumps(row)
        versions.append(Version(name, collection, row["id"], at, len(versions), value))

    for n in range(24):
        at = START + n * (QUIET_MS + 20 * HOUR_MS)
        system = "system:siter" if n < 8 else "system:sae"
        add("flags", {"id": system, "value": "down", "since": at}, at)
        add("flags", {"id": system, "value": "up", "since": at + 4 * HOUR_MS}, at + 4 * HOUR_MS)
        if n < 7:
            add("activities", {"id": "RHF-01", "declared": "degraded"}, at + HOUR_MS)
            add("activities", {"id": "RHF-01", "declared": None}, at + 5 * HOUR_MS)
    chronicle.add("alerts", 0, versions, Position())
    return chronicle


def recorded(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, HeldModel]:
    browser, model = browsing(realm())
    monkeypatch.setattr(model, "_history", Recorded(chronicle_of_crises(REALM)))
    return browser, model


async def test_the_api_and_the_page_show_the_evidence_and_propose_a_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    browser, _ = recorded(monkeypatch)
    answer = await browser.get(f"/api/v1/dependencies/hidden?realm={REALM}")
    body_json = answer.json()
    assert body_json["crises"] == 24
    (one,) = body_json["items"]
    assert (one["resource"], one["activity"], one["together"]) == ("system:siter", "RHF-01", 7)
    assert len(one["evidence"]) == 7
    text = await shown(browser, "/dependances")
    assert "SITER → RHF-01" in text
    assert "dégradée dans 7 crises sur 8 avec cette panne, et dans 0 sur 16 sans elle" in text
    assert "Proposer à l’analyse d’impact" in text
    body = {"realm": REALM, "resource": "system:siter", "activity": "RHF-01", "reason": "co-pannes"}
    response = await browser.post("/api/v1/dependencies/proposals", body)
    assert response.status_code in (200, 202), response.text
    (command,) = browser.decisions.asked
    assert isinstance(command, ProposeReference)
    assert [(s.section, s.changed) for s in command.sections] == [(ref.Section.ACTIVITIES, 1)]


async def test_only_a_dependency_that_was_found_can_be_proposed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    browser, _ = recorded(monkeypatch)
    body = {"realm": REALM, "resource": "system:sae", "activity": "RHF-01", "reason": "idée"}
    answer = await browser.post("/api/v1/dependencies/proposals", body)
    assert answer.status_code == 404
    assert browser.decisions.asked == []


class Slow(Recorded):
    """History that answers once it is released."""

    def __init__(self, chronicle: Chronicle) -> None:
        super().__init__(chronicle)
        self.released, self.asked = asyncio.Event(), 0

    async def ask(self, question: Callable[[Chronicle], Any]) -> Any:
        self.asked += 1
        await self.released.wait()
        return await super().ask(question)


async def test_the_page_does_not_wait_for_a_long_search_and_readers_share_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    browser, model = browsing(realm())
    history = Slow(chronicle_of_crises(REALM))
    monkeypatch.setattr(model, "_history", history)
    monkeypatch.setattr(screen, "READING_WAIT_S", 0.01)
    assert "pas encore lus" in await shown(browser, "/dependances")
    assert "pas encore lus" in await shown(browser, "/dependances")
    history.released.set()
    dependencies = (await browser.get(f"/api/v1/dependencies/hidden?realm={REALM}")).json()
    assert (history.asked, len(dependencies["items"])) == (1, 1)


async def test_the_page_stays_without_the_logs() -> None:
    browser, _ = browsing(realm())
    text = await shown(browser, "/dependances")
    assert "Les journaux ne sont pas lisibles, ou pas encore lus" in text
