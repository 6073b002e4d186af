"""One broker for the fault and damage tests of the runtime; each test has its own toy system."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.appliance.embedded.kafka import RunningKafka
from tests.brokers import starting_brokers
from tests.faults.runtime.harness import Toys, make_topics, topics_of

_suffixes = itertools.count(1)


@pytest.fixture(scope="session")
def fault_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKafka]:
    """Run a broker that these tests may kill, damage and start again."""
    with starting_brokers(tmp_path_factory) as start:
        yield asyncio.run(start())


@pytest.fixture
async def toys(fault_broker: RunningKafka, tmp_path: Path) -> AsyncIterator[Toys]:
    """Create an empty toy system."""
    system = Toys(fault_broker.address, tmp_path, str(next(_suffixes)))
    await make_topics(fault_broker.address, topics_of(system.suffix))
    yield system
    system.stop()
