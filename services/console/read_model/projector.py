"""Project accepted records of the three logs into Redis, atomically with the positions.

Run it with `python -m services.console.read_model.projector`. Several may run: a batch is written
only if epoch and positions are unchanged since it was built, so a second projector repeats work but
never counts twice. Redis may be flushed, restored from an old image or lost: its positions always
match its rows, and an empty store is filled again from the logs. Readers get an error meanwhile.
"""

import asyncio
import signal
import time
import uuid
from collections.abc import Collection, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import orjson
import structlog
import uvloop
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from redis.exceptions import LockError, OutOfMemoryError, RedisError

from schemas.base import UnknownType
from schemas.topics import PARTITION_COUNT, SERVICES, log_topic
from services.console.read_model import store
from services.console.read_model.projection import Projection, load_position
from services.console.read_model.store import Batch, Client, EpochLost, PositionMoved, Store
from services.runtime.kafka.fetch_throttle import (
    BACKGROUND_FETCH_INTERVAL_MS,
    REPORT_FETCH_INTERVAL_MS,
)
from services.runtime.log.chain import Position
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.reader import AcceptedRecord, HistoryChanged, LogReader
from services.runtime.process import health, logs, metrics
from services.runtime.process.exits import Stop, stop_for_error
from services.runtime.process.settings import Settings
from services.runtime.process.tasks import cancel_and_wait

RETRY_S: Final = 0.5
LAG_EVERY_S: Final = 2.0
LAG_UNREADY: Final = 50_000
"""Records behind from which on the read model is reported as not ready."""
REBUILD_LOCK: Final = "vigie-rebuild"
log = structlog.get_logger(__name__)
CHECK_EVERY = 1_000
"""Lines written to a realm between two checks of its length."""
KEYS_PER_COMMAND = 500
"""Keys in one command."""


class Trimmer:
    """Remover of old keys. Idempotent; several may trim the same realm."""

    def __init__(
        self, client: Client, kept_lines: int = store.LINES_KEPT, slack: int = store.LINES_SLACK
    ) -> None:
        self._client, self._kept, self._slack = client, kept_lines, slack
        self._since: dict[str, int] = {}

    async def count_lines(self, realm: str, count: int) -> None:
        """Count lines that were added, and trim when a check is due."""
        since = self._since.get(realm, CHECK_EVERY) + count
        self._since[realm] = since
        if since >= CHECK_EVERY:
            self._since[realm] = 0
            await self.trim(realm)

    async def lay_aside(self, realms: Collection[str]) -> int:
        """Delete all keys of these realms except `store.LEFT`; return how many."""
        lasting_keys = {
            store.build_realm_key(realm, part).encode()
            for realm in realms
            for part in store.KEPT_PARTS
        }
        realm_names = {realm.encode() for realm in realms}
        keys = [
            key
            async for key in self._client.scan_iter(match="vigie:*~*:*", count=1000)
            if key.split(b":", 2)[1] in realm_names and key not in lasting_keys
        ]
        for start in range(0, len(keys), KEYS_PER_COMMAND):
            await self._client.unlink(*keys[start : start + KEYS_PER_COMMAND])
        for realm in realms:
            self._since.pop(realm, None)
        return len(keys)

    async def trim(self, realm: str) -> int:
        """Remove the lines beyond the limit; return how many."""
        timeline, lines = (
            store.build_realm_key(realm, "timeline"),
            store.build_realm_key(realm, "lines"),
        )
        surplus = int(await self._client.zcard(timeline)) - self._kept
        if surplus <= self._slack:
            return 0
        keys = await self._client.zrange(timeline, 0, surplus - 1)
        raw = await self._client.hmget(lines, keys)
        pipe = self._client.pipeline(transaction=True)
        pipe.set(store.build_realm_key(realm, "floor"), keys[-1])
        pipe.zremrangebyrank(timeline, 0, surplus - 1)
        pipe.hdel(lines, *keys)
        for key, one in zip(keys, raw, strict=True):
            incident = None if one is None else orjson.loads(one).get("incident")
            if incident is not None:
                pipe.zrem(store.build_timeline_key(realm, incident), key)
        await pipe.execute()
        return surplus


