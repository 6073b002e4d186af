"""SMS through a provider's HTTP gateway: the JSON of OVH's `POST /sms/{service}/jobs`, with an idempotency key and an address for receipts.

Providers hold commercial messages from 22 h to 8 h and on Sundays; ours are alerts and say so (`noStopClause`), whatever the hour.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from hashlib import sha1
from typing import Any, Final, Self

import httpx
import orjson

from services.delivery.channels.base import Outgoing, Result
from services.delivery.channels.sms.encoding import encode
from services.delivery.channels.sms.origin import Origin, is_address
from services.delivery.channels.sms.wording import wording
from services.delivery.channels.validity import validity_min

_PASSING: Final = frozenset({408, 425, 429})
_ANSWER_BYTES: Final = 65_536


class SmsGateway:
    """Driver; one pool of connections."""

    def __init__(self, url: str, token: str, origin: Origin, clock: Callable[[], float] = time.time) -> None:
        self._url = url
        self._token = token
        self._origin = origin
        self._clock = clock
        self._client = httpx.AsyncClient(follow_redirects=False, headers={"user-agent": "Vigie"})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def call(self, outgoing: Outgoing, timeout_s: float) -> Result:
        """See Driver."""
        if not is_address(outgoing.address):
            return Result("failed", error="address_invalid")
        body = orjson.dumps(self.job(outgoing))
        headers = {"content-type": "application/json", "idempotency-key": outgoing.attempt} | self._signed(body)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._client.post(self._url, content=body, headers=headers, timeout=timeout_s)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL):
            return Result("failed", error="sms_connection", retry=True)
        except (httpx.HTTPError, TimeoutError):
            return Result("ambiguous", error="sms_no_answer")
        if 200 <= answer.status_code < 300:
            return _taken(answer.content)
        return Result("failed", error=f"sms_{answer.status_code}", retry=answer.status_code in _PASSING or answer.status_code >= 500)

    def job(self, outgoing: Outgoing) -> dict[str, Any]:
        """What the gateway reads."""
        text = wording(outgoing.text, answerable=self._origin.answerable)
        sender = {"senderForResponse": True} if self._origin.answerable else {"sender": self._origin.text}
        return {
            "message": text,
            "receivers": [outgoing.address],
            **sender,
            "noStopClause": True,
            "priority": "high" if outgoing.row.danger or outgoing.row.answer_expected else "medium",
            "coding": "7bit" if encode(text).alphabet == "gsm7" else "8bit",
            "charset": "UTF-8",
            "validityPeriod": validity_min(outgoing.row),
            "tag": outgoing.attempt,
            "callback": outgoing.returns_url,
        }

    def _signed(self, body: bytes) -> dict[str, str]:
        """A bearer token, or OVH's `$1$` signature over secret, consumer, method, address, body and time."""
        parts = self._token.split(":")
        if len(parts) != 3:
            return {"authorization": f"Bearer {self._token}"}
        application, secret, consumer = parts
        stamp = str(int(self._clock()))
        signed = f"{secret}+{consumer}+POST+{self._url}+{body.decode()}+{stamp}"
        return {
            "x-ovh-application": application,
            "x-ovh-consumer": consumer,
            "x-ovh-timestamp": stamp,
            "x-ovh-signature": "$1$" + sha1(signed.encode()).hexdigest(),  # noqa: S324  the provider's own scheme
        }


def _taken(content: bytes) -> Result:
    """From the body of a 2xx: taken, or refused for this one number."""
    try:
        said = orjson.loads(content[:_ANSWER_BYTES])
        refused, ids = said.get("invalidReceivers") or [], said.get("ids") or []
    except (ValueError, AttributeError):
        return Result("accepted")  # taken, under an id that cannot be read
    if refused and not said.get("validReceivers"):
        return Result("failed", error="sms_receiver_refused")
    return Result("accepted", provider_id=str(ids[0]) if ids else None)
