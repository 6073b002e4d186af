"""A reader waits for a record that a new leader hides, and names a lost or different one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from services.runtime.log import partition_reader
from services.runtime.log.chain import Position
from services.runtime.log.partition_reader import (
    PartitionReader,
    RecordMissing,
    retry_until_visible,
)
from services.runtime.log.reader import check_positions
from services.runtime.process.exits import Stop
from services.runtime.worker import recovery
from services.runtime.worker.housekeeping import _check_record

AT = 10
TP = TopicPartition("toy.log", 3)


class NewLeader:
    """Consumer of a new leader with a late high watermark, until the log end is requested."""

    def __init__(self, end: int) -> None:
        self._end, self._highwater = end, AT - 4
        self._subscription = SimpleNamespace(unsubscribe=lambda: None)
        self._client = SimpleNamespace(add_topic=lambda _topic: None)

    def assign(self, _tps: list[TopicPartition]) -> None: ...

    def seek(self, _tp: TopicPartition, _offset: int) -> None: ...

    def highwater(self, _tp: TopicPartition) -> int:
        return self._highwater

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Answer only after the high watermark has reached the log end of the election."""
        self._highwater = self._end
        return dict.fromkeys(tps, self._end)

    async def getmany(self, *tps: TopicPartition, **_: Any) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0)
        return (
            {TP: [SimpleNamespace(offset=AT, value=b"kept")]}
            if TP in tps and self._highwater > AT
            else {}
        )


def reader(consumer: Any) -> PartitionReader:
    made = object.__new__(PartitionReader)
    made._consumer = consumer
    return made


async def test_a_record_behind_the_high_watermark_of_a_new_leader_is_found() -> None:
    records = await reader(NewLeader(end=AT + 1)).at(TP.topic, {TP.partition: AT})
    assert records[TP.partition].value == b"kept"


async def test_a_record_beyond_the_end_of_the_log_is_missing() -> None:
    assert await reader(NewLeader(end=AT)).at(TP.topic, {TP.partition: AT}) == {}


def looks(*answers: Exception | str) -> Callable[[], Any]:
    """Give one answer after the other, the last one for ever."""
    remaining_answers = list(answers)

    async def look() -> str:
        answer = remaining_answers.pop(0) if len(remaining_answers) > 1 else remaining_answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return look


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Set `copies[:] = [False]` for a topic with one copy."""
    answer = [True]

    async def has_copies(_kafka: str, _topic: str) -> bool:
        return answer[0]

    monkeypatch.setattr(partition_reader, "is_replicated", has_copies)
    monkeypatch.setattr(partition_reader, "RETRY_S", 0.001)
    return answer


async def test_a_missing_record_of_a_topic_with_copies_is_looked_for_again(
    copies: list[bool],
) -> None:
    missing = RecordMissing("log.truncated", "not there")
    assert await retry_until_visible("", "toy.log", looks(missing, missing, "there")) == "there"


async def test_a_missing_record_of_a_topic_with_copies_is_a_loss_in_the_end(
    copies: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_reader, "VISIBLE_S", 0.05)
    with pytest.raises(RecordMissing, match=r"log\.truncated"):
        await asyncio.wait_for(
            retry_until_visible("", "toy.log", looks(RecordMissing("log.truncated", "cut"))), 10
        )


async def test_a_missing_record_of_the_only_copy_is_a_loss_at_once(copies: list[bool]) -> None:
    copies[:] = [False]
    with pytest.raises(RecordMissing):
        await retry_until_visible(
            "", "toy.log", looks(RecordMissing("log.truncated", "cut"), "never asked")
        )


async def test_another_record_than_before_is_a_loss_at_once(copies: list[bool]) -> None:
    with pytest.raises(Stop, match="another"):
        await retry_until_visible(
            "", "toy.log", looks(Stop("log.truncated", "another record"), "never asked")
        )


class Shows:
    """A reader of a topic that shows these records."""

    def __init__(self, records: dict[int, Any], end: int = AT + 1) -> None:
        self._records, self._end = records, end

    async def at(self, _topic: str, _offsets: dict[int, int]) -> dict[int, Any]:
        return self._records

    async def bounds(self, _topic: str, partitions: list[int]) -> dict[int, tuple[int, int]]:
        return dict.fromkeys(partitions, (0, self._end))

    async def read(self, _topic: str, _ranges: object) -> Any:
        for record in ():
            yield record


OTHER = SimpleNamespace(
    topic="toy.inputs", partition=0, offset=AT, key=b"92", value=b"other", headers=(), timestamp=0
)


@pytest.mark.parametrize(("shown", "kind"), [({}, RecordMissing), ({0: OTHER}, Stop)])
async def test_every_check_distinguishes_a_missing_record_from_a_different_one(
    shown: dict[int, Any], kind: type[Stop]
) -> None:
    at = Position(next=AT + 1, tail="t", applied=AT, applied_digest="d")
    with pytest.raises(Stop) as raised:
        await check_positions(Shows(shown), "toy", {0: at}, 1)  # type: ignore[arg-type]
    assert type(raised.value) is kind
    with pytest.raises(Stop) as raised:
        await recovery.check_input(Shows(shown), "toy", 0, at)  # type: ignore[arg-type]
    assert type(raised.value) is kind
    with pytest.raises(Stop) as raised:
        _check_record("toy.log", 0, AT, "t", shown.get(0))
    assert type(raised.value) is kind


async def test_an_input_that_ends_early_may_be_invisible_for_now() -> None:
    with pytest.raises(RecordMissing, match=r"input\.rewritten"):
        await recovery.check_input(Shows({}, end=AT), "toy", 0, Position(applied=AT))  # type: ignore[arg-type]
