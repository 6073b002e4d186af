"""Send SMS through an HTTP gateway that takes OVH's JSON.

It has a bearer token, an idempotency key and an address for receipts. OVH itself takes neither of
the last two; see `ovh`. Providers hold commercial messages from 22 h to 8 h and on Sundays; ours
are alerts and say so (`noStopClause`) at any hour.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from schemas.people.directory import normalize_dialled_number
from services.delivery.channels.base import CallResult, Outgoing, compute_validity_min
from services.delivery.channels.posting import HttpPoster, read_json_pointer
from services.delivery.channels.sms.origin import SmsOrigin, choose_sms_text
from services.runtime.http.sms_text import encode_text


class SmsGateway(HttpPoster):
    """Driver of one gateway."""

    def __init__(
        self, url: str, token: str, origin: SmsOrigin, *, id_at: str = "", receipts: bool = True
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

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallResult:
        """Send the SMS; see `Driver`."""
        number = normalize_dialled_number(outgoing.address)
        if number is None:
            return CallResult("failed", error="address_invalid")
        text = choose_sms_text(outgoing.text, answerable=self._origin.answerable)
        body = orjson.dumps(self.job(outgoing, number))
        result = await self.post(self._url, body, self.headers(outgoing, body), timeout_s)
        return replace(result, parts=len(encode_text(text).segments), receipts=self._receipts)

    async def probe(self, timeout_s: float) -> str | None:
        """Test the connection; see `ProbingDriver`."""
        return await self.connects(self._url, timeout_s)

    def job(self, outgoing: Outgoing, number: str) -> dict[str, Any]:
        """Build the body for the gateway."""
        job = build_ovh_job(outgoing, number, self._origin) | {"tag": outgoing.attempt}
        return job | {"callback": outgoing.returns_url} if self._receipts else job

    def headers(self, outgoing: Outgoing, body: bytes) -> dict[str, str]:  # noqa: ARG002
        """Return the headers that authenticate us and identify the attempt."""
        return {"idempotency-key": outgoing.attempt, "authorization": f"Bearer {self._token}"}

    def interpret_answer(self, content: bytes) -> CallResult:
        """Interpret the answer: taken, or refused for this one number; see `HttpPoster`."""
        if not self._id_at:
            return interpret_ovh_answer(content) or self.unreadable()
        id = read_json_pointer(content, self._id_at)
        return self.unreadable() if id is None else CallResult("accepted", provider_id=id)


def build_ovh_job(outgoing: Outgoing, number: str, origin: SmsOrigin) -> dict[str, Any]:
    """Build a job of OVH's API for one number, without its tag."""
    text = choose_sms_text(outgoing.text, answerable=origin.answerable)
    sender = {"senderForResponse": True} if origin.answerable else {"sender": origin.text}
    return {
        "message": text,
        "receivers": [number],
        **sender,
        "noStopClause": True,
        "priority": "high" if outgoing.row.danger or outgoing.row.answer_expected else "medium",
        "coding": "7bit" if encode_text(text).alphabet == "gsm7" else "8bit",
        "charset": "UTF-8",
        "validityPeriod": compute_validity_min(outgoing.row),
    }


def interpret_ovh_answer(content: bytes) -> CallResult | None:
    """Interpret OVH's answer to a job of one number; None if it is not OVH's answer."""
    try:
        answer = orjson.loads(content)
        accepted_receivers, refused_receivers, ids = (
            answer[name] for name in ("validReceivers", "invalidReceivers", "ids")
        )
    except (ValueError, KeyError, TypeError):
        return None
    if not all(isinstance(one, list) for one in (accepted_receivers, refused_receivers, ids)):
        return None
    if refused_receivers and not accepted_receivers:
        return CallResult("failed", error="sms_receiver_refused")
    if (
        not accepted_receivers
        or not ids
        or isinstance(ids[0], bool)
        or not isinstance(ids[0], (int, str))
    ):
        return None
    return CallResult("accepted", provider_id=str(ids[0])[:64])
