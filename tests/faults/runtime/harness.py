"""Real workers on a real broker, and a checker that does not use the runtime's reader."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from schemas.base import Message
from schemas.runtime import OpenRealm
from schemas.topics import (
    PARTITION_COUNT,
    Retention,
    Topic,
    input_topic,
    input_topics,
    kafka_config,
    log_topic,
    partition_of,
    select_urgent_topic,
    snapshot_topic,
    urgent_topic,
)
from services.runtime.kafka.clients import RecordProducer, build_headers, encode_message
from services.runtime.kafka.security import get_client_options
from services.runtime.log.partition_reader import PartitionReader
from tests import forked
from tests.faults.runtime.followed import Chains, FollowedLogs
from tests.faults.runtime.toy import ToyAck, ToyReport, register
from tests.marks import put_key
from tests.waiting import compute_rest_s

ROOT = Path(__file__).resolve().parents[3]
PYTHON = sys.executable
POLL_S = 0.05
REALMS = ("92", "75", "93", "94", "92~ex-1", "92~ex-2", "75~what-1")


def topics_of(suffix: str) -> tuple[Topic, ...]:
    """Return the topics of one toy system."""
    return (
        Topic(f"toypublic{suffix}", "facts", Retention.FOREVER),
        Topic(
            urgent_topic(f"toy{suffix}"),
            "urgent inputs",
            Retention.FOREVER,
            append_time=True,
            durable_each=True,
        ),
        *(
            topic
            for service in (f"toy{suffix}", f"toyecho{suffix}")
            for topic in (
                Topic(
                    input_topic(service),
                    "inputs",
                    Retention.FOREVER,
                    append_time=True,
                    durable_each=True,
                ),
                Topic(log_topic(service), "log", Retention.FOREVER, durable_each=True),
                Topic(snapshot_topic(service), "snapshots", Retention.COMPACTED),
            )
        ),
    )


async def until(condition: Callable[[], Any], timeout_s: float, what: str) -> None:
    """Wait for a condition, sync or async. Between two looks it rests, longer after a dear one."""
    first = time.monotonic()
    async with asyncio.timeout(timeout_s):
        while True:
            began = time.monotonic()
            outcome = condition()
            if asyncio.iscoroutine(outcome):
                outcome = await outcome
            if outcome:
                return
            await asyncio.sleep(max(POLL_S, compute_rest_s(first, began)))
    raise AssertionError(what)


async def make_topics(kafka: str, wanted: Iterable[Topic]) -> None:
    """Create topics; all partitions have a leader when it returns."""
    new = [NewTopic(t.name, t.partitions, 1, topic_configs=kafka_config(t)) for t in wanted]
    await until(lambda: _created(kafka, new), 90, "topics")


async def _created(kafka: str, new: list[NewTopic]) -> bool:
    """Create missing topics and return whether all exist.

    A broker that has just returned may name no controller yet, which aiokafka takes for one.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka, **get_client_options())
    try:
        await admin.start()
        await admin.create_topics(new)
        described = await admin.describe_topics([t.name for t in new])
    except (KafkaError, AttributeError):
        return False
    finally:
        await admin.close()
    partitions = {d["topic"]: d["partitions"] for d in described}
    return all(_is_led(partitions[t.name], t.num_partitions) for t in new)


def _is_led(partitions: list[dict[str, Any]], count: int) -> bool:
    return len(partitions) == count and all(p["leader"] >= 0 for p in partitions)


@dataclass
class Worker:
    """One real process."""

    service: str
    instance: str
    process: forked.Process
    log_file: Path

    def kill(self, sig: int = signal.SIGKILL) -> None:
        self.process.send_signal(sig)

    async def exit_code(self, timeout_s: float = 120) -> int:
        """Wait for its end."""
        await until(
            lambda: self.process.poll() is not None, timeout_s, f"{self.instance} does not end"
        )
        assert self.process.returncode is not None
        return self.process.returncode

    @property
    def said(self) -> str:
        return self.log_file.read_text()


