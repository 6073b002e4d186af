"""The small domain of the chain model: reports open escalations, answers stop them, steps fire.

It makes a wrong order visible: duplicates, an input that makes `decide` raise (`poison`), a
deadline that makes firing raise (`cursed`). Logic 2 mends both, and writes a fact unknown to logic
1.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tests.model.worlds import Broken, Stopped

RUNGS: Final = (2, 4, 6)
"""Times of the steps of an escalation, from its opening."""
Fact = tuple[Any, ...]
"""(kind, …)"""


class Input(NamedTuple):
    """One input record: made once by a producer (id), appended by the broker at t."""

    id: str
    kind: str
    """report, ack, tick, poison, cursed"""
    incident: int
    t: int
    born: int
    """Tells two records with the same content apart: a topic that was made anew holds others."""


class Ladder(NamedTuple):
    incident: int
    opened_at: int
    next_rung: int
    stopped: bool
    cursed: bool


class State(NamedTuple):
    now: int = 0
    seen: frozenset[str] = frozenset()
    ladders: tuple[Ladder, ...] = ()


def fire(state: State, t: int, logic: int, *, apart: bool) -> list[Fact]:
    """Return the facts due by t: the newest due step fires, skipped ones are superseded.

    A deadline that raises stops itself (`apart`), or raises ValueError into the current input.
    """
    facts: list[Fact] = []
    for ladder in state.ladders:
        due = (
            []
            if ladder.stopped
            else [
                k for k in range(ladder.next_rung, len(RUNGS)) if ladder.opened_at + RUNGS[k] <= t
            ]
        )
        if due and ladder.cursed and logic == 1:
            if not apart:
                raise ValueError
            facts.append(("stopped", ladder.incident))
        elif due:
            facts += [("superseded", ladder.incident, k) for k in due[:-1]]
            facts.append(("fired", ladder.incident, due[-1]))
    return facts


def decide(
    state: State, given: Input, t: int, logic: int, guards: frozenset[str]
) -> tuple[Fact, ...]:
    """Return the facts of one input at t, deadlines first."""
    try:
        facts = fire(state, t, logic, apart="apart" in guards)
    except ValueError:
        return (("failed", given.id),)
    if "dedup" in guards and given.id in state.seen:
        return (*facts, ("duplicate", given.id))
    if given.kind == "poison" and logic == 1:
        unseen: tuple[Fact, ...] = () if "unseen" in guards else (("seen", given.id),)
        return (*facts, ("failed", given.id), *unseen)
    effect: tuple[Fact, ...]
    match given.kind:
        case "ack":
            effect = (("acked", given.incident),)
        case "tick":
            effect = ()
        case _:
            effect = (("opened", given.incident, t, given.kind == "cursed"),)
    assessed: tuple[Fact, ...] = (("assessed", given.incident),) if logic > 1 else ()
    return (*facts, *effect, *assessed, ("seen", given.id))


def evolve(state: State, t: int, facts: tuple[Fact, ...], code: int) -> State:
    """Return the state after the facts of one record; stop at an unknown fact."""
    input_ids, ladders = set(state.seen), {ladder.incident: ladder for ladder in state.ladders}
    for kind, *args in facts:
        match kind:
            case "assessed" if code < 2:
                raise Stopped("fact.unknown")
            case "seen":
                input_ids.add(args[0])
            case "opened":
                ladders[args[0]] = Ladder(args[0], args[1], 0, False, args[2])
            case "acked" | "stopped" if args[0] in ladders:
                ladders[args[0]] = ladders[args[0]]._replace(stopped=True)
            case "fired" | "superseded":
                if args[0] not in ladders:
                    raise Broken("a record that cannot be folded was accepted")
                ladders[args[0]] = ladders[args[0]]._replace(next_rung=args[1] + 1)
            case _:
                pass
    return State(max(state.now, t), frozenset(input_ids), tuple(sorted(ladders.values())))
