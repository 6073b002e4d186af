"""Send SMS through Octopush's API (`POST /v1/public/sms-campaign/send`), one recipient a call.

The account has one address for all receipts and replies, in Octopush's settings: the source of the
gateway at `/webhooks/sms`. `purpose: alert` needs no mention of STOP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import orjson

from services.delivery.channels.base import CallResult, Outgoing
from services.delivery.channels.sms.gateway import SmsGateway
from services.delivery.channels.sms.origin import SmsOrigin, choose_sms_text

PATH: Final = "/sms-campaign/send"
LONGEST_ID: Final = 64


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
