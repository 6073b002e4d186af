"""Settings of delivery: the providers of live realms. What is not set is not configured, and every attempt on it says so."""

from __future__ import annotations

import base64
import binascii
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from services.runtime.settings import Settings

SMTP_SCHEMES = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}


class DeliverySettings(Settings):
    """`DeliverySettings()` reads `VIGIE_SMTP_URL`, `VIGIE_MAIL_FROM`, `VIGIE_WEBHOOK_SECRET`, `VIGIE_PUBLIC_URL`, …"""

    smtp_url: SecretStr = SecretStr("")
    """`smtp+starttls://user:password@host:587` (TLS required), `smtps://` (TLS from the start) or `smtp://` (TLS when offered)."""
    mail_from: str = ""
    """Sender address of all mails; needed with `smtp_url`."""
    webhook_secret: SecretStr = SecretStr("")
    """`whsec_<base64>`: receivers check the signature with it (Standard Webhooks)."""
    public_url: str = ""
    """Address under which people reach the front from outside, for links in messages; empty = `http://<VIGIE_HTTP>`."""
    calls_at_once: int = Field(default=16, ge=1, le=200)
    """Provider calls per channel at the same time."""

    @field_validator("smtp_url")
    @classmethod
    def _known_scheme(cls, url: SecretStr) -> SecretStr:
        if text := url.get_secret_value():
            parts = urlsplit(text)
            if parts.scheme not in SMTP_SCHEMES or not parts.hostname:
                raise ValueError(f"must be {', '.join(f'{s}://' for s in SMTP_SCHEMES)} with a host")
        return url

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

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.smtp_url.get_secret_value() and "@" not in self.mail_from:
            raise ValueError("VIGIE_SMTP_URL needs VIGIE_MAIL_FROM, the sender address")
        if not self.public_url:
            object.__setattr__(self, "public_url", f"http://{self.http}")
        return self
