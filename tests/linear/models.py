"""Models of one object: public ones for the calibration, and Vigie's own decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from tests.linear.checker import UNKNOWN, Step

# ── public ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def register(state: Any, asked: tuple[str, Any], answered: Any) -> Iterable[Any]:
    """Model a register.

    Requests `("read", None)`, `("write", value)` or `("cas", (old, new))`; answers: the value,
    None, or True after an exchange.
    """
    what, value = asked
    if what == "write":
        return (value,)
    if what == "cas":
        old, new = value
        if answered is UNKNOWN:
            return (state, new) if state == old else (state,)
        return ((new,) if answered else (state,)) if (state == old) == answered else ()
    return (state,) if answered is UNKNOWN or answered == state else ()


def queue(
    state: tuple[Any, ...], asked: tuple[str, Any], answered: Any
) -> Iterable[tuple[Any, ...]]:
    """Model a queue: requests `("enq", value)` or `("deq", None)`."""
    what, value = asked
    if what == "enq":
        return ((*state, value),)
    if not state:
        return (state,) if answered is UNKNOWN else ()
    return (state[1:],) if answered is UNKNOWN or answered == state[0] else ()


def appended(state: str, asked: tuple[str, Any], answered: Any) -> Iterable[str]:
    """Model one key of a store: `("get", None)`, `("put", text)`, `("append", text)`."""
    what, value = asked
    if what == "get":
        return (state,) if answered is UNKNOWN or answered == state else ()
    return (value,) if what == "put" else (state + value,)


# ── Vigie ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Asked(NamedTuple):
    """A decision of a person about one incident, plan or proposal."""

    verb: str
    expected: int | None = None
    """The version that the author had read (If-Match)."""
    lines: frozenset[str] = frozenset()


class Answered(NamedTuple):
    """`code` empty: applied, and the object has this version now."""

    code: str
    version: int = 0


class Held(NamedTuple):
    """An incident or a plan: it is on (open, active) or off."""

    on: bool
    version: int


class Verb(NamedTuple):
    """A decision: its condition, its result, and its refusal."""

    when: bool
    then: bool
    else_: str


def decisions(verbs: Mapping[str, Verb], mismatch: str) -> Step:
    """Return the model of switches: each applied decision is one version more."""

    def step(state: Held, asked: Asked, answered: Any) -> Iterable[Held]:
        verb = verbs[asked.verb]
        if asked.expected is not None and asked.expected != state.version:
            right = mismatch
        else:
            right = "" if state.on is verb.when else verb.else_
        after = state if right else Held(verb.then, state.version + 1)
        if answered is UNKNOWN:
            return {state, after}
        return (
            (after,)
            if answered.code == right and (right or answered.version == after.version)
            else ()
        )

    return step


INCIDENT: Final = decisions(
    {
        "acknowledge": Verb(True, True, "incident_not_open"),
        "resolve": Verb(True, False, "incident_not_open"),
        "reopen": Verb(False, True, "incident_not_closed"),
    },
    "version_conflict",
)
PLAN: Final = decisions(
    {"activate": Verb(False, True, "already"), "stand-down": Verb(True, False, "not_active")},
    "version_conflict",
)


class Proposed(NamedTuple):
    """A proposal of a reassignment: which of its lines are decided."""

    decided: frozenset[str]
    version: int
    over: bool = False
    """Another proposal has taken its place."""


def approval(state: Proposed, asked: Asked, answered: Any) -> Iterable[Proposed]:
    """Model an approval: lines are decided once, by any person.

    A newer proposal may replace this one at any time, and then no line is decided any more.
    """
    done = Proposed(state.decided | asked.lines, state.version + 1)
    if asked.expected is not None and asked.expected != state.version:
        right = "version_conflict"
    else:
        right = "already" if asked.lines & state.decided else ""
    if answered is UNKNOWN:
        return (state,) if state.over or right else (state, done)
    if answered.code in ("proposal_superseded", "proposal_over"):
        return (state._replace(over=True),)
    if state.over or answered.code != right:
        return ()
    return (state,) if right else (done,) if answered.version == done.version else ()


class Promising(NamedTuple):
    """A decision about one resource request and a stock of which it takes one."""

    verb: str
    """`offer` reserves one of the stock, `commit` promises it, `cancel` gives it back."""
    request: str


class Stock(NamedTuple):
    """The requests that hold one of a stock, and those that are over."""

    holders: frozenset[str] = frozenset()
    over: frozenset[str] = frozenset()


def stock_of(quantity: int) -> Step:
    """Return the model of a stock: so many requests hold one of it at a time, and no more."""

    def step(state: Stock, asked: Promising, answered: Any) -> Iterable[Stock]:
        request, right, after = asked.request, "", state
        if request in state.over:
            right = "request_state"
        elif asked.verb == "offer":
            right = "" if len(state.holders) < quantity else "stock_short"
            after = state._replace(holders=state.holders | {request})
        elif asked.verb == "commit":
            right = "" if request in state.holders else "request_state"
        else:
            after = Stock(state.holders - {request}, state.over | {request})
        after = state if right else after
        if answered is UNKNOWN:
            return {state, after}
        return (after,) if answered.code == right else ()

    return step
