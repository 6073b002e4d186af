"""Execution of models: a world of immutable values, and a scheduler without any order.

A world has `actions()`: the possible next actions, each as (weight, name of a method, arguments…),
and one method per action. `walk` draws one random interleaving, `explore` visits every
interleaving of a small world. A **guard** is a name in `world.guards`; a mutant of a protocol is
the same world without one guard. A guard without a breaking mutant would be a needless rule.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

Action = tuple[Any, ...]
"""(weight, method name, *arguments)."""


class Broken(Exception):
    """An invariant of the design does not hold in this interleaving."""


class Stopped(Exception):
    """A process stops with a named exit: allowed, never silent."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class World(Protocol):
    RANDOM: ClassVar[frozenset[str]]
    """Actions that draw a number of their own (`rnd=`); in `explore` they take a fixed middle."""

    def actions(self) -> list[Action]:
        """List the next possible actions."""
        ...

    def finish(self) -> None:
        """End an interleaving; raise Broken if a required effect is missing."""
        ...


W = TypeVar("W", bound=World)


def digest(*values: object) -> str:
    """Hash of values by their text."""
    return blake2b(repr(values).encode(), digest_size=6).hexdigest()


def walk(world: W, seed: int, steps: int = 400) -> W:
    """Draw one random interleaving, then `finish`. Raises Broken."""
    rnd = random.Random(seed)
    for _ in range(steps):
        todo = world.actions()
        if not todo:
            break
        _, name, *args = rnd.choices(todo, [action[0] for action in todo])[0]
        own = {"rnd": rnd} if name in world.RANDOM else {}
        getattr(world, name)(*args, **own)
    world.finish()
    return world


class Explored(NamedTuple):
    states: int
    ends: int
    """States in which the world was ended."""
    whole: bool
    """The whole space was seen."""


def explore(world: World, limit: int = 400_000) -> Explored:
    """Visit every interleaving, each state once.

    The world may end in any state: every 50th and all last ones are finished.
    """
    visited_keys: set[int] = set()
    ends = 0
    stack = [world]
    while stack and len(visited_keys) < limit:
        here = stack.pop()
        todo = here.actions()
        if len(visited_keys) % 50 == 0 or not todo:
            copy.copy(here).finish()
            ends += 1
        for _, name, *args in todo:
            there = copy.copy(here)
            getattr(there, name)(*args)
            key = hash(tuple(vars(there).values()))
            if key not in visited_keys:
                visited_keys.add(key)
                stack.append(there)
    return Explored(len(visited_keys), ends, not stack)


def broken_runs(
    make: Callable[[int], World], seeds: Iterable[int], steps: int = 400
) -> dict[str, list[int]]:
    """Return the broken invariants with their seeds."""
    broken: dict[str, list[int]] = {}
    for seed in seeds:
        try:
            walk(make(seed), seed, steps)
        except Broken as why:
            broken.setdefault(str(why), []).append(seed)
    return broken


def first_broken(
    make: Callable[[int], World], seeds: Iterable[int], steps: int = 400
) -> str | None:
    """Return the first broken invariant; None if all seeds hold."""
    for seed in seeds:
        try:
            walk(make(seed), seed, steps)
        except Broken as why:
            return str(why)
    return None


def remaining(budget: tuple[tuple[str, int], ...], what: str) -> int:
    """Return how often a misfortune may still happen."""
    return dict(budget).get(what, 0)


def spent(budget: tuple[tuple[str, int], ...], what: str) -> tuple[tuple[str, int], ...]:
    """Return the budget after one more misfortune."""
    return tuple((name, remaining_count - (name == what)) for name, remaining_count in budget)
