"""Send SMS through an HTTP gateway that takes OVH's JSON.

It has a bearer token, an idempotency key and an address for receipts. OVH itself takes neither of
the last two; see `ovh`. Providers hold commercial messages from 22 h to 8 h and on Sundays; ours
are alerts and say so (`noStopClause`) at any hour.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from services.delivery.channels.base import Outgoing, Result
from services.delivery.channels.posting import Posting, value_at
from services.delivery.channels.sms.origin import Origin, dialled
from services.delivery.channels.sms.wording import wording
from services.delivery.channels.validity import validity_min
from services.runtime.http.sms_text import encode


class SmsGateway(Posting):
    """Driver of one gateway."""

    def __init__(
        self, url: str, token: str, origin: Origin, *, id_at: str = "", receipts: bool = True
    ) -> None:
        """Configure a gateway.

        `id_at` is the JSON Pointer of the message id in its answer; empty: it answers like OVH.
        `receipts`: it posts them to `callback`.
        """
        super().__init__("sms")
        self._url = url
        self._token = token
        self._origin = origin
        self._id_at = id_at
        self._receipts = receipts

    async def call(self, outgoing: Outgoing, timeout_s: float) -> Result:
        """Send the SMS; see `Driver`."""
        number = dialled(outgoing.address)
        if number is None:
            return Result("failed", error="address_invalid")
        job = self.job(outgoing, number)
        body = orjson.dumps(job)
        result = await self.post(self._url, body, self.headers(outgoing, body), timeout_s)
        return replace(result, parts=len(encode(job["message"]).segments), receipts=self._receipts)

    async def probe(self, timeout_s: float) -> str | None:
        """Test the connection; see `Probing`."""
        return await self.connects(self._url, timeout_s)

    def job(self, outgoing: Outgoing, number: str) -> dict[str, Any]:
        """Build the body for the gateway."""
        job = ovh_job(outgoing, number, self._origin) | {"tag": outgoing.attempt}
        return job | {"callback": outgoing.returns_url} if self._receipts else job

    def headers(self, outgoing: Outgoing, body: bytes) -> dict[str, str]:  # noqa: ARG002
        """Return the headers that authenticate us and identify the attempt."""
        return {"idempotency-key": outgoing.attempt, "authorization": f"Bearer {self._token}"}

    def taken(self, content: bytes) -> Result:
        """Interpret the answer: taken, or refused for this one number; see `Posting`."""
        if not self._id_at:
            return ovh_answer(content) or self.unreadable()
        id = value_at(content, self._id_at)
        return self.unreadable() if id is None else Result("accepted", provider_id=id)


def ovh_job(outgoing: Outgoing, number: str, origin: Origin) -> dict[str, Any]:
    """Build a job of OVH's API for one number, without its tag."""
    text = wording(outgoing.text, answerable=origin.answerable)
    sender = {"senderForResponse": True} if origin.answerable else {"sender": origin.text}
    return {
        "message": text,
        "receivers": [number],
        **sender,
        "noStopClause": True,
        "priority": "high" if outgoing.row.danger or outgoing.row.answer_expected else "medium",
        "coding": "7bit" if encode(text).alphabet == "gsm7" else "8bit",
        "charset": "UTF-8",
        "validityPeriod": validity_min(outgoing.row),
    }


def ovh_answer(content: bytes) -> Result | None:
    """Interpret OVH's answer to a job of one number; None if it is not OVH's answer."""
    try:
        said = orjson.loads(content)
        taken, refused, ids = (said[name] for name in ("validReceivers", "invalidReceivers", "ids"))
    except (ValueError, KeyError, TypeError):
        return None
    if not all(isinstance(one, list) for one in (taken, refused, ids)):
        return None
    if refused and not taken:
        return Result("failed", error="sms_receiver_refused")
    if not taken or not ids or isinstance(ids[0], bool) or not isinstance(ids[0], (int, str)):
        return None
    return Result("accepted", provider_id=str(ids[0])[:64])
