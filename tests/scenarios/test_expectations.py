"""The shipped scenarios meet their expectations, messages and demands, on the real deciders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise
from typing import Any

import pytest

from schemas.base import MINUTE_MS, RowFact
from services.console.attention.rows import (
    MAX_NEW,
    DemandRows,
    Urgency,
    limit_demands,
    list_demands,
)
from services.simulation.checks import load_checks, run_checks
from tests.scenarios.memory import SCENARIOS, MemoryPlayer, played_to
from tests.scenarios.told import faults_of, last_rows, longest_rows, text_of
from tests.shipped import territory

EXPECTATIONS = SCENARIOS / "expectations.yaml"
NO_ROWS = ("policy", "danger_roles", "dangers")
RECORD_BYTES = 200 * 1024
NAMES = ("S01", "S02", "S03", "S04", "S05", "S10", "S11", "S20", "S21")


@pytest.fixture(scope="module", params=NAMES)
def played(request: pytest.FixtureRequest) -> MemoryPlayer:
    """Play a scenario once for all that is asked of it."""
    checks = load_checks(EXPECTATIONS, request.param)
    return played_to(request.param, max(float(c["at_min"]) for c in checks))


def test_a_replay_meets_its_expectations(played: MemoryPlayer) -> None:
    checks = load_checks(EXPECTATIONS, played.played.id)
    failed = [
        f"{r.id}: {r.got} ({r.why})" for r in run_checks(played.history(), checks) if not r.ok
    ]
    assert not failed, "\n".join(failed)


def test_every_message_names_event_place_time_and_request(played: MemoryPlayer) -> None:
    """Rule D70: no code, no third SMS, nothing that a voice cannot say."""
    faults = {
        f"{row.template}: {fault}: {text_of(row).sms}"
        for row in longest_rows(played)
        for fault in faults_of(row)
    }
    assert not faults, "\n".join(sorted(faults)[:20])


def test_no_input_fails_and_no_record_is_large(played: MemoryPlayer) -> None:
    """A transaction may hold 256 KiB."""
    facts = played.system.facts(played.realm)
    assert not [
        f.data for f in facts if f.name in ("InputFailed", "InputRefused", "DeadlineFailed")
    ]
    services = played.system.services.values()
    assert (
        max(len(stored.raw) for service in services for stored in service.log.of(played.realm))
        < RECORD_BYTES
    )


def pictures(player: MemoryPlayer, every_min: int) -> Iterator[tuple[int, DemandRows]]:
    """Yield the console's data every so many minutes of a replay with events."""
    rows: dict[str, dict[str, Any]] = {
        f.name: {} for f in fields(DemandRows) if f.name not in NO_ROWS
    }
    step, due = every_min * MINUTE_MS, 0
    for record in sorted(player.system.facts(player.realm), key=lambda f: f.at):
        if record.at >= due:
            if due:
                yield due, DemandRows(territory().policy, **rows)
            due = record.at - record.at % step + step
        fact = record.message()
        if isinstance(fact, RowFact) and fact.collection in rows:
            row = fact.row  # type: ignore[attr-defined]
            rows[fact.collection][row.id] = row
    yield due, DemandRows(territory().policy, **rows)


def test_no_role_gets_more_than_ten_demands_in_ten_minutes(played: MemoryPlayer) -> None:
    """Rule D77: for each role and for the whole cell.

    No demand about danger to people waits in a digest.
    """
    most = 0
    for at, facts in pictures(played, 5):
        demands = list_demands(facts, at)
        for role in (None, *territory().policy.roles):
            attention_queue = limit_demands(demands, role, at)
            most = max(most, attention_queue.rate)
            assert attention_queue.rate <= MAX_NEW, (role, at)
            assert Urgency.DANGER not in {d.urgency for d in attention_queue.digest}, (role, at)
    assert most > 0


def test_no_person_gets_two_messages_of_an_incident_in_a_minute_except_danger(
    played: MemoryPlayer,
) -> None:
    """Rule D71."""
    begun: dict[tuple[str, str], list[tuple[int, bool, str]]] = {}
    for row in last_rows(played):
        if row.attempts and row.incident is not None and row.campaign is None:
            begun.setdefault((row.person, row.incident), []).append(
                (row.attempts[0].planned_at, row.danger, row.template)
            )
    crowded = [
        f"{person}: {one} then {two}"
        for (person, _), messages in begun.items()
        for one, two in pairwise(sorted(messages))
        if not two[1] and two[0] - one[0] < MINUTE_MS
    ]
    assert not crowded, "\n".join(crowded[:10])
