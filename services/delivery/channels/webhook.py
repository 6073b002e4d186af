"""Webhooks, signed by Standard Webhooks.

Headers: `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,<base64>`. `webhook-id` is the
notification, the same for every attempt, so that a receiver folds repetitions. Plain HTTP only to
loopback, nothing to link-local addresses.
"""

import base64
import binascii
import hmac
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Final

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult
from pydantic import SecretStr, field_validator

from schemas.people.directory import is_allowed_url, is_callable_address
from schemas.words import Channel
from services.delivery.channels.base import CallResult, ChannelType, Outgoing, SettingsFault
from services.delivery.channels.posting import HttpPoster
from services.runtime.kafka.clients import format_time
from services.runtime.process.settings import Settings

_PREFIX: Final = "whsec_"


class WebhookSettings(Settings):
    """`VIGIE_WEBHOOK_SECRET`."""

    webhook_secret: SecretStr = SecretStr("")
    """`whsec_<base64>`: receivers check the signature with it (Standard Webhooks)."""

    @field_validator("webhook_secret")
    @classmethod
    def _base64(cls, secret: SecretStr) -> SecretStr:
        if text := secret.get_secret_value():
            try:
                key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
            except binascii.Error:
                raise ValueError("must be whsec_ and base64") from None
            if not 24 <= len(key) <= 64:
                raise ValueError("must hold 24 to 64 bytes")
        return secret


def lint(settings: WebhookSettings) -> Iterator[SettingsFault]:
    """Report errors and surprises in the settings."""
    secret = settings.webhook_secret.get_secret_value()
    if secret and not secret.startswith("whsec_"):
        yield SettingsFault(
            "VIGIE_WEBHOOK_SECRET",
            "écrivez-le whsec_… : les bibliothèques des destinataires attendent ce préfixe",
            error=False,
        )


def sign_webhook(secret: str, webhook_id: str, timestamp_s: int, body: bytes) -> str:
    """Sign a webhook: `v1,<base64>` over `id.timestamp.body`."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed_text = f"{webhook_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed_text, sha256).digest()).decode()


class GuardedResolver(AbstractResolver):
    """Leaves out the addresses of a name that a webhook may not reach.

    The name is chosen by whoever wrote the contact point, and its addresses by the name's owner.
    """

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve a name. Raises OSError if no address of it may be called."""
        answers = await self._resolver.resolve(host, port, family)
        addresses = [answer for answer in answers if is_callable_address(answer["host"])]
        if not addresses:
            raise OSError(f"{host} has no address that may be called")
        return addresses

    async def close(self) -> None:
        """Close the resolver behind."""
        await self._resolver.close()


class WebhookDriver(HttpPoster):
    """Driver for any URL."""

    def open_connector(self) -> aiohttp.BaseConnector:
        """Return a connector that leaves out the addresses beyond reach."""
        return aiohttp.TCPConnector(resolver=GuardedResolver(aiohttp.DefaultResolver()))

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        super().__init__("webhook")
        self._secret = secret
        self._clock = clock

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallResult:
        """Post the webhook; see `Driver` and `HttpPoster`."""
        if not is_allowed_url(outgoing.address):
            return CallResult("failed", error="webhook_url_not_https")
        body, stamp = orjson.dumps(build_payload(outgoing)), int(self._clock())
        headers = {
            "webhook-id": outgoing.row.id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": sign_webhook(self._secret, outgoing.row.id, stamp, body),
        }
        result = await self.post(outgoing.address, body, headers, timeout_s)
        return (
            replace(result, provider_id=outgoing.row.id) if result.outcome == "accepted" else result
        )


def build_payload(outgoing: Outgoing) -> dict[str, object]:
    """Build the body for the receiver. No name, no address; the person is a token."""
    row, text = outgoing.row, outgoing.text
    return {
        "type": "vigie.notification",
        "timestamp": format_time(row.planned_at),
        "data": {
            "notification": row.id,
            "realm": outgoing.realm,
            "incident": row.incident,
            "escalation": row.escalation,
            "wave": row.wave,
            "level": int(row.level),
            "previous_level": None if row.previous_level is None else int(row.previous_level),
            "role": row.role,
            "scope": row.scope,
            "person": row.person,
            "template": row.template,
            "values": row.values,
            "danger": row.danger,
            "language": text.lang,
            "subject": text.subject,
            "text": text.plain(),
            "answer_url": text.link,
            "answer_by": None if row.ack_by is None else format_time(row.ack_by),
            "attempt": outgoing.number,
            "possible_duplicate": outgoing.possible_duplicate,
        },
    }


CHANNEL = ChannelType(
    Channel.WEBHOOK,
    settings=WebhookSettings,
    provider="webhook_secret",
    open=lambda settings, _inbox: WebhookDriver(settings.webhook_secret.get_secret_value()),
    lint=lint,
)
