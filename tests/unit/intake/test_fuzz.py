"""Any input of any integration gives no 5xx, no hang and bounded memory.

Each refusal is counted and kept with its bytes for the cell.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import orjson
import psutil
import pytest

from services.intake.dead_letters.dead_letter_store import RefusedMessage
from services.runtime.identity.permissions import Role
from services.runtime.process import metrics
from tests.keyed import create_token
from tests.unit.intake.conftest import Door
from tests.unit.intake.mutations import KEY, MAIL_RULES, SEEDS, Seed, mutated

SLOWEST_S = 5.0
"""Time for one request on a busy machine; a body with quadratic cost takes minutes."""
GROWTH = 200 << 20
CHUNK = 500


class Fuzzed:
    """Front with a source per integration. Counts answers and kept refusals."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.keys: dict[str, str] = {}
        self.kept: Counter[str] = Counter()
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.slowest = 0.0
        door.intake.refused.keep = self._keep  # type: ignore[method-assign]

    def _keep(self, refused: RefusedMessage) -> None:
        assert refused.problem.faults or refused.problem.code, "a refusal has a reason"
        self.kept[refused.dialect] += 1

    async def open(self) -> None:
        async with await self.door.as_(Role.ADMIN) as http:
            for dialect in {s.dialect for s in SEEDS} - {"native"}:
                record = {"name": dialect, "dialect": dialect, "site": "cen-1"} | (
                    {"key": KEY} if dialect == "pagerduty" else {}
                )
                if dialect == "mail":
                    record["rules"] = MAIL_RULES
                made = await http.post("/api/v1/sources", json=record)
                assert made.status_code == 201, made.text
                self.keys[dialect] = made.json()["key"]
        _, self.keys["native"] = await create_token(self.door.intake.access, Role.SOURCE)

    async def send(self, seed: Seed, body: bytes) -> tuple[int, bytes]:
        messages: list[Any] = []
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return waiting.pop(0)

        async def send(message: Any) -> None:
            messages.append(message)

        headers = {"content-type": seed.kind, "content-length": str(len(body))} | seed.headers
        if seed.dialect != "pagerduty":
            headers["authorization"] = (
                f"{'GenieKey' if seed.dialect == 'opsgenie' else 'Bearer'} {self.keys[seed.dialect]}"
            )
        raw = [(n.encode(), v.encode()) for n, v in headers.items()]
        scope = {
            "type": "http",
            "method": "POST",
            "path": seed.path,
            "query_string": b"",
            "headers": raw,
            "client": ("192.0.2.1", 1),
        }
        began = time.perf_counter()
        await asyncio.wait_for(self.door.intake.front(scope, receive, send), SLOWEST_S * 4)
        self.slowest = max(self.slowest, time.perf_counter() - began)
        status = int(messages[0]["status"])
        self.statuses[seed.dialect, status] += 1
        return status, b"".join(m.get("body", b"") for m in messages[1:])


@pytest.fixture
async def fuzzed(tmp_path: Path) -> AsyncIterator[Fuzzed]:
    made = Fuzzed(
        Door(tmp_path, unknown_per_window=1_000_000, unknown_per_sender=1_000_000, batch_items=50)
    )
    await made.open()
    yield made
    await made.door.close()


@pytest.mark.parametrize("seed", SEEDS, ids=lambda s: f"{s.dialect}:{s.path}")
async def test_the_messages_that_are_mutated_are_taken_as_they_are(
    fuzzed: Fuzzed, seed: Seed
) -> None:
    status, body = await fuzzed.send(seed, seed.body)
    assert 200 <= status < 300, body


async def storm(fuzzed: Fuzzed, count: int, random: Random) -> None:
    """Send `count` mutated bodies to all integrations and check after each chunk."""
    process, before, worked = psutil.Process(), psutil.Process().memory_info().rss, 0
    while worked < count:
        for _ in range(min(CHUNK, count - worked)):
            seed = random.choice(SEEDS)
            body = mutated(random, seed)
            status, answer = await fuzzed.send(seed, body)
            assert status < 500, (seed.path, status, answer, body[:2000])
            assert status < 400 or orjson.loads(answer), (seed.path, body[:2000])
            worked += 1
        fuzzed.door.inputs.appended.clear()
        fuzzed.door.texts_log.__init__()  # type: ignore[misc]
        await fuzzed.door.intake.ledger.flush()
        assert process.memory_info().rss - before < GROWTH
    assert fuzzed.slowest < SLOWEST_S
    room = fuzzed.door.intake.admission.room
    assert (room.used, fuzzed.door.intake.admission.inside) == (0, 0), (
        "nothing is held by what was refused"
    )


def check_refusals(fuzzed: Fuzzed) -> None:
    """Check that each refusal of a known sender is kept and counted; strangers are only counted."""
    strangers = fuzzed.door.intake.front._strangers.count
    refused = sum(n for (_, status), n in fuzzed.statuses.items() if status >= 400)
    whole_batches = sum(
        n
        for (dialect, status), n in fuzzed.statuses.items()
        if dialect == "native" and status == 422
    )
    assert sum(fuzzed.kept.values()) + strangers >= refused
    assert refused > sum(fuzzed.statuses.values()) // 10, "the mutations are no mutations"
    assert strangers < sum(fuzzed.statuses.values()) // 10
    assert whole_batches > 0
    counted = {
        s.labels["status"]: s.value
        for m in metrics._get_collector("vigie_reports_total").collect()
        for s in m.samples
        if s.name.endswith("_total") and s.labels["dialect"] == "generic"
    }
    assert counted.get("422", 0) >= fuzzed.statuses["generic", 422]


async def test_3_000_mutated_bodies_are_taken_or_refused_with_a_reason(fuzzed: Fuzzed) -> None:
    await storm(fuzzed, 3_000, Random(20261125))
    check_refusals(fuzzed)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_100_000_mutated_bodies(fuzzed: Fuzzed) -> None:
    await storm(fuzzed, 100_000, Random(time.time_ns()))
    check_refusals(fuzzed)
