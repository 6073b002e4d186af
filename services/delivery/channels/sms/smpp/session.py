"""One transceiver session: bind, submit within a window, receive, keep alive, bind again.

A submit_sm that was written without a response (lost connection, timeout) is in doubt. Before its
first octet is written, it is certainly not taken.
"""

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Self

import structlog

from services.delivery.channels.sms.smpp.pdu import (
    PDU_HEADER,
    RESPONSE_BIT,
    Pdu,
    PduHead,
    PduInvalid,
    ShortMessage,
    SmppCommand,
    SmppStatus,
    build_bind_body,
)
from services.runtime.process.tasks import cancel_and_wait

log = structlog.get_logger(__name__)

KEEP_ALIVE_S: Final = 30.0
ANSWER_TIMEOUT_S: Final = 10.0
"""Timeout of the answer to a bind or an enquire_link."""
BIND_PAUSES_S: Final = (0.2, 1.0, 5.0, 15.0)
"""Pauses between attempts to bind; the last one repeats."""

DeliveryHandler = Callable[[ShortMessage], Awaitable[int]]
"""Takes a receipt or a reply and returns the status to answer with.

TEMPORARY: the SMSC sends it again later.
"""


class NotBoundError(Exception):
    """Error: no session within the time; certainly nothing was sent."""


class InDoubtError(Exception):
    """Error: written, but the reaction of the SMSC is unknown."""


@dataclass(frozen=True, slots=True)
class Smsc:
    """Address and account of an SMSC. `tls`: SMPP over TLS."""

    host: str
    port: int
    system_id: str
    password: str
    tls: bool = False
    window: int = 10
    """Most submit_sm without a response at one time."""


