"""The whole product with its broker and its store at the other end of a cable that is pulled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from services.appliance.embedded.kafka import RunningKafka
from tests.brokers import make_node, put_provisioned, starting_stores
from tests.faults.matrix import proves
from tests.faults.reporting import WAIT_S, Reporter, kept, wait_until_settled
from tests.faults.wire import Wire
from tests.system import RunningVigie
from tests.waiting import until

pytestmark = pytest.mark.timeout(400)

SILENT_S = 12.0
"""Longer than the session of a worker."""
CUT_S = 3.0


@dataclass(frozen=True)
class Distant:
    vigie: RunningVigie
    broker: Wire
    store: Wire


@pytest.fixture(scope="module")
def distant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Distant]:
    node = make_node(tmp_path_factory.mktemp("kafka"))
    asyncio.run(put_provisioned(node.folder))
    node.prepare()
    broker = RunningKafka(node)
    with starting_stores(tmp_path_factory) as start_store, Wire(node.address) as to_broker:
        with (node.folder / "server.properties").open("a") as properties:
            properties.write(f"advertised.listeners=SASL_PLAINTEXT://{to_broker.address}\n")
        try:
            asyncio.run(broker.start())
            store = asyncio.run(start_store())
            with Wire(store.node.socket) as to_store:
                options = ("--kafka", to_broker.address, "--redis", f"redis://{to_store.address}/0")
                with RunningVigie(tmp_path_factory.mktemp("distant"), options=options) as vigie:
                    yield Distant(vigie, to_broker, to_store)
        finally:
            broker.stop()


def stays_so(seconds: float) -> None:
    ends = time.monotonic() + seconds
    until(lambda: time.monotonic() > ends, seconds + 10)


@proves("broker", "network")
@proves("worker", "network", note="past its session")
@proves("sender", "network", note="past its session")
@proves("store", "network")
@proves("projector", "network")
@proves("console", "network")
@proves("conductor", "network")
@proves("planner", "network")
@proves("auditor", "network")
@proves("supervisor", "network")
def test_services_cut_off_from_broker_and_store_continue_at_their_positions(
    distant: Distant, record_property: Callable[[str, object], None]
) -> None:
    """Connections first stay open without data, then are reset and refused.

    At last the network is back.
    """
    reporter = Reporter(distant.vigie, 71, 60)
    reporter.start()
    until(lambda: len(reporter.accepted) > 10, WAIT_S)
    wires = (distant.broker, distant.store)
    for wire in wires:
        wire.silence()
    stays_so(SILENT_S)
    for wire in wires:
        wire.cut()
    stays_so(CUT_S)
    accepted = len(reporter.accepted)
    assert accepted < 60, "reports came meanwhile"
    for wire in wires:
        wire.mend()
    began = time.monotonic()
    until(lambda: len(reporter.accepted) > accepted, WAIT_S, longest_s=0.0)
    record_property("recovered_s", time.monotonic() - began)
    reporter.join()
    assert (len(reporter.accepted), reporter.refused) == (60, [])
    assert wait_until_settled(distant.vigie, list(reporter.accepted.values())) == []


@proves("store", "network", note="alone: reports are accepted as ever")
def test_reports_are_accepted_while_the_store_is_cut_off(distant: Distant) -> None:
    """The check at the end is about the reports of both tests."""
    distant.store.silence()
    try:
        reporter = Reporter(distant.vigie, 72, 10)
        began = time.monotonic()
        reporter.run()
        took_s = time.monotonic() - began
    finally:
        distant.store.mend()
    assert (len(reporter.accepted), reporter.refused) == (10, [])
    assert took_s < 10, "nobody who reports waits for the store"
    assert wait_until_settled(distant.vigie, list(reporter.accepted.values())) == []
    kept(distant.vigie)
