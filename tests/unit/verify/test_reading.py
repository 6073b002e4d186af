"""`vigie verify` reads the topics of a system that goes on deciding."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import orjson
import pytest
from aiokafka import TopicPartition

from schemas.topics import input_topic, list_destinations, log_topic
from services.verify import reading
from services.verify.chain import GENESIS, hash_input, hash_record
from services.verify.laws import Findings, check_forwarding, check_inputs

ALERTS_INPUTS, ALERTS_LOG = (
    TopicPartition(input_topic("alerts"), 0),
    TopicPartition(log_topic("alerts"), 0),
)
AT_FIRST, WHILE_READ = 3, 2


@dataclass
class Written:
    offset: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]] = field(default_factory=list)


class BusyBroker:
    """Broker with topics. Reads of them add inputs and decisions."""

    def __init__(self) -> None:
        self.topics: dict[TopicPartition, list[Written]] = defaultdict(list)
        self.head = GENESIS
        for _ in range(AT_FIRST):
            self.decide_one()

    def decide_one(self) -> None:
        """Append an input of alerts, and the record of the log that names it."""
        offset = len(self.topics[ALERTS_INPUTS])
        ident = b"input-%d" % offset
        self.topics[ALERTS_INPUTS].append(Written(offset, b"92", b"{}", [("ce_id", ident)]))
        digest = hash_input(b"92", ident, b"{}")
        src = {
            "partition": 0,
            "offset": offset,
            "digest": digest,
            "type": "t",
            "id": ident.decode(),
        }
        head = {"seq": offset + 1, "prev": self.head, "logic": 1, "history": 0, "realm": "92"}
        raw = orjson.dumps({**head, "src": src, "facts": []})
        self.head = hash_record(raw)
        self.topics[ALERTS_LOG].append(Written(offset, b"92", raw))


class BusyConsumer:
    """Reads a BusyBroker as AIOKafkaConsumer would."""

    def __init__(self, broker: BusyBroker) -> None:
        self._broker = broker
        self._at: dict[TopicPartition, int] = {}

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: len(self._broker.topics[tp]) for tp in tps}

    async def beginning_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, 0)

    def assign(self, tps: list[TopicPartition]) -> None:
        self._at = dict.fromkeys(tps, 0)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._at[tp] = offset

    async def position(self, tp: TopicPartition) -> int:
        return self._at[tp]

    async def getmany(
        self, *tps: TopicPartition, **_: object
    ) -> dict[TopicPartition, list[Written]]:
        records = {tp: self._broker.topics[tp][self._at[tp] :] for tp in tps}
        self._at |= {tp: len(self._broker.topics[tp]) for tp in tps}
        for _ in range(WHILE_READ):
            self._broker.decide_one()
        return records


async def test_a_system_that_decides_while_it_is_read_breaks_no_law(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each reading sees the inputs of every log record that it sees; the next one goes on there."""
    broker = BusyBroker()
    monkeypatch.setattr(
        reading, "create_groupless_consumer", lambda _kafka, **_: BusyConsumer(broker)
    )
    findings = Findings()
    evidence = reading.VerifiedLogs("", findings, {}, list_destinations)
    for _ in range(3):
        before = evidence.logs["alerts", 0].accepted_count
        await evidence.advance()
        check_inputs(evidence.logs, evidence.inputs, findings, evidence.urgent)
        check_forwarding(evidence.logs, findings)
        assert findings.broken == []
        assert evidence.logs["alerts", 0].accepted_count >= before + WHILE_READ
