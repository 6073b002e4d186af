"""The append protocol holds in every drawn interleaving, and breaks without each guard."""

from __future__ import annotations

import pytest

from tests.model.chain import CASES, GUARDS, PAIRS, Chain, chain
from tests.model.worlds import Broken, broken_runs, explore, walk

OTHER_STATE = "a worker took another state than the fold of the accepted records"
OTHER_HISTORY = "after a truncation a worker took a history that others refuse"
NEVER_APPLIED = "an accepted input was silently never applied"
VANISHED = "facts that a reader saw vanished silently"
MUTANTS: dict[tuple[str, ...], tuple[str, int, str]] = {
    ("ack",): ("plain", 0, OTHER_STATE),
    ("after-ack",): ("cut_log", 17, OTHER_HISTORY),
    ("apart",): ("plain", 11, "a good input was recorded as failed"),
    ("audit",): ("cut_input", 80, NEVER_APPLIED),
    ("dedup",): ("plain", 0, "a duplicate id had a second effect"),
    ("head",): ("cut_log", 0, OTHER_HISTORY),
    ("history",): ("cut_log", 0, "no progress"),
    ("prev",): ("upgrade", 10, "a record was not decided from its history"),
    ("recheck",): ("cut_log", 146, OTHER_HISTORY),
    ("run",): ("cut_log", 621, OTHER_HISTORY),
    ("stop",): ("fail_over", 111, OTHER_HISTORY),
    ("unseen",): ("upgrade", 7, "a failed input could not be replayed after the fix"),
    ("watch",): ("cut_log", 25, NEVER_APPLIED),
    ("fence", "stop"): ("cut_log", 2, "a record of older logic was accepted"),
    ("digest", "audit"): ("cut_input", 136, NEVER_APPLIED),
    ("reset", "audit"): ("cut_input", 20, NEVER_APPLIED),
    ("resume", "audit"): ("cut_both", 83, VANISHED),
    ("anchor", "audit"): ("cut_both", 522, VANISHED),
    ("seq", "prev"): ("plain", 0, "an input was skipped or applied twice"),
}
"""Guards that are missing → (case, a seed at which that breaks, how)."""


def breaks(case: str, seed: int, *without: str) -> str | None:
    """Return the breach of this run; None if it holds."""
    try:
        walk(chain(seed, case, without), seed)
    except Broken as why:
        return str(why)
    return None


@pytest.mark.parametrize("case", CASES)
def test_the_protocol_holds(case: str) -> None:
    assert broken_runs(lambda seed: chain(seed, case), range(60)) == {}


@pytest.mark.parametrize("guards", MUTANTS, ids=" ".join)
def test_every_guard_is_needed(guards: tuple[str, ...]) -> None:
    """Alone, or in a pair of which each covers for the other."""
    case, seed, how = MUTANTS[guards]
    assert breaks(case, seed) is None
    assert breaks(case, seed, *guards) == how
    if len(guards) > 1:
        assert [breaks(case, seed, guard) for guard in guards] == [None, None]


def test_every_guard_has_its_mutant() -> None:
    mutant_guards = {guard for guards in MUTANTS for guard in guards}
    assert mutant_guards == set(GUARDS)
    assert {guards for guards in MUTANTS if len(guards) > 1} <= set(PAIRS)


SMALL = {
    "crash": Chain([("r1", "report", 1)], ("run",), crash=1, writers=2, horizon=0),
    "cut": Chain([("r1", "report", 1)], crash=0, cut_log=1, writers=2, horizon=0),
    "upgrade": Chain([("r1", "report", 1)], ("run",), crash=0, upgrade=1, writers=2, horizon=0),
}
"""Worlds with every interleaving visited; `run` only separates otherwise equal states."""
LARGER = {
    "crash": Chain(
        [("r1", "report", 1), ("a1", "ack", 1)], ("run",), crash=1, writers=2, horizon=3
    ),
    "cut": Chain(
        [("r1", "report", 1), ("r2", "report", 2)], crash=0, cut_log=1, writers=2, horizon=0
    ),
    "upgrade": Chain([("r1", "report", 1)], ("run",), crash=0, upgrade=1, writers=2, horizon=2),
}


@pytest.mark.parametrize("name", SMALL)
def test_every_interleaving_of_a_small_world_holds(name: str) -> None:
    assert explore(SMALL[name]).whole


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("case", CASES)
def test_the_protocol_holds_in_many_interleavings(case: str) -> None:
    assert broken_runs(lambda seed: chain(seed, case), range(3000)) == {}


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", LARGER)
def test_larger_worlds_hold_in_their_explored_part(name: str) -> None:
    assert explore(LARGER[name], limit=400_000).states > 10_000
