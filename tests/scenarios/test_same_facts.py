"""A scenario gives the same facts, in the same order per service: on Kafka at full speed, on Kafka at a pace, and in memory without Kafka."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable

import pytest

from schemas.base import MINUTE_MS
from schemas.topics import SERVICES
from services.cli.history import read_history_by_service
from services.runtime.settings import Settings
from services.runtime.transaction import FactRecord
from tests.scenarios.memory import MemoryPlayer, scenario
from tests.system import RunningVigie

pytestmark = pytest.mark.soak  # a system of its own for minutes

UNTIL_MIN = 260
TRANSPORT = frozenset({"StepAccepted", "CommandApplied", "InputDuplicate", "RealmOpened", "ReferencePublished"})
"""Facts that say how the history was driven, not what happened in it."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def canonical(facts: Iterable[FactRecord], realm: str, names: dict[str, str]) -> list[str]:
    """Facts as text, each id replaced by the number of its first appearance in the whole history."""

    def number(match: re.Match[str]) -> str:
        return names.setdefault(match[0], f"#{len(names)}")

    texts = (json.dumps([f.name, f.at, f.id, f.data], ensure_ascii=False, sort_keys=True) for f in facts if f.name not in TRANSPORT)
    return [_UUID.sub(number, t.replace(realm, "REALM")) for t in texts]


def by_service(histories: dict[str, list[FactRecord]], realm: str, author: str) -> dict[str, list[str]]:
    names: dict[str, str] = {author: "PLAYER"}
    return {s: canonical(histories[s], realm, names) for s in SERVICES}


def played(vigie: RunningVigie, realm: str, speed: str) -> dict[str, list[str]]:
    done = vigie.cli("play", "S04", "--speed", speed, "--realm", realm, "--until", str(UNTIL_MIN), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    settings = Settings(data_dir=vigie.folder / "data")
    return by_service(asyncio.run(read_history_by_service(settings, realm)), realm, "player")


def in_memory() -> dict[str, list[str]]:
    s04 = scenario("S04")
    player = MemoryPlayer(s04, "92~ex-memory")
    player.play(s04.start + UNTIL_MIN * MINUTE_MS)
    return by_service({s: player.system.facts(player.realm, [s]) for s in SERVICES}, player.realm, "player")


@pytest.mark.timeout(170)
def test_speed_and_kafka_change_no_fact(vigie: RunningVigie) -> None:
    """A live realm is busy beside it."""
    report = {"site_id": "cen-1", "type": "closure", "severity": 3, "occurred_at": "2026-01-05T08:00:00Z"}
    assert vigie.http.post("/api/v1/reports", json=report).status_code == 202
    fast, paced, memory = played(vigie, "92~ex-fast", "max"), played(vigie, "92~ex-paced", "600"), in_memory()
    for service in SERVICES:
        assert fast[service] == memory[service], service
        assert paced[service] == memory[service], service


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_slow_pace_changes_no_fact(vigie: RunningVigie) -> None:
    assert played(vigie, "92~ex-slow", "60") == in_memory()
