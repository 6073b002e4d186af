"""A reassignment under SIGKILL: the planner during a solve, continuity during an approval. Nothing is lost, nothing goes out twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.topics import BY_NAME
from services.runtime.settings import Settings
from tests.faults.matrix import proves
from tests.system import RunningVigie
from tests.waiting import until

WAIT_S = 240.0


@pytest.fixture(scope="module")
def vigie(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVigie]:
    """One of its own: its live realm burns."""
    with RunningVigie(tmp_path_factory.mktemp("moves")) as running:
        yield running


def ask(vigie: RunningVigie, path: str, body: dict[str, Any] | None = None, **headers: str) -> httpx.Response | None:
    """A decision; None while the doors are being opened again."""
    try:
        return vigie.http.post(f"/api/v1/reassignments/{path}", json=body or {}, headers={"Prefer": "wait=20", **headers})
    except httpx.TransportError:
        return None


def read(vigie: RunningVigie, path: str) -> list[dict[str, Any]]:
    try:
        answer = vigie.http.get(f"/api/v1/reassignments{path}")
    except httpx.TransportError:
        return []
    return answer.json()["items"] if answer.status_code == 200 else []


async def told(vigie: RunningVigie) -> Counter[str]:
    """Lines of the orders on the public topic."""
    settings, lines = Settings(data_dir=vigie.folder / "data"), Counter[str]()
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False, auto_offset_reset="none")
    await consumer.start()
    try:
        parts = [TopicPartition("reassignments", n) for n in range(BY_NAME["reassignments"].partitions)]
        ends = await consumer.end_offsets(parts)
        consumer.assign(parts)
        for part in parts:
            consumer.seek(part, 0)
        seen: set[bytes] = set()
        while any([await consumer.position(part) < ends[part] for part in parts]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    headers = dict(record.headers)
                    if headers["ce_type"] == b"vigie.ReassignmentOrdered.v1" and headers["ce_id"] not in seen:
                        seen.add(headers["ce_id"])
                        lines.update(orjson.loads(record.value)["row"]["lines"])
    finally:
        await consumer.stop()
    return lines


@proves("planner", "kill")
@pytest.mark.timeout(900)
async def test_kills_during_a_solve_and_an_approval_lose_and_repeat_nothing(vigie: RunningVigie) -> None:
    fire = {"site_id": "cen-1", "type": "fire", "severity": 5, "occurred_at": datetime.now(UTC).isoformat(), "certainty": "confirmed"}
    assert vigie.http.post("/api/v1/reports", json=fire).status_code == 202
    until(lambda: (answer := ask(vigie, "compute")) is not None and answer.status_code == 200, WAIT_S)
    vigie.kill("planner")
    vigie.kill("continuity")
    until(lambda: any(p["state"] == "open" and p["agents"] for p in read(vigie, "")), WAIT_S)
    proposal = next(p for p in read(vigie, "") if p["state"] == "open")
    assert (proposal["demand"], proposal["displaced"], proposal["unmet_agents"]) == (311, 1460, 0)

    observer = vigie.cli("token", "create", "--role", "observer", "--quiet").stdout.strip()
    refused = ask(vigie, f"{proposal['id']}/approve", Authorization=f"Bearer {observer}")
    assert refused is not None
    assert refused.status_code == 403

    sent = ask(vigie, f"{proposal['id']}/approve", **{"If-Match": '"0"', "Idempotency-Key": "all", "Prefer": "wait=0"})
    assert sent is not None
    assert sent.status_code in (200, 202), sent.text
    vigie.kill("continuity")
    until(lambda: len(read(vigie, "/lines?state=dispatched")) == proposal["lines_total"], WAIT_S)
    again = ask(vigie, f"{proposal['id']}/approve", **{"If-Match": '"0"', "Idempotency-Key": "all"})
    assert again is not None
    assert again.status_code in (200, 202), "the same key is the same decision"
    stale = ask(vigie, f"{proposal['id']}/approve", **{"If-Match": '"0"'})
    assert stale is not None
    assert stale.status_code == 412, stale.text

    lines = read(vigie, "/lines")
    assert sum(line["count"] for line in lines) == proposal["agents"]
    assert all(line["approved_by"] and "D49" in line["rules"] for line in lines)
    verdict = await asyncio.to_thread(vigie.cli, "verify")
    assert verdict.returncode == 0, verdict.stdout[-3000:]
    ordered = await told(vigie)
    assert set(ordered) == {line["id"] for line in lines}
    assert set(ordered.values()) == {1}
