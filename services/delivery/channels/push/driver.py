"""Send web push to the service of a person's browser (RFC 8030).

Only that browser can read it (RFC 8291), and this installation signs it (RFC 8292). The browser's
worker shows the message and posts the receipt (`services/console/static/js/sw.js`). A subscription
that ended (404, 410) leaves the directory. `Topic` is the notification: a repetition replaces an
undelivered message.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import orjson
from pydantic import ValidationError

from schemas.words import Channel
from services.delivery.channels.base import CallResult, Inbox, Outgoing
from services.delivery.channels.posting import HttpPoster
from services.delivery.channels.push.encryption import MESSAGE_BYTES, encrypt_message
from services.delivery.channels.validity import compute_validity_min
from services.runtime.http.web_push import PushSettings, Subscription, VapidKey, encode_base64

_ENDED_SUBSCRIPTION_ERRORS: Final = frozenset({"push_404", "push_410"})
_BODY_CHARACTERS: Final = 1_200
"""Characters that a phone may show; the page behind the link has the full text."""


class PushDriver(HttpPoster):
    """Driver for all browsers."""

    def __init__(self, settings: PushSettings, key: VapidKey, inbox: Inbox) -> None:
        super().__init__("push")
        self._settings = settings
        self._key = key
        self._inbox = inbox

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallResult:
        """Send the push message; see `Driver` and `HttpPoster`."""
        try:
            to = Subscription.model_validate_json(outgoing.address)
        except ValidationError:
            return CallResult("failed", error="address_invalid")
        if not self._settings.serves(to.endpoint):
            return CallResult("failed", error="push_service_unknown")
        urgent = outgoing.row.answer_expected or outgoing.row.danger
        headers = {
            "content-type": "application/octet-stream",
            "content-encoding": "aes128gcm",
            "ttl": str(compute_validity_min(outgoing.row) * 60),
            "urgency": "high" if urgent else "normal",
            "topic": encode_base64(UUID(outgoing.row.id).bytes),
            "authorization": self._key.authorization(to.audience, self._settings.push_contact),
        }
        result = await self.post(
            to.endpoint, encrypt_message(build_payload(outgoing), to.keys), headers, timeout_s
        )
        if result.error in _ENDED_SUBSCRIPTION_ERRORS:
            await self._inbox.gone(Channel.APP, outgoing)
            return CallResult("failed", error="subscription_gone")
        return result

    def taken(self, content: bytes) -> CallResult:  # noqa: ARG002
        """Accept a 201; a push service sends no body."""
        return CallResult("accepted")


def build_payload(outgoing: Outgoing) -> bytes:
    """Build the message for the worker; addresses are paths, relative to the subscribed origin."""
    row, text = outgoing.row, outgoing.text
    payload = {
        "title": text.push_title,
        "body": text.push[:_BODY_CHARACTERS],
        "lang": text.lang,
        "tag": row.id,
        "stays": row.answer_expected or row.danger,
        "url": urlsplit(text.link).path if text.link else "/",
        "receipt": urlsplit(outgoing.returns_url).path,
    }
    while len(dumped := orjson.dumps(payload)) > MESSAGE_BYTES:
        payload["body"] = str(payload["body"])[: len(str(payload["body"])) // 2]
        payload["title"] = str(payload["title"])[:200]
    return dumped
