"""The whole front in one process without Kafka; a list holds its appends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx2 as httpx
import orjson
import pytest

from schemas.base import parse_closed
from schemas.crisis.maintenance import LeasesRenewed
from schemas.reports import ReportReceived
from services.intake.app import Intake
from services.intake.reports import geography
from services.intake.routes import FrontApplication
from services.intake.settings import IntakeSettings
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Scope
from services.runtime.kafka.clients import BrokerAway
from tests.keyed import MemoryKeyedLog, create_token
from tests.shipped import FOLDER


@pytest.fixture(scope="session", autouse=True)
def _shipped_map_read_once() -> Iterator[None]:
    """Read the map of the shipped territory once: each test has a front, which would read it."""
    read = geography._load_territory
    read_shipped = cache(lambda: read(FOLDER))

    def load(folder: Path) -> geography._Territory:
        return read_shipped() if folder == FOLDER else read(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geography, "_load_territory", load)
        yield


class MemoryInputs:
    """Stands for `InputAppender`: appends, or is away."""

    def __init__(self) -> None:
        self.appended: list[tuple[str, ReportReceived, dict[str, bytes]]] = []
        self.renewed: list[LeasesRenewed] = []
        self.topics: list[str] = []
        """Where each of `appended` went."""
        self.away = False

    async def append(
        self,
        topic: str,
        realm: str,
        partition: int,  # noqa: ARG002
        value: bytes,
        headers: list[tuple[str, bytes]],
    ) -> tuple[int, int]:
        if self.away:
            raise BrokerAway("away")
        message = parse_closed(dict(headers)["ce_type"].decode(), orjson.loads(value))
        if isinstance(message, LeasesRenewed):
            self.renewed.append(message)
            return 0, 1_800_000_000_000
        assert isinstance(message, ReportReceived)
        self.topics.append(topic)
        self.appended.append((realm, message, dict(headers)))
        return len(self.appended) - 1, 1_800_000_000_000 + len(self.appended)

    async def reachable(self) -> bool:
        return not self.away

    async def stop(self) -> None:
        pass


class Door:
    """The front, its log, and clients with any role."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.intake = Intake(IntakeSettings(data_dir=folder, **settings))
        self.inputs = MemoryInputs()
        self.texts_log = MemoryKeyedLog()
        self.intake.receiver._inputs = self.inputs  # type: ignore[assignment]
        self.intake.inputs = self.inputs  # type: ignore[assignment]
        self.intake.vault.texts._writer = self.texts_log
        self.intake.access._writer = MemoryKeyedLog()
        self.intake.access.caught_up.set()
        self.intake.ledger.caught_up.set()

    def client(self, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.intake.front),
            base_url="http://vigie",
            headers=headers,
        )

    async def as_(
        self, role: Role, *, scope: Scope | None = None, speaks_as: str | None = None
    ) -> httpx.AsyncClient:
        _, token = await create_token(self.intake.access, role, scope=scope, speaks_as=speaks_as)
        return self.client(Authorization=f"Bearer {token}")

    async def close(self) -> None:
        await self.intake.proxy.stop()
        self.intake.ledger.close()
        self.intake.book.close()
        self.intake.vault._replica.close()
        self.intake.vault._keyring.close()


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    made = Door(tmp_path)
    yield made
    await made.close()


async def post_report(
    front: FrontApplication, token: str, body: bytes
) -> tuple[int, dict[str, Any]]:
    """Return (status, JSON) of one request in plain ASGI, without an HTTP client."""
    response_messages: list[Any] = []
    chunks = [body[i : i + 65_536] for i in range(0, len(body), 65_536)] or [b""]
    messages = [
        {"type": "http.request", "body": c, "more_body": c is not chunks[-1]} for c in chunks
    ]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        response_messages.append(message)

    headers = [
        (b"authorization", f"Bearer {token}".encode()),
        (b"content-type", b"application/json"),
    ]
    await front(
        {"type": "http", "method": "POST", "path": "/api/v1/reports", "headers": headers},
        receive,
        send,
    )
    return response_messages[0]["status"], orjson.loads(response_messages[1]["body"])


def report(**changes: Any) -> dict[str, Any]:
    """Return a valid body; None removes a field."""
    body = {
        "site_id": "col-001",
        "type": "outage_power",
        "severity": 3,
        "occurred_at": "2027-02-11T09:40:00+01:00",
        "headline": "Panne",
    }
    return {k: v for k, v in (body | changes).items() if v is not None}
