"""The lane of the refused outlives a full disk: its end would be taken for that of the front."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from services.intake.refusals import Refused
from services.runtime.principals import Principal
from services.runtime.problems import Problem
from services.runtime.rights import Role
from tests.unit.intake.conftest import Door


@pytest.mark.parametrize("error", [sqlite3.OperationalError("database or disk is full"), OSError(28, "No space left on device")])
async def test_what_cannot_be_kept_now_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    door = Door(tmp_path)
    lane, kept, both = door.intake.refused, list[bytes](), asyncio.Event()

    async def write(refused: Refused) -> None:
        if refused.body == b"1":
            raise error
        kept.append(refused.body)
        both.set()

    monkeypatch.setattr(lane, "_write", write)
    running = asyncio.create_task(lane.run())
    for body in (b"1", b"2"):
        lane.keep(Refused(Principal(id="s", role=Role.SOURCE), Problem("invalid"), body, "text/plain", "native"))
    reached = asyncio.create_task(both.wait())
    await asyncio.wait({running, reached}, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    assert (kept, running.done()) == ([b"2"], False)
    for task in (running, reached):
        task.cancel()
    await asyncio.gather(running, reached, return_exceptions=True)
    await door.close()
