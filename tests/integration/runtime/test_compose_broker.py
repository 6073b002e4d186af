"""The broker of docker-compose.yml, by the embedded jars: it lets in Vigie alone."""

from __future__ import annotations

import asyncio
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from ruamel.yaml import YAML

from services.appliance.embedded.kafka import KafkaNode, RunningKafka
from services.runtime.kafka.security import KafkaSecurity
from services.runtime.process.settings import REPOSITORY
from tests.brokers import make_node

PASSWORD: Final = "0a1b2c3d"
PATIENCE_MS: Final = 3000
FILE: Final = YAML(typ="safe").load(REPOSITORY / "docker-compose.yml")
COMPOSE: Final[dict[str, Any]] = FILE["services"]


def fill_in(value: str) -> str:
    """Put the password where compose puts it."""
    return re.sub(r"\$\{BROKER_PASSWORD:\?[^}]*\}", PASSWORD, value)


def name_property(variable: str) -> str:
    """Return the property that the image of Kafka makes of a variable of its environment."""
    name = variable.removeprefix("KAFKA_").lower().replace("_", ".")
    return name.replace("...", "-").replace("..", "_")


class ComposeNode(KafkaNode):
    """A broker with the properties of docker-compose.yml, on loopback ports."""

    @property
    def security(self) -> KafkaSecurity:
        """Return how the services of docker-compose.yml log in."""
        prefix = "VIGIE_KAFKA_"
        environment = COMPOSE["intake"]["environment"]
        settings: dict[str, Any] = {}
        for name, value in environment.items():
            if name.startswith(prefix):
                settings[name.removeprefix(prefix).lower()] = fill_in(value)
        return KafkaSecurity(**settings)

    def _properties(self, data: Path) -> str:
        places = {
            r"kafka:9092|(?<=//):9092": self.address,
            r"kafka:9093|(?<=//):9093": f"127.0.0.1:{self.controller_port}",
            re.escape("/var/lib/kafka/data"): str(data),
        }
        lines = []
        for variable, value in COMPOSE["kafka"]["environment"].items():
            if not variable.startswith("KAFKA_"):
                continue
            content = fill_in(value)
            for place, here in places.items():
                content = re.sub(place, here, content)
            lines.append(f"{name_property(variable)}={content}\n")
        return "".join(lines)

    def _format(self, data: Path) -> None:
        """Format as the image does: without a user."""
        properties = str(self.folder / "server.properties")
        cluster = "--cluster-id=AAAAAAAAAAAAAAAAAAAAAQ"
        done = self._run("kafka.tools.StorageTool", "format", cluster, "-c", properties)
        assert done.returncode == 0, f"{data}: {done.stderr}"

    def check_health(self, password: str) -> subprocess.CompletedProcess[str]:
        """Run the health check; Kafka's own tool for properties stands for the one of the image."""
        question = ("--describe", "--entity-type", "topics")
        tool = [*self._jvm(128), "kafka.admin.ConfigCommand", *question]
        command = COMPOSE["kafka"]["healthcheck"]["test"][1].replace("$$", "$")
        command = command.replace("/opt/kafka/bin/kafka-broker-api-versions.sh", " ".join(tool))
        command = command.replace("kafka:9092", self.address)
        environment = os.environ | {"BROKER_PASSWORD": password}
        shell = ["sh", "-c", command]
        return subprocess.run(shell, env=environment, capture_output=True, text=True, check=False)


async def send(address: str, options: dict[str, Any]) -> None:
    """Send one record. Raises KafkaError."""
    patience = {"request_timeout_ms": PATIENCE_MS}
    producer = AIOKafkaProducer(bootstrap_servers=address, **patience, **options)
    try:
        await producer.start()
        await producer.send_and_wait("kept", b"a record")
    finally:
        await producer.stop()


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeNode]:
    base = make_node(tmp_path_factory.mktemp("kafka"))
    values = {field.name: getattr(base, field.name) for field in fields(base)}
    node = ComposeNode(**values | {"password": PASSWORD})
    node.prepare()
    running = RunningKafka(node)
    try:
        asyncio.run(start_with_topic(running))
        yield node
    finally:
        running.stop()


async def start_with_topic(running: RunningKafka) -> None:
    await running.start()
    options = running.node.security.options()
    admin = AIOKafkaAdminClient(bootstrap_servers=running.address, **options)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()


async def test_a_service_of_compose_sends(composed: ComposeNode) -> None:
    await send(composed.address, composed.security.options())


@pytest.mark.parametrize("changes", [None, {"sasl_plain_password": "guessed"}])
async def test_the_broker_of_compose_admits_no_other_client(
    composed: ComposeNode, changes: dict[str, Any] | None
) -> None:
    options = {} if changes is None else composed.security.options() | changes
    with pytest.raises(KafkaError):
        await send(composed.address, options)


@pytest.mark.parametrize("listener", ["port", "controller_port"])
async def test_both_listeners_close_without_login(composed: ComposeNode, listener: str) -> None:
    request = struct.pack(">hhih", 3, 1, 7, -1) + struct.pack(">i", -1)
    reader, writer = await asyncio.open_connection("127.0.0.1", getattr(composed, listener))
    writer.write(struct.pack(">i", len(request)) + request)
    try:
        assert await asyncio.wait_for(reader.read(4096), 5) == b""
    except ConnectionResetError:
        pass  # closed as well
    finally:
        writer.close()


def test_the_health_check_logs_in(composed: ComposeNode) -> None:
    done = composed.check_health(PASSWORD)
    assert done.returncode == 0, done.stderr
    assert composed.check_health("guessed").returncode != 0