class SmppSession:
    """Session that stays up while it is entered; `submit` is safe from many tasks."""

    def __init__(self, smsc: Smsc, deliver: DeliveryHandler) -> None:
        self._smsc = smsc
        self._deliver = deliver
        self._bound = asyncio.Event()
        self._sequence = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[tuple[int, bytes]]] = {}
        self._window = asyncio.Semaphore(smsc.window)
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._deliveries: set[asyncio.Task[None]] = set()
        self._sessions = 0
        self.refusal: str | None = None
        """Reason for which the SMSC refused the last bind."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_bound(), name="smpp.session")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None and self._bound.is_set():
            with contextlib.suppress(OSError, TimeoutError, InDoubtError):
                await self._ask(SmppCommand.UNBIND, b"", 1.0)
        if self._task is not None:
            await cancel_and_wait([self._task])
        await cancel_and_wait(list(self._deliveries))

    async def submit(self, message: ShortMessage, timeout_s: float) -> tuple[int, bytes]:
        """Submit a message; return (status, body) of the response.

        Raise NotBound, InDoubt, or ValueError for a message that cannot be written.
        """
        body = message.dump()
        loop = asyncio.get_running_loop()
        give_up = loop.time() + timeout_s
        try:
            async with asyncio.timeout_at(give_up):
                await self._window.acquire()
        except TimeoutError:
            raise NotBoundError(self.refusal or "window") from None
        try:
            async with asyncio.timeout_at(give_up):
                await self._bound.wait()
        except TimeoutError:
            raise NotBoundError(self.refusal or "connection") from None
        else:
            return await self._ask(SmppCommand.SUBMIT_SM, body, give_up - loop.time())
        finally:
            self._window.release()

    async def enquire(self, timeout_s: float) -> int:
        """Return the status of the answer to an enquire_link. Raise NotBound, InDoubt."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._bound.wait()
        except TimeoutError:
            raise NotBoundError(self.refusal or "connection") from None
        status, _ = await self._ask(SmppCommand.ENQUIRE_LINK, b"", ANSWER_TIMEOUT_S)
        return status

    async def _ask(self, command: SmppCommand, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        if self._writer is None:
            raise NotBoundError("connection")
        sequence = next(self._sequence) & 0x7FFF_FFFF
        answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._waiting[sequence] = answer
        try:
            self._writer.write(Pdu(command, sequence, body=body).dump())
            async with asyncio.timeout(timeout_s):
                return await answer
        except (OSError, TimeoutError) as error:
            raise InDoubtError(type(error).__name__) from error
        finally:
            self._waiting.pop(sequence, None)

    async def _keep_bound(self) -> None:
        failures = 0
        while True:
            began = self._sessions
            try:
                await self._one_session()
            except (
                OSError,
                PduInvalid,
                TimeoutError,
                InDoubtError,
                asyncio.IncompleteReadError,
            ) as error:
                log.warning("smpp.away", error=type(error).__name__, refusal=self.refusal)
            failures = 0 if self._sessions > began else failures + 1
            await asyncio.sleep(BIND_PAUSES_S[min(failures, len(BIND_PAUSES_S) - 1)])

    async def _one_session(self) -> None:
        context = ssl.create_default_context() if self._smsc.tls else None
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(
                self._smsc.host, self._smsc.port, ssl=context
            )
        self._writer = writer
        reading = asyncio.create_task(self._read(reader), name="smpp.read")
        try:
            await self._bind()
            self._bound.set()
            self._sessions += 1
            log.info("smpp.bound")
            while not reading.done():
                await asyncio.wait([reading], timeout=KEEP_ALIVE_S)
                if not reading.done():
                    await self._ask(SmppCommand.ENQUIRE_LINK, b"", ANSWER_TIMEOUT_S)
            reading.result()
        finally:
            self._bound.clear()
            self._writer = None
            writer.close()
            await cancel_and_wait([reading])
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(ConnectionResetError())

    async def _bind(self) -> None:
        status, _ = await self._ask(
            SmppCommand.BIND_TRANSCEIVER,
            build_bind_body(self._smsc.system_id, self._smsc.password),
            ANSWER_TIMEOUT_S,
        )
        self.refusal = None if status == SmppStatus.OK else f"bind_{status:#04x}"
        if self.refusal is not None:
            raise ConnectionRefusedError(self.refusal)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Read until the SMSC ends the session. Raise errors that break the stream."""
        while True:
            try:
                head = PduHead.load(await reader.readexactly(PDU_HEADER.size))
            except asyncio.IncompleteReadError as error:
                if not error.partial:
                    return
                raise
            body = await reader.readexactly(head.length - PDU_HEADER.size)
            if head.command & RESPONSE_BIT:
                answer = self._waiting.get(head.sequence)
                if answer is not None and not answer.done():
                    answer.set_result(
                        (
                            head.status
                            or (
                                SmppStatus.SUBMIT_FAILED
                                if head.command == SmppCommand.GENERIC_NACK
                                else 0
                            ),
                            body,
                        )
                    )
                continue
            match head.command:
                case SmppCommand.DELIVER_SM:
                    self._accept_delivery(head.sequence, body)
                case SmppCommand.ENQUIRE_LINK:
                    self._say(Pdu(head.command | RESPONSE_BIT, head.sequence))
                case SmppCommand.UNBIND:
                    self._say(Pdu(head.command | RESPONSE_BIT, head.sequence))
                    return
                case _:
                    self._say(
                        Pdu(SmppCommand.GENERIC_NACK, head.sequence, SmppStatus.INVALID_COMMAND)
                    )

    def _accept_delivery(self, sequence: int, body: bytes) -> None:
        """Answer a receipt or reply once it is stored, without blocking the others."""
        try:
            message = ShortMessage.load(body)
        except PduInvalid:
            log.error("smpp.delivery_unreadable")
            self._say(
                Pdu(SmppCommand.DELIVER_SM | RESPONSE_BIT, sequence, SmppStatus.REJECTED, b"\0")
            )
            return
        taking = asyncio.create_task(self._store_and_answer(sequence, message), name="smpp.deliver")
        self._deliveries.add(taking)
        taking.add_done_callback(self._deliveries.discard)

    async def _store_and_answer(self, sequence: int, message: ShortMessage) -> None:
        try:
            status = await self._deliver(message)
        except Exception as error:  # noqa: BLE001
            # One unreadable receipt must not end the session.
            log.error("smpp.delivery_failed", error=type(error).__name__)
            status = SmppStatus.TEMPORARY
        self._say(Pdu(SmppCommand.DELIVER_SM | RESPONSE_BIT, sequence, status, b"\0"))

    def _say(self, pdu: Pdu) -> None:
        if self._writer is not None:
            self._writer.write(pdu.dump())
