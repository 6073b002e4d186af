"""Exchange of data keys between the machines of a cluster, over the topic `keyring`.

A put uses a key only after the topic has it for every known machine. One process per data directory
reads the topic into `keyring.db`; every process may send. See
`docs/adr/0066-exchange-data-keys-between-machines.md`.
"""

import asyncio
import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import Final

import structlog
from cryptography.exceptions import InvalidTag

from services.runtime.kafka.clients import BrokerAway, KeyedWriter, PendingSend
from services.runtime.kafka.compacted_topic import KeyedEntry, TopicFollower, count_unsigned
from services.runtime.process.machine import get_or_create_machine_name, now_ms
from services.runtime.process.settings import Settings
from services.runtime.process.tasks import cancel_and_wait, retrieve_exception, run_in_thread
from services.runtime.secrets.keyring import MasterKey
from services.runtime.secrets.mailbox import (
    MAX_KEYS,
    TOPIC,
    Delivery,
    Dismissal,
    Erasure,
    Hello,
    KeyringMessage,
    Mailbox,
    StoredKey,
)
from services.runtime.secrets.shared_keyring import NewPool, SharedKeyring

RENEW_S: Final = 3600.0
"""Age at which a machine replaces its key pair."""
TURN_S: Final = 1.0
"""Longest time until an erasure or a request of another machine is served."""
JOIN_S: Final = 5.0
"""Longest wait of a put for the first exchange with the other machines."""
ANSWER_S: Final = 15.0
"""Longest wait for missing keys before texts are read without them."""
SETTLE_S: Final = 5.0
ASK_AGAIN_S: Final = 3600.0
POLL_S: Final = 0.02
MAX_ERASED: Final = 10_000
"""Numbers of erased keys in one record."""
log = structlog.get_logger(__name__)


def open_shared_keyring(settings: Settings, master: MasterKey) -> SharedKeyring:
    """Open the keyring of this machine. Raises OSError, sqlite3.Error."""
    machine = get_or_create_machine_name(settings.data)
    return SharedKeyring(settings.data.secrets / "keyring.db", master, machine)


async def dismiss_machine(settings: Settings, machine: str) -> None:
    """Tell all machines that this one will not come back. Raises BrokerAway, OSError."""
    mailbox = Mailbox(MasterKey.open(settings.data.secrets))
    writer = KeyedWriter(settings.kafka)
    try:
        await writer.put(TOPIC, *mailbox.seal(Dismissal(machine, now_ms())))
    finally:
        await writer.stop()


class PoolFiller:
    """Filler of a process's pool of keys, ahead of its puts."""

    def __init__(self, keyring: SharedKeyring, writer: KeyedWriter) -> None:
        self._keyring = keyring
        self._writer = writer
        self._filling: asyncio.Task[None] | None = None
        self._unsent: NewPool | None = None

    @property
    def is_joined(self) -> bool:
        """Whether the other machines are known, so that keys can be made."""
        return self._keyring.is_joined

    async def prepare(self) -> None:
        """Return once a put may take a key. Raises BrokerAway, sqlite3.Error."""
        if self._keyring.is_low:
            self._start_filling()
        while not self._keyring.pool_size:
            await asyncio.shield(self._start_filling())

    def _start_filling(self) -> asyncio.Task[None]:
        if self._filling is None or self._filling.done():
            self._filling = asyncio.create_task(self._fill(), name="keyring.pool")
            self._filling.add_done_callback(retrieve_exception)
        return self._filling

    async def stop(self) -> None:
        """End the filling; keys that no put may use are erased with the keyring."""
        if self._filling is not None:
            await cancel_and_wait([self._filling])
        if self._unsent is not None:
            self._keyring.erase(key.number for key in self._unsent.stored_keys)
            self._unsent = None

    async def _fill(self) -> None:
        """Make keys, send them to every machine, then let puts use them."""
        await self._wait_until_joined()
        if self._unsent is None:
            self._unsent = await run_in_thread(self._keyring.make_pool)
        pool = self._unsent
        # Read after the keys are stored: a machine that is heard later gets the whole keyring
        await send_keys(self._keyring, self._writer, pool.stored_keys)
        self._unsent = None
        self._keyring.release_pool(pool)

    async def _wait_until_joined(self) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + JOIN_S
        while not self._keyring.is_joined:
            if loop.time() >= give_up:
                raise BrokerAway("this machine does not know the keys of the others yet")
            await asyncio.sleep(POLL_S)


async def send_keys(keyring: SharedKeyring, writer: KeyedWriter, keys: Sequence[StoredKey]) -> None:
    """Send keys to every known machine and return once the topic has them. Raises BrokerAway."""
    pending_sends = [
        await _send(writer, keyring.mailbox, keyring.mailbox.deliver(hello, keys))
        for hello in keyring.list_addressees()
    ]
    for one in pending_sends:
        await one.wait_for_acknowledgement()


