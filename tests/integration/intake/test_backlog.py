"""The front reads on a real broker how far the decider is behind."""

from __future__ import annotations

import time

from aiokafka import TopicPartition

from schemas.realms import partition_of
from schemas.runtime import Tick
from schemas.topics import PARTITIONS, inputs, log
from services.alerts.decider import AlertsDecider
from services.appliance.embedded.kafka import RunningKafka
from services.intake.decision_lag import SERVICE, Backlog
from services.runtime.decider.inputs import InputRecord
from services.runtime.decider.machine import Machine
from services.runtime.kafka.clients import RecordProducer, headers_of, partition_for
from services.runtime.log.chain import append, empty
from services.runtime.log.partition_reader import PartitionReader
from tests.marks import MARKS

REALM = "92back"
P = partition_of(REALM, PARTITIONS)


async def test_what_waits_is_the_end_of_the_input_less_what_the_log_has_applied(
    broker: RunningKafka,
) -> None:
    topic = inputs(SERVICE)
    async with (
        RecordProducer(broker.address, MARKS) as producer,
        PartitionReader(broker.address) as reader,
    ):
        for n in range(3):
            await producer.send(topic, REALM, Tick(), id=f"backlog-{n}", source="test")
        end = (await reader.ends([TopicPartition(topic, P)]))[TopicPartition(topic, P)]
        headers = headers_of(Tick.wire_type(), id="applied", source="test")
        given = InputRecord(
            topic, P, end - 3, REALM.encode(), b"{}", headers, time.time_ns() // 1_000_000
        )
        _, appended = append(Machine(AlertsDecider()), empty(), given, "test")
        await producer.send_raw(
            log(SERVICE), partition_for(topic, REALM), REALM.encode(), appended.raw, []
        )
        backlog = Backlog(broker.address, 60.0)
        await backlog._look(reader)
    assert (backlog._lanes[P].end, backlog._lanes[P].applied, backlog._lanes[P].waiting) == (
        end,
        end - 3,
        2,
    )
