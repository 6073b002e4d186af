"""Checker: search an order of the operations that keeps real time and fits the model.

Wing and Gong 1993, with Lowe's memory of 2017. An operation without a return may have had its
effect at any time after its call, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

NEVER: Final = float("inf")
UNKNOWN: Final = object()
"""Result of an operation without an answer."""

Step = Callable[[Any, Any, Any], Iterable[Hashable]]
"""(state, request, answer) → the states that explain it; none: it is wrong.

With UNKNOWN: the possible next states.
"""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one client on one object."""

    asked: Any
    answered: Any
    called: float
    returned: float = NEVER


def linearizable(history: Sequence[Operation], initial: Hashable, step: Step) -> bool:
    """Return True if some order of the operations explains every answer in real time.

    No operation comes before one that returned before its call.
    """
    operations = sorted(history, key=lambda o: o.called)
    must = sum(1 << n for n, o in enumerate(operations) if o.returned != NEVER)
    visited_states: set[tuple[int, Hashable]] = set()
    stack: list[tuple[int, Hashable]] = [(0, initial)]
    while stack:
        done, state = stack.pop()
        if done & must == must:
            return True
        for n in _next(operations, done):
            operation = operations[n]
            for after in step(state, operation.asked, operation.answered):
                candidate = (done | 1 << n, after)
                if candidate not in visited_states:
                    visited_states.add(candidate)
                    stack.append(candidate)
    return False


def _next(operations: Sequence[Operation], done: int) -> list[int]:
    """List possible next operations: called before the return of any unfinished one."""
    first_return, candidates = NEVER, []
    for n, operation in enumerate(operations):
        if operation.called > first_return:
            break
        if not done >> n & 1:
            candidates.append(n)
            first_return = min(first_return, operation.returned)
    return [n for n in candidates if operations[n].called <= first_return]