class KeyExchange:
    """Reader of the topic, one per data directory, which also serves the other machines."""

    def __init__(self, kafka: str, keyring: SharedKeyring, writer: KeyedWriter) -> None:
        self._keyring = keyring
        self._writer = writer
        self._is_hello_due = True
        self._asked_at = -ASK_AGAIN_S
        self._follower = TopicFollower(
            kafka,
            [TOPIC],
            self.apply,
            positions=lambda: {(TOPIC, 0): keyring.next_offset},
            reset=lambda *_: self._restart(),
        )

    async def run(self) -> None:
        """Exchange keys until cancelled; a fault is logged, and tried again."""
        self._keyring.begin()
        following = asyncio.create_task(self._follow(), name="keyring.follower")
        try:
            await self._follower.caught_up.wait()
            while True:
                try:
                    await self.serve()
                except (BrokerAway, sqlite3.Error) as error:
                    log.warning("keyring.interrupted", error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(TURN_S)
        finally:
            await cancel_and_wait([following])

    async def _follow(self) -> None:
        while True:
            try:
                await self._follower.run()
            except sqlite3.Error as error:  # Mostly a full disk
                log.error("keyring.write_failed", error=str(error))
                await asyncio.sleep(TURN_S)

    async def wait_for_answer(self) -> None:
        """Wait until missing keys have arrived, if another machine is there to send them."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + ANSWER_S
        while loop.time() < give_up:
            if self._keyring.is_joined and (
                not self._keyring.request or not self._keyring.list_addressees()
            ):
                return
            await asyncio.sleep(POLL_S)

    async def wait_for_keys(self, numbers: Iterable[int]) -> None:
        """Wait for the keys with these numbers, if they are on the topic.

        The topic has a key before its text is written, so reading it to its end is enough.
        """
        pending_numbers = [number for number in numbers if self._keyring.is_pending(number)]
        if not pending_numbers or not await self._follower.settle(SETTLE_S):
            return
        now = asyncio.get_running_loop().time()
        is_due = now - self._asked_at >= ASK_AGAIN_S and not self._keyring.request
        if is_due and any(self._keyring.is_pending(number) for number in pending_numbers):
            self._asked_at = now
            self._keyring.ask_again()
            self._is_hello_due = True

    async def wait_for_review(self) -> None:
        """Wait until late keys have arrived, so that refused records may be ours after all."""
        while self._keyring.request or not self._keyring.needs_review():
            await asyncio.sleep(TURN_S)

    def end_review(self) -> None:
        """Record that the topics will be read again."""
        self._keyring.set_review(is_needed=False)

    async def apply(self, entries: Sequence[KeyedEntry]) -> None:
        """Take the records of the topic into the keyring, in order."""
        await run_in_thread(self._apply_all, entries)

    def _apply_all(self, entries: Sequence[KeyedEntry]) -> None:
        expected = self._keyring.next_offset
        for entry in entries:
            if 0 < expected < entry.offset:
                # Records that we did not read have expired: their keys must come again
                self._restart()
            expected = entry.offset + 1
            message = self._keyring.mailbox.open(entry.key, entry.value)
            if message is None:
                count_unsigned(TOPIC)
                log.warning("keyring.foreign_record", offset=entry.offset, key=entry.key)
            else:
                self._apply_message(message)
        self._keyring.advance(expected)

    def _apply_message(self, message: KeyringMessage) -> None:
        match message:
            case Hello():
                self._keyring.hear(message)
            case Dismissal():
                self._keyring.dismiss(message.machine, message.at)
                self._is_hello_due |= message.machine == self._keyring.machine
            case Erasure():
                self._keyring.erase_told(message.numbers)
            case Delivery() if message.machine == self._keyring.machine:
                self._take_delivery(message)

    def _take_delivery(self, delivery: Delivery) -> None:
        private = self._keyring.get_private_key(delivery.epoch)
        try:
            if private is None:
                raise ValueError("sealed with a public key that is forgotten")
            keys = self._keyring.mailbox.open_delivery(delivery, private)
        except (ValueError, InvalidTag) as error:
            log.warning("keyring.unopened", error=str(error), then="all machines are asked again")
            self._keyring.ask_again()
            self._is_hello_due = True
            return
        new = self._keyring.add_keys(keys)
        if new and (delivery.answers or len(keys) == MAX_KEYS):
            log.info("keyring.received", keys=new)
            self._keyring.set_review(is_needed=True)
        if delivery.answers:
            self._keyring.accept_answer(delivery.answers)

    def _restart(self) -> None:
        self._keyring.restart()
        self._is_hello_due = True

    async def serve(self) -> None:
        """Announce this machine, tell of erasures, and send keys to those that wait for them.

        Raises BrokerAway, sqlite3.Error.
        """
        is_old = time.time() - self._keyring.renewed_at / 1000 >= RENEW_S
        if self._is_hello_due or is_old:
            self._is_hello_due = False
            hello = await run_in_thread(self._keyring.announce, renew=is_old)
            try:
                await (
                    await _send(self._writer, self._keyring.mailbox, hello)
                ).wait_for_acknowledgement()
            except BaseException:
                self._is_hello_due = True
                raise
        while numbers := self._keyring.list_untold(MAX_ERASED):
            erasure = Erasure(self._keyring.machine, numbers)
            await (
                await _send(self._writer, self._keyring.mailbox, erasure)
            ).wait_for_acknowledgement()
            await run_in_thread(self._keyring.mark_told, numbers)
        for hello, request in self._keyring.list_owed():
            await self._send_all(hello, request)

    async def _send_all(self, hello: Hello, request: str) -> None:
        """Send every key to one machine; the last record answers its request."""
        after, key_count = -1, 0
        while True:
            keys = await run_in_thread(self._keyring.list_keys, after, MAX_KEYS)
            is_last = len(keys) < MAX_KEYS
            delivery = await run_in_thread(
                self._keyring.mailbox.deliver, hello, keys, request if is_last else ""
            )
            await (
                await _send(self._writer, self._keyring.mailbox, delivery)
            ).wait_for_acknowledgement()
            key_count += len(keys)
            if is_last:
                break
            after = keys[-1].number
        await run_in_thread(self._keyring.settle_debt, hello.machine, request)
        log.info("keyring.sent", machine=hello.machine, keys=key_count)


async def _send(writer: KeyedWriter, mailbox: Mailbox, message: KeyringMessage) -> PendingSend:
    key, value = mailbox.seal(message)
    return await writer.send(TOPIC, 0, key, value)
