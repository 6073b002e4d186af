"""Embedded brokers and stores for tests."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from services.runtime import kafka_security
from services.runtime.embedded.kafka import KafkaNode, RunningKafka
from services.runtime.embedded.node import make_node as embedded_node
from services.runtime.embedded.password import NAME, USER
from services.runtime.embedded.ports import free_ports
from services.runtime.embedded.sockets import socket_folder
from services.runtime.embedded.store import RunningStore, StoreNode
from services.runtime.keys import write_private
from services.runtime.provision import provision
from services.runtime.settings import Settings

PASSWORD: Final = "of-every-broker-of-the-tests"
LOGIN: Final = {"VIGIE_KAFKA_USER": USER, "VIGIE_KAFKA_PASSWORD": PASSWORD}
"""Environment of the tests and of what they start: their brokers ask as the product's does."""


def give_password(secrets: Path) -> None:
    """Put the password of the tests' brokers where a broker looks for its own."""
    secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(secrets / NAME, PASSWORD.encode())


def make_node(folder: Path) -> KafkaNode:
    """A node with everything in `folder`, on free ports; `prepare` it before the start."""
    port, controller_port = free_ports(2)
    give_password(folder)
    return embedded_node(folder, (port, controller_port), folder / "broker.jsonl", Settings().cache_dir, folder, print)


def forget() -> None:
    """How a broker is spoken to is read from the environment once per process: read it again."""
    kafka_security.use_security(None)


_RUN: list[Path] = []


def of_run(shared: Path) -> None:
    """`shared`: the folder that all workers of this run have."""
    _RUN[:] = [shared]


async def put_provisioned(folder: Path) -> None:
    """Give a node that was never started (its folder) the data of one that was stopped after every topic had been made: whoever asks first
    in this run makes it, the others save the seven seconds.
    """
    made = _RUN[0] / "provisioned"
    with (_RUN[0] / "provisioned.lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if not made.exists():
            command = [sys.executable, "-m", "services.runtime.embedded.classes"]
            await asyncio.to_thread(subprocess.run, command, check=True)  # what every broker of this machine starts with
            making = _RUN[0] / "provisioning"
            shutil.rmtree(making, ignore_errors=True)
            running = RunningKafka(make_node(making))
            running.node.prepare()
            try:
                await running.start()
                await provision(running.address)
            finally:
                running.stop()
            running.node.folder.rename(made)
    for part in ("data", "credential"):
        copy = shutil.copytree if part == "data" else shutil.copy
        copy(made / part, folder / part)


Brokers = Callable[[], Coroutine[None, None, RunningKafka]]
Stores = Callable[[], Coroutine[None, None, RunningStore]]


@contextmanager
def starting_brokers(factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    """`await start()` starts a broker of its own, all topics provisioned. Stopped at the end of the block."""
    with ExitStack() as stack:

        async def start() -> RunningKafka:
            folder = factory.mktemp("kafka")
            await put_provisioned(folder)
            node = make_node(folder)
            node.prepare()
            running = RunningKafka(node)
            stack.callback(running.stop)
            await running.start()
            await provision(running.address)
            return running

        yield start


@contextmanager
def starting_stores(factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """`await start()` starts a store of its own. Stopped at the end of the block."""
    with ExitStack() as stack:

        async def start() -> RunningStore:
            folder = factory.mktemp("store")
            running = RunningStore(StoreNode(folder, socket_folder(folder) / "store.sock", folder / "store.log"))
            stack.callback(running.stop)
            await running.start()
            return running

        yield start
