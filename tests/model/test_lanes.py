"""The append protocol with an urgent lane, under every interleaving we could draw."""

from __future__ import annotations

import pytest

from tests.model.chain import CASES
from tests.model.lanes import LANE, POSITIONS, Lanes, lanes
from tests.model.worlds import broken_runs, explore, first_broken, walk

SMALL = Lanes([("r1", "report", 1), ("r2", "report", 2)], ("run",), crash=1, writers=1, horizon=0)


@pytest.mark.parametrize("case", CASES)
def test_the_protocol_holds_with_two_lanes(case: str) -> None:
    assert broken_runs(lambda seed: lanes(seed, case), range(60)) == {}


def test_every_interleaving_of_a_report_in_each_lane_holds() -> None:
    assert explore(SMALL).whole


def test_both_orders_of_the_lanes_occur_and_each_is_kept_by_its_log() -> None:
    orders = set()
    for seed in range(60):
        world = walk(lanes(seed, "plain"), seed)
        first = {kind: n for n, kind in reversed(list(enumerate(one[0] for one in world.order())))}
        if len(first) == 2:
            orders.add(first["("] < min(n for kind, n in first.items() if kind != "("))
    assert orders == {True, False}


def test_without_a_look_at_the_urgent_lane_a_step_fires_over_an_earlier_answer() -> None:
    breach = first_broken(lambda seed: lanes(seed, "plain", (LANE,)), range(400))
    assert breach == "a rung fired over an earlier answer"


def test_one_offset_for_both_lanes_loses_or_doubles_inputs() -> None:
    assert (
        first_broken(lambda seed: lanes(seed, "plain", (POSITIONS,)), range(50))
        == "not everything was applied after Rebased"
    )


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("case", CASES)
def test_the_protocol_holds_with_two_lanes_in_many_interleavings(case: str) -> None:
    assert broken_runs(lambda seed: lanes(seed, case), range(3000)) == {}
