"""A restore says in French why it stops."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Self

import pytest

from schemas.topics import log_topic
from services.runtime.backup import restore


async def test_another_writer_on_the_broker_stops_a_restore_in_french(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broker:
        def __init__(self, *_: object) -> None: ...

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None: ...

        async def start(self) -> None: ...

        async def stop(self) -> None: ...

        async def bounds(self, _: str, partitions: list[int]) -> dict[int, tuple[int, int]]:
            return dict.fromkeys(partitions, (0, 5))

        async def send_and_wait(self, *_: object, **__: object) -> SimpleNamespace:
            return SimpleNamespace(offset=6)

    monkeypatch.setattr(restore, "PartitionReader", Broker)
    monkeypatch.setattr(restore, "create_idempotent_producer", Broker)
    log = {
        "service": "intake",
        "partition": 0,
        "seq": 5,
        "history": 1,
        "head": "00" * 32,
        "logic": 1,
        "input_next": 0,
    }
    with pytest.raises(restore.RestoreRefused) as caught:
        await restore._rebase("kafka", {"logs": [log], "taken_at": 1}, "cluster")
    topic = log_topic("intake")
    assert str(caught.value) == f"un autre programme écrit sur la partition 0 de {topic}"