class Projector:
    """The process that fills the read model.

    `run` lasts until it is cancelled. Stop and UnknownType end it: it never guesses at a log that
    this program cannot read.
    """

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka
        self._client = store.connect(settings.redis)
        self._store = Store(self._client)
        self._trimmer = Trimmer(self._client)
        self._start_over = False
        self._epoch = ""
        self._stored: dict[str, str] = {}
        self._read: dict[str, dict[int, int]] = {}
        """Service → partition → offset after the last record read and, if accepted, written."""
        self._positions: dict[str, dict[int, Position]] = {}
        self._fault: str | None = "the logs have not been opened yet"
        self._lag: dict[str, int] = {}
        self._projection = Projection({})

    async def run(self) -> None:
        """Project until cancelled."""
        try:
            while True:
                await self._try()
        finally:
            await self._client.aclose()

    async def _try(self) -> None:
        try:
            await self._life()
        except (EpochLost, PositionMoved) as reset:
            log.info("projection.resumed", why=type(reset).__name__)
        except HistoryChanged as change:
            log.warning("projection.rebuilt", why=str(change))
            self._start_over = True
        except OutOfMemoryError as full:
            self._fault = "the store is full: raise its memory limit"
            log.error(
                "store.full",
                error=str(full),
                act="raise maxmemory of the store; nothing is lost, the logs hold everything",
            )
            await asyncio.sleep(5)
        except (RedisError, KafkaError, LockError, OSError) as error:
            self._fault = f"{type(error).__name__}: {error}"
            log.warning("projection.interrupted", error=self._fault)
            await asyncio.sleep(RETRY_S)

    async def _life(self) -> None:
        epoch = await self._store.epoch()
        if epoch is None or self._start_over:
            epoch = await self._begin()
        self._epoch = epoch
        await self._load()
        async with AsyncExitStack() as open_readers:
            readers = [
                await open_readers.enter_async_context(
                    LogReader(
                        self._kafka,
                        s,
                        start=self._positions[s],
                        every_ms=REPORT_FETCH_INTERVAL_MS
                        if s == "alerts"
                        else BACKGROUND_FETCH_INTERVAL_MS,
                    )
                )
                for s in SERVICES
            ]
            ends = await open_readers.enter_async_context(
                PartitionReader(self._kafka, fetch_bytes=1)
            )
            await self._beat()
            await _run_until_first_end(
                [self._follow(reader) for reader in readers], self._watch_lag(ends)
            )

    async def _begin(self) -> str:
        """Start a new, empty cache, or return the epoch another projector started meanwhile."""
        own_epoch = self._epoch
        async with self._client.lock(REBUILD_LOCK, timeout=60, blocking_timeout=60):
            now = await self._store.epoch()
            if now is None or (self._start_over and now == own_epoch):
                now = uuid.uuid4().hex
                await self._store.begin(now)
                log.info("projection.begun", epoch=now)
        self._start_over = False
        return now

    async def _load(self) -> None:
        keys = [store.build_position_key(s, p) for s in SERVICES for p in range(PARTITION_COUNT)]
        stored_positions = dict(zip(keys, await self._client.mget(keys), strict=True))
        self._stored, self._read = (
            {key: value.decode() if value else "" for key, value in stored_positions.items()},
            {},
        )
        self._positions = {
            s: {
                p: load_position(text)
                for p in range(PARTITION_COUNT)
                if (text := self._stored[store.build_position_key(s, p)])
            }
            for s in SERVICES
        }
        realms = await self._client.hgetall(store.REALMS)
        self._projection = Projection(
            {name.decode(): orjson.loads(fields) for name, fields in realms.items()}
        )
        if aside := self._projection.aside:
            await self._trimmer.lay_aside(aside)  # the process that began it may have been killed

    async def _follow(self, reader: LogReader) -> None:
        while True:
            records = await reader.batch()
            if records:
                await self._write(reader.service, records)
            elif await self._store.epoch() != self._epoch:
                raise EpochLost
            self._read[reader.service] = {
                p: position.next for p, position in reader.positions.items()
            }

    async def _write(self, service: str, records: Sequence[AcceptedRecord]) -> None:
        keys = {store.build_position_key(service, record.partition) for record in records}
        batch = self._projection.batch(
            self._epoch, {key: self._stored[key] for key in keys}, records
        )
        await self._store.write(batch.batch)
        self._stored.update(batch.positions)
        for collection, count in batch.row_counts.items():
            metrics.count("vigie_projected_total", count, collection=collection)
        for realm, count in batch.lines.items():
            await self._trimmer.count_lines(realm, count)
        if batch.aside:
            await self._trimmer.lay_aside(batch.aside)
            log.info("realms.laid_aside", realms=batch.aside)

    async def _watch_lag(self, reader: PartitionReader) -> None:
        building = await self._client.get(store.STATE) != b"live"
        ends = await self._ends(reader)
        while building:
            if all(self._next(key) >= end for key, end in ends.items()):
                await self._store.write(Batch(self._epoch, commands=[("SET", store.STATE, "live")]))
                building = False
                await self._trimmer.lay_aside(
                    self._projection.aside
                )  # batches of other logs may have written to them meanwhile
                log.info("projection.live", epoch=self._epoch)
            else:
                self._fault = "reading the logs again after a loss of the store"
                await self._beat()
                await asyncio.sleep(0.1)
        while True:
            self._note_lag(await self._ends(reader))
            await self._beat()
            await asyncio.sleep(LAG_EVERY_S)

    async def _beat(self) -> None:
        """Tell the live streams that the projector is running."""
        await self._client.set(store.PROJECTOR, "1", ex=store.PROJECTOR_KEPT_S)

    async def _ends(self, reader: PartitionReader) -> dict[tuple[str, int], int]:
        logs = {
            TopicPartition(log_topic(s), p): (s, p)
            for s in SERVICES
            for p in range(PARTITION_COUNT)
        }
        return {logs[tp]: end for tp, end in (await reader.ends(logs)).items()}

    def _next(self, key: tuple[str, int]) -> int:
        """Return the offset after the last record of a partition that was read.

        Records that do not continue the chain have no position in the store, so the reader's own
        offset counts, too.
        """
        service, partition = key
        text = self._stored.get(store.build_position_key(service, partition))
        return max(
            load_position(text).next if text else 0, self._read.get(service, {}).get(partition, 0)
        )

    def _note_lag(self, ends: dict[tuple[str, int], int]) -> None:
        self._lag = {}
        for (service, partition), last in ends.items():
            behind = max(last - self._next((service, partition)), 0)
            metrics.set_gauge(
                "vigie_projection_lag_records", behind, service=service, partition=str(partition)
            )
            self._lag[service] = self._lag.get(service, 0) + behind
        worst = max(self._lag, key=lambda s: self._lag[s])
        self._fault = (
            f"{self._lag[worst]} records of {worst} behind"
            if self._lag[worst] > LAG_UNREADY
            else None
        )

    def fault(self) -> str | None:
        """Return why the read model is out of date, for the readiness check, or None."""
        return self._fault


