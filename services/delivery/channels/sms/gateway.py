"""SMS through a provider's HTTP gateway: the JSON of OVH's `POST /sms/{service}/jobs`, with an idempotency key and an address for receipts.

Providers hold commercial messages from 22 h to 8 h and on Sundays; ours are alerts and say so (`noStopClause`), whatever the hour.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha1
from typing import Any

import orjson

from services.delivery.channels.base import Outgoing, Result
from services.delivery.channels.posting import Posting
from services.delivery.channels.sms.origin import Origin, dialled
from services.delivery.channels.sms.wording import wording
from services.delivery.channels.validity import validity_min
from services.runtime.sms_text import encode


class SmsGateway(Posting):
    """Driver of one gateway."""

    def __init__(self, url: str, token: str, origin: Origin, clock: Callable[[], float] = time.time) -> None:
        super().__init__("sms")
        self._url = url
        self._token = token
        self._origin = origin
        self._clock = clock

    async def call(self, outgoing: Outgoing, timeout_s: float) -> Result:
        """See Driver."""
        number = dialled(outgoing.address)
        if number is None:
            return Result("failed", error="address_invalid")
        job = self.job(outgoing, number)
        body = orjson.dumps(job)
        result = await self.post(self._url, body, {"idempotency-key": outgoing.attempt} | self._signed(body), timeout_s)
        return replace(result, parts=len(encode(job["message"]).segments))

    async def probe(self, timeout_s: float) -> str | None:
        """See Probing."""
        return await self.connects(self._url, timeout_s)

    def job(self, outgoing: Outgoing, number: str) -> dict[str, Any]:
        """What the gateway reads."""
        text = wording(outgoing.text, answerable=self._origin.answerable)
        sender = {"senderForResponse": True} if self._origin.answerable else {"sender": self._origin.text}
        return {
            "message": text,
            "receivers": [number],
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

    def taken(self, content: bytes) -> Result:
        """Taken, or refused for this one number."""
        try:
            said = orjson.loads(content)
            refused, ids = said.get("invalidReceivers") or [], said.get("ids") or []
        except (ValueError, AttributeError):
            return Result("accepted")  # taken, under an id that cannot be read
        if refused and not said.get("validReceivers"):
            return Result("failed", error="sms_receiver_refused")
        return Result("accepted", provider_id=str(ids[0]) if ids else None)
