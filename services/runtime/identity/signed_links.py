"""Links to answer from a message without a login (API.md, `/a/{token}`): GET shows, only POST answers.

A token says realm, notification, person and until when; it is authentic by a key of this installation. It works once: the answer
carries an input id made from the token, and no id is applied twice.

Links for providers (`/r/{token}`) are made alike, with a key of their own: a gateway posts receipts and pressed keys there.
"""

from __future__ import annotations

import hmac
import re
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Self
from uuid import UUID

from schemas.base import DAY_MS, HOUR_MS, Instant
from services.runtime.secrets.keyring import MasterKey

VALID_MS: Final = HOUR_MS
"""From the moment of sending; the ladder has moved on long before."""
_HEAD: Final = struct.Struct(">BI16sB")
_VERSION: Final = 1
_MAC_BYTES: Final = 16
_OPENING: Final = re.compile(r"^/+(a|r|calendriers)/+[^/?]+")
"""Paths that open something by themselves: to answer, for providers, calendar feeds."""


def loggable(path: str) -> str:
    """A path as it may be written into a log: without the token that it would open something by."""
    return _OPENING.sub(r"/\1/***", path)


class LinkInvalid(ValueError):
    """Not a token of this installation: mistyped, cut, or forged."""


class LinkExpired(LinkInvalid):
    """A true token whose time is over. Tell the person to call the crisis cell."""


@dataclass(frozen=True, slots=True)
class Link:
    realm: str
    notification: str
    person: str
    expires_at: Instant
    """Whole seconds."""


class AckLinks:
    """Makes and reads tokens. Every process of an installation has the same key (derived from its master key)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def open(cls, secrets: Path) -> Self:
        """With the key of the data directory whose `secrets` this is. Raises OSError, MasterKeyInvalid."""
        return cls(MasterKey.open(secrets).derived("ack-link"))

    def token(self, link: Link) -> str:
        """URL-safe, about 75 characters. Raises ValueError if the notification is no UUID or the realm is too long."""
        realm = link.realm.encode()
        if len(realm) > 255:
            raise ValueError("realm name too long")
        head = _HEAD.pack(
            _VERSION, link.expires_at // 1000, UUID(link.notification).bytes, len(realm)
        )
        body = head + realm + link.person.encode()
        return _written(body + self._mac(body))

    def read(self, token: str, now: Instant) -> Link:
        """What a token says. Raises LinkInvalid, LinkExpired. That it was used is known by delivery alone.

        One spelling of it is read and no other that decodes to the same bytes: what a token answers once is told by how it is written (`answer_id`).
        """
        try:
            sealed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (NotBase64, ValueError):
            raise LinkInvalid("not a token") from None
        if _written(sealed) != token:
            raise LinkInvalid("not written as a token is")
        body, mac = sealed[:-_MAC_BYTES], sealed[-_MAC_BYTES:]
        if len(body) < _HEAD.size or not hmac.compare_digest(mac, self._mac(body)):
            raise LinkInvalid("not a token of this installation")
        version, expires_s, notification, realm_bytes = _HEAD.unpack_from(body)
        if version != _VERSION:
            raise LinkInvalid("a token of another version")
        rest = body[_HEAD.size :]
        link = Link(
            rest[:realm_bytes].decode(),
            str(UUID(bytes=notification)),
            rest[realm_bytes:].decode(),
            expires_s * 1000,
        )
        if now > link.expires_at:
            raise LinkExpired("the time of this link is over")
        return link

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, sha256)[:_MAC_BYTES]


def token_length(realm: str, person: str) -> int:
    """Return how long the token of a call is."""
    sealed = _HEAD.size + len(realm.encode()) + len(person.encode()) + _MAC_BYTES
    return -(-sealed * 4 // 3)


def _written(sealed: bytes) -> str:
    return urlsafe_b64encode(sealed).rstrip(b"=").decode()


RETURNS_VALID_MS: Final = 4 * DAY_MS
"""Providers report for as long as they try: up to three days."""


@dataclass(frozen=True, slots=True)
class Returns:
    """Whose receipts and keys a provider's link stands for."""

    realm: str
    notification: str
    person: str
    attempt: str
    expires_at: Instant
    headcount: bool = False
    """Its keys answer « are you safe? », not a call."""


class ReturnLinks:
    """Makes and reads the tokens of `/r/{token}`."""

    def __init__(self, key: bytes) -> None:
        self._links = AckLinks(key)

    @classmethod
    def open(cls, secrets: Path) -> Self:
        """With the key of the data directory whose `secrets` this is. Raises OSError, MasterKeyInvalid."""
        return cls(MasterKey.open(secrets).derived("return-link"))

    def token(self, returns: Returns) -> str:
        """URL-safe. Raises ValueError as AckLinks.token."""
        return self._links.token(
            Link(
                returns.realm,
                returns.notification,
                f"{returns.attempt}/{'h' if returns.headcount else 'c'}/{returns.person}",
                returns.expires_at,
            )
        )

    def read(self, token: str, now: Instant) -> Returns:
        """What a token says. Raises LinkInvalid, LinkExpired."""
        link = self._links.read(token, now)
        attempt, kind, person = link.person.split("/", 2)
        return Returns(
            link.realm, link.notification, person, attempt, link.expires_at, headcount=kind == "h"
        )


def answer_id(token: str) -> str:
    """Input id of the answer that this token gives, whatever the button: so a token answers once."""
    return f"link:{sha256(token.encode()).hexdigest()[:32]}"
