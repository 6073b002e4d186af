"""`vigie whatif --every` replays the recorded crises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, Self

import pytest

from schemas.runtime import CloseRealm, OpenRealm
from services.runtime.testing import MemoryService
from services.simulation import recording
from tests.faults.runtime.toy import ToyDecider

T0 = 1_800_000_000_000


async def test_a_mistyped_realm_cannot_be_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no recording: one such name in the log, and no crisis was replayed any more."""
    service: MemoryService[Any] = MemoryService(ToyDecider(), clock=T0)
    for realm in ("92~ex-1", "92"):
        service.feed(
            realm,
            OpenRealm(author="p1", role="admin", territory="92", started_at=T0),
            id=f"open-{realm}",
        )
    for realm in ("93", "92~ex-l"):
        service.feed(realm, CloseRealm(author="p1", role="admin"), id=f"close-{realm}")

    class Reader:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None: ...

        async def read_to_end(self) -> AsyncIterator[Any]:
            for stored in service.log:
                yield SimpleNamespace(transaction=stored.transaction)

    monkeypatch.setattr(recording, "LogReader", Reader)
    assert await recording.list_realms("") == ["92", "92~ex-1"]
