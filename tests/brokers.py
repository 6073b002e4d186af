"""Embedded brokers and stores for tests.

`python -m tests.brokers FOLDER` prepares the start files of a run's brokers.
"""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest
from aiokafka.errors import KafkaError

from services.appliance.embedded.classes import make_cache
from services.appliance.embedded.java import fetch_classpath, find_java, read_configured_java
from services.appliance.embedded.kafka import BrokerFailed, KafkaNode, RunningKafka
from services.appliance.embedded.node import make_node as embedded_node
from services.appliance.embedded.running import ServerProcess
from services.appliance.embedded.store import STOP_TIMEOUT_S, StoreNode
from services.runtime.kafka import security
from services.runtime.kafka.topics import provision_topics
from services.runtime.process.settings import Settings
from services.runtime.process.sockets import choose_socket_folder, find_free_ports
from services.runtime.secrets.keyring import write_private
from services.runtime.secrets.local_secrets import BROKER_USER, PASSWORD_FILE

PASSWORD: Final = "of-every-broker-of-the-tests"
LOGIN: Final = {"VIGIE_KAFKA_USER": BROKER_USER, "VIGIE_KAFKA_PASSWORD": PASSWORD}
"""Environment of the tests and their processes; brokers need a password as in production."""


class RunningStore(ServerProcess):
    """A store for tests."""

    def __init__(self, node: StoreNode) -> None:
        super().__init__(node.command(), STOP_TIMEOUT_S)
        self.node = node
        self.url = node.url

    async def start(self) -> None:
        """Start the store and wait until PING is answered. Raises StoreFailed, TimeoutError."""
        self.node.prepare()
        self.spawn()
        await self.node.wait_ready()


def give_password(secrets: Path) -> None:
    """Put the password of the tests' brokers where a broker looks for its own."""
    secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(secrets / PASSWORD_FILE, PASSWORD.encode())


def make_node(folder: Path) -> KafkaNode:
    """Return a node with everything in `folder`, on free ports; `prepare` it before the start."""
    port, controller_port = find_free_ports(2)
    give_password(folder)
    return embedded_node(
        folder,
        (port, controller_port),
        folder / "broker.jsonl",
        Settings().cache_dir,
        folder,
        print,
    )


def forget() -> None:
    """Forget the broker's login, which a process reads from the environment once."""
    security.use_security(None)


_RUN: list[Path] = []


def of_run(shared: Path) -> None:
    """Return the node in `shared`, the folder of all workers of this run."""
    _RUN[:] = [shared]


async def put_provisioned(folder: Path) -> None:
    """Give a new node (its folder) the data of one that was stopped after every topic was made.

    The first caller of a run makes them. The others save seven seconds.
    """
    made = await _provisioned()
    for part in ("data", "credential"):
        copy = shutil.copytree if part == "data" else shutil.copy
        copy(made / part, folder / part)


async def _provisioned() -> Path:
    """Return the folder of a stopped node with every topic, made once in a run."""
    made = _RUN[0] / "provisioned"
    with (_RUN[0] / "provisioned.lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if not made.exists():
            with suppress(BrokerFailed, KafkaError, OSError):  # brokers start without, only later
                await asyncio.to_thread(_make_classes)
            making = _RUN[0] / "provisioning"
            shutil.rmtree(making, ignore_errors=True)
            running = RunningKafka(make_node(making))
            running.node.prepare()
            try:
                await running.start()
                await provision_topics(running.address)
            finally:
                running.stop()
            running.node.folder.rename(made)
    return made


def _make_classes() -> None:
    """Make the class cache that every broker of this machine starts with."""
    jars = fetch_classpath(Settings().cache_dir, print)
    make_cache(find_java(read_configured_java()), tuple(jars))


Brokers = Callable[[], Coroutine[None, None, RunningKafka]]
Stores = Callable[[], Coroutine[None, None, RunningStore]]


@contextmanager
def starting_brokers(factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    """Yield `await start()`: it starts a broker with all topics, stopped after the block."""
    with ExitStack() as stack:

        async def start() -> RunningKafka:
            folder = factory.mktemp("kafka")
            await put_provisioned(folder)
            node = make_node(folder)
            node.prepare()
            running = RunningKafka(node)
            stack.callback(running.stop)
            await running.start()
            await provision_topics(running.address)
            return running

        yield start


@contextmanager
def starting_stores(factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """`await start()` starts a store of its own. Stopped at the end of the block."""
    with ExitStack() as stack:

        async def start() -> RunningStore:
            folder = factory.mktemp("store")
            running = RunningStore(
                StoreNode(folder, choose_socket_folder(folder) / "store.sock", folder / "store.log")
            )
            stack.callback(running.stop)
            await running.start()
            return running

        yield start


if __name__ == "__main__":
    of_run(Path(sys.argv[1]))
    asyncio.run(_provisioned())
