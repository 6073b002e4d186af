"""The front door as a process on a real broker, for real clients, also over TLS."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.appliance.embedded.kafka import RunningKafka
from services.runtime.process.sockets import find_free_ports
from tests.certificates import make_certificate
from tests.integration.intake.conftest import FrontProcess, records


@dataclass(frozen=True)
class Certificate:
    cert: Path
    key: Path

    def trust(self) -> ssl.SSLContext:
        """Return the settings of a client that trusts only this certificate."""
        return ssl.create_default_context(cafile=str(self.cert))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Return a self-signed certificate for 127.0.0.1."""
    return Certificate(*make_certificate(tmp_path_factory.mktemp("tls")))


@dataclass
class OpenDoor:
    """A running front with a TLS address, and its records on the log."""

    front: FrontProcess
    tls: str
    kafka: str
    reports_of: Callable[[str], Awaitable[list[Any]]]

    async def source(self, name: str, dialect: str, **record: Any) -> str:
        """Create a source in its own realm `92~test-<name>` and return its key."""
        body = {
            "name": name,
            "dialect": dialect,
            "site": "cen-1",
            "scope": {"realms": [self.realm(name)]},
        } | record
        async with self.front.client() as http:
            made = await http.post("/api/v1/sources", json=body)
        assert made.status_code == 201, made.text
        return str(made.json()["key"])

    def realm(self, name: str) -> str:
        return f"92~test-{name}"


@pytest.fixture(scope="session")
def door_process(
    broker: RunningKafka, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[FrontProcess, str]]:
    """Start one front for all clients, with its TLS address."""
    plain, tls = find_free_ports(2)
    extra = {
        "VIGIE_TLS_HTTP": f"127.0.0.1:{tls}",
        "VIGIE_TLS_CERT": str(certificate.cert),
        "VIGIE_TLS_KEY": str(certificate.key),
    }
    front = FrontProcess(
        tmp_path_factory.mktemp("clients") / "data", broker.address, plain, "127.0.0.1:9", extra
    )
    with ExitStack() as stack:
        front.start()
        stack.callback(front.stop)
        yield front, f"https://127.0.0.1:{tls}"


@pytest.fixture
async def door(door_process: tuple[FrontProcess, str], broker: RunningKafka) -> OpenDoor:
    front, tls = door_process
    await front.accepting()
    return OpenDoor(
        front, tls, broker.address, lambda realm: records(broker.address, "alerts.inputs", realm)
    )
