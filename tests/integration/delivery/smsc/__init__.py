"""The SMSC of npm `smpp` as a process of the tests; `npm ci` installs it from its lock file."""

from __future__ import annotations

import asyncio
import fcntl
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.waiting import eventually

HERE = Path(__file__).parent
PATIENCE_S = 60


def install() -> None:
    """Install it once per checkout.

    Raises FileNotFoundError without npm (`make test` brings it).
    """
    with (HERE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (HERE / "node_modules" / "smpp").is_dir():
            subprocess.run(
                ["npm", "ci", "--no-audit", "--no-fund", "--silent"],
                cwd=HERE,
                check=True,
                timeout=120,
            )


class Smsc:
    """Control of the SMSC: its events and its behaviour."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.seen: list[dict[str, Any]] = []

    async def read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.seen.append(json.loads(line))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [e for e in self.seen if e["event"] == event]

    async def saw(self, event: str, count: int = 1) -> dict[str, Any]:
        """Wait for `count` such events and return the last."""
        await eventually(lambda: len(self.of(event)) >= count, PATIENCE_S)
        return self.of(event)[count - 1]

    def tell(self, **command: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    @property
    def port(self) -> int:
        return int(self.of("listening")[0]["port"])


@asynccontextmanager
async def running_smsc() -> AsyncIterator[Smsc]:
    await asyncio.to_thread(install)
    process = await asyncio.create_subprocess_exec(
        "node", str(HERE / "smsc.js"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    smsc = Smsc(process)
    reading = asyncio.create_task(smsc.read())
    try:
        await smsc.saw("listening")
        yield smsc
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.wait(), PATIENCE_S)
        await reading