@dataclass
class Toys:
    """The toy system on one broker."""

    kafka: str
    folder: Path
    suffix: str = ""
    workers: list[Worker] = field(default_factory=list)
    fed: list[tuple[str, str, Message]] = field(default_factory=list)
    """(realm, id, message) that Kafka has acknowledged."""
    spawned: int = 0

    def __post_init__(self) -> None:
        register(self.suffix)
        self.marks = put_key(self.folder / "data" / "secrets")
        self.toy, self.echo, self.public = (
            f"toy{self.suffix}",
            f"toyecho{self.suffix}",
            f"toypublic{self.suffix}",
        )

    def spawn(
        self, service: str = "toy", instance: str | None = None, logic: int = 1, **env: str
    ) -> Worker:
        """Start a worker. Snapshots are frequent unless `env` says otherwise."""
        self.spawned += 1
        name = instance or f"{service}-0"
        log_file = self.folder / f"{name}.{self.spawned}.log"
        settings = {
            "VIGIE_KAFKA": self.kafka,
            "VIGIE_INSTANCE": name,
            "VIGIE_DATA_DIR": str(self.folder / "data"),
            "TOY_SNAPSHOT_EVERY": "100",
            "TOY_SNAPSHOT_PAUSE_S": "0.3",
            "PYTHONUNBUFFERED": "1",
            "TOY_SUFFIX": self.suffix,
        }
        environment = {**os.environ, **settings, **env}
        process = forked.start(
            "tests.faults.runtime.toy_worker",
            service,
            str(logic),
            environment=environment,
            log=log_file,
        )
        self.workers.append(worker := Worker(service, name, process, log_file))
        return worker

    def stop(self) -> None:
        """Kill every remaining worker."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGCONT)
                worker.process.kill()
            worker.process.wait()

    async def open(self, realms: Iterable[str] = REALMS) -> None:
        """Open realms in toy (which tells toyecho)."""
        async with RecordProducer(self.kafka, self.marks) as producer:
            for realm in realms:
                order = OpenRealm(
                    author="system:up", role="admin", territory=realm.split("~")[0], started_at=0
                )
                await producer.send(
                    select_urgent_topic(self.toy, realm),
                    realm,
                    order,
                    id=f"open-{realm}",
                    source="test",
                )
                self.fed.append((realm, f"open-{realm}", order))

    async def feed(
        self,
        count: int,
        *,
        rate: float = 2000.0,
        realms: Iterable[str] = REALMS,
        seed: int = 1,
        prefix: str = "m",
    ) -> None:
        """Send reports with escalations, answers, repeated ids and poison; count accepted ones."""
        rnd, realms, start = random.Random(seed), tuple(realms), len(self.fed)
        producer = AIOKafkaProducer(
            bootstrap_servers=self.kafka,
            acks="all",
            enable_idempotence=True,
            linger_ms=2,
            request_timeout_ms=120_000,
            **get_client_options(),
        )
        await producer.start()
        began, sends = asyncio.get_running_loop().time(), []
        try:
            for n in range(start, start + count):
                realm, incident = realms[n % len(realms)], f"i{rnd.randrange(50)}"
                delay = rnd.choice([None, None, rnd.randrange(50, 3000)])
                message: Message = ToyAck(incident=incident)
                if rnd.random() < 0.8:
                    message = ToyReport(
                        incident=incident,
                        n=n,
                        delay_ms=delay,
                        does=rnd.choices(["well", "raise", "curse"], [40, 1, 1])[0],
                    )
                id = (
                    f"{prefix}{n}"
                    if rnd.random() < 0.95 or n <= start + 20
                    else f"{prefix}{rnd.randrange(start, n)}"
                )
                headers = build_headers(message.wire_type(), id=id, source="feed")
                topic = (
                    select_urgent_topic(self.toy, realm)
                    if isinstance(message, ToyAck)
                    else input_topic(self.toy)
                )
                key, value = realm.encode(), encode_message(message)
                marked = self.marks.sign(topic, key, value, headers)
                send_future = await producer.send(
                    topic,
                    value,
                    key=key,
                    partition=partition_of(realm, PARTITION_COUNT),
                    headers=marked,
                )
                sends.append(send_future)
                self.fed.append((realm, id, message))
                if (
                    n % 10 == 9
                    and (early := began + (n - start) / rate - asyncio.get_running_loop().time())
                    > 0
                ):
                    await asyncio.sleep(early)
            await asyncio.gather(*sends)
        finally:
            await producer.stop()

    async def feed_again(self, fed: Iterable[tuple[str, str, Message]]) -> None:
        """Send the same inputs once more."""
        async with RecordProducer(self.kafka, self.marks) as producer:
            for realm, id, message in fed:
                topic = (
                    input_topic(self.toy)
                    if isinstance(message, ToyReport)
                    else select_urgent_topic(self.toy, realm)
                )
                await producer.send(topic, realm, message, id=id, source="replay")

    async def ends(self, topic: str) -> dict[int, int]:
        """Return partition → next offset to be written."""
        async with PartitionReader(self.kafka) as reader:
            return {
                p: end
                for p, (_, end) in (await reader.bounds(topic, range(PARTITION_COUNT))).items()
            }

    async def read(self, topic: str) -> dict[int, list[Any]]:
        """Read all records of a topic."""
        async with PartitionReader(self.kafka) as reader:
            records_by_partition: dict[int, list[Any]] = {p: [] for p in range(PARTITION_COUNT)}
            async for record in reader.read(
                topic, await reader.bounds(topic, range(PARTITION_COUNT))
            ):
                records_by_partition[record.partition].append(record)
            return records_by_partition

    def following(self) -> FollowedLogs:
        """Return the logs for a wait that looks at them many times."""
        return FollowedLogs(self.kafka)

    async def settle(self, timeout_s: float = 150, *, echo: bool = False) -> None:
        """Wait until every input is applied and no ladder of a live realm is left."""
        async with self.following() as followed:
            await until(lambda: self.is_settled(followed, echo=echo), timeout_s, "does not settle")

    async def is_settled(self, followed: FollowedLogs, *, echo: bool) -> bool:
        """Return whether `settle` would end now."""
        for service in (self.toy, self.echo) if echo else (self.toy,):
            if not await followed.is_settled(service):
                return False
        return not echo or await self._told()

    async def _told(self) -> bool:
        """Return whether toyecho and the public topic hold every fact of toy's log for them.

        They may hold more: facts of a history that was lost. Inputs that are decided again may meet
        the other lane in another order, so other facts can follow from them.
        """
        public = (await self.read(self.public)).values()
        public_ids = {dict(r.headers)["ce_id"].decode() for records in public for r in records}
        echoed_ids = {
            tx["src"]["id"]
            for chain in (await self.chains(self.echo)).values()
            for tx in chain
            if any(f["type"] == "vigie.ToyEchoed.v1" for f in tx["facts"])
        }
        facts = [f for c in (await self.chains(self.toy)).values() for tx in c for f in tx["facts"]]
        return {f["id"] for f in facts if f["type"] == "vigie.ToyEscalated.v1"} <= echoed_ids and {
            f["id"] for f in facts if f["type"] == "vigie.ToyReported.v1"
        } <= public_ids

    async def count(self, service: str, fact: str) -> int:
        """Count the facts of this name in the log."""
        return sum(
            f["type"].split(".")[1] == fact
            for chain in (await self.chains(service)).values()
            for t in chain
            for f in t["facts"]
        )

    async def chains(self, service: str) -> Chains:
        """Return the accepted records of a log, read from its beginning."""
        async with self.following() as followed:
            return await followed.chains(service)

    async def check(self, *, echo: bool = False) -> Counter[str]:
        """Check every promise.

        Inputs are applied once, in order and unchanged; ids are unique; escalations fire once;
        facts are forwarded once, in order.
        """
        inputs = {topic: await self.read(topic) for topic in input_topics(self.toy)}
        chains = await self.chains(self.toy)
        applied_types: dict[tuple[str, str], str] = {}
        ids: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        rungs: Counter[tuple[str, str, int, int]] = Counter()
        escalated: dict[int, list[str]] = {p: [] for p in chains}
        for p, whole in chains.items():
            chain = [t for t in whole if t["src"]["topic"]]
            for topic, records in inputs.items():
                offsets = [t["src"]["offset"] for t in chain if t["src"]["topic"] == topic]
                assert offsets == list(range(len(records[p]))), (
                    f"partition {p} of {topic}: an input is missing, double or out of order"
                )
            armed: dict[tuple[str, str], int] = {}
            for tx in chain:
                record = inputs[tx["src"]["topic"]][p][tx["src"]["offset"]]
                headers = dict(record.headers)
                assert tx["src"]["id"] == headers["ce_id"].decode()
                assert tx["realm"] == record.key.decode()
                own = [
                    f
                    for f in tx["facts"]
                    if f["type"] not in ("vigie.ToyEscalated.v1", "vigie.DeadlineFailed.v1")
                ]
                key = (tx["realm"], tx["src"]["id"])
                if key in applied_types:
                    assert [f["type"] for f in own] == ["vigie.InputDuplicate.v1"], (
                        f"{key} had a second effect"
                    )
                    counts["duplicate"] += 1
                elif own and own[0]["type"] == "vigie.InputFailed.v1":
                    counts["failed"] += 1
                else:
                    applied_types[key] = tx["src"]["type"]
                    if tx["src"]["type"] == "vigie.ToyReport.v1":
                        assert own[0]["data"]["n"] == orjson.loads(record.value)["n"]
                        counts["reported"] += 1
                for f in tx["facts"]:
                    ids[f["id"]] += 1
                    name, incident = (
                        f["type"].split(".")[1],
                        (tx["realm"], f["data"].get("incident", "")),
                    )
                    if name == "ToyArmed":
                        armed[incident] = tx["seq"]
                    if name == "ToyEscalated":
                        rungs[(*incident, armed[incident], f["data"]["rung"])] += 1
                        escalated[p].append(f["id"])
                        counts["escalated"] += 1
        assert not [i for i, n in ids.items() if n > 1], "an id was given twice"
        assert not [r for r, n in rungs.items() if n > 1], "a rung fired twice"
        for realm, id, message in self.fed:
            if not (isinstance(message, ToyReport) and message.does == "raise"):
                assert (realm, id) in applied_types, (
                    f"{realm} {id} was acknowledged and never applied"
                )
        if echo:
            for p, chain in (await self.chains(self.echo)).items():
                echoed_ids = [
                    t["src"]["id"]
                    for t in chain
                    if any(f["type"] == "vigie.ToyEchoed.v1" for f in t["facts"])
                ]
                assert echoed_ids == escalated[p], (
                    f"partition {p}: forwarded facts are missing, double or out of order"
                )
                counts["echoed"] += len(echoed_ids)
            await self._check_public(chains, counts)
        return counts

    async def check_applied(self) -> None:
        """Check that each acknowledged report had one effect (for logs with a damaged input)."""
        chains = await self.chains(self.toy)
        without = {"InputDuplicate", "InputFailed", "InputRefused"}
        effects = Counter(
            (t["realm"], t["src"]["id"])
            for c in chains.values()
            for t in c
            if not any(f["type"].split(".")[1] in without for f in t["facts"])
        )
        assert not [e for e, n in effects.items() if n > 1]
        for realm, id, message in self.fed:
            if not (isinstance(message, ToyReport) and message.does == "raise"):
                assert effects[realm, id] == 1, f"{realm} {id} was acknowledged and never applied"

    async def _check_public(
        self, chains: dict[int, list[dict[str, Any]]], counts: Counter[str]
    ) -> None:
        for p, records in (await self.read(self.public)).items():
            public_ids = list(dict.fromkeys(dict(r.headers)["ce_id"].decode() for r in records))
            facts = [
                f["id"]
                for t in chains[p]
                for f in t["facts"]
                if f["type"] == "vigie.ToyReported.v1"
            ]
            assert public_ids == facts, f"partition {p}: public facts are missing or out of order"
            counts["public"] += len(public_ids)
            counts["public again"] += len(records) - len(public_ids)
        buried = {
            dict(r.headers)["ce_place"]
            for rs in (await self.read("dead-letters")).values()
            for r in rs
            if dict(r.headers).get("ce_place", b"").startswith(self.toy.encode() + b"/")
        }
        failed = sum(
            f["type"] in ("vigie.InputFailed.v1", "vigie.InputRefused.v1")
            for c in chains.values()
            for t in c
            for f in t["facts"]
        )
        assert len(buried) == failed
