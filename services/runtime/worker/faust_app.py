"""Faust, held the way the append protocol needs it. Each line answers a trap that was measured (docs/explanation/log-protocol.md).

Faust runs membership, assignment, fetching and the rebalance hooks. Where to read is said by the log, not by the group; each message
goes straight to the worker, whose exceptions end the process.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import faust
from faust.transport.conductor import Conductor
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.services import WaitResults

from services.runtime.kafka.clients import METADATA_AGE_MS
from services.runtime.kafka.fetch_throttle import EVERY_MS, Pace
from services.runtime.kafka.security import faust_credentials
from services.runtime.process.failpoints import ARMED, reach


class Owner(Protocol):
    """What the app asks its worker."""

    def position(self, topic: str, partition: int) -> int | None:
        """The next input offset, or None for a partition that is not held."""
        ...

    async def deliver(self, message: Any) -> None:
        """Take one message of the input topic. Never raises: a failure ends the process."""
        ...


@dataclass(frozen=True, slots=True)
class Membership:
    """Group and timing. `instance`: static membership; empty = dynamic."""

    group: str
    instance: str
    session_s: float = 10.0
    heartbeat_s: float = 1.0
    """Also how late a member hears that partitions change hands, which stand still meanwhile."""
    rebalance_s: float = 30.0
    every_ms: int = EVERY_MS
    """Turns in a stream (`services.runtime.kafka.fetch_throttle`)."""


class PacedThread(driver.AIOKafkaConsumerThread):
    """Fetches at its pace, not with Faust's fixed 1.5 s: a fetch that waits on idle partitions keeps the busy ones waiting."""

    pace: Pace

    async def on_start(self) -> None:
        """Called by Faust."""
        await super().on_start()
        app: Any = self.consumer.app
        self.pace = Pace(self._consumer, app.every_ms)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Called by Faust, to log streams that stand still. It asks its monitor, which there is not (`FailStopApp`): whatever waited at
        that moment was called an idle stream. `services.runtime.worker.housekeeping` sees a partition that stands still, and ends the process.
        """

    async def on_thread_stop(self) -> None:
        """Called by Faust on an orderly stop: who stops on purpose leaves the group, and the others take over at once.

        aiokafka lets only dynamic members leave. One that is killed keeps its place for its session, and has it again when it is back.
        """
        if self._consumer is not None:
            self._consumer._coordinator._group_instance_id = None
        await super().on_thread_stop()


class PositionedConsumer(driver.Consumer):
    """Starts where the log says, not where the group last committed."""

    _told: Mapping[TP, int] | None = None
    """What was last committed since the partitions were assigned."""

    def _new_consumer_thread(self) -> PacedThread:
        return PacedThread(self, loop=self.loop, beacon=self.beacon)

    def hurry(self) -> None:
        """Somebody waits for the answer to an input."""
        thread: Any = self._thread
        thread.pace.hurry()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Called by Faust after `on_rebalance_complete`."""
        app: Any = self.app
        self._told = None
        mine = {
            tp: offset
            for tp in self.assignment()
            if (offset := app.owner.position(tp.topic, tp.partition)) is not None
        }
        if mine:
            await self.seek_wait(mine)
        return mine

    async def wait_first(self, *coros: Any, timeout: Any = None) -> Any:
        """Faust wraps the delivery of each message in four tasks, to be able to drop it when the flow is suspended.

        The worker waits for room by itself, and what it holds is dropped at the revocation: a delivery is never cut off.
        """
        if len(coros) != 2:
            return await super().wait_first(*coros, timeout=timeout)
        delivery, suspended = coros
        suspended.close()
        return WaitResults([delivery], [await delivery], False)

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002  Faust's signature
        """Commit what is applied and was not committed yet. Committed offsets only report lag."""
        if ARMED:
            reach("before-commit")
        app: Any = self.app
        applied = {
            tp: offset
            for tp in self.assignment()
            if (offset := app.owner.position(tp.topic, tp.partition)) is not None
        }
        if not applied or applied == self._told:
            return False
        done = bool(await self._commit(applied))
        if done:
            self._told = applied
        return done


class DirectConductor(Conductor):
    """Hands each message to the worker, without Faust's channel, queue, event and stream: a third of the CPU per input (docs/adr/0006)."""

    def _build_handler(self, tp: Any, channels: Any) -> Any:  # noqa: ARG002  Faust's signature
        app: Any = self.app
        return app.owner.deliver


class FailStopApp(faust.App):
    """An app that hands everything to its owner."""

    owner: Owner
    every_ms: int

    def on_init_dependencies(self) -> Any:
        """Without Faust's monitor: four callbacks per event for figures that nobody reads; the worker counts its own."""
        dependencies = super().on_init_dependencies()
        self.sensors.remove(self.monitor)
        return dependencies

    def _create_directories(self) -> None:
        """None: without tables there is nothing to keep, and it would stand wherever the system was started."""

    def _new_transport(self) -> Any:
        transport: Any = super()._new_transport()
        transport.Consumer = PositionedConsumer
        transport.Conductor = DirectConductor
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
        broker_credentials=faust_credentials(),
        processing_guarantee="at_least_once",  # exactly_once: outputs leave outside the transaction, two workers crash-loop
        store="memory://",
        key_serializer="raw",
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
        stream_wait_empty=True,
        stream_recovery_delay=0.0,
        producer_acks=-1,
        producer_linger=0.0,
        producer_request_timeout=30.0,
        web_enabled=False,  # it would show table data
        worker_redirect_stdouts=False,
        reply_create_topic=False,
    )
    app.owner, app.every_ms = owner, membership.every_ms
    return app
