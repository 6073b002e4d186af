"""A reader parses a few records at a time, because parsed objects keep their memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from schemas.alerts import NoteAdded
from schemas.topics import PARTITION_COUNT, log_topic, partition_of
from services.runtime.log import reader
from services.runtime.log.chain import MAX_IGNORED_RUN
from services.runtime.log.reader import LogReader
from services.runtime.process.exits import Stop
from tests.integration.console.logwriter import Chains

REALM = "92~test-reader"
NOTE = NoteAdded(
    line="l-1", text_id="t-1", author="p-1", role="cell", occurred_at=1_800_000_000_000
)


class Fetched:
    """A consumer that has fetched everything at once."""

    def __init__(self, records: list[bytes]) -> None:
        self._records = [
            SimpleNamespace(offset=n, value=value, headers=()) for n, value in enumerate(records)
        ]

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        records, self._records = self._records, []
        return (
            {TopicPartition(log_topic("alerts"), partition_of(REALM, PARTITION_COUNT)): records}
            if records
            else {}
        )

    async def stop(self) -> None: ...


async def test_batches_are_small_in_bytes_and_a_large_record_comes_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chains = Chains()
    sizes = (1, 1, 40, 1, 1)
    records = [chains.make("alerts", REALM, [NOTE] * size, 1_800_000_000_000)[1] for size in sizes]
    monkeypatch.setattr(reader, "BATCH_BYTES", len(records[0]) + len(records[1]))
    reading = LogReader("127.0.0.1:1", "alerts")
    reading._consumer = Fetched(records)
    batches = [
        [len(accepted.transaction.facts) for accepted in await reading.batch(0.1)] for _ in range(4)
    ]
    assert batches == [[1, 1], [40], [1, 1], []]
    assert reading.positions[partition_of(REALM, PARTITION_COUNT)].next == len(records)


async def test_unread_records_are_fetched_again_after_an_interruption(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chains = Chains()
    records = [chains.make("alerts", REALM, [NOTE], 1_800_000_000_000)[1] for _ in range(3)]
    monkeypatch.setattr(reader, "BATCH_BYTES", 1)
    reading = LogReader("127.0.0.1:1", "alerts")
    reading._consumer = Fetched(records)
    (first,) = await reading.batch(0.1)
    await reading.stop()
    assert (first.offset, reading.positions[first.partition].next) == (0, 1)
    reading._consumer = Fetched([])
    assert await reading.batch(0.05) == []


@pytest.mark.parametrize(("lay_there", "stuck"), [(0, True), (MAX_IGNORED_RUN + 10, False)])
async def test_more_ignored_records_than_any_zombie_can_leave_are_named_while_they_are_written(
    lay_there: int, stuck: bool
) -> None:
    """Old ignored records stop no reader, because their writer was stopped long ago."""
    chains = Chains()
    records = [b"junk"] * (MAX_IGNORED_RUN + 10) + [
        chains.make("alerts", REALM, [NOTE], 1_800_000_000_000)[1]
    ]
    reading = LogReader("127.0.0.1:1", "alerts")
    reading._consumer = Fetched(records)
    reading._began = {partition_of(REALM, PARTITION_COUNT): lay_there}
    if not stuck:
        assert [accepted.offset for accepted in await reading.batch(0.1)] == [MAX_IGNORED_RUN + 10]
        return
    with pytest.raises(Stop, match=r"chain\.stuck"):
        await reading.batch(0.1)
