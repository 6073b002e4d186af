"""A scenario gives the same facts per service on Kafka at any speed and in memory."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from ruamel.yaml import YAML

from schemas.base import MINUTE_MS
from schemas.topics import SERVICES
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal
from services.runtime.log.transaction import FactRecord
from services.runtime.process.settings import Settings
from services.simulation.history import read_history_by_service
from tests.crisis import RESPONDERS, UNTIL_MIN
from tests.scenarios.memory import MemoryPlayer, scenario
from tests.system import RunningVigie

WHOLE_MIN, BEGUN_MIN = 260, 15
"""Minutes of S04: to its end, and until proposals, calls and clocks are under way."""
PLAYER = Principal(id="local-admin", role=Role.ADMIN)
"""Owner of the token that `vigie play` uses beside `vigie up`: ids of reports derive from it."""
TRANSPORT = frozenset(
    {"StepAccepted", "CommandApplied", "InputDuplicate", "RealmOpened", "ReferencePublished"}
)
"""Facts about the drive of the history, not about its events."""
OTHER_TESTS = frozenset({"ReportRead"})
"""Facts of pages that other tests open in the shared crisis."""

History = dict[str, list[str]]


def as_text(facts: dict[str, list[FactRecord]]) -> History:
    """List every fact with its time, id and content, per service in log order."""
    return {
        service: [
            json.dumps([f.name, f.at, f.id, f.data], ensure_ascii=False, sort_keys=True)
            for f in facts[service]
            if f.name not in TRANSPORT | OTHER_TESTS
        ]
        for service in SERVICES
    }


def played(vigie: RunningVigie, realm: str, speed: str, minutes: int) -> History:
    until = ("--until", str(minutes))
    done = vigie.cli(
        "play", "S04", "--speed", speed, "--realm", realm, *until, "--json", timeout_s=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return logged(vigie, realm)


def logged(vigie: RunningVigie, realm: str) -> History:
    settings = Settings(data_dir=vigie.folder / "data")
    return as_text(asyncio.run(read_history_by_service(settings, realm)))


def in_memory(realm: str, minutes: float, responders: tuple[dict[str, Any], ...] = ()) -> History:
    s04 = scenario("S04")
    player = MemoryPlayer(s04, realm, sender=PLAYER, responders=responders, planner=True)
    player.play(s04.start + int(minutes * MINUTE_MS))
    return as_text({s: player.system.facts(realm, [s]) for s in SERVICES})


def assert_same(found: History, wanted: History) -> None:
    for service in SERVICES:
        assert len(found[service]) == len(wanted[service]), service
        for n, (one, other) in enumerate(zip(found[service], wanted[service], strict=True)):
            assert one == other, f"{service}, fact {n}"


@pytest.mark.timeout(1500)
def test_speed_and_kafka_change_no_fact(vigie: RunningVigie, crisis: str) -> None:
    """A live realm is busy beside the paced one."""
    report = {
        "site_id": "cen-1",
        "type": "info",
        "severity": 1,
        "occurred_at": "2026-01-05T08:00:00Z",
    }
    assert vigie.http.post("/api/v1/reports", json=report).status_code == 202
    answers = tuple(YAML(typ="safe").load(RESPONDERS)["responders"])
    assert_same(logged(vigie, crisis), in_memory(crisis, UNTIL_MIN, answers))
    paced = "92~ex-paced"
    assert_same(played(vigie, paced, "600", BEGUN_MIN), in_memory(paced, BEGUN_MIN))


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_slow_pace_changes_no_fact(vigie: RunningVigie) -> None:
    for realm, speed in (("92~ex-slow", "60"), ("92~ex-whole", "max")):
        assert_same(played(vigie, realm, speed, WHOLE_MIN), in_memory(realm, WHOLE_MIN))
