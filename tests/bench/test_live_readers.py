"""S04 at speed 60 before five hundred readers: how soon each is told, that none misses an event, that each sees only what it may."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from services.console.live_rows import LOG_ONLY
from tests.bench.test_intake import machine
from tests.system import ROOT, VIGIE, RunningVigie
from tests.waiting import eventually

pytestmark = pytest.mark.bench

READERS = 500
MINUTES = 90
"""Of S04, at speed 60: as many seconds."""


@dataclass
class Reader:
    """What one browser was told: ids in their order, names of events, delays from the store's entry to here in seconds."""

    ids: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    delays: list[float] = field(default_factory=list)

    async def run(self, answer: aiohttp.ClientResponse) -> None:
        async for raw in answer.content:
            if raw.startswith(b"event:"):
                self.events[raw[6:].strip().decode()] += 1
            elif raw.startswith(b"id:"):
                self.ids.append(raw[3:].strip().decode())
                if len(self.ids) > 1:  # the first is that of `hello`: where the stream stands
                    entry_ms = int(self.ids[-1].rpartition(".")[2].partition("-")[0])
                    self.delays.append(time.time() - entry_ms / 1000)


async def _watched(system: RunningVigie, realm: str, tokens: list[str], play: list[str]) -> list[Reader]:
    """Readers from the opening of the realm until all were told of its last change."""
    readers = [Reader() for _ in range(READERS)]
    playing = await asyncio.create_subprocess_exec(
        str(VIGIE), *play, cwd=ROOT, env=system.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    await eventually(lambda: system.http.get(f"/api/v1/realms/{realm}").status_code == 200, 60)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                system.url, connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None), read_bufsize=1 << 20
            )
        )
        tasks = []
        for n, reader in enumerate(readers):
            headers = {"Authorization": f"Bearer {tokens[n % 2]}", "Accept": "text/event-stream"}
            answer = await stack.enter_async_context(session.get("/api/v1/stream", params={"realm": realm}, headers=headers))
            answer.raise_for_status()
            tasks.append(asyncio.create_task(reader.run(answer)))
        said, _ = await playing.communicate()
        assert playing.returncode == 0, said.decode()

        async def all_told() -> bool:
            return len({r.ids[-1] for r in readers}) == 1

        await eventually(all_told, 30)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return readers


def test_five_hundred_readers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunningVigie(tmp_path / "readers") as system:
        realm = "92~ex-lecteurs"
        tokens = [
            system.cli("token", "create", "--role", role, "--quiet").stdout.strip() for role in ("coordinator", "technician")
        ]  # every second reader has no right to the log
        play = ["play", "S04", "--speed", "60", "--realm", realm, "--until", str(MINUTES)]
        readers = asyncio.run(_watched(system, realm, tokens, play))
    delays = sorted(d for r in readers for d in r.delays)
    p50, p99 = (1000 * delays[int(len(delays) * q)] for q in (0.5, 0.99))
    with capsys.disabled():
        print(
            f"\n{READERS} readers, {min(len(r.ids) for r in readers)} entries each, event in the store → reader p50 {p50:.0f} ms, p99 {p99:.0f} ms"
            f" (aim: p99 < 300 ms) on {machine()}"
        )
    longest = max((r.ids for r in readers), key=len)
    assert len(longest) > 200
    for n, reader in enumerate(readers):
        assert reader.ids == longest[-len(reader.ids) :], "missed an entry, or has one twice"
        assert reader.events["resync"] == 0
        assert (not LOG_ONLY & reader.events.keys()) == bool(n % 2), "a technician reads no log, a coordinator does"
