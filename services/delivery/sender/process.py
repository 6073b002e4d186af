"""Run the sender: connect it to the log, the directory, the providers and its bookmark.

It has its own thread and loop: a worker busy with a long fold delays no call, and a slow provider
delays no decision. A fault ends the process with its name.

A locked file shows the earlier runs that have certainly ended. The kernel releases the lock when
the process ends, in any way, and keeps it for a process that is only stopped. So the holder of the
lock knows that no run in the file will call a provider any more.
"""

import asyncio
import contextlib
import fcntl
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Self

import orjson
import structlog
import uvloop
from aiokafka.errors import KafkaError

from schemas.topics import PARTITION_COUNT, live_partitions
from services.delivery.callouts.headcount_tally import HeadcountTally
from services.delivery.channels.configured import ProviderPlan, open_drivers
from services.delivery.replies.inbox import ReplyReader
from services.delivery.replies.returns import ProviderInbox
from services.delivery.sender.attempt_view import AttemptView
from services.delivery.sender.sender import RecordBatch, Sender, create_attempt_view
from services.delivery.settings import DeliverySettings
from services.runtime.decider.inputs import InputMarks
from services.runtime.identity.signed_links import AnswerLinks, ProviderLinks
from services.runtime.kafka.clients import RecordProducer
from services.runtime.log.chain import Position, dump_position, load_position
from services.runtime.log.reader import HistoryChanged, LogReader
from services.runtime.process.cluster import find_other_fronts
from services.runtime.process.exits import stop_for_error
from services.runtime.process.tasks import cancel_and_wait
from services.runtime.secrets.keyring import write_private
from services.runtime.secrets.vault import Vault

log = structlog.get_logger(__name__)
BOOKMARK_INTERVAL_S: Final = 5.0
"""Interval at which the bookmark is saved; an older one only means more to read again."""
RETRY_S: Final = 1.0
SWITCH_INTERVAL_S: Final = 0.0001
"""Switch interval of threads: the sender has little work at a time, but somebody waits for it.

After each write to a socket it waits so long for a busy decider.
"""
STOP_TIMEOUT_S: Final = 5.0
"""Time for running calls at a stop; calls cut off become ambiguous by their deadline."""
KEPT_RUNS: Final = 16
"""Runs in the file, newest last; runs that end shortly after each other may all have left calls."""


@contextmanager
def track_runs(path: Path, run: str) -> Iterator[tuple[str, ...]]:
    """Enter this run into the file while it lasts; yield the earlier runs, which have all ended.

    Yield none if another process holds the file or the disk refuses it: open calls are then left to
    their deadlines, as after the loss of the machine.
    """
    try:
        file = path.open("a+", encoding="utf-8", errors="ignore")
    except OSError as error:
        log.warning("runs.not_kept", path=str(path), error=str(error))
        yield ()
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.seek(0)
            ended_runs = tuple(file.read().split())[-KEPT_RUNS:]
            file.truncate(0)
            file.write("\n".join((*ended_runs, run)))
            file.flush()
        except OSError as error:
            log.warning("runs.not_kept", path=str(path), error=f"{type(error).__name__}: {error}")
            ended_runs = ()
        yield ended_runs


