"""One report is one trace, from its HTTP request with traceparent to the accepted mail."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from email import message_from_bytes
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from schemas.people.directory import Contact, ContactPoint
from schemas.words import Channel
from services.runtime.decider.inputs import InputMarks
from services.runtime.identity.accounts import AccessStore
from services.runtime.kafka.clients import RecordProducer, format_time
from services.runtime.process.settings import Settings
from services.runtime.process.sockets import find_free_ports
from services.runtime.secrets.vault import Vault
from services.territory import load_territory
from services.territory.publish import open_live_realm
from tests import forked
from tests.shipped import FOLDER
from tests.waiting import eventually

CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER_SPAN = "00f067aa0ba902b7"
PATIENCE_S = 120


@dataclass(frozen=True, slots=True)
class Hop:
    service: str
    name: str
    trace: str
    id: str
    parent: str
    told: dict[str, str]
    fault: bool


@dataclass
class Collector:
    """OTLP over HTTP, as a collector takes it."""

    hops: dict[str, Hop] = field(default_factory=dict)

    async def take(self, request: web.Request) -> web.Response:
        export_request = ExportTraceServiceRequest.FromString(await request.read())
        for resource in export_request.resource_spans:
            service = next(
                a.value.string_value
                for a in resource.resource.attributes
                if a.key == "service.name"
            )
            for span in (s for scope in resource.scope_spans for s in scope.spans):
                attributes = {
                    a.key: str(getattr(a.value, str(a.value.WhichOneof("value"))))
                    for a in span.attributes
                }
                id, faulty = span.span_id.hex(), span.status.code == 2
                self.hops[id] = Hop(
                    service,
                    span.name,
                    span.trace_id.hex(),
                    id,
                    span.parent_span_id.hex(),
                    attributes,
                    faulty,
                )
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(),
            content_type="application/x-protobuf",
        )

    def path_of(self, hop: Hop) -> list[str]:
        """Return the names from the first hop of the trace to this one."""
        before = self.hops.get(hop.parent)
        return [*(self.path_of(before) if before is not None else []), hop.name]


@dataclass
class Relay:
    """Takes every mail."""

    taken: list[str] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.taken.append(str(message_from_bytes(envelope.content)["X-Vigie-Attempt"]))
        return "250 2.0.0 queued"


@pytest.fixture
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    made = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", made.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield made, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def _prepared(settings: Settings) -> set[str]:
    """Return a live realm with territory, token, and an address for all its people."""
    territory = load_territory(settings.territory)
    async with AccessStore.open(settings, "up") as access:
        await access.bootstrap()
    async with (
        RecordProducer(settings.kafka, InputMarks.open(settings.data.secrets)) as producer,
        Vault.open(settings) as vault,
    ):
        await open_live_realm(producer, territory, int(time.time() * 1000))
        roster = next(s.roster for s in territory.sections if s.section == "roster")
        points = {
            p: ContactPoint(channel=Channel.EMAIL, address=f"{p}@example.org", verified_at=1)
            for p in roster.channels
        }
        await asyncio.gather(
            *(
                vault.directory.of("92").put(Contact(person=p, name="Quatremere", points=(at,)))
                for p, at in points.items()
            )
        )
    return set(points)


async def _accepted(url: str, token: Path) -> httpx.Response | None:
    """Return the answer to a report of a fire, once the front takes reports."""
    body = {
        "site_id": "cen-1",
        "type": "fire",
        "severity": 4,
        "occurred_at": format_time(int(time.time() * 1000)),
        "headline": "Feu",
    }
    headers = {"traceparent": f"00-{CALLER}-{CALLER_SPAN}-01", "Idempotency-Key": "fire-1"}
    headers["Authorization"] = f"Bearer {await asyncio.to_thread(token.read_text)}".strip()
    try:
        async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as http:
            answer = await http.post("/api/v1/reports", json=body, headers=headers)
    except httpx.TransportError:
        return None
    return answer if answer.status_code == 202 else None


@pytest.mark.timeout(400)
async def test_a_report_and_the_mail_that_it_causes_are_one_trace(
    start_broker: Any, collector: tuple[Collector, str], tmp_path: Path
) -> None:
    trace_collector, endpoint = collector
    broker = await start_broker()
    settings = Settings(data_dir=tmp_path / "data", kafka=broker.address, territory=FOLDER)
    settings.data.make()
    people = await _prepared(settings)
    relay = Relay()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(relay, hostname="relay.example.net", loop=loop), "127.0.0.1", 0
    )
    port = find_free_ports(1)[0]
    environment = os.environ | {
        "VIGIE_DATA_DIR": str(settings.data_dir),
        "VIGIE_KAFKA": settings.kafka,
        "VIGIE_HTTP": f"127.0.0.1:{port}",
        "VIGIE_CONSOLE": "127.0.0.1:9",
        "VIGIE_SMTP_URL": f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        "VIGIE_MAIL_FROM": "vigie@example.net",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    async with AsyncExitStack() as stack:
        stack.callback(server.close)
        for service in ("intake", "alerts", "delivery"):
            own = environment | {"VIGIE_INSTANCE": f"{service}-0"}
            process = await asyncio.to_thread(
                forked.start,
                f"services.{service}",
                environment=own,
                log=tmp_path / f"{service}.log",
            )
            stack.push_async_callback(_stopped, process)
        token = settings.data.secrets / "admin.token"
        await eventually(lambda: _accepted(f"http://127.0.0.1:{port}", token), PATIENCE_S)
        mail_hop_name = "delivery send email"
        await eventually(
            lambda: any(
                h.name == mail_hop_name and not h.fault for h in trace_collector.hops.values()
            ),
            PATIENCE_S,
        )
        mail = next(
            h for h in trace_collector.hops.values() if h.name == mail_hop_name and not h.fault
        )
        first = "intake accept"
        await eventually(lambda: trace_collector.path_of(mail)[0] == first, PATIENCE_S)

    assert relay.taken, "the relay took the mail that the trace tells of"
    path = trace_collector.path_of(mail)
    assert path[:3] == [
        first,
        "alerts decide vigie.ReportReceived.v1",
        "delivery decide vigie.NotificationPlanned.v1",
    ]
    alone, together = (
        f"delivery decide vigie.{claim}.v1" for claim in ("ClaimAttempt", "ClaimAttempts")
    )
    assert path[-2] in (alone, together), path
    assert path[-1] == mail_hop_name
    assert mail.trace == CALLER
    begun = next(h for h in trace_collector.hops.values() if h.name == first)
    assert (begun.trace, begun.parent, begun.service) == (CALLER, CALLER_SPAN, "intake")
    assert mail.told["vigie.channel"] == "email"
    assert mail.told["vigie.outcome"] == "accepted"
    hops_text = repr([(h.name, h.told) for h in trace_collector.hops.values()])
    assert "example.org" not in hops_text
    assert "Quatremere" not in hops_text
    assert "Feu" not in hops_text
    assert not [h.name for h in trace_collector.hops.values() if set(h.told.values()) & people], (
        "nobody is told, not even as a token"
    )


async def _stopped(process: forked.Process) -> None:
    process.terminate()
    assert await asyncio.to_thread(process.wait, 30) is not None
