"""A restarted front learns its earlier answers from its own records alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher

from schemas.reports import ReportReceived
from schemas.topics import input_topic
from services.appliance.embedded.kafka import RunningKafka
from services.intake.reports.deduplication import AnswerIndex
from services.intake.reports.redaction import LogRedactor
from services.runtime.decider.inputs import InputMarks
from services.runtime.kafka.clients import RecordProducer, build_headers, choose_partition
from services.runtime.secrets.keyring import MasterKey
from tests.marks import MARKS

REALM = "92known"


async def test_a_record_of_a_stranger_silences_no_sender(
    broker: RunningKafka, tmp_path: Path
) -> None:
    """A later sender of the same report would get an acceptance without any decision."""
    topic, ids = input_topic("alerts"), [str(uuid4()), str(uuid4())]
    stranger = InputMarks(MasterKey(b"s" * 32))
    for id, marks in zip(ids, (MARKS, stranger), strict=True):
        acceptance = {"report_id": id, "fingerprint": "ab" * 16, "source_key": "s-1", "alias": None}
        headers = build_headers(ReportReceived.wire_type(), id=id, source="/s-1")
        async with RecordProducer(broker.address, marks) as producer:
            await producer.send_raw(
                topic,
                choose_partition(topic, REALM),
                REALM.encode(),
                orjson.dumps(acceptance),
                headers,
            )
    ledger = AnswerIndex(tmp_path / "answers.db", LogRedactor(b"key"))
    try:
        await ledger.catch_up(broker.address, MARKS)
        assert [ledger.get(id) is not None for id in ids] == [True, False]
    finally:
        ledger.close()


async def test_a_front_that_starts_reads_its_records_while_leaders_move(
    broker: RunningKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiokafka's reader dies if a leader moves while partitions are assigned without a position."""
    searches: list[Any] = []
    find_ends, search = AIOKafkaConsumer.end_offsets, Fetcher._update_fetch_positions

    async def find_ends_late(consumer: Any, partitions: Any) -> Any:
        await asyncio.sleep(0.5)
        return await find_ends(consumer, partitions)

    async def search_positions(fetcher: Any, assignment: Any, node: int, partitions: Any) -> Any:
        searches.extend(partitions)
        return await search(fetcher, assignment, node, partitions)

    monkeypatch.setattr(AIOKafkaConsumer, "end_offsets", find_ends_late)
    monkeypatch.setattr(Fetcher, "_update_fetch_positions", search_positions)
    ledger = AnswerIndex(tmp_path / "answers.db", LogRedactor(b"key"))
    try:
        await ledger.catch_up(broker.address, MARKS)
    finally:
        ledger.close()
    assert searches == []
