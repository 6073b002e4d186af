"""While decisions are behind, ordinary reports are asked to retry; danger to people never is."""

from __future__ import annotations

import pytest

from schemas.realms import partition_of
from schemas.topics import PARTITION_COUNT
from services.intake.decision_lag import ALWAYS_ADMITTED, ASSUMED_PACE, DecisionLag, LaneBacklog
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Role
from tests.unit.intake.conftest import Door, report

P = partition_of("92", PARTITION_COUNT)


def behind(backlog: DecisionLag, waiting: int) -> None:
    """Set the number of waiting ordinary inputs."""
    backlog._lanes[P].note(waiting + 1, 0, 1.0)


def test_the_pace_is_learnt_while_something_waits_and_kept_while_the_decider_is_down() -> None:
    lane = LaneBacklog()
    lane.note(10_000, 0, 1.0)
    assert lane.wait_s == pytest.approx(9_999 / ASSUMED_PACE)
    for second in range(1, 30):
        lane.note(50_000, second * 1000, 1.0)
    assert lane.pace == pytest.approx(1000, rel=0.01)
    for _ in range(100):
        lane.note(50_000, 29_000, 1.0)
    assert lane.pace == pytest.approx(1000, rel=0.01)
    assert lane.wait_s == pytest.approx(21, rel=0.01)


def test_reports_are_accepted_before_the_first_sign_of_a_decider_and_for_a_small_backlog() -> None:
    backlog = DecisionLag("nowhere:1", 1.0)
    backlog.appended(P, 1_000_000)
    backlog.check(P)
    backlog = DecisionLag("nowhere:1", 0.001)
    behind(backlog, ALWAYS_ADMITTED)
    backlog.check(P)


def test_a_refusal_gives_the_delay_of_decisions() -> None:
    backlog = DecisionLag("nowhere:1", 30.0)
    behind(backlog, int(ASSUMED_PACE * 40))
    with pytest.raises(ProblemError, match="decider_behind") as refused:
        backlog.check(P)
    assert (refused.value.problem.status, refused.value.problem.retry_after_s) == (503, 10)
    assert backlog.note() is not None
    DecisionLag("nowhere:1", 0.0).check(P)


async def test_danger_and_renewals_pass_while_decisions_are_behind_and_the_front_stays_ready(
    door: Door,
) -> None:
    behind(door.intake.backlog, 1_000_000)
    async with await door.as_(Role.CELL) as http:
        refused = await http.post("/api/v1/reports", json=report())
        assert (refused.status_code, refused.json()["code"]) == (503, "decider_behind")
        assert int(refused.headers["retry-after"]) >= 2
        assert (await http.post("/api/v1/reports", json=report(type="fire"))).status_code == 202
        exercise = report(realm="92~ex-1", status="Exercise")
        assert (await http.post("/api/v1/reports", json=exercise)).status_code == 202
        said = (await http.get("/readyz")).json()
        assert "only danger to people" in said["checks"]["decisions"]
        behind_no_more = DecisionLag("nowhere:1", 60.0)
        assert behind_no_more.note() is None
