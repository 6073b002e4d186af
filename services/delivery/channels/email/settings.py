"""Settings of e-mail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator

from services.delivery.channels.base import SettingsFault
from services.runtime.process.settings import Settings, check_url

SMTP_SCHEMES: Final = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}


class EmailSettings(Settings):
    """`VIGIE_SMTP_URL`, `VIGIE_MAIL_FROM`, `VIGIE_MAIL_BOUNCES`."""

    smtp_url: SecretStr = SecretStr("")
    """Address of the SMTP relay.

    `smtp+starttls://user:password@host:587` (TLS required), `smtps://` (TLS from the start) or
    `smtp://` (TLS when offered).
    """
    mail_from: str = ""
    """Sender address of all mails; needed with `smtp_url`."""
    mail_bounces: str = ""
    """Envelope sender, which undeliverable mail returns to; empty = `mail_from`."""

    @field_validator("smtp_url")
    @classmethod
    def _smtp_scheme(cls, url: SecretStr) -> SecretStr:
        return check_url(url, SMTP_SCHEMES)


def lint(settings: EmailSettings) -> Iterator[SettingsFault]:
    """Report errors and surprises in the settings."""
    url = urlsplit(settings.smtp_url.get_secret_value())
    if not url.scheme:
        return
    if "@" not in settings.mail_from:
        yield SettingsFault(
            "VIGIE_MAIL_FROM", "the sender address is missing: VIGIE_SMTP_URL needs VIGIE_MAIL_FROM"
        )
    if (
        settings.mail_bounces
        and settings.mail_bounces.rpartition("@")[2] != settings.mail_from.rpartition("@")[2]
    ):
        yield SettingsFault(
            "VIGIE_MAIL_BOUNCES",
            "another domain than VIGIE_MAIL_FROM: receivers that check SPF and DMARC may refuse it",
            error=False,
        )
    if url.scheme == "smtp" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
        yield SettingsFault(
            "VIGIE_SMTP_URL",
            "TLS only when the relay offers it: use smtp+starttls:// or smtps://",
            error=False,
        )
    if url.username and url.scheme == "smtp":
        yield SettingsFault(
            "VIGIE_SMTP_URL",
            "a password may travel in the clear: use smtp+starttls:// or smtps://",
            error=False,
        )
