"""One provider call per attempt, in all interleavings of a small world, many of a larger one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.model.claim import CALLED_LATE, CALLED_TWICE, GUARDS, RECORD_WRONG, Claim
from tests.model.worlds import broken_runs, explore, first_broken

SETTINGS: dict[str, dict[str, Any]] = {
    "stalls": {},
    "no stall": {"stalls": False},
    "take-over": {"loss": 1},
}
MUTANTS = {
    "read-back": ("stalls", 0, CALLED_TWICE),
    "run-id": ("stalls", 0, CALLED_TWICE),
    "fresh-run": ("stalls", 0, CALLED_TWICE),
    "once": ("stalls", 0, CALLED_TWICE),
    "elapsed": ("no stall", 399, CALLED_LATE),
    "grace": ("no stall", 9, CALLED_LATE),
    "perhaps": ("take-over", 28, RECORD_WRONG),
    "ended": ("no stall", 0, CALLED_LATE),
    "loss": ("take-over", 1, CALLED_TWICE),
}
"""Guard → (setting, a seed from which its mutant breaks soon, how)."""


@pytest.mark.parametrize("setting", SETTINGS)
def test_an_attempt_is_called_at_most_once_and_never_after_it_is_in_doubt(setting: str) -> None:
    assert broken_runs(lambda _: Claim(**SETTINGS[setting]), range(200)) == {}


def test_every_interleaving_of_a_small_world_holds() -> None:
    exploration = explore(Claim(limit=1, grace=1, horizon=3, stalls=False))
    assert exploration.whole
    assert exploration.states > 10_000


@pytest.mark.parametrize("guard", GUARDS)
def test_every_guard_is_needed(guard: str) -> None:
    setting, seed, how = MUTANTS[guard]
    assert first_broken(lambda _: Claim(guard, **SETTINGS[setting]), range(seed, seed + 20)) == how


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("setting", SETTINGS)
def test_every_interleaving_of_a_larger_world_holds(setting: str) -> None:
    assert explore(Claim(limit=1, grace=1, horizon=4, **SETTINGS[setting])).whole
    assert broken_runs(lambda _: Claim(**SETTINGS[setting]), range(20_000)) == {}
