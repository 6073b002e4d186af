"""Every expectation of the shipped scenarios, on the real deciders composed in memory."""

from __future__ import annotations

import pytest

from services.cli.checks import load_checks, run_checks
from tests.scenarios.memory import SCENARIOS, played_to

EXPECTATIONS = SCENARIOS / "expectations.yaml"


@pytest.mark.parametrize("name", ["S01", "S02", "S03", "S04", "S05", "S10", "S11", "S20", "S21"])
def test_a_replay_shows_what_is_expected(name: str) -> None:
    checks = load_checks(EXPECTATIONS, name)
    player = played_to(name, max(float(c["at_min"]) for c in checks))
    failed = [f"{r.id}: {r.got} ({r.why})" for r in run_checks(player.history(), checks) if not r.ok]
    assert not failed, "\n".join(failed)
