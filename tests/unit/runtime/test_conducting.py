"""The conductor's process goes on past what belongs to no exercise."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from services.runtime.conducting import Conducting
from services.runtime.reader import Accepted
from services.runtime.testing import MemoryService
from tests.faults.runtime.toy import ToyDecider
from tests.waiting import eventually

EXERCISES = 4
"""A partition of simulated realms."""


async def test_a_record_of_no_realm_does_not_end_the_conductor() -> None:
    """One unreadable input among the exercises, or a repair of their log, ended the process that moves them all."""
    service: MemoryService[Any] = MemoryService(ToyDecider())
    service.service = service.machine.service = "alerts"
    stored = service.feed_raw(EXERCISES, b"no realm", b"{}", [])
    assert stored.transaction.realm == ""
    conducting = Conducting("127.0.0.1:1", lambda _fact, _realm: ())
    batches = [[Accepted(stored.transaction, EXERCISES, 0, stored.hash, None)]]  # type: ignore[arg-type]

    async def batch() -> list[Accepted]:
        if batches:
            return batches.pop()
        await asyncio.sleep(3600)
        return []

    following = asyncio.create_task(conducting._follow(SimpleNamespace(batch=batch)))  # type: ignore[arg-type]
    await eventually(lambda: not batches)
    await asyncio.sleep(0)
    assert conducting._touched.empty(), "there is nothing to move"
    following.cancel()
    with pytest.raises(KeyError):
        conducting._conductor.next_moves("")
    await conducting.close()