async def _run_until_first_end(
    followers: Sequence[Coroutine[Any, Any, None]], *others: Coroutine[Any, Any, None]
) -> None:
    """Run all until one ends, stop the rest, and raise the error that ended it."""
    tasks = [asyncio.create_task(c) for c in (*followers, *others)]
    try:
        done_tasks, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_and_wait(tasks)
    for task in done_tasks:
        task.result()


async def main(settings: Settings) -> None:
    """Project until SIGTERM or SIGINT.

    A log that cannot be read ends the process with a named exit (docs/how-to/exits.md).
    """
    projector = Projector(settings)
    running = asyncio.create_task(projector.run())
    loop = asyncio.get_running_loop()
    stopping: set[asyncio.Task[None]] = set()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(
            number, lambda: stopping.add(asyncio.create_task(cancel_and_wait([running])))
        )
    server = await health.serve_health(settings, {"projection": projector.fault})
    began = time.monotonic()
    try:
        await running
    except asyncio.CancelledError:
        log.info("projection.stopped", after_s=round(time.monotonic() - began))
    except UnknownType as unknown:
        stop_for_error(Stop("logic.newer", str(unknown)), "logic.newer")
    except Stop as reason:
        stop_for_error(reason, reason.name)
    finally:
        await server.close()


if __name__ == "__main__":
    logs.configure_logging("projector")
    uvloop.run(main(Settings()))
