"""Every accepted fact reaches its receivers once, in order, through any failure.

Publishers, sends, versions and the source's log may fail.
"""

from __future__ import annotations

import pytest

from tests.model.forwarding import GAP, GUARDS, TWICE, Forwarding
from tests.model.worlds import broken_runs, first_broken

MUTANTS = {
    "watermark": (0, 0, TWICE),
    "in-order": (0, 1, GAP),
    "begin": (1, 1, GAP),
    "table": (0, 0, GAP),
    "stop": (0, 0, GAP),
    "history": (1, 1, GAP),
}
"""Guard → (losses of the source log, a seed from which its mutant breaks soon, how)."""


@pytest.mark.parametrize("cut", [0, 1])
def test_every_fact_has_its_effect_once_and_in_order(cut: int) -> None:
    assert broken_runs(lambda _: Forwarding(cut=cut), range(30)) == {}


@pytest.mark.parametrize("guard", GUARDS)
def test_every_guard_is_needed(guard: str) -> None:
    cut, seed, how = MUTANTS[guard]
    assert first_broken(lambda _: Forwarding(guard, cut), range(seed, seed + 20)) == how


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("cut", [0, 1])
def test_the_protocol_holds_in_many_interleavings(cut: int) -> None:
    assert broken_runs(lambda _: Forwarding(cut=cut), range(2000)) == {}
