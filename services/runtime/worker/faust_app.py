"""Faust, configured as the append protocol needs it, in a quiet process.

Each setting answers a trap that was measured (`docs/explanation/log-protocol.md`, section 3). Faust
runs membership, assignment, fetching and the rebalance hooks. The log, not the group, says from
where to read. Each message goes straight to the worker, and an exception there ends the process.
The process keeps its title and stops soon after SIGTERM.

When partitions move, those of live realms move last.
"""

import asyncio
import logging
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import faust
import structlog
from faust.assignor.client_assignment import ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor
from faust.transport.conductor import Conductor
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.services import WaitResults

from services.runtime.kafka.clients import GROUP_METADATA_AGE_MS
from services.runtime.kafka.fetch_throttle import FETCH_INTERVAL_MS, MEMBER_WAIT_MS, FetchThrottle
from services.runtime.kafka.group_coordination import GroupCoordination
from services.runtime.kafka.metadata_update import MetadataUpdate
from services.runtime.kafka.security import build_faust_credentials
from services.runtime.process.exits import ARMED, exit_now, reach_failpoint, stop_for_error

STOP_TIMEOUT_S: Final = 10.0
"""Longest time from SIGTERM to the end of the process.

Faust may wait for ever for a broker that is away, and a hard end loses nothing.
"""
log = structlog.get_logger(__name__)
_LOG_LEVELS: Final = {"faust": logging.WARNING, "mode": logging.WARNING, __name__: logging.ERROR}
"""Loggers that are too talkative.

Faust names a subclass's logger after its module, and warns twice per rebalance about the removed
monitor.
"""


class LastingAssignor(PartitionAssignor):
    """Faust's sticky assignor, with a choice of the partitions that a member gives away.

    A member that comes back gets its share from the others. Faust takes their lowest partitions,
    which are those of live realms: all decisions waited for a worker that had just started.
    """

    def assign(self, cluster: Any, member_metadata: Mapping[str, Any]) -> Any:
        """Return the partitions of each member. Only the leader of the group is asked."""
        members = {
            member: self._give_away(cluster, metadata, len(member_metadata))
            for member, metadata in member_metadata.items()
        }
        return super().assign(cluster, members)

    def _give_away(self, cluster: Any, metadata: Any, member_count: int) -> Any:
        """Return the metadata of a member without its highest partitions beyond its share."""
        own = ClientMetadata.loads(metadata.user_data)
        for topic, partitions in own.assignment.actives.items():
            partition_count = len(cluster.partitions_for_topic(topic) or partitions)
            share = math.ceil(partition_count / member_count)
            own.assignment.actives[topic] = sorted(partitions)[:share]
        return type(metadata)(metadata.version, metadata.subscription, own.dumps())


class StoppingWorker(faust.Worker):
    """Worker that keeps the process title and stops on request, even while the broker is away."""

    def _setproctitle(self, info: str, *, ident: str = "") -> None:
        pass

    def _schedule_shutdown(self, signal: Any) -> None:
        timer = threading.Timer(STOP_TIMEOUT_S, _cut_stop_short)
        timer.daemon = True
        timer.start()
        super()._schedule_shutdown(signal)


def _cut_stop_short() -> None:
    log.warning("worker.stop_cut_short", after_s=STOP_TIMEOUT_S)
    exit_now()


