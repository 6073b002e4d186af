"""Post the mails of a mailbox to the front, each once, in their order.

The front has the parser, the rules and the dead letters (`services.intake.integrations.mail`). The
position moves on once the front has a mail. A kill in between posts the mail again, and the front
knows it by its Message-ID. A mail without one gets an id that follows from its place.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import structlog

from services.runtime.process import metrics
from services.runtime.process.files import open_atomic_file
from services.watch.engine import FrontAway
from services.watch.front import FrontClient, list_fronts
from services.watch.holds import FeedHolds
from services.watch.mailbox import (
    LoginRefused,
    Mailbox,
    MailboxFault,
    MailboxSettings,
    parse_address,
)

LONGEST_WAIT_S: Final = 300.0
GIVE_UP_FAILURES: Final = 3
"""Failures in a row after which another machine should look."""
TURN_S: Final = 5.0
"""Interval at which a machine looks whether it is its turn to read the mailbox."""
LOGIN_WAIT_S: Final = 900.0
"""Wait after a refused password: servers lock an account that fails often."""
OVERLAP: Final = timedelta(days=1)
"""SEARCH SINCE knows days only, in the server's time zone."""
PATH: Final = "/webhooks/mail"
ALIVE_PATH: Final = f"{PATH}/alive"
_KEPT: Final = frozenset({400, 413, 422, 500})
"""Refusals after which the front keeps the mail as a dead letter."""
_OWN_ID: Final = re.compile(
    rb"^message-id[ \t]*:[ \t]*(?:\r?\n[ \t]+)*<[^<>\s]+>", re.IGNORECASE | re.MULTILINE
)
_END_OF_HEADERS: Final = re.compile(rb"\r?\n\r?\n")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MailPosition:
    """The last mail that the front has."""

    mailbox: str
    validity: int
    number: int
    looked_at: datetime

    @classmethod
    def read(cls, file: Path) -> "MailPosition | None":
        """Return the kept position; None without a readable one."""
        try:
            fields = json.loads(file.read_text(encoding="utf-8"))
            return cls(
                str(fields["mailbox"]),
                int(fields["validity"]),
                int(fields["number"]),
                datetime.fromisoformat(fields["looked_at"]),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("mailbox.position_unreadable", error=type(error).__name__)
            return None

    def write(self, file: Path) -> None:
        """Replace the kept position. Raises OSError."""
        _write_fields(file, asdict(self) | {"looked_at": self.looked_at.isoformat()})


def _write_fields(file: Path, fields: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open_atomic_file(file, 0o600) as target:
        target.write(json.dumps(fields).encode())


class HttpMailFront:
    """Client of `POST /webhooks/mail`, under the key of the source."""

    def __init__(self, client: FrontClient, key: str) -> None:
        self._client = client
        self._headers = {"x-token": key, "content-type": "message/rfc822"}

    async def close(self) -> None:
        await self._client.close()

    async def send(self, mail: bytes) -> bool:
        """Return False if the front refused the mail and keeps it. Raises FrontAway."""
        return await self._post(PATH, mail)

    async def give_sign(self) -> None:
        """Say that the mailbox was read to its end. Raises FrontAway."""
        await self._post(ALIVE_PATH, b"")

    async def _post(self, path: str, content: bytes) -> bool:
        answer = await self._client.post(path, content, self._headers)
        if answer.status_code in (401, 403):
            raise FrontAway("VIGIE_MAILBOX_KEY is no key of a mail source that is enabled")
        is_kept = answer.status_code in _KEPT and answer.headers.get("content-type", "").startswith(
            "application/problem+json"
        )
        if answer.status_code >= 300 and not is_kept:
            raise FrontAway(f"http {answer.status_code}")
        return not is_kept


def ensure_id(mail: bytes, mailbox: str, validity: int, number: int) -> bytes:
    """Return the mail with a Message-ID; one without gets an id of its place in the mailbox."""
    end = _END_OF_HEADERS.search(mail)
    if _OWN_ID.search(mail, 0, end.start() if end else len(mail)):
        return mail
    host = re.sub(r"[^a-z0-9.-]", "-", mailbox.rpartition("@")[2].lower())
    return f"Message-ID: <{validity}.{number}@{host}.vigie.invalid>\r\n".encode() + mail


class MailReader:
    """Reader of one mailbox."""

    def __init__(
        self,
        open_mailbox: Callable[[], Mailbox],
        name: str,
        front: HttpMailFront,
        position_file: Path,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        share: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """Read a mailbox; `share` gives a kept position to the other machines of a cluster."""
        self._open_mailbox = open_mailbox
        self._name = name
        self._front = front
        self._file = position_file
        self._clock = clock
        self._share = share

    async def run_round(self) -> int:
        """Post all new mails; return their number. Raises MailboxFault, FrontAway, OSError."""
        mailbox = self._open_mailbox()
        await asyncio.to_thread(mailbox.open)
        try:
            count = await self._post_new(mailbox)
        finally:
            await asyncio.to_thread(mailbox.close)
        await self._front.give_sign()
        return count

    async def _post_new(self, mailbox: Mailbox) -> int:
        began, validity = self._clock(), mailbox.validity
        earlier = MailPosition.read(self._file)
        if earlier is not None and earlier.mailbox != self._name:
            earlier = None
        follows = earlier is not None and earlier.validity == validity
        newest, numbers = await asyncio.to_thread(_list_new, mailbox, earlier, follows)
        position = MailPosition(self._name, validity, earlier.number if earlier else 0, began)
        for number in numbers:
            await self._post_one(mailbox, validity, number)
            position = replace(position, number=number)
            # Marks tell what is done before the first position: it would hide older mails
            if follows:
                await self._keep(position)
        await self._keep(replace(position, number=max([newest, *numbers])))
        return len(numbers)

    async def _keep(self, position: MailPosition) -> None:
        """Keep a position, here and on the other machines. Raises FrontAway, OSError."""
        await asyncio.to_thread(position.write, self._file)
        if self._share is not None and not await self._share():
            raise FrontAway("another machine reads the mailbox, or the brokers are away")

    async def _post_one(self, mailbox: Mailbox, validity: int, number: int) -> None:
        mail = await asyncio.to_thread(mailbox.read, number)
        if mail is None:
            return
        is_accepted = await self._front.send(ensure_id(mail, self._name, validity, number))
        metrics.count("vigie_mailbox_mails_total", outcome="taken" if is_accepted else "refused")
        await asyncio.to_thread(mailbox.mark_read, number)


def _list_new(
    mailbox: Mailbox, earlier: MailPosition | None, follows: bool
) -> tuple[int, list[int]]:
    """Return the last number to keep, and the mails to post.

    Without a position these are the unread ones. After new numbers they are those since the day
    before the last look; the front knows the ones that it has.
    """
    if follows and earlier is not None:
        return earlier.number, mailbox.list_after(earlier.number)
    newest = mailbox.find_newest()  # first: what comes now is after it or among those found
    if earlier is None:
        return newest, mailbox.list_unread()
    return newest, mailbox.list_since((earlier.looked_at - OVERLAP).date())


def find_mailbox_name(settings: MailboxSettings) -> str:
    """Return the name of the mailbox among the machines of a cluster, without its address."""
    address = parse_address(settings.mailbox_url)
    return f"mailbox-{blake2b(address.name.encode(), digest_size=6).hexdigest()}"


class MailMemory:
    """Position in the mailbox, which the machines of a cluster share."""

    def __init__(self, settings: MailboxSettings) -> None:
        self._file = settings.data.mail_position
        self._name = parse_address(settings.mailbox_url).name
        self.failures = 0
        """Looks in a row in which the mailbox could not be read."""

    def dump(self) -> dict[str, Any]:
        position = MailPosition.read(self._file)
        if position is None or position.mailbox != self._name:
            return {}
        return asdict(position) | {"looked_at": position.looked_at.isoformat()}

    def load(self, state: dict[str, Any]) -> None:
        if state:
            _write_fields(self._file, state)

    def list_bodies(self) -> tuple[()]:
        return ()

    def put_body(self, body: object) -> None:
        """Keep nothing: a position has no bodies."""

    def take_over(self, *, has_open_round: bool) -> None:  # noqa: ARG002
        """Begin to count failures; each look begins at the position."""
        self.failures = 0

    def rank(self) -> int:
        """Prefer machines that know the position."""
        return int(bool(self.dump()))

    def has_failed(self) -> bool:
        return self.failures >= GIVE_UP_FAILURES


async def watch_mailbox(
    settings: MailboxSettings, holds: FeedHolds | None = None, memory: MailMemory | None = None
) -> None:
    """Look into the mailbox until cancelled; each failure is logged and tried again.

    In a cluster one machine does so at a time.
    """
    address, name = parse_address(settings.mailbox_url), find_mailbox_name(settings)
    holds, memory = holds or FeedHolds(), memory or MailMemory(settings)
    client = FrontClient(partial(list_fronts, settings))
    front = HttpMailFront(client, settings.mailbox_key.get_secret_value())
    reader = MailReader(
        lambda: Mailbox(address, settings.mailbox_ca),
        address.name,
        front,
        settings.data.mail_position,
        share=lambda: holds.share(name),
    )
    read_at, failures, wait = time.monotonic(), 0, 0.0
    try:
        while True:
            if not await holds.acquire(name):
                read_at = _find_last_look(settings.data.mail_position, read_at)
                await _sleep_and_measure(TURN_S, read_at)
                continue
            try:
                count = await reader.run_round()
                read_at, failures, wait = time.monotonic(), 0, settings.mailbox_poll_s
                memory.failures = 0
                if count:
                    log.info("mailbox.read", mails=count)
            except (MailboxFault, FrontAway, OSError) as error:
                failures += 1
                memory.failures += not isinstance(error, FrontAway)
                wait = min(LONGEST_WAIT_S, settings.mailbox_poll_s * 2.0 ** min(failures - 1, 10))
                if isinstance(error, LoginRefused):
                    wait = LOGIN_WAIT_S
                elif isinstance(error, FrontAway):
                    wait = settings.mailbox_poll_s
                log.warning("mailbox.failed", fault=str(error), wait_s=round(wait))
            await _sleep_and_measure(wait, read_at)
    finally:
        await front.close()


def _find_last_look(file: Path, otherwise: float) -> float:
    """Return when another machine looked into the mailbox last, by the monotonic clock."""
    position = MailPosition.read(file)
    if position is None:
        return otherwise
    age = (datetime.now(UTC) - position.looked_at).total_seconds()
    return time.monotonic() - max(age, 0.0)


async def _sleep_and_measure(wait: float, read_at: float) -> None:
    """Sleep, and keep the metric of the last complete look up to date."""
    end = time.monotonic() + wait
    while (left_s := end - time.monotonic()) > 0:
        metrics.set_gauge("vigie_mailbox_age_seconds", time.monotonic() - read_at)
        await asyncio.sleep(min(left_s, 5.0))
