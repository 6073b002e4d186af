"""Time travel over a million records of one realm: S04 repeated, in a chronicle on disk."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from schemas.base import MINUTE_MS, Instant
from schemas.topics import PARTITION_COUNT, partition_of
from services.console.read_model.history import Chronicle, Fold, Version, list_versions
from services.console.read_model.queries import ReadModel
from services.console.read_model.snapshot import PastSnapshot
from services.console.read_model.store import EPOCH, STATE, Client, connect
from services.console.sites.geometry import load_outlines
from services.runtime.log.chain import Position
from services.runtime.log.transaction import Transaction
from tests.brokers import RunningStore
from tests.scenarios.memory import MemoryPlayer, scenario
from tests.shipped import FOLDER

REALM = "92~ex-past"
RECORDS = 1_000_000
MINUTES = 260
CRISIS_MS = 300 * MINUTE_MS
ASKED = 60
ALLOWED_S = 1.0
_IDS = re.compile(rb"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{8})[0-9a-f]{4}")


def again(found: list[Version], n: int) -> Iterator[Version]:
    """Repeat the same crisis later, with other incidents."""
    other = rb"\g<1>%04x" % n
    for v in found:
        id, incident = (
            _IDS.sub(other, v.id.encode()).decode(),
            v.incident and _IDS.sub(other, v.incident.encode()).decode(),
        )
        yield v._replace(
            id=id,
            at=v.at + n * CRISIS_MS,
            seq=v.seq + (n << 40),
            value=_IDS.sub(other, v.value),
            incident=incident,
        )


class Remembering(ReadModel):
    """The queries over a chronicle; the store has the rates per minute only."""

    def __init__(self, client: Client, chronicle: Chronicle) -> None:
        super().__init__(client, load_outlines(FOLDER))
        self._chronicle = chronicle

    async def _picture(self, realm: str, as_of: Instant | None) -> PastSnapshot:
        assert as_of is not None
        return await asyncio.to_thread(
            PastSnapshot, realm, Fold(self._chronicle, realm, as_of), as_of
        )


@pytest.mark.bench
async def test_any_time_among_a_million_records(
    store: RunningStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    s04 = scenario("S04")
    player = MemoryPlayer(s04, REALM)
    player.play(s04.start + MINUTES * MINUTE_MS)
    chronicle, partition = (
        Chronicle.open(tmp_path / "chronicle.db"),
        partition_of(REALM, PARTITION_COUNT),
    )
    logs = {
        name: [s.transaction for s in service.log.of(REALM)]
        for name, service in player.system.services.items()
    }
    once = sum(map(len, logs.values()))
    began = time.process_time()
    for transactions in logs.values():
        _folded(transactions)
    read_s = (time.process_time() - began) / once * RECORDS
    began, times = time.process_time(), -(-RECORDS // once)
    for name, transactions in logs.items():
        versions = [v for offset, tx in enumerate(transactions) for v in list_versions(tx, offset)]
        for n in range(times):
            chronicle.add(
                name, partition, again(versions, n), Position(next=(n + 1) * len(transactions))
            )
    filled_s = time.process_time() - began
    client = connect(store.url)
    await client.mset({EPOCH: "bench", STATE: "live"})
    model, chance, took = Remembering(client, chronicle), random.Random(1), []
    for _ in range(ASKED):
        at = (
            s04.start
            + chance.randrange(times) * CRISIS_MS
            + chance.randrange(10, MINUTES) * MINUTE_MS
        )
        began = time.monotonic()
        overview = await model.at(at).of(REALM).overview()
        took.append(time.monotonic() - began)
        assert overview.counts["incidents"] > 0
    took.sort()
    size = (tmp_path / "chronicle.db").stat().st_size >> 20
    await client.aclose()
    p95 = took[int(len(took) * 0.95)]
    with capsys.disabled():
        print(
            f"\noverview as of a time among {once * times:,} records ({size:,} MB on disk, filled in {filled_s:.0f} s CPU): p50 {took[len(took) // 2] * 1000:.0f} ms, "
            f"p95 {p95 * 1000:.0f} ms; reading all of them alone: {read_s:.0f} s CPU, {read_s / p95:.0f} times as long"
        )
    assert p95 < ALLOWED_S


def _folded(transactions: list[Transaction]) -> None:
    """Answer without a chronicle: read every record and keep the last rows."""
    rows: dict[tuple[str, str], bytes] = {}
    for offset, tx in enumerate(transactions):
        loaded = Transaction.load(tx.dump())
        rows.update({(v.collection, v.id): v.value for v in list_versions(loaded, offset)})
    for value in rows.values():
        orjson.loads(value or b"0")
