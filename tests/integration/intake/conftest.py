"""The front door as a process on a real broker, and in-process when a test must look inside."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.topics import TOPICS_BY_NAME
from services.appliance.embedded.kafka import RunningKafka
from services.runtime.kafka.security import get_client_options
from services.runtime.process.settings import DataDir
from services.runtime.process.sockets import find_free_ports
from tests import forked
from tests.brokers import LOGIN
from tests.waiting import eventually


class FrontProcess:
    """`python -m services.intake` on a data directory; may be killed and started again."""

    def __init__(
        self, data_dir: Path, kafka: str, port: int, console: str, extra: dict[str, str]
    ) -> None:
        self.data = DataDir(data_dir)
        self.url = f"http://127.0.0.1:{port}"
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("VIGIE_")},
            **LOGIN,
            **extra,
            "VIGIE_DATA_DIR": str(data_dir),
            "VIGIE_KAFKA": kafka,
            "VIGIE_HTTP": f"127.0.0.1:{port}",
            "VIGIE_CONSOLE": console,
            "VIGIE_LOG_LEVEL": "WARNING",
        }
        self._process: forked.Process | None = None
        self.pass_fds: tuple[int, ...] = ()

    def start(self) -> None:
        self.data.root.parent.mkdir(parents=True, exist_ok=True)
        log = self.data.root.parent / "front.log"
        self._process = forked.start(
            "services.intake", environment=self._environment, log=log, pass_fds=self.pass_fds
        )

    def has_ended(self) -> bool:
        """Return whether it was killed or stopped, or has never been started."""
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """Send SIGKILL, and wait."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def signal(self, number: int) -> None:
        """Send SIGSTOP or SIGCONT."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def client(self, **more: Any) -> httpx.AsyncClient:
        """Return a client as the administrator of this machine."""
        token = (self.data.secrets / "admin.token").read_text().strip()
        return httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"} | more.pop("headers", {}),
            timeout=20,
            verify=False,
            **more,
        )

    async def accepting(self) -> None:
        """Return once a token is known and the log can be written."""

        async def ready() -> bool:
            try:
                async with self.client() as http:
                    checks = (await http.get("/readyz")).json()["checks"]
            except (httpx.TransportError, OSError):
                return False
            return bool({checks["log"], checks["access"], checks["texts"]} == {"ok"})

        await eventually(ready, 60)


Starter = Callable[..., FrontProcess]


@pytest.fixture
def new_front(broker: RunningKafka, tmp_path: Path) -> Iterator[Starter]:
    """Yield `new_front(name, kafka=…, console=…, NAME=value)`: it starts a front.

    Each name has a data directory of its own. All are stopped at the end.
    """
    with ExitStack() as stack:

        def start(
            name: str = "front",
            *,
            kafka: str = broker.address,
            console: str = "127.0.0.1:9",
            **extra: str,
        ) -> FrontProcess:
            data = tmp_path / name / "data"
            front = FrontProcess(data, kafka, find_free_ports(1)[0], console, extra)
            front.start()
            stack.callback(front.stop)
            return front

        yield start


@pytest.fixture(scope="module")
def console_address() -> str:
    """Return the address at which `front` asks for its console; nobody is there."""
    return "127.0.0.1:9"


@pytest.fixture(scope="module")
def front_of_module(
    broker: RunningKafka, console_address: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FrontProcess]:
    """Return a front that is stopped at the end of the module."""
    data = tmp_path_factory.mktemp("front") / "data"
    made = FrontProcess(data, broker.address, find_free_ports(1)[0], console_address, {})
    yield made
    if not made.has_ended():
        made.stop()


@pytest.fixture
async def front(front_of_module: FrontProcess) -> FrontProcess:
    """Return the front that all tests of the module may use, kill and stop; it accepts reports."""
    if front_of_module.has_ended():
        front_of_module.start()
    await front_of_module.accepting()
    return front_of_module


async def records(kafka: str, topic: str, key: str) -> list[Any]:
    """Return all current records of a topic under a key."""
    partitions = [TopicPartition(topic, p) for p in range(TOPICS_BY_NAME[topic].partitions)]
    consumer: Any = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        auto_offset_reset="none",
        **get_client_options(),
    )
    await consumer.start()
    try:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        begins = await consumer.beginning_offsets(partitions)
        for tp in partitions:
            consumer.seek(tp, begins[tp])
        key_records: list[Any] = []
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for batch in (await consumer.getmany(timeout_ms=300)).values():
                key_records += [r for r in batch if r.key == key.encode()]
        return key_records
    finally:
        await consumer.stop()


@pytest.fixture
def on_log(broker: RunningKafka) -> Callable[[str], Any]:
    """`await on_log(realm)`: the records of a realm on `alerts.inputs`."""
    return lambda realm: records(broker.address, "alerts.inputs", realm)


def report(**changes: Any) -> dict[str, Any]:
    """Return a well-formed body."""
    return {
        "site_id": "col-001",
        "type": "outage_power",
        "severity": 3,
        "occurred_at": "2027-02-11T09:40:00+01:00",
        "headline": "Panne",
    } | changes
