"""During a flood of ordinary inputs, the urgent lane is decided first, also under kills."""

from __future__ import annotations

import signal
from typing import Any

from aiokafka import AIOKafkaProducer

from schemas.topics import PARTITION_COUNT, input_topic, partition_of, urgent_topic
from services.runtime.kafka.clients import build_headers, encode_message
from services.runtime.kafka.security import get_client_options
from services.verify.chain import LogFold
from services.verify.laws import Findings
from tests.faults.runtime.harness import Toys, until
from tests.faults.runtime.toy import ToyReport

FLOOD, FIRES = 3000, 20
REALM = "92"
P = partition_of(REALM, PARTITION_COUNT)


async def put(toys: Toys, topic: str, ids: list[str]) -> None:
    """Send reports on one lane, in order."""
    producer = AIOKafkaProducer(
        bootstrap_servers=toys.kafka,
        acks="all",
        enable_idempotence=True,
        linger_ms=2,
        **get_client_options(),
    )
    await producer.start()
    try:
        sends = []
        for n, id in enumerate(ids):
            message = ToyReport(incident=f"{id[0]}{n % 50}", n=n)
            headers = build_headers(message.wire_type(), id=id, source="flood")
            key, value = REALM.encode(), encode_message(message)
            marked = toys.marks.sign(topic, key, value, headers)
            sends.append(await producer.send(topic, value, key=key, partition=P, headers=marked))
            toys.fed.append((REALM, id, message))
        for send_future in sends:
            await send_future
    finally:
        await producer.stop()


def place_of(chain: list[dict[str, Any]], id: str) -> int:
    return next(n for n, tx in enumerate(chain) if tx["src"]["id"] == id)


async def test_fires_overtake_a_flood_also_when_the_worker_is_killed_between_the_lanes(
    toys: Toys,
) -> None:
    worker = toys.spawn("toy")
    await toys.open([REALM])
    await put(toys, input_topic(toys.toy), [f"flood{n}" for n in range(FLOOD)])

    async with toys.following() as followed:

        async def decided(id: str) -> bool:
            return any(tx["src"]["id"] == id for tx in (await followed.chains(toys.toy))[P])

        await until(lambda: decided("flood0"), 60, "the flood is not decided")
    await put(toys, urgent_topic(toys.toy), [f"urgent{n}" for n in range(FIRES)])
    worker.kill(signal.SIGKILL)
    await put(toys, input_topic(toys.toy), [f"later{n}" for n in range(FLOOD)])
    await put(toys, urgent_topic(toys.toy), ["fire"])
    toys.spawn("toy")
    await toys.settle()

    chain = (await toys.chains(toys.toy))[P]
    waiting = max(place_of(chain, f"urgent{n}") for n in range(FIRES)), place_of(chain, "fire")
    assert max(waiting) < place_of(chain, f"later{FLOOD // 2}"), (
        "an urgent input waited behind the flood"
    )
    await toys.check()
    findings = Findings()
    log = LogFold(toys.toy, P, findings.breach)
    for record in (await toys.read(f"{toys.toy}.log"))[P]:
        log.feed(record.offset, record.value, {}, lambda *_: ())
    assert (findings.broken, log.position, log.urgent_position) == ([], 2 * FLOOD - 1, FIRES + 1)