def run_faust_app(app: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Run a Faust app until the process gets a signal to stop."""
    worker = StoppingWorker(
        app,
        loop=loop,
        loglevel="WARNING",
        redirect_stdouts=False,
        override_logging=False,
        quiet=True,
    )
    worker.spinner = None  # It writes escape sequences to a stream that is no terminal
    worker.execute_from_commandline()


class AppOwner(Protocol):
    """The worker, as the Faust app sees it."""

    def position(self, topic: str, partition: int) -> int | None:
        """Return the next input offset, or None for a partition that is not owned."""
        ...

    async def deliver(self, message: Any) -> None:
        """Process one message of the input topic. Never raises: a failure ends the process."""
        ...


@dataclass(frozen=True, slots=True)
class Membership:
    """Consumer group and its timing. `instance` selects static membership; empty means dynamic."""

    group: str
    instance: str
    session_s: float = 10.0
    heartbeat_s: float = 1.0
    """Also the longest delay until a member learns of a rebalance; partitions wait meanwhile."""
    rebalance_s: float = 30.0
    every_ms: int = FETCH_INTERVAL_MS
    """Milliseconds between fetches in a stream (`services.runtime.kafka.fetch_throttle`)."""


class ThrottledThread(driver.AIOKafkaConsumerThread):
    """Consumer thread that fetches at the pace of `FetchThrottle`, not with a fixed wait of 1.5 s.

    A fetch that waits on idle partitions delays the busy ones.
    """

    pace: FetchThrottle

    async def on_start(self) -> None:
        """Attach the pace once Faust has started the thread."""
        await super().on_start()
        app: Any = self.consumer.app
        consumer: Any = self._consumer
        self.pace = FetchThrottle(consumer, app.every_ms, MEMBER_WAIT_MS)
        GroupCoordination(consumer, partial(stop_for_error, otherwise="agent.ended"))

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer: Any = super()._create_worker_consumer(transport)
        MetadataUpdate(consumer._client)
        return consumer

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Skip Faust's check for streams that stand still.

        The check needs Faust's monitor, which `FailStopApp` removes; without it, every waiting
        stream counts as idle. `services.runtime.worker.housekeeping` detects a partition that
        stands still and ends the process.
        """

    async def on_thread_stop(self) -> None:
        """Leave the group on an orderly stop, so that other members take over at once.

        aiokafka lets only dynamic members leave. A killed member keeps its partitions for its
        session, and gets them back if it returns in time.
        """
        if self._consumer is not None:
            self._consumer._coordinator._group_instance_id = None
        await super().on_thread_stop()


class PositionedConsumer(driver.Consumer):
    """Consumer that starts at the position of the log, not at the last commit of the group."""

    _committed_offsets: Mapping[TP, int] | None = None
    """Offsets that were last committed since the partitions were assigned."""

    def _new_consumer_thread(self) -> ThrottledThread:
        return ThrottledThread(self, loop=self.loop, beacon=self.beacon)

    def hurry(self) -> None:
        """Fetch fast, because a caller waits for the answer to an input."""
        thread: Any = self._thread
        thread.pace.hurry()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek each partition to the worker's position.

        Faust calls it after `on_rebalance_complete`.
        """
        app: Any = self.app
        self._committed_offsets = None
        mine = {
            tp: offset
            for tp in self.assignment()
            if (offset := app.owner.position(tp.topic, tp.partition)) is not None
        }
        if mine:
            await self.seek_wait(mine)
        return mine

    async def wait_first(self, *coros: Any, timeout: Any = None) -> Any:
        """Deliver a message without the four tasks where Faust wraps each delivery.

        Faust wraps it to drop a delivery when the flow is suspended. The worker waits for room by
        itself and drops its partitions when they are revoked, so a delivery is never cut off.
        """
        if len(coros) != 2:
            return await super().wait_first(*coros, timeout=timeout)
        delivery, rest = coros
        rest.close()
        return WaitResults([delivery], [await delivery], False)

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002  Faust's signature
        """Commit the applied offsets unless they are committed.

        Committed offsets only report lag.
        """
        if ARMED:
            reach_failpoint("before-commit")
        app: Any = self.app
        applied_offsets = {
            tp: offset
            for tp in self.assignment()
            if (offset := app.owner.position(tp.topic, tp.partition)) is not None
        }
        if not applied_offsets or applied_offsets == self._committed_offsets:
            return False
        is_committed = bool(await self._commit(applied_offsets))
        if is_committed:
            self._committed_offsets = applied_offsets
        return is_committed


class DirectConductor(Conductor):
    """Conductor that hands each message straight to the worker.

    It skips Faust's channel, queue, event and stream, and saves a third of the CPU per input
    (`docs/adr/0006-hand-messages-straight-to-the-worker.md`).
    """

    def _build_handler(self, tp: Any, channels: Any) -> Any:  # noqa: ARG002  Faust's signature
        app: Any = self.app
        return app.owner.deliver


class FailStopApp(faust.App):
    """Faust app that hands everything to its owner."""

    owner: AppOwner
    every_ms: int

    def on_init_dependencies(self) -> Any:
        """Remove Faust's monitor: four callbacks per event for unused figures.

        The worker counts its own.
        """
        dependencies = super().on_init_dependencies()
        self.sensors.remove(self.monitor)
        return dependencies

    def _create_directories(self) -> None:
        """Create no directories. Without tables they would stay empty, in the current directory."""

    def _new_transport(self) -> Any:
        transport: Any = super()._new_transport()
        transport.Consumer = PositionedConsumer
        transport.Conductor = DirectConductor
        return transport


def create_app(kafka: str, membership: Membership, owner: AppOwner) -> Any:
    """Build the Faust app of one worker."""
    for name, level in _LOG_LEVELS.items():
        logging.getLogger(name).setLevel(level)
    app = FailStopApp(
        membership.group,
        broker=[f"kafka://{address}" for address in kafka.split(",")],
        broker_credentials=build_faust_credentials(),
        # With exactly_once, outputs leave outside the transaction and two workers crash-loop
        processing_guarantee="at_least_once",
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        topic_allow_declare=False,
        topic_disable_leader=True,
        # No table: it selects the sticky, co-partitioning assignor (0 = round robin)
        table_standby_replicas=1,
        PartitionAssignor=LastingAssignor,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=GROUP_METADATA_AGE_MS,
        consumer_group_instance_id=membership.instance or None,
        broker_max_poll_records=500,
        broker_session_timeout=membership.session_s,
        broker_heartbeat_interval=membership.heartbeat_s,
        broker_rebalance_timeout=membership.rebalance_s,
        broker_request_timeout=60.0,
        broker_commit_interval=1.0,  # Committed offsets only report lag
        broker_commit_every=1000,
        broker_check_crcs=False,  # The chain hashes the relevant bytes
        stream_wait_empty=True,
        stream_recovery_delay=0.0,
        producer_acks=-1,
        producer_linger=0.0,
        producer_request_timeout=30.0,
        web_enabled=False,  # It would show table data
        worker_redirect_stdouts=False,
        reply_create_topic=False,
    )
    app.owner, app.every_ms = owner, membership.every_ms
    return app
