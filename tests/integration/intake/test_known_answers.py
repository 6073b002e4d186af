"""A restarted front learns its earlier answers from its own records alone."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import orjson

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
