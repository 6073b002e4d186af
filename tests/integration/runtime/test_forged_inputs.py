"""A program with the broker's password, but without the installation's key, decides nothing."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any, Final

import httpx2 as httpx
from aiokafka import AIOKafkaProducer

from schemas.base import Command
from schemas.commands import HoldSending, ResolveIncident, SetLevel
from schemas.reassignment import ApproveReassignments
from schemas.runtime import InputDuplicate, InputRefused
from schemas.topics import input_topic, log_topic, urgent_topic
from schemas.words import Level
from services.console.logbook.lines import build_author_source
from services.runtime.kafka.clients import build_headers, choose_partition, encode_message
from services.runtime.kafka.security import get_client_options
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.transaction import Transaction
from services.runtime.process.settings import Settings
from services.runtime.secrets.local_secrets import build_header
from tests.system import RunningVigie
from tests.waiting import until

LIVE: Final = "92"
SOMEBODY: Final = {"author": "p-dupont", "role": "admin", "reason": "text:forged"}
Place = tuple[str, int, int]
"""(topic, partition, offset) of a record."""


def open_exercise(vigie: RunningVigie) -> str:
    realm = f"92~ex-faux-{secrets.token_hex(3)}"
    body = {
        "id": realm,
        "title_code": "ESSAI",
        "started_at": "2027-02-11T09:40:00+01:00",
        "speed": 1,
    }
    assert (
        vigie.http.post("/api/v1/realms", json=body, headers={"Prefer": "wait=20"}).status_code
        == 200
    )
    return realm


async def append(kafka: str, topic: str, realm: str, value: bytes, headers: Any) -> Place:
    async with AIOKafkaProducer(
        bootstrap_servers=kafka, acks="all", **get_client_options()
    ) as producer:
        metadata = await producer.send_and_wait(
            topic,
            value,
            key=realm.encode(),
            partition=choose_partition(topic, realm),
            headers=headers,
        )
    return topic, metadata.partition, metadata.offset


def forge(kafka: str, topic: str, realm: str, command: Command) -> Place:
    """Send a message as intake does, without the mark."""
    headers = build_headers(
        command.wire_type(),
        id=f"cmd-{secrets.token_hex(12)}",
        source=build_author_source("p-dupont", "admin"),
    )
    return asyncio.run(append(kafka, topic, realm, encode_message(command), headers))


async def transactions(kafka: str, service: str, realm: str) -> dict[Place, Transaction]:
    """Return input → its record, of the partition of a realm."""
    topic, transactions_by_place = log_topic(service), {}
    partition = choose_partition(topic, realm)
    async with PartitionReader(kafka) as reader:
        async for record in reader.read(topic, await reader.bounds(topic, [partition])):
            made = Transaction.load(record.value)
            transactions_by_place[made.src.topic, made.src.partition, made.src.offset] = made
    return transactions_by_place


def written_for(kafka: str, place: Place, realm: str) -> list[Any]:
    """Wait for the facts of an input."""
    service = place[0].partition(".")[0]

    def written() -> bool:
        transactions_by_place.update(asyncio.run(transactions(kafka, service, realm)))
        return place in transactions_by_place

    transactions_by_place: dict[Place, Transaction] = {}
    until(written, 30)
    return [fact.message() for fact in transactions_by_place[place].facts]


def counted(vigie: RunningVigie, process: str) -> float:
    data = vigie.folder / "data"
    port = json.loads((data / "run" / "ports.json").read_text())[process]
    metrics_text = httpx.get(
        f"http://127.0.0.1:{port}/metrics", headers=build_header(data / "secrets"), trust_env=False
    ).text
    line_prefix = 'vigie_dead_letters_total{reason="unsigned"'
    return sum(
        float(line.rpartition(" ")[2])
        for line in metrics_text.splitlines()
        if line.startswith(line_prefix)
    )


def test_writers_without_the_key_decide_nothing_and_are_recorded(vigie: RunningVigie) -> None:
    kafka, realm = Settings(data_dir=vigie.folder / "data").kafka, open_exercise(vigie)
    before = vigie.get(f"/api/v1/level?realm={realm}"), vigie.get("/api/v1/level")
    level = SetLevel(scope="territory", level=Level.N4, force=True, **SOMEBODY)
    forged = {
        forge(kafka, input_topic("alerts"), realm, level): realm,
        forge(
            kafka,
            input_topic("alerts"),
            realm,
            ResolveIncident(incident="i", force=True, **SOMEBODY),
        ): realm,
        forge(
            kafka, input_topic("continuity"), realm, ApproveReassignments(proposal="p", **SOMEBODY)
        ): realm,
        forge(
            kafka, input_topic("delivery"), realm, HoldSending(until=4_000_000_000_000, **SOMEBODY)
        ): realm,
        forge(kafka, urgent_topic("alerts"), LIVE, level): LIVE,
    }
    for place, where in forged.items():
        (fact,) = written_for(kafka, place, where)
        assert isinstance(fact, InputRefused)
        assert fact.code == "unsigned"
    assert (vigie.get(f"/api/v1/level?realm={realm}"), vigie.get("/api/v1/level")) == before
    assert not vigie.get(f"/api/v1/sending/hold?realm={realm}")["held"]

    def buried() -> bool:
        letters = json.loads(vigie.cli("dlq", "list", "--limit", "1000", "--json").stdout)["items"]
        unsigned_places = {
            (x["topic"], x["partition"], x["offset"]) for x in letters if x["code"] == "unsigned"
        }
        return forged.keys() <= unsigned_places

    until(buried, 30)
    assert counted(vigie, "alerts") >= 3
    assert "input.refused" in (vigie.folder / "data" / "logs" / "alerts.jsonl").read_text()
    assert vigie.cli("verify").returncode == 0


def test_the_same_decision_through_the_api_counts_once_in_any_number_of_copies(
    vigie: RunningVigie,
) -> None:
    kafka, realm = Settings(data_dir=vigie.folder / "data").kafka, open_exercise(vigie)
    body = {"scope": "territory", "level": 2}
    answer = vigie.http.post(
        f"/api/v1/level?realm={realm}", json=body, headers={"Prefer": "wait=20"}
    )
    assert answer.status_code == 200, answer.text
    wire = SetLevel.wire_type()
    (place,) = [
        at
        for at, made in asyncio.run(transactions(kafka, "alerts", realm)).items()
        if made.realm == realm and made.src.type == wire
    ]

    async def copy() -> Place:
        async with PartitionReader(kafka) as reader:
            genuine = (await reader.at(place[0], {place[1]: place[2]}))[place[1]]
        return await append(kafka, place[0], realm, genuine.value, list(genuine.headers))

    (fact,) = written_for(kafka, asyncio.run(copy()), realm)
    assert isinstance(fact, InputDuplicate)
    assert vigie.get(f"/api/v1/level?realm={realm}")["level"] == 2
