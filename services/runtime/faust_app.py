"""Faust, held the way the append protocol needs it. Each line answers a trap that was measured (docs/adr/0002).

Faust runs membership, assignment, the agent and the rebalance hooks. Where to read is said by the log, not by the group; an
exception in the agent ends the process, because Faust would acknowledge the event and go on.
"""

from __future__ import annotations

import inspect
import logging
import types
from collections.abc import Coroutine, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.services import WaitResults

from services.runtime.exits import stop_for
from services.runtime.failpoints import ARMED, reach
from services.runtime.kafka import METADATA_AGE_MS

FETCH_WAIT_MS: Final = 100
BUFFERED_WAIT_S: Final = 0.02


class Owner(Protocol):
    """What the app asks its worker."""

    def position(self, topic: str, partition: int) -> int | None:
        """The next input offset, or None for a partition that is not held."""
        ...


@dataclass(frozen=True, slots=True)
class Membership:
    """Group and timing. `instance`: static membership; empty = dynamic."""

    group: str
    instance: str
    session_s: float = 10.0
    heartbeat_s: float = 3.0
    rebalance_s: float = 30.0


class PromptThread(driver.AIOKafkaConsumerThread):
    """Waits FETCH_WAIT_MS for news, not Faust's fixed 1.5 s.

    aiokafka has one fetch under way per broker. One that waits on the idle partitions keeps the busy ones waiting (measured: a
    sixth of the throughput of a worker with a backlog).
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer: Any = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer


class PositionedConsumer(driver.Consumer):
    """Starts where the log says, not where the group last committed."""

    def _new_consumer_thread(self) -> PromptThread:
        return PromptThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
        """Faust leaves out partitions whose events queue up, and then waits a second for news of the others while the queue
        runs empty. Measured: 4,400 inputs/s with the wait, 6,900 without.
        """
        if self._buffered_partitions:
            timeout = min(timeout, BUFFERED_WAIT_S)
        return await super()._getmany(active_partitions=active_partitions, timeout=timeout)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Called by Faust after `on_rebalance_complete`."""
        app: Any = self.app
        mine = {tp: offset for tp in self.assignment() if (offset := app.owner.position(tp.topic, tp.partition)) is not None}
        if mine:
            await self.seek_wait(mine)
        return mine

    async def wait_first(self, *coros: Any, timeout: Any = None) -> Any:
        """Faust wraps the delivery of each message in four tasks, to be able to drop it when the flow is suspended.

        A delivery that need not wait is done in one step and needs none (measured: an eighth of the worker's CPU).
        """
        if len(coros) != 2 or timeout is not None or self.should_stop or not all(map(inspect.iscoroutine, coros)):
            return await super().wait_first(*coros, timeout=timeout)
        delivery, suspended = coros
        try:
            waiting_for = delivery.send(None)
        except StopIteration as done:
            suspended.close()
            return WaitResults([delivery], [done.value], False)
        except BaseException:
            suspended.close()
            raise
        return await super().wait_first(_resumed(delivery, waiting_for), suspended)

    async def commit(self, *args: Any, **kwargs: Any) -> bool:
        """Committed offsets only report lag."""
        if ARMED:
            reach("before-commit")
        return bool(await super().commit(*args, **kwargs))


async def _resumed(coro: Coroutine[Any, Any, Any], waiting_for: Any) -> Any:
    """The rest of a coroutine that was started by hand and waits."""
    return await _steps(coro, waiting_for)


@types.coroutine
def _steps(coro: Coroutine[Any, Any, Any], waiting_for: Any) -> Generator[Any, Any, Any]:
    while True:
        try:
            try:
                sent = yield waiting_for
            except BaseException as error:  # noqa: BLE001  a cancellation, too, belongs to the coroutine
                waiting_for = coro.throw(error)
            else:
                waiting_for = coro.send(sent)
        except StopIteration as done:
            return done.value


class RawSchema(faust.Schema[bytes, bytes]):
    """Events carry the record's bytes: a typed topic acknowledges a bad byte and raises inside the agent."""

    def compile(self, app: Any, **_: Any) -> Any:
        """The decode function of a topic."""

        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001  Faust's signature
            return app.create_event(message.key, message.value, message.headers, message)

        return decode


class FailStopApp(faust.App):
    """An app whose agent's exception is the end of the process, without commit or good-bye."""

    owner: Owner

    async def _on_agent_error(self, _agent: Any, error: BaseException) -> None:
        stop_for(error, "agent.crashed")

    def on_init_dependencies(self) -> Any:
        """Without Faust's monitor: four callbacks per event for figures that nobody reads; the worker counts its own."""
        dependencies = super().on_init_dependencies()
        self.sensors.remove(self.monitor)
        return dependencies

    def _new_transport(self) -> Any:
        transport: Any = super()._new_transport()
        transport.Consumer = PositionedConsumer
        return transport


_QUIET: Final = {"faust": logging.WARNING, "mode": logging.WARNING, __name__: logging.ERROR}
"""Loggers that tell their inner life. Faust names a subclass's logger after its module; it warns twice per rebalance of the monitor that we took away."""


def make_app(kafka: str, membership: Membership, owner: Owner) -> Any:
    """The app of one worker."""
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    app = FailStopApp(
        membership.group,
        broker=[f"kafka://{address}" for address in kafka.split(",")],
        processing_guarantee="at_least_once",  # exactly_once: outputs leave outside the transaction, two workers crash-loop
        store="memory://",
        key_serializer="raw",  # typed topics acknowledge a bad byte and raise inside the agent
        value_serializer="raw",
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=1,  # no table: it selects the sticky, co-partitioning assignor (0 = round robin)
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=METADATA_AGE_MS,
        consumer_group_instance_id=membership.instance or None,
        broker_max_poll_records=500,
        broker_session_timeout=membership.session_s,
        broker_heartbeat_interval=membership.heartbeat_s,
        broker_rebalance_timeout=membership.rebalance_s,
        broker_request_timeout=60.0,
        broker_commit_interval=1.0,  # committed offsets only report lag
        broker_commit_every=1000,
        broker_check_crcs=False,  # the chain hashes what matters
        stream_buffer_maxsize=4096,
        stream_wait_empty=True,
        stream_recovery_delay=0.0,
        producer_acks=-1,
        producer_linger=0.0,
        producer_request_timeout=30.0,
        web_enabled=False,  # it would show table data
        worker_redirect_stdouts=False,
        reply_create_topic=False,
    )
    app.owner = owner
    return app
