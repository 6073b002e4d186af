"""Settings of webhooks."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from pydantic import SecretStr, field_validator

from services.delivery.channels.base import SettingsFault
from services.runtime.process.settings import Settings


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
            "write it as whsec_…: receivers' libraries look for the prefix",
            error=False,
        )
