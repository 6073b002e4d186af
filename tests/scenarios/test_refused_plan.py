"""A refused plan returns with new facts, from the reports to the proposal (D49)."""

from __future__ import annotations

import pytest

from schemas.base import DAY_MS, MINUTE_MS
from schemas.commands import RefusePlan
from schemas.reports import Measure, ReportReceived
from schemas.words import EventType, PlanState
from tests.scenarios.memory import MemoryPlayer, scenario
from tests.shipped import territory

PLAN = "PCA-education"
UNDELIVERED = Measure(
    name="sites_not_delivered", value=54.0, object="supplier:cuisine-centrale-sud"
)


@pytest.mark.parametrize(("days", "state"), [(0, PlanState.REFUSED), (1, PlanState.PROPOSED)])
def test_another_reason_for_a_refused_plan_proposes_it_again_after_a_day(
    days: int, state: PlanState
) -> None:
    player = MemoryPlayer(scenario("S10"), "92~ex-memory")
    realm, start, system = player.realm, player.played.start, player.system

    def report(id: str, at: int, type: EventType, **values: object) -> None:
        system.step(realm, at)
        report_message = ReportReceived(
            report_id=id, type=type, occurred_at=at, recorded_at=at, source="site_manager", **values
        )  # type: ignore[arg-type]
        system.feed("alerts", realm, report_message, id=id, at=at)

    def plan() -> PlanState:
        return system.services["continuity"].state(realm).plans[PLAN].state

    for n, college in enumerate(
        [site.id for site in territory().sites if site.kind == "college"][:3]
    ):
        report(f"r-{n}", start + n * MINUTE_MS, EventType.CLOSURE, site_id=college, severity=3)
    assert plan() is PlanState.PROPOSED
    refused_at = start + 10 * MINUTE_MS
    system.step(realm, refused_at)
    refuse = RefusePlan(plan=PLAN, author="dir", role="directeur_pole", reason="text:no")
    system.feed("continuity", realm, refuse, id="refuse", at=refused_at)
    assert plan() is PlanState.REFUSED
    report(
        "r-meals",
        refused_at + days * DAY_MS + MINUTE_MS,
        EventType.SUPPLIER_FAILURE,
        severity=4,
        capacity_lost_pct=100,
        measure=UNDELIVERED,
    )
    row = system.services["alerts"].state(realm).triggers[f"{PLAN}:0"]
    assert ([why.metric for why in row.why], row.since) == (
        ["sites_closed", "catering_down"],
        start + 2 * MINUTE_MS,
    )
    assert plan() is state
