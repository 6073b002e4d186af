"""A simulated realm gives the same facts however its services are scheduled, because answers and steps wait until it is quiet."""

from __future__ import annotations

import pytest

from tests.model.conductor import Conductor, Mode
from tests.model.worlds import walk


def histories(mode: Mode, runs: int, *, atomic: bool = True) -> int:
    """How many different histories so many schedules give."""
    return len({walk(Conductor(mode, atomic=atomic), seed, 3000).history() for seed in range(runs)})


def mutants(**without: bool) -> int:
    """The same of a conductor without one of its rules."""
    return len({walk(Conductor("gated", **without), seed, 3000).history() for seed in range(15)})


def test_with_answers_and_steps_one_at_a_time_every_schedule_gives_the_same_facts() -> None:
    assert histories("gated", 15) == 1


def test_a_conductor_that_writes_every_input_gives_the_same_facts_too() -> None:
    assert histories("single", 3) == 1
    assert histories("single", 3, atomic=False) == 1


def test_the_gate_is_needed() -> None:
    assert histories("free", 5) > 1


def test_a_group_cut_short_goes_on_before_its_answers_leave() -> None:
    assert mutants(answers_first=True) > 1


def test_a_step_with_something_to_do_is_the_last_of_its_group() -> None:
    assert mutants(blind=True) > 1


def test_the_last_step_of_a_group_waits_for_the_others() -> None:
    assert mutants(hasty=True) > 1


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_many_schedules_give_the_same_facts() -> None:
    assert histories("gated", 1000) == 1
    assert histories("single", 300) == 1
    assert histories("single", 300, atomic=False) == 1
