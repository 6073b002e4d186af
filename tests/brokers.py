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

import pytest

from services.runtime import kafka_security
from services.runtime.embedded.kafka import KafkaNode, RunningKafka
from services.runtime.embedded.node import make_node as embedded_node
from services.runtime.embedded.ports import free_ports
from services.runtime.embedded.store import RunningStore, StoreNode
from services.runtime.provision import provision
from services.runtime.settings import Settings


def make_node(folder: Path) -> KafkaNode:
    """A node with everything in `folder`, on free ports; `prepare` it before the start."""
    port, controller_port = free_ports(2)
    return embedded_node(folder, (port, controller_port), folder / "broker.jsonl", Settings().cache_dir, print)


def forget() -> None:
    """How a broker is spoken to is read from the environment once per process: read it again."""
    kafka_security.security.cache_clear()
    kafka_security._options.cache_clear()


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
            running = RunningKafka(make_node(_RUN[0] / "provisioning"))
            running.node.prepare()
            try:
                await running.start()
                await provision(running.address)
            finally:
                running.stop()
            (running.node.folder / "data").rename(made)
    shutil.copytree(made, folder / "data")


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
            running = RunningStore(StoreNode(folder, free_ports(1)[0], folder / "store.log"))
            stack.callback(running.stop)
            await running.start()
            return running

        yield start
