"""E-mail through an SMTP relay (aiosmtplib): plain text and HTML, one connection each.

A fault before the first byte of the message is `failed`. From then until the relay's last reply, a
lost connection or a timeout is `ambiguous`. The Message-ID follows from the notification, so that
mailboxes fold a repetition.

Undeliverable mail comes back with the headers that it left with (RFC 3464). The header
`X-Vigie-Returns` names the attempt and is its own proof. So a bounce needs no mailbox per person,
and forged bounces have no effect.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import Header
from email.message import EmailMessage, Message
from email.policy import EmailPolicy, default
from email.utils import format_datetime, formataddr
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

import aiosmtplib
from pydantic import SecretStr, field_validator

from schemas.words import Channel, Level
from services.delivery.channels.base import CallResult, ChannelType, Outgoing, SettingsFault
from services.runtime.process.settings import Settings, check_url

SMTP_SCHEMES: Final = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
RETURNS_HEADER: Final = "X-Vigie-Returns"
_TOKEN: Final = re.compile(
    rf"^{RETURNS_HEADER}:[ \t]*([A-Za-z0-9_=-]+(?:(?:\r?\n)?[ \t]+[A-Za-z0-9_=-]+)*)",
    re.IGNORECASE | re.MULTILINE,
)
_STATUS: Final = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_ACTIONS: Final[dict[str, Literal["delivered", "failed"]]] = {
    "failed": "failed",
    "delivered": "delivered",
}
_ENHANCED: Final = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_URGENT_LEVEL: Final = Level.N3


class _MailPolicy(EmailPolicy):
    """Policy that keeps every space of a subject.

    Before Python 3.12.4, `EmailPolicy` drops a space between two encoded words (gh-92081).
    """

    def fold_binary(self, name: str, value: str) -> bytes:
        """Return a header as bytes; see `EmailPolicy`."""
        if name.lower() != "subject" or str(value).isascii():
            return super().fold_binary(name, value)
        words = Header(str(value), header_name=name).encode(linesep=self.linesep)
        return f"{name}: {words}{self.linesep}".encode("ascii")


_SEVEN_BIT_POLICY: Final = _MailPolicy(linesep="\r\n", cte_type="7bit")
"""Seven bits: no relay has to rewrite a part, which would break an earlier signature (DKIM)."""


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
            "VIGIE_MAIL_FROM", "adresse d’expéditeur absente : VIGIE_SMTP_URL exige VIGIE_MAIL_FROM"
        )
    if (
        settings.mail_bounces
        and settings.mail_bounces.rpartition("@")[2] != settings.mail_from.rpartition("@")[2]
    ):
        yield SettingsFault(
            "VIGIE_MAIL_BOUNCES",
            "autre domaine que VIGIE_MAIL_FROM : SPF et DMARC peuvent le faire refuser",
            error=False,
        )
    if url.scheme == "smtp" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
        yield SettingsFault(
            "VIGIE_SMTP_URL",
            "TLS seulement si le relais le propose : utilisez smtp+starttls:// ou smtps://",
            error=False,
        )
    if url.username and url.scheme == "smtp":
        yield SettingsFault(
            "VIGIE_SMTP_URL",
            "le mot de passe peut circuler en clair : utilisez smtp+starttls:// ou smtps://",
            error=False,
        )


def fold_token(token: str) -> str:
    """Split the token into words, so that a mail header can be folded."""
    return " ".join(token[at : at + 60] for at in range(0, len(token), 60))


@dataclass(frozen=True, slots=True)
class Bounce:
    """Report of a mail system. `state` None: delayed, it continues to try."""

    token: str
    state: Literal["delivered", "failed"] | None
    error: str | None


def read_bounce(raw: bytes) -> Bounce | None:
    """Read the report in a mail; None if it is not a report about our mail. Never raise."""
    token_match = _TOKEN.search(raw.decode("latin-1"))
    if token_match is None:
        return None
    token = re.sub(r"\s+", "", token_match[1])
    for part in message_from_bytes(raw, policy=default).walk():
        if part.get_content_type() == "message/delivery-status":
            for fields in _list_field_groups(part):
                action = _ACTIONS.get(str(fields.get("Action", "")).strip().lower())
                status = _STATUS.search(str(fields.get("Status", "")))
                if fields.get("Final-Recipient") or fields.get("Action"):
                    error = (
                        f"smtp_{status[0]}" if status is not None and action == "failed" else None
                    )
                    return Bounce(
                        token, action, error or ("smtp_bounced" if action == "failed" else None)
                    )
    return None


def _list_field_groups(part: Message) -> list[Message]:
    """Return the blocks of fields: one about the message, one per recipient."""
    payload = part.get_payload()
    return (
        [group for group in payload if isinstance(group, Message)]
        if isinstance(payload, list)
        else []
    )


class EmailDriver:
    """Driver of one relay; `url` as in `DeliverySettings`."""

    def __init__(self, url: str, sender: str, bounces: str = "") -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._host = parts.hostname
        self._port = parts.port or SMTP_SCHEMES[parts.scheme]
        self._tls = parts.scheme == "smtps"
        self._start_tls = {"smtp": None, "smtps": False, "smtp+starttls": True}[parts.scheme]
        self._login = (
            (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        )
        self._sender = sender
        self._bounces = bounces or sender
        self._domain = sender.rpartition("@")[2]

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallResult:
        """Send the mail; see `Driver`."""
        relay = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            use_tls=self._tls,
            start_tls=self._start_tls,
            timeout=timeout_s,
        )
        may_be_sent = False
        try:
            async with asyncio.timeout(timeout_s):
                await relay.connect()
                if self._login is not None:
                    await relay.login(*self._login)
                await relay.mail(self._bounces)
                await relay.rcpt(outgoing.address)
                message = self.message(outgoing)
                may_be_sent = True
                await relay.data(message.as_bytes())
            return CallResult("accepted", provider_id=message["Message-ID"])
        except aiosmtplib.SMTPResponseException as refusal:
            return CallResult("failed", error=_build_code(refusal), retry=400 <= refusal.code < 500)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as fault:
            error = f"smtp_{'timeout' if isinstance(fault, TimeoutError) else 'connection'}"
            return (
                CallResult("ambiguous", error=error)
                if may_be_sent
                else CallResult("failed", error=error, retry=True)
            )
        except ValueError:
            return CallResult(
                "failed", error="address_invalid"
            )  # not a valid SMTP address or header
        finally:
            relay.close()

    async def probe(self, timeout_s: float) -> str | None:
        """Test connection, encryption and login without a message; see `ProbingDriver`."""
        relay = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            use_tls=self._tls,
            start_tls=self._start_tls,
            timeout=timeout_s,
        )
        try:
            async with asyncio.timeout(timeout_s):
                await relay.connect()
                if self._login is not None:
                    await relay.login(*self._login)
                await relay.noop()
        except aiosmtplib.SMTPResponseException as refusal:
            return _build_code(refusal)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as fault:
            return f"smtp_{'timeout' if isinstance(fault, TimeoutError) else 'connection'}"
        finally:
            relay.close()
        return None

    def message(self, outgoing: Outgoing) -> EmailMessage:
        """Build the mail. Its Message-ID is the same for every attempt of one notification."""
        row, text = outgoing.row, outgoing.text
        mail = EmailMessage(_SEVEN_BIT_POLICY)
        mail["Message-ID"] = f"<{row.id}.{outgoing.realm}@{self._domain}>"
        mail["Date"] = format_datetime(datetime.fromtimestamp(row.planned_at / 1000, UTC))
        mail["From"] = formataddr(("Vigie", self._sender))
        mail["To"] = outgoing.address
        mail["Subject"] = text.subject
        mail["List-Id"] = f"Vigie {outgoing.realm} <{outgoing.realm}.vigie.{self._domain}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Vigie-Attempt"] = str(outgoing.number)
        mail[RETURNS_HEADER] = fold_token(outgoing.returns_url.rpartition("/")[2])
        mail["Content-Language"] = text.lang
        if row.level >= _URGENT_LEVEL:
            mail["Importance"] = "high"
            mail["X-Priority"] = "1"
        if row.incident is not None:
            mail["References"] = mail["In-Reply-To"] = (
                f"<incident.{row.incident}.{outgoing.realm}@{self._domain}>"
            )
        mail.set_content(text.plain())
        mail.add_alternative(text.html(), subtype="html")
        return mail


def _build_code(refusal: aiosmtplib.SMTPResponseException) -> str:
    status = _ENHANCED.search(refusal.message)
    return f"smtp_{refusal.code}" + (f" {status[1]}" if status else "")


CHANNEL = ChannelType(
    Channel.EMAIL,
    settings=EmailSettings,
    provider="smtp_url",
    open=lambda settings, _inbox: nullcontext(
        EmailDriver(settings.smtp_url.get_secret_value(), settings.mail_from, settings.mail_bounces)
    ),
    lint=lint,
)
