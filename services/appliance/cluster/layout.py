"""Plan of the machines that hold the copies of each partition.

Pure functions: every machine computes the same answer.
"""

import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

COPIES: Final = 3
"""Copies of every partition once that many machines are in.

Two would be no safe number: see `docs/adr/0003-flush-each-record-on-a-single-node.md`.
"""


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One partition of a topic."""

    topic: str
    number: int


@dataclass(frozen=True, slots=True)
class Copies:
    """The copies of a partition."""

    replicas: tuple[int, ...]
    """Numbers of the machines, the preferred leader first."""
    in_step: frozenset[int]
    leader: int = -1


def count_copies(members: Collection[int]) -> int:
    """Return how many copies of each partition so many machines hold: one or three."""
    return COPIES if len(members) >= COPIES else 1


def plan_copies(
    now: Mapping[Partition, Copies], members: Collection[int]
) -> dict[Partition, tuple[int, ...]]:
    """Return the partitions that must move, with the machines that hold their copies then.

    Copies stay where they are if they can. With fewer than three machines a partition keeps its
    copies, because the lost ones come back with the next machine, unless all its copies are on
    machines that leave.
    """
    copies_count = count_copies(members)
    load = Counter(
        number for copies in now.values() for number in copies.replicas if number in members
    )
    moves = {}
    for partition, copies in sorted(now.items()):
        remaining_machines = [number for number in copies.replicas if number in members]
        if (
            len(remaining_machines) == len(copies.replicas)
            and len(remaining_machines) >= copies_count
        ):
            continue
        if remaining_machines and len(copies.replicas) > 1 and len(members) < COPIES:
            continue
        new_machines = _choose_machines(
            members, remaining_machines, max(0, copies_count - len(remaining_machines)), load
        )
        if not (remaining_machines or new_machines):
            continue
        load.update(new_machines)
        moves[partition] = _rotate(partition, [*remaining_machines, *new_machines])
    return moves


def _choose_machines(
    members: Collection[int], current_machines: Sequence[int], count: int, load: Mapping[int, int]
) -> list[int]:
    """Return the machines with the fewest copies among those without one."""
    free = sorted(
        (load.get(number, 0), number) for number in members if number not in current_machines
    )
    return [number for _, number in free[:count]]


def _rotate(partition: Partition, machines: list[int]) -> tuple[int, ...]:
    """Spread the preferred leaders over the machines."""
    machine_order = sorted(machines)
    first = (zlib.crc32(partition.topic.encode()) + partition.number) % len(machine_order)
    return tuple(machine_order[first:] + machine_order[:first])


def are_all_in_step(now: Mapping[Partition, Copies], copies: int) -> bool:
    """Return whether every partition has so many copies, all in step."""
    return all(
        len(partition_copies.replicas) >= copies
        and partition_copies.in_step >= set(partition_copies.replicas)
        for partition_copies in now.values()
    )
