"""The front reads on a real broker how far the decider is behind."""

from __future__ import annotations

import time

from aiokafka import TopicPartition

from schemas.runtime import Tick
from schemas.topics import PARTITION_COUNT, input_topic, log_topic, partition_of
from services.alerts.decider import AlertsDecider
from services.appliance.embedded.kafka import RunningKafka
from services.intake.admission import SERVICE, DecisionLag
from services.runtime.decider.inputs import InputRecord
from services.runtime.decider.machine import Machine
from services.runtime.kafka.clients import RecordProducer, build_headers, choose_partition
from services.runtime.log.chain import apply_input, create_empty_view
from services.runtime.log.partition_reader import PartitionReader
from tests.marks import MARKS

REALM = "92back"
P = partition_of(REALM, PARTITION_COUNT)


async def test_the_backlog_is_the_end_of_the_input_minus_the_applied_inputs(
    broker: RunningKafka,
) -> None:
    topic = input_topic(SERVICE)
    async with (
        RecordProducer(broker.address, MARKS) as producer,
        PartitionReader(broker.address) as reader,
    ):
        for n in range(3):
            await producer.send(topic, REALM, Tick(), id=f"backlog-{n}", source="test")
        end = (await reader.ends([TopicPartition(topic, P)]))[TopicPartition(topic, P)]
        headers = build_headers(Tick.wire_type(), id="applied", source="test")
        input_record = InputRecord(
            topic, P, end - 3, REALM.encode(), b"{}", headers, time.time_ns() // 1_000_000
        )
        _, appended = apply_input(
            Machine(AlertsDecider()), create_empty_view(), input_record, "test"
        )
        await producer.send_raw(
            log_topic(SERVICE), choose_partition(topic, REALM), REALM.encode(), appended.raw, []
        )
        backlog = DecisionLag(broker.address, 60.0)
        await backlog._look(reader)
    lane = backlog._lanes[topic, P]
    assert (lane.end, lane.applied_offset, lane.waiting) == (end, end - 3, 2)
