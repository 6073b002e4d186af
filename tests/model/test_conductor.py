"""A simulated realm gives the same facts in any schedule, because steps wait for quiet."""

from __future__ import annotations

import pytest

from tests.model.conductor import Conductor, Mode
from tests.model.worlds import walk


def histories(mode: Mode, runs: int, *, atomic: bool = True) -> int:
    """Return the number of different histories of so many schedules."""
    return len({walk(Conductor(mode, atomic=atomic), seed, 3000).history() for seed in range(runs)})


def mutants(**without: bool) -> int:
    """Return the same for a conductor without one of its rules."""
    return len({walk(Conductor("gated", **without), seed, 3000).history() for seed in range(15)})


def test_every_schedule_of_single_answers_and_steps_gives_the_same_facts() -> None:
    assert histories("gated", 15) == 1


def test_a_conductor_writing_every_input_gives_the_same_facts() -> None:
    assert histories("single", 3) == 1
    assert histories("single", 3, atomic=False) == 1


def test_the_gate_is_needed() -> None:
    assert histories("free", 5) > 1


def test_an_interrupted_group_continues_before_its_answers_leave() -> None:
    assert mutants(answers_first=True) > 1


def test_a_step_with_work_is_the_last_of_its_group() -> None:
    assert mutants(blind=True) > 1


def test_the_last_step_of_a_group_waits_for_the_others() -> None:
    assert mutants(hasty=True) > 1


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_many_schedules_give_the_same_facts() -> None:
    assert histories("gated", 1000) == 1
    assert histories("single", 300) == 1
    assert histories("single", 300, atomic=False) == 1
