"""The CloudEvents SDK over HTTP and over Kafka; Kafka through kill -9 of the front."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx2 as httpx
import orjson
import pytest
from aiokafka import AIOKafkaProducer
from cloudevents.core.bindings import http as ce_http
from cloudevents.core.bindings import kafka as ce_kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from services.runtime.kafka.dead_letters import DeadLetter
from services.runtime.kafka.security import get_client_options
from tests.integration.clients.conftest import OpenDoor
from tests.integration.intake.conftest import records
from tests.waiting import eventually

TO_KAFKA = {"binary": ce_kafka.to_binary, "structured": ce_kafka.to_structured}


def event(n: int, source: str, **data: Any) -> CloudEvent:
    attributes = {
        "id": f"e-{n}",
        "source": source,
        "type": "fr.hauts-de-seine.gtb",
        "datacontenttype": "application/json",
        "partitionkey": source,
    }
    native = {
        "site_id": "col-001",
        "type": "outage_power",
        "severity": 3,
        "occurred_at": "2026-11-24T09:40:00+01:00",
        "headline": f"n° {n}",
    }
    return CloudEvent(attributes, native | data)


@pytest.mark.parametrize("mode", ["binary", "structured"])
async def test_the_sdk_over_http(door: OpenDoor, mode: str) -> None:
    name = f"ce-http-{mode}"
    key = await door.source(name, "cloudevents")
    make = ce_http.to_binary if mode == "binary" else ce_http.to_structured
    async with httpx.AsyncClient(
        base_url=door.front.url, headers={"Authorization": f"Bearer {key}"}, trust_env=False
    ) as http:
        for n in (1, 1, 2):
            message = make(event(n, "urn:été:gtb"), JSONFormat())
            answer = await http.post(
                "/api/v1/events", content=message.body, headers=dict(message.headers)
            )
            assert answer.status_code == 202, answer.text
    assert len(await door.reports_of(door.realm(name))) == 2


async def produced(
    kafka: str,
    messages: list[tuple[dict[str, bytes], Any, bytes | None]],
    *,
    compression: str | None = None,
) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka,
        acks="all",
        compression_type=compression,
        **get_client_options(),
    )
    await producer.start()
    try:
        for headers, key, value in messages:
            await producer.send(
                "events.external",
                value,
                key=key.encode() if isinstance(key, str) else key,
                headers=list(headers.items()),
            )
        await producer.flush()
    finally:
        await producer.stop()


async def test_the_sdk_over_kafka_through_kill_9(door: OpenDoor) -> None:
    """Bad records between good ones, each event twice, three kills of the front.

    Every event is one report, every bad one is kept.
    """
    name, count = "ce-kafka", 300
    await door.source(name, "cloudevents", speaks_for=["urn:gtb:*"])
    messages = []
    for n in range(count):
        made = TO_KAFKA["binary" if n % 2 else "structured"](
            event(n, f"urn:gtb:{n % 5}"), JSONFormat()
        )
        messages += [(made.headers, made.key, made.value)] * 2
        if n % 50 == 0:
            messages.append(
                (
                    {
                        "ce_specversion": b"1.0",
                        "ce_id": f"empty-{n}".encode(),
                        "ce_source": b"urn:gtb:1",
                        "ce_type": b"t",
                    },
                    "urn:gtb:1",
                    None,
                )
            )

    async def reported() -> list[str]:
        return [orjson.loads(r.value)["report_id"] for r in await door.reports_of(door.realm(name))]

    await produced(door.kafka, messages)
    for part in (0, count // 3, 2 * count // 3):

        async def far_enough(part: int = part) -> bool:
            return len(await reported()) > part

        await eventually(far_enough, 90)
        door.front.kill()
        door.front.start()
        await door.front.accepting()

    async def all_there() -> bool:
        return len(set(await reported())) >= count

    await eventually(all_there, 120)
    assert Counter(Counter(await reported()).values()) == {1: count}, (
        "none is lost, none is there twice"
    )

    async def kept() -> set[str]:
        letters = [
            DeadLetter.load(r.value) for r in await records(door.kafka, "dead-letters", "92")
        ]
        return {f"{x.partition}/{x.offset}" for x in letters if x.topic == "events.external"}

    async def all_kept() -> bool:
        return len(await kept()) == count // 50

    await eventually(all_kept, 60)
    async with door.front.client() as http:
        listed = {s["name"]: s for s in (await http.get("/api/v1/sources")).json()["items"]}
    assert count // 50 <= listed[name]["refused"]["invalid"] <= count // 50 + 3, (
        "what a kill interrupts is counted again, and kept once"
    )
    assert listed[name]["last_refusal"]["fields"][0]["field"] == "body"


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_events_in_a_compressed_batch_become_reports(
    door: OpenDoor, compression: str
) -> None:
    name = f"ce-{compression}"
    await door.source(name, "cloudevents", speaks_for=[f"urn:{compression}:*"])
    made = [TO_KAFKA["binary"](event(n, f"urn:{compression}:1"), JSONFormat()) for n in range(5)]
    await produced(door.kafka, [(m.headers, m.key, m.value) for m in made], compression=compression)

    async def all_reported() -> bool:
        return len(await door.reports_of(door.realm(name))) == 5

    await eventually(all_reported, 60)
