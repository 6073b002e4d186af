"""Copies stay where they can, go to machines that are in, and have three places or one."""

from __future__ import annotations

from collections import Counter

import pytest

from services.appliance.cluster.control import raise_settings
from services.appliance.cluster.keeper import choose_voters
from services.appliance.cluster.layout import Copies, Partition, are_all_in_step, plan_copies


def copies(*replicas: int, in_step: tuple[int, ...] | None = None) -> Copies:
    return Copies(replicas, frozenset(replicas if in_step is None else in_step), replicas[0])


def build_partitions(count: int, *replicas: int) -> dict[Partition, Copies]:
    return {Partition("alerts.log", number): copies(*replicas) for number in range(count)}


def test_two_machines_keep_one_copy_where_it_is() -> None:
    assert plan_copies(build_partitions(8, 1), {1, 2}) == {}


def test_the_third_machine_makes_three_copies_of_everything() -> None:
    moves = plan_copies(build_partitions(9, 1), {1, 2, 3})
    assert len(moves) == 9
    assert all(sorted(machines) == [1, 2, 3] for machines in moves.values())


def test_leaders_are_spread_over_the_machines() -> None:
    moves = plan_copies(build_partitions(9, 1), {1, 2, 3})
    assert Counter(machines[0] for machines in moves.values()) == {1: 3, 2: 3, 3: 3}


def test_nothing_moves_once_three_machines_hold_everything() -> None:
    assert plan_copies(build_partitions(8, 3, 1, 2), {1, 2, 3}) == {}
    assert plan_copies(build_partitions(8, 3, 1, 2), {1, 2, 3, 4}) == {}


def test_copies_of_a_dead_machine_wait_for_another() -> None:
    assert plan_copies(build_partitions(8, 1, 2, 3), {1, 3}) == {}


def test_copies_of_a_dead_machine_are_made_again_on_the_next() -> None:
    moves = plan_copies(build_partitions(4, 1, 2, 3), {1, 3, 4})
    assert [sorted(machines) for machines in moves.values()] == [[1, 3, 4]] * 4


def test_copies_of_one_that_leaves_are_shared_out() -> None:
    moves = plan_copies(build_partitions(8, 1, 2, 3), {2, 3, 4, 5})
    added = Counter(next(iter(set(machines) - {2, 3})) for machines in moves.values())
    assert added == {4: 4, 5: 4}


def test_the_only_copy_leaves_with_its_machine() -> None:
    moves = plan_copies(build_partitions(2, 1), {2})
    assert set(moves.values()) == {(2,)}


@pytest.mark.parametrize(
    ("voters", "members", "wanted"),
    [
        ({1}, {1}, {1}),
        ({1}, {1, 2}, {1}),
        ({1}, {1, 2, 3}, {1, 2, 3}),
        ({1, 2, 3}, {1, 3}, {1, 3}),
        ({1, 2, 3}, {1, 3, 4}, {1, 3, 4}),
        ({1}, {2}, {2}),
    ],
)
def test_the_second_machine_votes_from_the_third_on(
    voters: set[int], members: set[int], wanted: set[int]
) -> None:
    """Two voters stop when either is away."""
    assert choose_voters(voters, members) == wanted


def test_copies_count_once_all_are_in_step() -> None:
    partitions = build_partitions(2, 1, 2, 3)
    assert are_all_in_step(partitions, 3)
    partitions[Partition("texts", 0)] = copies(1, 2, 3, in_step=(1, 2))
    assert not are_all_in_step(partitions, 3)
    assert not are_all_in_step(build_partitions(2, 1), 3)


def test_three_copies_replace_the_flush_of_each_record() -> None:
    changed = raise_settings(
        {
            "alerts.log": {"flush.messages": "1", "retention.ms": "-1"},
            "incidents": {"cleanup.policy": "compact"},
            "texts": {"min.insync.replicas": "2", "cleanup.policy": "compact"},
        },
        3,
    )
    assert changed == {
        "alerts.log": {"retention.ms": "-1", "min.insync.replicas": "2"},
        "incidents": {"cleanup.policy": "compact", "min.insync.replicas": "2"},
    }
