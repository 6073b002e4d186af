"""The console in the test's own process, with a stand-in for the deciders that answers commands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.base import Command, Fact, parse_open
from schemas.runtime import CommandApplied, OpenRealm, RealmOpened
from schemas.topics import PARTITION_COUNT, SERVICES, input_topic
from services.console.app import open_console
from services.runtime.decider.inputs import InputRecord, compute_input_digest
from services.runtime.identity.accounts import AccessStore, create_principal
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal
from services.runtime.kafka.security import get_client_options
from services.runtime.log.partition_reader import stop_consumer
from services.runtime.process.settings import Settings
from services.runtime.process.tasks import cancel_and_wait
from tests.integration.console.logwriter import LogWriter

Reply = Callable[[str, Command], Fact]
"""(command id, command) → CommandApplied or CommandRefused."""


@dataclass
class Served:
    """The application with a client per role."""

    http: httpx.AsyncClient
    access: AccessStore
    app: Any

    async def as_role(self, role: Role, **more: Any) -> dict[str, str]:
        """Return headers of a new principal with this role."""
        principal: Principal = create_principal(role, **more)
        _, token = await self.access.create_token(principal)
        return {"Authorization": f"Bearer {token}"}

    async def is_ready(self) -> bool:
        """Return True once the picture is made from the logs."""
        return (await self.http.get("/readyz")).status_code == 200


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[Served]:
    async with open_console(settings) as app:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://console", timeout=20
        ) as http:
            yield Served(http, app.state.access, app)


def applied(command_id: str, command: Command) -> Fact:
    return CommandApplied(
        command_id=command_id, command=type(command).__name__, result={"done": True}
    )


@asynccontextmanager
async def answering(
    settings: Settings, writer: LogWriter, reply: Reply = applied
) -> AsyncIterator[list[tuple[str, Command]]]:
    """Answer each new command with `reply`, and yield the received commands."""
    command_log: list[tuple[str, Command]] = []
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=20,
        **get_client_options(),
    )
    await consumer.start()
    tps = [TopicPartition(input_topic(s), p) for s in SERVICES for p in range(PARTITION_COUNT)]
    consumer.assign(tps)
    ends = await consumer.end_offsets(tps)
    for tp in tps:
        consumer.seek(tp, ends[tp])

    async def run() -> None:
        async for record in consumer:
            headers = dict(record.headers)
            id, wire = headers["ce_id"].decode(), headers["ce_type"].decode()
            command = parse_open(wire, record.value)
            if not isinstance(command, Command) or id in {
                command_id for command_id, _ in command_log
            }:
                continue
            command_log.append((id, command))
            realm, service = record.key.decode(), record.topic.split(".")[0]
            digest = compute_input_digest(
                InputRecord(
                    record.topic,
                    record.partition,
                    record.offset,
                    record.key,
                    record.value,
                    record.headers,
                    0,
                )
            )
            facts = [reply(id, command)]
            if isinstance(command, OpenRealm):
                opened = RealmOpened(
                    territory=command.territory,
                    title_code=command.title_code,
                    started_at=command.started_at,
                    lineage=realm,
                )
                facts.insert(0, opened)
            await writer.append(
                service,
                realm,
                *facts,
                at=int(time.time() * 1000),
                id=id,
                cause=type(command),
                source=headers["ce_source"].decode(),
                digest=digest,
            )

    task = asyncio.create_task(run())
    try:
        yield command_log
    finally:
        await cancel_and_wait([task])
        await stop_consumer(consumer)
