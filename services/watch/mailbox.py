"""Look into an IMAP mailbox (RFC 3501), always over TLS. Nothing in it is deleted.

The calls block: the reader runs them in a thread.
"""

import imaplib
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from services.runtime.process.settings import Settings, check_url
from services.runtime.secrets.files import create_client_context

IMAP_SCHEMES: Final = {"imaps": 993, "imap+starttls": 143}
TIMEOUT_S: Final = 30.0
READ_BYTES: Final = 512 << 10
"""Bytes that are read of a mail: its text comes first, and attachments are not used."""
_FOLDER: Final = re.compile(r"[ -~]{1,200}")
_MONTHS: Final = [
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
]


class MailboxSettings(Settings):
    """`VIGIE_MAILBOX_URL`, `VIGIE_MAILBOX_KEY`, `VIGIE_MAILBOX_CA`, `VIGIE_MAILBOX_POLL_S`."""

    mailbox_url: SecretStr = SecretStr("")
    """Mailbox with e-mails to report ([e-mails](../how-to/sources.md#e-mails)); empty = none.

    `imaps://user:password@host:993/INBOX`, or `imap+starttls://` (TLS required, too).
    """
    mailbox_key: SecretStr = SecretStr("")
    """Key of the source of the dialect `mail` that the mails come from."""
    mailbox_ca: Path | None = None
    """File with the authority of the mail server; empty = the authorities of this machine."""
    mailbox_poll_s: float = Field(default=30.0, ge=10, le=3600)
    """Seconds between two looks into the mailbox."""

    @field_validator("mailbox_url")
    @classmethod
    def _is_mailbox(cls, url: SecretStr) -> SecretStr:
        url = check_url(url, IMAP_SCHEMES)
        if url.get_secret_value():
            address = parse_address(url)
            if not address.user or not address.password:
                raise ValueError("must have a user and a password")
            if not _FOLDER.fullmatch(address.folder):
                raise ValueError("must have a folder in ASCII, as the mail server lists it")
        return url

    @model_validator(mode="after")
    def _has_key(self) -> Self:
        if self.mailbox_url.get_secret_value() and not self.mailbox_key.get_secret_value():
            raise ValueError("VIGIE_MAILBOX_URL needs VIGIE_MAILBOX_KEY, the key of a mail source")
        if self.mailbox_ca is not None:
            create_client_context(self.mailbox_ca)
        return self


@dataclass(frozen=True, slots=True)
class MailboxAddress:
    """Server, account and folder."""

    scheme: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    folder: str

    @property
    def name(self) -> str:
        """Name without the password, for positions and for people."""
        return f"{self.user}@{self.host}/{self.folder}"


def parse_address(url: SecretStr) -> MailboxAddress:
    """Split a valid `mailbox_url`."""
    parts = urlsplit(url.get_secret_value())
    return MailboxAddress(
        parts.scheme,
        parts.hostname or "",
        parts.port or IMAP_SCHEMES[parts.scheme],
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        unquote(parts.path.lstrip("/")) or "INBOX",
    )


class MailboxFault(Exception):
    """The mailbox cannot be read now; the text names the reason."""


class LoginRefused(MailboxFault):
    """The server does not accept the user or the password."""