class SenderBookmark:
    """File with the position in the log and the offers before it.

    An unreadable file means that the log is read from its beginning. The reader detects a file of a
    lost history.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def restore(self, outbox: AttemptView) -> dict[int, Position]:
        """Fill `outbox` and return the positions; empty without a usable file."""
        try:
            bookmark = orjson.loads(self._path.read_bytes())
            positions = {int(p): load_position(at) for p, at in bookmark["positions"].items()}
            outbox.load(bookmark["outbox"])
        except FileNotFoundError:
            return {}
        except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
            log.warning("bookmark.unreadable", path=str(self._path), error=type(error).__name__)
            outbox.forget_offers()
            return {}
        return positions

    def keep(self, outbox: AttemptView, positions: dict[int, Position]) -> None:
        """Replace the file; if the disk is full, a start only reads more."""
        content = {
            "positions": {str(p): dump_position(at) for p, at in positions.items()},
            "outbox": outbox.dump(),
        }
        try:
            write_private(self._path, orjson.dumps(content), replace=True)
        except OSError as error:
            log.warning("bookmark.not_kept", path=str(self._path), error=str(error))


async def read_batches(
    kafka: str, outbox: AttemptView, bookmark: SenderBookmark, vault: Vault, stopping: asyncio.Event
) -> AsyncIterator[RecordBatch]:
    """Yield accepted records of the live partitions.

    First those up to the end of the log, then new ones as they come, or an empty batch once a
    second. After a declared loss it starts again from the beginning. Raise Stop for a log that lost
    records.
    """
    positions = saved_positions = bookmark.restore(outbox)
    kept_at = time.monotonic()
    while True:
        reader = LogReader(
            kafka, "delivery", positions, partitions=live_partitions(PARTITION_COUNT)
        )
        try:
            async with reader:
                async for record in reader.read_to_end():
                    yield RecordBatch([record.transaction], caught_up=False)
                positions = dict(reader.positions)
                yield RecordBatch([], caught_up=True)
                while not stopping.is_set():
                    transactions = [record.transaction for record in await reader.batch()]
                    read_positions = dict(reader.positions)
                    yield RecordBatch(transactions, caught_up=True)
                    positions = read_positions  # only now is it in the outbox
                    if (
                        positions != saved_positions
                        and time.monotonic() - kept_at >= BOOKMARK_INTERVAL_S
                    ):
                        saved_positions, kept_at = positions, time.monotonic()
                        bookmark.keep(outbox, positions)
                    if (damage := vault.damage()) is not None:
                        raise RuntimeError(damage)
                bookmark.keep(outbox, positions)
                return
        except HistoryChanged as change:
            log.warning("sender.history_changed", partition=change.partition)
            positions = {}
            outbox.forget_offers()
        except (KafkaError, OSError) as error:
            log.warning("sender.broker_away", error=f"{type(error).__name__}: {error}")
            if stopping.is_set():
                return
            await asyncio.sleep(RETRY_S)


async def run_sender(settings: DeliverySettings, stopping: asyncio.Event) -> None:
    """Send until `stopping` is set and the running calls have ended."""
    settings.data.make()
    name = settings.instance.rpartition(".")[2] or "delivery"  # Without the machine
    bookmark = SenderBookmark(settings.data.run / f"sender-{name}.json")
    links = AnswerLinks.open(settings.data.secrets)
    async with contextlib.AsyncExitStack() as stack:
        producer = RecordProducer(settings.kafka, InputMarks.open(settings.data.secrets))
        stack.push_async_callback(producer.stop)
        vault = await stack.enter_async_context(Vault.open(settings))
        plan = ProviderPlan.read(settings)
        outbox = create_attempt_view(own_providers=plan.own.keys())
        ended_runs = stack.enter_context(
            track_runs(settings.data.run / f"sender-{name}.runs", outbox.run)
        )
        returns = ProviderInbox(outbox, producer, vault.directory, vault.texts)
        drivers = await stack.enter_async_context(open_drivers(plan, returns.of))
        sender = Sender(
            producer,
            vault.directory,
            vault.texts,
            drivers,
            links,
            ProviderLinks.open(settings.data.secrets),
            settings.public_url,
            outbox=outbox,
            calls_at_once=settings.calls_at_once,
            ended_runs=ended_runs,
            find_other_fronts=partial(find_other_fronts, settings.data.majority),
        )
        teller = asyncio.create_task(
            HeadcountTally(outbox, vault.texts, vault.directory, producer).run(), name="teller"
        )
        waiting = asyncio.create_task(ReplyReader(vault.texts, returns).run(), name="replies")
        stack.push_async_callback(cancel_and_wait, [teller, waiting])
        log.info(
            "sender.started",
            run=sender.outbox.run,
            channels=sorted(c.value for c in drivers.national),
            realms={r: sorted(c.value for c in own) for r, own in drivers.realms.items()},
        )
        await sender.run(read_batches(settings.kafka, sender.outbox, bookmark, vault, stopping))


class SenderThread:
    """Sender thread: `with SenderThread(settings):` sends while the block runs."""

    def __init__(self, settings: DeliverySettings) -> None:
        self._loop = uvloop.new_event_loop()
        self._stopping = asyncio.Event()
        self._task = self._loop.create_task(run_sender(settings, self._stopping))
        self._thread = threading.Thread(target=self._work, name="sender", daemon=True)

    def __enter__(self) -> Self:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(STOP_TIMEOUT_S)
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join(1)

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        except BaseExceptionGroup as group:
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            stop_for_error(error, "agent.crashed")
        except Exception as error:  # noqa: BLE001
            # A sender that ended silently would leave a process that looks healthy.
            stop_for_error(error, "agent.crashed")
