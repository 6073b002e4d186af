"""Every expectation of the shipped scenarios, and every message that they send, on the real deciders composed in memory."""

from __future__ import annotations

import pytest

from services.cli.checks import load_checks, run_checks
from tests.scenarios.memory import SCENARIOS, MemoryPlayer, played_to
from tests.scenarios.told import faults_of, last_rows, text_of

EXPECTATIONS = SCENARIOS / "expectations.yaml"
NAMES = ("S01", "S02", "S03", "S04", "S05", "S10", "S11", "S20", "S21")


@pytest.fixture(scope="module", params=NAMES)
def played(request: pytest.FixtureRequest) -> MemoryPlayer:
    """Play a scenario once for all that is asked of it."""
    checks = load_checks(EXPECTATIONS, request.param)
    return played_to(request.param, max(float(c["at_min"]) for c in checks))


def test_a_replay_shows_what_is_expected(played: MemoryPlayer) -> None:
    checks = load_checks(EXPECTATIONS, played.played.id)
    failed = [f"{r.id}: {r.got} ({r.why})" for r in run_checks(played.history(), checks) if not r.ok]
    assert not failed, "\n".join(failed)


def test_every_message_says_what_where_since_when_and_what_is_asked(played: MemoryPlayer) -> None:
    """Rule D70: no code, no third SMS, nothing that a voice cannot say."""
    faults = {f"{row.template}: {fault}: {text_of(row).sms}" for row in last_rows(played) for fault in faults_of(row)}
    assert not faults, "\n".join(sorted(faults)[:20])
