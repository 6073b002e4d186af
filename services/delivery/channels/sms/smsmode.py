"""Send SMS through smsmode's REST API (`POST /sms/v1/messages`).

Receipts come to the address that each message names; smsmode tells every change of state there.
Without `body.stop` smsmode adds no mention of STOP: ours are alerts, for a channel of that type.
"""

from __future__ import annotations

from typing import Any, Final

from services.delivery.channels.base import CallResult, Outgoing
from services.delivery.channels.posting import read_json_pointer
from services.delivery.channels.sms.gateway import SmsGateway
from services.delivery.channels.sms.origin import choose_sms_text

PATH: Final = "/sms/v1/messages"
LONGEST_REFERENCE: Final = 140
"""Characters of `refClient` that smsmode takes."""


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
