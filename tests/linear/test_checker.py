"""The checker agrees with the literature.

`tests/linear/calibrate.py` checks it against 108 public histories.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.linear.checker import NEVER, UNKNOWN, Operation, Step, linearizable
from tests.linear.models import (
    INCIDENT,
    PLAN,
    Answered,
    Asked,
    Held,
    Proposed,
    approval,
    queue,
    register,
)


def ops(*rows: tuple[Any, Any, float, float]) -> list[Operation]:
    return [Operation(*row) for row in rows]


def enq(value: str, called: float, returned: float = NEVER) -> tuple[Any, Any, float, float]:
    return ("enq", value), None if returned != NEVER else UNKNOWN, called, returned


def deq(value: str, called: float, returned: float) -> tuple[Any, Any, float, float]:
    return ("deq", None), value, called, returned


def write(value: int, called: float, returned: float = NEVER) -> tuple[Any, Any, float, float]:
    return ("write", value), None if returned != NEVER else UNKNOWN, called, returned


def read(value: int, called: float, returned: float) -> tuple[Any, Any, float, float]:
    return ("read", None), value, called, returned


def decided(kind: str, version: int, called: float, returned: float, *of: Any) -> Any:
    return Asked(kind, *of), Answered("", version), called, returned


def refused(kind: str, code: str, called: float, returned: float, *of: Any) -> Any:
    return Asked(kind, *of), Answered(code), called, returned


@pytest.mark.parametrize(
    ("history", "initial", "model", "verdict"),
    [
        # after Herlihy and Wing, Linearizability: a correctness condition for concurrent objects (1990), figure 1: queues
        pytest.param(
            ops(enq("x", 0, 3), enq("y", 1, 2), deq("x", 4, 6), deq("y", 5, 7), enq("z", 8)),
            (),
            queue,
            True,
            id="H1",
        ),
        pytest.param(
            ops(enq("x", 0, 1), enq("y", 2, 3), deq("y", 4, 5)), (), queue, False, id="H2"
        ),
        pytest.param(ops(enq("x", 0), deq("x", 1, 2)), (), queue, True, id="H3"),
        pytest.param(
            ops(enq("x", 0, 2), enq("y", 1, 3), deq("y", 4, 6), deq("y", 5, 7)),
            (),
            queue,
            False,
            id="H4",
        ),
        # and, of registers, figure 2
        pytest.param(
            ops(write(0, 0, 1), write(1, 2, 9), read(1, 3, 4), read(0, 5, 6)),
            None,
            register,
            False,
            id="H5",
        ),
        pytest.param(
            ops(write(0, 0, 1), write(1, 2), read(1, 3, 4), write(0, 5, 6), read(0, 7, 8)),
            None,
            register,
            True,
            id="H6",
        ),
        pytest.param(
            ops(write(0, 0, 1), write(1, 2), read(0, 3, 4), read(1, 5, 6), read(0, 7, 8)),
            None,
            register,
            False,
            id="H7",
        ),
    ],
)
def test_the_verdicts_of_the_literature(
    history: list[Operation], initial: Any, model: Step, verdict: bool
) -> None:
    assert linearizable(history, initial, model) is verdict


OPEN, IDLE = Held(True, 0), Held(False, 0)


@pytest.mark.parametrize(
    ("history", "initial", "model", "verdict"),
    [
        pytest.param(
            [decided("acknowledge", 1, 0, 2), decided("acknowledge", 2, 1, 3)],
            OPEN,
            INCIDENT,
            True,
            id="both count",
        ),
        pytest.param(
            [decided("acknowledge", 1, 0, 2), decided("acknowledge", 1, 1, 3)],
            OPEN,
            INCIDENT,
            False,
            id="one is lost",
        ),
        pytest.param(
            [decided("acknowledge", 2, 0, 1), decided("acknowledge", 1, 2, 3)],
            OPEN,
            INCIDENT,
            False,
            id="out of order",
        ),
        pytest.param(
            [decided("resolve", 1, 0, 2, 0), refused("acknowledge", "incident_not_open", 1, 3)],
            OPEN,
            INCIDENT,
            True,
            id="too late",
        ),
        pytest.param(
            [decided("activate", 1, 0, 2), refused("activate", "already", 1, 3)],
            IDLE,
            PLAN,
            True,
            id="one activates",
        ),
        pytest.param(
            [decided("activate", 1, 0, 2), decided("activate", 2, 1, 3)],
            IDLE,
            PLAN,
            False,
            id="both activate",
        ),
        pytest.param(
            [(Asked("activate"), UNKNOWN, 0, NEVER), refused("activate", "already", 1, 2)],
            IDLE,
            PLAN,
            True,
            id="nobody heard, and it was done",
        ),
        pytest.param(
            [(Asked("activate"), UNKNOWN, 3, NEVER), refused("activate", "already", 1, 2)],
            IDLE,
            PLAN,
            False,
            id="before it was asked",
        ),
        pytest.param(
            [refused("activate", "version_conflict", 1, 2, 1)],
            IDLE,
            PLAN,
            True,
            id="another version",
        ),
    ],
)
def test_decisions_about_incidents_and_plans(
    history: list[Any], initial: Held, model: Step, verdict: bool
) -> None:
    assert linearizable(ops(*history), initial, model) is verdict


A, B = frozenset("a"), frozenset("b")


@pytest.mark.parametrize(
    ("history", "verdict"),
    [
        pytest.param(
            [decided("approve", 1, 0, 2, None, A), decided("approve", 2, 1, 3, None, B)],
            True,
            id="two lines",
        ),
        pytest.param(
            [decided("approve", 1, 0, 2, None, A), refused("approve", "already", 1, 3, None, A)],
            True,
            id="one line once",
        ),
        pytest.param(
            [decided("approve", 1, 0, 2, None, A), decided("decline", 2, 1, 3, None, A)],
            False,
            id="one line twice",
        ),
        pytest.param(
            [decided("approve", 1, 0, 2, 0, A), decided("approve", 2, 1, 3, 0, B)],
            False,
            id="on a version that was over",
        ),
        pytest.param(
            [
                refused("approve", "proposal_superseded", 0, 1, None, A),
                decided("approve", 1, 2, 3, None, A),
            ],
            False,
            id="after its end",
        ),
    ],
)
def test_decisions_about_reassignments(history: list[Any], verdict: bool) -> None:
    assert linearizable(ops(*history), Proposed(frozenset(), 0), approval) is verdict
