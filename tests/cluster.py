"""Three real brokers on loopback with the settings of deploy/kubernetes/kafka.yaml.

Three copies, two in step. `async with Cluster(folder) as cluster` starts them. `leader` and
`is_in_step` return the leader and the state.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from schemas.topics import TOPICS
from services.appliance.embedded.kafka import KafkaNode, RunningKafka, is_serving
from services.runtime.kafka.security import get_client_options
from services.runtime.kafka.topics import build_desired_config
from services.runtime.process.sockets import find_free_ports
from tests.brokers import make_node
from tests.waiting import eventually

NODES: Final = (1, 2, 3)
COPIES: Final = len(NODES)
SESSION_MS: Final = 3000
"""Time until a dead leader is replaced, as docs/how-to/operate.md advises."""
START_S: Final = 150.0
"""Patience with three brokers at once on a machine that others use, too."""
HEAP_MB: Final = 192
META: Final = "meta.properties"


@dataclass(frozen=True, slots=True)
class ClusterNode(KafkaNode):
    """One broker and controller of several."""

    number: int = 1
    voters: str = ""

    def _properties(self, data: Path) -> str:
        """Parse a properties file; later lines win over earlier ones."""
        lines: Mapping[str, object] = {
            "node.id": self.number,
            "controller.quorum.voters": self.voters,
            "default.replication.factor": COPIES,
            "min.insync.replicas": COPIES - 1,
            "offsets.topic.replication.factor": COPIES,
            "transaction.state.log.replication.factor": COPIES,
            "transaction.state.log.min.isr": COPIES - 1,
            "broker.session.timeout.ms": SESSION_MS,
            "auto.leader.rebalance.enable": "false",  # the test says who leads
            "num.replica.fetchers": 1,
        }
        return KafkaNode._properties(self, data) + "".join(
            f"{key}={value}\n" for key, value in lines.items()
        )


@dataclass
class Cluster:
    """Three brokers; every topic of the product is led by the first living one of 1, 2, 3."""

    folder: Path
    brokers: dict[int, RunningKafka] = field(default_factory=dict)

    @property
    def addresses(self) -> str:
        """Return the addresses of all three, for clients."""
        return ",".join(self.brokers[n].address for n in NODES)

    async def start(self) -> Self:
        """Start all three and make every topic of the product."""
        self._prepare()
        for broker in self.brokers.values():
            broker.spawn()
        await eventually(self._are_all_serving, START_S)
        await self._make_topics()
        return self

    async def _are_all_serving(self) -> bool:
        return all(
            await asyncio.gather(*(is_serving(broker.address) for broker in self.brokers.values()))
        )

    def stop(self) -> None:
        """Kill the remaining brokers: nothing here is kept."""
        for broker in self.brokers.values():
            broker.kill()

    async def __aenter__(self) -> Self:
        try:
            return await self.start()
        except BaseException:
            self.stop()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _prepare(self) -> None:
        """Format the first node; the others get its data under names of their own."""
        ports = find_free_ports(2 * COPIES)
        voters = ",".join(f"{n}@127.0.0.1:{ports[2 * n - 1]}" for n in NODES)
        for n in NODES:
            alone = make_node(self.folder / str(n))
            node_fields = {f.name: getattr(alone, f.name) for f in fields(alone)}
            node_fields |= {
                "port": ports[2 * n - 2],
                "controller_port": ports[2 * n - 1],
                "heap_mb": HEAP_MB,
            }
            node = ClusterNode(**node_fields, number=n, voters=voters)
            if n != NODES[0]:
                shutil.copytree(self.folder / "1", node.folder, dirs_exist_ok=True)
                meta = (node.folder / "data" / META).read_text()
                other_lines = [
                    line
                    for line in meta.splitlines()
                    if not line.startswith(("node.id=", "directory.id="))
                ]
                directory = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
                (node.folder / "data" / META).write_text(
                    "\n".join([*other_lines, f"node.id={n}", f"directory.id={directory}", ""])
                )
            node.prepare()
            self.brokers[n] = RunningKafka(node)

    async def _make_topics(self) -> None:
        assignment = {t.name: {p: list(NODES) for p in range(t.partitions)} for t in TOPICS}
        new = [
            NewTopic(t.name, -1, -1, assignment[t.name], build_desired_config(t, COPIES))
            for t in TOPICS
        ]
        admin = AIOKafkaAdminClient(bootstrap_servers=self.addresses, **get_client_options())
        await admin.start()
        try:
            await admin.create_topics(new)
        finally:
            await admin.close()
        await eventually(lambda: self.is_in_step(set(NODES)), START_S)

    async def partitions(self) -> list[Mapping[str, object]]:
        """Return every partition of the product's topics as a living broker describes it.

        Return none without an answer.
        """
        admin = AIOKafkaAdminClient(
            bootstrap_servers=self.addresses, request_timeout_ms=3000, **get_client_options()
        )
        try:
            await admin.start()
            described = await admin.describe_topics([t.name for t in TOPICS])
        except (KafkaError, OSError, TimeoutError):
            return []
        finally:
            await admin.close()
        return [partition for topic in described for partition in topic["partitions"]]

    async def is_in_step(self, wanted: set[int]) -> bool:
        """Return whether exactly these brokers are in step everywhere, and one of them leads."""
        partitions = await self.partitions()
        return bool(partitions) and all(
            set(p["isr"]) == wanted and p["leader"] in wanted for p in partitions
        )  # type: ignore[call-overload]

    async def leader(self) -> int:
        """Return the leader of most partitions."""
        leaders = [int(str(p["leader"])) for p in await self.partitions()]
        return max(NODES, key=leaders.count)

    def kill(self, number: int, sig: signal.Signals = signal.SIGKILL) -> None:
        """Signal one broker."""
        if sig == signal.SIGKILL:
            self.brokers[number].kill()
        else:
            os.kill(self.brokers[number].pid, sig)

    def revive(self, number: int) -> None:
        """Start a killed broker again, without waiting for it."""
        self.brokers[number].spawn()