class Mailbox:
    """One session. Raises MailboxFault from every call."""

    def __init__(self, address: MailboxAddress, authority: Path | None) -> None:
        self._address = address
        self._authority = authority
        self._client: imaplib.IMAP4

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Connect over TLS, log in and select the folder."""
        try:
            self._client = self._connect()
        except (OSError, imaplib.IMAP4.error, ValueError) as error:
            raise MailboxFault(_describe_failure(error)) from error
        try:
            self._log_in()
            status, _ = self._client.select(_quote(self._address.folder))
            _check("the folder", status)
        except (OSError, imaplib.IMAP4.error) as error:
            self.close()
            raise MailboxFault(_describe_failure(error)) from error
        except MailboxFault:
            self.close()
            raise

    def _connect(self) -> imaplib.IMAP4:
        context = create_client_context(self._authority)
        address = self._address
        if address.scheme == "imaps":
            return imaplib.IMAP4_SSL(
                address.host, address.port, ssl_context=context, timeout=TIMEOUT_S
            )
        client = imaplib.IMAP4(address.host, address.port, timeout=TIMEOUT_S)
        try:
            client.starttls(context)
        except BaseException:
            with suppress(OSError):
                client.shutdown()
            raise
        return client

    def _log_in(self) -> None:
        """Log in by AUTHENTICATE PLAIN, which takes any letter, or by LOGIN."""
        user, password = self._address.user, self._address.password
        try:
            if "AUTH=PLAIN" in self._client.capabilities:
                proof = f"\0{user}\0{password}".encode()
                self._client.authenticate("PLAIN", lambda _: proof)
            else:
                self._client.login(_quote(user), password)
        except UnicodeEncodeError as error:
            raise LoginRefused("the server takes no such letters in a password") from error
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            raise LoginRefused("the server refuses the user or the password") from error

    def close(self) -> None:
        """Log out; a failure changes nothing."""
        with suppress(OSError, imaplib.IMAP4.error):
            self._client.logout()

    @property
    def validity(self) -> int:
        """UIDVALIDITY: mails have other numbers once it has another value."""
        _, values = self._client.response("UIDVALIDITY")
        try:
            return int(values[0])
        except (IndexError, TypeError, ValueError) as error:
            raise MailboxFault("the server numbers no mails (UIDVALIDITY)") from error

    def find_newest(self) -> int:
        """Return the number of the newest mail, 0 without any."""
        return max(self._search("UID *"), default=0)

    def list_after(self, number: int) -> list[int]:
        """Return the numbers of the mails after one, oldest first."""
        return [n for n in self._search(f"UID {number + 1}:*") if n > number]

    def list_unread(self) -> list[int]:
        return self._search("UNSEEN")

    def list_since(self, day: date) -> list[int]:
        """Return the numbers of the mails that arrived on a day or later."""
        return self._search(f"SINCE {day.day}-{_MONTHS[day.month - 1]}-{day.year}")

    def _search(self, criteria: str) -> list[int]:
        answers = self._ask("SEARCH", criteria)
        numbers = b" ".join(a for a in answers if isinstance(a, bytes)).split()
        return sorted({int(n) for n in numbers if n.isdigit()})

    def read(self, number: int) -> bytes | None:
        """Return the first bytes of a mail and leave it unread; None if it is gone."""
        answers = self._ask("FETCH", str(number), f"(BODY.PEEK[]<0.{READ_BYTES}>)")
        literals = [a[1] for a in answers if isinstance(a, tuple)]
        return bytes(literals[0]) if literals else None

    def mark_read(self, number: int) -> None:
        """Mark a mail as read. A folder that cannot be written stays as it is."""
        with suppress(MailboxFault):
            self._ask("STORE", str(number), "+FLAGS.SILENT", r"(\Seen)")

    def _ask(self, command: str, *arguments: str) -> list[bytes | tuple[bytes, bytes] | None]:
        try:
            status, answers = self._client.uid(command, *arguments)
        except (OSError, imaplib.IMAP4.error) as error:
            raise MailboxFault(_describe_failure(error)) from error
        _check(command, status)
        return list(answers)


def _check(request: str, status: str) -> None:
    """Raise MailboxFault unless the status of an answer is OK."""
    if status != "OK":
        raise MailboxFault(f"the server refuses {request}")


def _quote(text: str) -> str:
    """Return a quoted string of IMAP."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _describe_failure(error: Exception) -> str:
    """Describe a failure without words of the server, which may repeat a password."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return "the server does not answer in time"
    if isinstance(error, OSError):
        return f"no connection ({error.strerror or type(error).__name__})"
    return "the server breaks off"
