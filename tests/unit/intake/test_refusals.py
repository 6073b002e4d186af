"""Refused messages survive a full disk and a missing broker."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from services.intake.dead_letters import dead_letter_store
from services.intake.dead_letters.dead_letter_store import RefusedMessage
from services.runtime.http.problems import Problem
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal
from services.runtime.kafka.clients import BrokerAway
from tests.unit.intake.conftest import Door


@pytest.mark.parametrize(
    "error",
    [sqlite3.OperationalError("database or disk is full"), OSError(28, "No space left on device")],
)
async def test_a_refusal_that_cannot_be_kept_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    door = Door(tmp_path)
    lane, stored_bodies, both = door.intake.refused, list[bytes](), asyncio.Event()

    async def write(refused: RefusedMessage) -> None:
        if refused.body == b"1":
            raise error
        stored_bodies.append(refused.body)
        both.set()

    monkeypatch.setattr(lane, "_write", write)
    running = asyncio.create_task(lane.run())
    for body in (b"1", b"2"):
        lane.keep(
            RefusedMessage(
                Principal(id="s", role=Role.SOURCE),
                Problem("invalid"),
                body,
                "text/plain",
                "native",
            )
        )
    reached = asyncio.create_task(both.wait())
    await asyncio.wait({running, reached}, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    assert (stored_bodies, running.done()) == ([b"2"], False)
    for task in (running, reached):
        task.cancel()
    await asyncio.gather(running, reached, return_exceptions=True)
    await door.close()


async def test_messages_refused_while_the_broker_is_away_are_kept_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door(tmp_path)
    lane, tried, storage_event = door.intake.refused, list[RefusedMessage](), asyncio.Event()

    async def write(refused: RefusedMessage) -> None:
        tried.append(refused)
        if len(tried) < 3:
            raise BrokerAway("away")
        storage_event.set()

    monkeypatch.setattr(lane, "_write", write)
    monkeypatch.setattr(dead_letter_store, "RETRY_S", 0.01)
    running = asyncio.create_task(lane.run())
    lane.keep(
        RefusedMessage(
            Principal(id="s", role=Role.SOURCE), Problem("invalid"), b"1", "text/plain", "native"
        )
    )
    async with asyncio.timeout(5):
        await storage_event.wait()
    assert (len({r.at for r in tried}), tried[0].at is not None) == (1, True), (
        "it is of when it was refused"
    )
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await door.close()
