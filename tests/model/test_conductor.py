"""A simulated realm gives the same facts however its services are scheduled, because answers and steps wait until it is quiet."""

from __future__ import annotations

import pytest

from tests.model.conductor import Conductor, Mode
from tests.model.worlds import walk


def histories(mode: Mode, runs: int, *, atomic: bool = True) -> int:
    """How many different histories so many schedules give."""
    return len({walk(Conductor(mode, atomic=atomic), seed, 3000).history() for seed in range(runs)})


def test_with_answers_and_steps_one_at_a_time_every_schedule_gives_the_same_facts() -> None:
    assert histories("gated", 15) == 1


def test_a_conductor_that_writes_every_input_gives_the_same_facts_too() -> None:
    assert histories("single", 3) == 1
    assert histories("single", 3, atomic=False) == 1


def test_the_gate_is_needed() -> None:
    assert histories("free", 5) > 1


def test_a_group_cut_short_goes_on_before_its_answers_leave() -> None:
    assert len({walk(Conductor("gated", answers_first=True), seed, 3000).history() for seed in range(15)}) > 1


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_many_schedules_give_the_same_facts() -> None:
    assert histories("gated", 1000) == 1
    assert histories("single", 300) == 1
    assert histories("single", 300, atomic=False) == 1
