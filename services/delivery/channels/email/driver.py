"""Send e-mail through an SMTP relay (aiosmtplib): plain text and HTML, one connection each.

A fault before the first byte of the message is `failed`. From then until the relay's last reply, a
lost connection or a timeout is `ambiguous`. The Message-ID follows from the notification, so that
mailboxes fold a repetition.
"""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog

from schemas.words import Level
from services.delivery.channels.base import CallResult, Outgoing
from services.delivery.channels.email.bounces import RETURNS_HEADER, fold_token
from services.delivery.channels.email.settings import SMTP_SCHEMES

log = structlog.get_logger(__name__)

_ENHANCED: Final = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_URGENT_LEVEL: Final = Level.N3
_SEVEN_BIT_POLICY: Final = SMTP.clone(cte_type="7bit")
"""Seven bits: no relay has to rewrite a part, which would break an earlier signature (DKIM)."""


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
