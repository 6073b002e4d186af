"""Send SMS through HTTP providers: a gateway that takes OVH's JSON, smsmode, Octopush.

The gateway has a bearer token, an idempotency key and an address for receipts. OVH itself takes neither of
the last two; see `ovh`. Providers hold commercial messages from 22 h to 8 h and on Sundays; ours
are alerts and say so (`noStopClause`) at any hour.

smsmode (`POST /sms/v1/messages`): receipts come to the address that each message names; smsmode tells every change of state there.
Without `body.stop` smsmode adds no mention of STOP: ours are alerts, for a channel of that type.

Octopush (`POST /v1/public/sms-campaign/send`, one recipient a call): the account has one address for all receipts and replies, in Octopush's settings: the source of the
gateway at `/webhooks/sms`. `purpose: alert` needs no mention of STOP.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, Self

import orjson

from schemas.people.directory import normalize_dialled_number
from services.delivery.channels.base import CallResult, Outgoing, compute_validity_min
from services.delivery.channels.posting import HttpPoster, read_json_pointer
from services.delivery.channels.sms.origin import SmsOrigin, choose_sms_text
from services.runtime.http.sms_text import encode_text

SMSMODE_PATH: Final = "/sms/v1/messages"
LONGEST_REFERENCE: Final = 140
"""Characters of `refClient` that smsmode takes."""
OCTOPUSH_PATH: Final = "/sms-campaign/send"
LONGEST_ID: Final = 64


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


class SmsmodeSms(SmsGateway):
    """Driver of one channel of smsmode; its key belongs to that channel."""

    def job(self, outgoing: Outgoing, number: str) -> dict[str, Any]:
        """Build a message with documented fields only; numbers are bare digits."""
        text = choose_sms_text(outgoing.text, answerable=self._origin.answerable)
        message: dict[str, Any] = {
            "recipient": {"to": number.removeprefix("+")},
            "body": {"text": text},
            "from": self._origin.text.removeprefix("+"),
            "refClient": outgoing.attempt[:LONGEST_REFERENCE],
        }
        return message | ({"callbackUrlStatus": outgoing.returns_url} if self._receipts else {})

    def headers(self, outgoing: Outgoing, body: bytes) -> dict[str, str]:  # noqa: ARG002
        """Return the header with the key; see `SmsGateway`."""
        return {"x-api-key": self._token, "accept": "application/json"}

    def interpret_answer(self, content: bytes) -> CallResult:
        """Interpret the answer: the message with its id; see `HttpPoster`."""
        id = read_json_pointer(content, "/messageId")
        return self.unreadable() if id is None else CallResult("accepted", provider_id=id)


@dataclass(frozen=True, slots=True)
class OctopushKeys:
    """Login and key of an account, as `login:key`."""

    login: str
    key: str

    @classmethod
    def read(cls, token: str) -> Self | None:
        """Parse the token; None if a part is missing."""
        login, _, key = token.partition(":")
        return cls(login, key) if login and key else None


class OctopushSms(SmsGateway):
    """Driver of one account of Octopush."""

    def __init__(
        self, url: str, keys: OctopushKeys, origin: SmsOrigin, *, receipts: bool = False
    ) -> None:
        super().__init__(url, "", origin, receipts=receipts)
        self._keys = keys

    def job(self, outgoing: Outgoing, number: str) -> dict[str, Any]:
        """Build a campaign of one SMS with documented fields only.

        The text goes out as it is. A sender that can be answered is a number of Octopush's choice.
        `request_id`: the same attempt is refused a second time.
        """
        answerable = self._origin.answerable
        sender = {} if answerable else {"sender": self._origin.text}
        return {
            "text": choose_sms_text(outgoing.text, answerable=answerable),
            "recipients": [{"phone_number": number}],
            "type": "sms_premium",
            "purpose": "alert",
            **sender,
            "with_replies": answerable,
            "auto_optimize_text": False,
            "request_id": outgoing.attempt,
        }

    def headers(self, outgoing: Outgoing, body: bytes) -> dict[str, str]:  # noqa: ARG002
        """Return the headers with login and key; see `SmsGateway`."""
        return {
            "api-login": self._keys.login,
            "api-key": self._keys.key,
            "cache-control": "no-cache",
        }

    def interpret_answer(self, content: bytes) -> CallResult:
        """Interpret the answer: a ticket, or no contact that can be reached; see `HttpPoster`."""
        try:
            answer = orjson.loads(content)
            ticket, contacts = answer["sms_ticket"], answer.get("number_of_contacts", 1)
        except (ValueError, KeyError, TypeError, AttributeError):
            return self.unreadable()
        if contacts == 0:
            return CallResult("failed", error="sms_receiver_refused")
        if not isinstance(ticket, str) or not ticket:
            return self.unreadable()
        return CallResult("accepted", provider_id=ticket[:LONGEST_ID])
