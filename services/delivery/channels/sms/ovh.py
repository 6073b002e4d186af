"""Send SMS through OVH's API (`POST /sms/{service}/jobs`), and poll receipts and texts.

The API refuses undocumented parameters, so a job has no address for receipts. If the settings say
so and the keys allow it, the driver polls `outgoing` and `incoming`. Otherwise it only knows that a
message was taken.

`incoming` lists what people write to a short code or a virtual number of the service, whatever the
sender of our own messages is. The API gives each text whole.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha1
from typing import Any, Final, Literal, Self
from urllib.parse import quote

import aiohttp
import orjson
import structlog
from yarl import URL

from schemas.words import Channel
from services.delivery.channels.base import CallResult, Inbox, Outgoing
from services.delivery.channels.sms.http_providers import (
    SmsGateway,
    build_ovh_job,
    interpret_ovh_answer,
)
from services.delivery.channels.sms.origin import SmsOrigin, normalize_provider_number
from services.runtime.kafka.clients import BrokerAway
from services.runtime.process.tasks import cancel_and_wait

log = structlog.get_logger(__name__)

JOBS_PATH: Final = "/jobs"
TAG_CHARACTERS: Final = 20
"""Characters of a tag that OVH keeps."""
POLL_S: Final = 10.0
"""Pause between two polls of receipts and answers."""
LOOK_BACK_S: Final = 900.0
"""Period that a poll of receipts covers: longer than one is awaited, and than a restart takes."""
TEXTS_LOOK_BACK_S: Final = 3600.0
"""Period that a poll of texts covers: they may tell of danger, also after a long outage."""
POLL_TIMEOUT_S: Final = 10.0
"""Timeout of a poll."""
_ARRIVED_CODE: Final = 1
_FAILED_CODES: Final = (2, 16)
"""Final values of `deliveryReceipt` in Kannel's numbering: undeliverable, refused."""


@dataclass(frozen=True, slots=True)
class OvhKeys:
    """Keys of an application, as `application:secret:consumer`."""

    application: str
    secret: str
    consumer: str

    @classmethod
    def read(cls, token: str) -> Self | None:
        """Parse the keys; None if the token is a bearer token."""
        parts = token.split(":")
        return cls(*parts) if len(parts) == 3 and all(parts) else None

    def sign(self, method: str, url: str, body: bytes, stamp: int) -> dict[str, str]:
        """Return the headers with OVH's `$1$` signature.

        It covers secret, consumer, method, address, body and time.
        """
        signed_text = "+".join((self.secret, self.consumer, method, url, body.decode(), str(stamp)))
        return {
            "x-ovh-application": self.application,
            "x-ovh-consumer": self.consumer,
            "x-ovh-timestamp": str(stamp),
            "x-ovh-signature": "$1$" + sha1(signed_text.encode()).hexdigest(),  # noqa: S324
        }


class OvhSms(SmsGateway):
    """Driver of one SMS service of OVH.

    With `polls` it polls receipts and texts.
    """

    def __init__(
        self,
        url: str,
        keys: OvhKeys,
        origin: SmsOrigin,
        inbox: Inbox,
        *,
        polls: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(url, "", origin, receipts=polls)
        self._keys = keys
        self._inbox = inbox
        self._polls = polls
        self._clock = clock
        self._service = url.removesuffix(JOBS_PATH)
        self._heard: set[int] = set()
        """Incoming messages that were handed on."""
        self._refused: dict[str, int] = {}
        """Kind of record → status of its last poll, if that failed."""
        self._asking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if self._polls:
            self._asking = asyncio.create_task(self._ask_for_ever(), name="ovh receipts")
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._asking is not None:
            await cancel_and_wait([self._asking])
        await super().__aexit__(*exc)

    def job(self, outgoing: Outgoing, number: str) -> dict[str, Any]:
        """Build the job with documented parameters only; see `SmsGateway`."""
        return build_ovh_job(outgoing, number, self._origin) | {
            "tag": outgoing.attempt.replace("-", "")[:TAG_CHARACTERS]
        }

    def headers(self, outgoing: Outgoing, body: bytes) -> dict[str, str]:  # noqa: ARG002
        """Sign the request; see `SmsGateway`."""
        return self._keys.sign("POST", self._url, body, int(self._clock()))

    def interpret_answer(self, content: bytes) -> CallResult:
        """Interpret the answer; see `HttpPoster`."""
        return interpret_ovh_answer(content) or self.unreadable()

    async def _ask_for_ever(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.ask()
            except BrokerAway as error:
                log.warning("sms.broker_away", error=str(error))

    async def ask(self) -> None:
        """Poll once for awaited receipts and for answers. Raise BrokerAway; poll again."""
        waiting_ids = self._inbox.list_awaited_ids(Channel.SMS)
        if waiting_ids:
            await self._take_receipts(waiting_ids, _ARRIVED_CODE, "received", None)
            for code in _FAILED_CODES:
                await self._take_receipts(waiting_ids, code, "failed", f"dlr_{code}")
        await self._take_texts()

    async def _take_receipts(
        self,
        waiting_ids: frozenset[str],
        code: int,
        state: Literal["received", "failed"],
        error: str | None,
    ) -> None:
        for id in await self._list_ids("outgoing", f"&deliveryReceipt={code}"):
            if str(id) in waiting_ids:
                await self._inbox.receipt(Channel.SMS, str(id), state, error)

    async def _take_texts(self) -> None:
        message_ids = await self._list_ids("incoming", look_back_s=TEXTS_LOOK_BACK_S)
        for id in message_ids:
            if id in self._heard:
                continue
            message = await self._read("incoming", f"/{id}")
            if (
                not isinstance(message, dict)
                or not isinstance(message.get("sender"), str)
                or not isinstance(message.get("message"), str)
            ):
                continue
            if await self._inbox.accept_text(
                Channel.SMS,
                normalize_provider_number(message["sender"]),
                message["message"],
                name=f"ovh-{id}",
            ):
                self._heard.add(id)
        if message_ids:
            self._heard.intersection_update(message_ids)

    async def _list_ids(
        self, what: str, filters: str = "", *, look_back_s: float = LOOK_BACK_S
    ) -> list[int]:
        """Return the ids of the last messages of a kind."""
        begin = datetime.fromtimestamp(self._clock() - look_back_s, UTC)
        since = begin.isoformat(timespec="seconds")
        message_ids = await self._read(
            what, f"?creationDatetime.from={quote(since, safe='')}{filters}"
        )
        return (
            [id for id in message_ids if isinstance(id, int)]
            if isinstance(message_ids, list)
            else []
        )

    async def _read(self, what: str, rest: str) -> object:
        """Return the JSON at an address; None if there is none, which is logged once."""
        assert self._session is not None, "entered before it asks"
        url = f"{self._service}/{what}{rest}"
        headers = self._keys.sign("GET", url, b"", int(self._clock()))
        try:
            async with (
                asyncio.timeout(POLL_TIMEOUT_S),
                self._session.get(
                    URL(url, encoded=True), headers=headers, allow_redirects=False
                ) as answer,
            ):
                content, status = await answer.read(), answer.status
            content_value: object = orjson.loads(content) if status == 200 else None
        except (aiohttp.ClientError, TimeoutError, ValueError):
            status, content_value = 0, None
        if content_value is not None:
            self._refused.pop(what, None)
        elif status != self._refused.get(what):
            self._refused[what] = status
            log.warning("sms.not_polled", what=what, status=status or "no answer")
        return content_value
