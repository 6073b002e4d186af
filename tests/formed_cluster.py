"""Three real brokers on loopback, formed by `vigie cluster init`, `invite` and `join`.

Three copies, two in step. `async with FormedCluster(folder) as cluster` starts them. `leader` and
`is_in_step` return the leader and the state.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiokafka.errors import KafkaError

from services.appliance.cluster.control import BrokersState, ClusterControl
from services.appliance.cluster.keeper import find_replication, keep_cluster
from services.appliance.cluster.node import SESSION_MS
from services.appliance.cluster.setup import make_cluster_node
from services.appliance.embedded.kafka import RunningKafka
from services.runtime.kafka.security import read_cluster_security, use_security
from services.runtime.process.cluster import AUTHORITY_FILE, ClusterMember, read_member
from services.runtime.process.settings import Settings
from services.runtime.process.sockets import HIGHEST, LOWEST, is_port_free
from services.runtime.secrets.keyring import write_private
from tests.brokers import LOGIN, give_password, put_provisioned
from tests.system import VIGIE
from tests.waiting import eventually

NODES: Final = (1, 2, 3)
COPIES: Final = len(NODES)
START_S: Final = 150.0
"""Patience with three brokers at once on a machine that others use, too."""
HEAP_MB: Final = 192
KEY_FILE: Final = "master.key"
assert SESSION_MS == 2000, "docs/how-to/three-machines.md says how long a dead leader costs"


@dataclass
class FormedCluster:
    """Three brokers, each with a data directory and an address of its own."""

    folder: Path
    brokers: dict[int, RunningKafka] = field(default_factory=dict)
    members: dict[int, ClusterMember] = field(default_factory=dict)

    @property
    def addresses(self) -> str:
        """Return the addresses of all three, for clients."""
        return ",".join(self.members[n].own.broker for n in NODES)

    @property
    def login(self) -> dict[str, str]:
        """Environment of a process that uses the brokers without being one of the machines."""
        authority = self.settings(1).data.secrets / AUTHORITY_FILE
        return LOGIN | {"VIGIE_KAFKA_TLS": "1", "VIGIE_KAFKA_CA": str(authority)}

    def share_key(self, secrets: Path) -> None:
        """Give another installation the key of the cluster, which refuses other keys."""
        secrets.mkdir(parents=True, mode=0o700)
        write_private(secrets / KEY_FILE, (self.settings(1).data.secrets / KEY_FILE).read_bytes())

    def settings(self, number: int) -> Settings:
        """Return the settings of a machine; they name the brokers once it is in."""
        machine_settings = Settings(data_dir=self.folder / str(number))
        member = self.members.get(number)
        return (
            machine_settings.model_copy(update={"kafka": member.brokers})
            if member
            else machine_settings
        )

    async def start(self) -> Self:
        """Create the cluster and wait until three machines hold every topic of the product."""
        await self.prepare()
        await self.start_broker(1)
        for number in NODES[1:]:
            await self.join(number, self.command(1, "invite"))
        await eventually(self._are_copies_made, START_S)
        return self

    async def prepare(self) -> None:
        """Make the first machine a cluster; its broker is ready to start."""
        data = self.settings(1).data
        data.make()
        await put_provisioned(data.kafka)
        give_password(data.secrets)
        self.command(1, "init", "--address", choose_address(1))
        self._prepare_broker(1)

    async def join(self, number: int, invitation: str) -> None:
        """Start a machine with an invitation, which must be the one of this number."""
        address = choose_address(number)
        self.command(number, "join", "-", "--address", address, given=invitation)
        self._prepare_broker(number)
        await self.start_broker(number)

    def command(self, number: int, *arguments: str, given: str = "") -> str:
        """Run `vigie cluster` on a machine and return its output. Raises AssertionError."""
        environment = {n: v for n, v in os.environ.items() if not n.startswith("VIGIE_KAFKA")}
        done = subprocess.run(
            [str(VIGIE), "cluster", *arguments],
            env=environment | {"VIGIE_DATA_DIR": str(self.folder / str(number))},
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _prepare_broker(self, number: int) -> None:
        settings = self.settings(number)
        member = read_member(settings.data.secrets)
        assert member is not None
        self.members[number] = member
        node = make_cluster_node(settings, member, heap_mb=HEAP_MB)
        node.prepare()
        self.brokers[number] = RunningKafka(node)

    async def start_broker(self, number: int) -> None:
        """Start the broker of a machine and run the steps of its `vigie up` once."""
        use_security(read_cluster_security(self.settings(number).data.secrets))
        await self.brokers[number].start()
        await self.keep(number)

    async def keep(self, number: int) -> None:
        """Run the steps of the `vigie up` of a machine once."""
        front = f"http://front-{number}.example"
        self.members[number] = await keep_cluster(
            self.settings(number), self.members[number], front
        )

    async def _are_copies_made(self) -> bool:
        await self.keep(NODES[-1])
        async with ClusterControl(self.addresses) as control:
            return await find_replication(control) == COPIES

    def stop(self) -> None:
        """Kill the remaining brokers: nothing here is kept."""
        use_security(None)
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

    async def describe(self) -> BrokersState | None:
        """Return every partition as a living broker describes it, or None without an answer."""
        try:
            async with ClusterControl(self.addresses) as control:
                return await control.describe_brokers()
        except (KafkaError, OSError, TimeoutError):
            return None

    async def is_in_step(self, wanted: set[int]) -> bool:
        """Return whether exactly these brokers are in step everywhere, and one of them leads."""
        description = await self.describe()
        return description is not None and all(
            copies.in_step == wanted and copies.leader in wanted
            for copies in description.partitions.values()
        )

    async def leader(self) -> int:
        """Return the leader of most partitions."""
        description = await self.describe()
        leaders = (
            [copies.leader for copies in description.partitions.values()] if description else []
        )
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


def choose_address(number: int) -> str:
    """Return an address of a machine with a free port and a free next one."""
    ports = range(LOWEST + number * 2, HIGHEST, 16)  # no two machines choose the same
    free = (port for port in random.sample(ports, len(ports)) if is_port_free(port))
    return f"127.0.0.1:{next(port for port in free if is_port_free(port + 1))}"
