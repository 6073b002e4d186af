"""The checker: a search for an order of the operations that keeps real time and that the model allows (Wing and Gong 1993, with Lowe's memory of 2017).

An operation that never returned may have had its effect at any time after it was called, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

NEVER: Final = float("inf")
UNKNOWN: Final = object()
"""Result of an operation of which nobody heard again."""

Step = Callable[[Any, Any, Any], Iterable[Hashable]]
"""(state, what was asked, what was answered) → the states in which that is right; none: it is not. With UNKNOWN: the states that it may lead to."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one client on one object."""

    asked: Any
    answered: Any
    called: float
    returned: float = NEVER


def linearizable(history: Sequence[Operation], initial: Hashable, step: Step) -> bool:
    """True if some order of the operations explains every answer and no operation comes before one that had returned when it was called."""
    operations = sorted(history, key=lambda o: o.called)
    must = sum(1 << n for n, o in enumerate(operations) if o.returned != NEVER)
    seen: set[tuple[int, Hashable]] = set()
    stack: list[tuple[int, Hashable]] = [(0, initial)]
    while stack:
        done, state = stack.pop()
        if done & must == must:
            return True
        for n in _next(operations, done):
            operation = operations[n]
            for after in step(state, operation.asked, operation.answered):
                found = (done | 1 << n, after)
                if found not in seen:
                    seen.add(found)
                    stack.append(found)
    return False


def _next(operations: Sequence[Operation], done: int) -> list[int]:
    """Those that may come next: called before any that is not done yet has returned."""
    first_return, found = NEVER, []
    for n, operation in enumerate(operations):
        if operation.called > first_return:
            break
        if not done >> n & 1:
            found.append(n)
            first_return = min(first_return, operation.returned)
    return [n for n in found if operations[n].called <= first_return]
