"""Links in messages to answer without a login (`/a/{token}`): GET shows, only POST answers.

A token holds realm, notification, person and end, and is authentic by a key of this installation.
It works once: the answer carries an input id made from the token, and no id is applied twice.

Links for providers (`/r/{token}`) work alike with their own key: a gateway posts receipts and
pressed keys there.
"""

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

LINK_LIFETIME_MS: Final = HOUR_MS
"""Lifetime from the moment of sending; the escalation has moved on long before."""
_HEAD: Final = struct.Struct(">BI16sB")
_VERSION: Final = 1
_MAC_BYTES: Final = 16
_SECRET_PATH: Final = re.compile(r"^/+(a|r|calendriers)/+[^/?]+")
"""Paths that grant access by themselves: answers, providers, calendar feeds."""


def hide_token(path: str) -> str:
    """Return a path for logs, without its token."""
    return _SECRET_PATH.sub(r"/\1/***", path)


class LinkInvalid(ValueError):
    """Not a token of this installation: mistyped, cut, or forged."""


class LinkExpired(LinkInvalid):
    """A genuine token that has expired. Ask the person to call the crisis cell."""

    def __init__(self, link: "AnswerLink") -> None:
        super().__init__("the time of this link is over")
        self.link: Final = link


@dataclass(frozen=True, slots=True)
class AnswerLink:
    realm: str
    notification: str
    person: str
    expires_at: Instant
    """In whole seconds."""


class AnswerLinks:
    """Maker and reader of tokens.

    Every process of an installation has the same key, derived from its master key.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def open(cls, secrets: Path) -> Self:
        """Return the links of the data directory with these `secrets`.

        Raises OSError, MasterKeyInvalid.
        """
        return cls(MasterKey.open(secrets).derive_key("ack-link"))

    def token(self, link: AnswerLink) -> str:
        """Return a URL-safe token of about 75 characters.

        Raises ValueError if the notification is no UUID or the realm is too long.
        """
        realm = link.realm.encode()
        if len(realm) > 255:
            raise ValueError("realm name too long")
        head = _HEAD.pack(
            _VERSION, link.expires_at // 1000, UUID(link.notification).bytes, len(realm)
        )
        body = head + realm + link.person.encode()
        return _encode_token(body + self._mac(body))

    def read(self, token: str, now: Instant) -> AnswerLink:
        """Read a token. Raises LinkInvalid, LinkExpired.

        Only delivery knows whether it was used. Only one of all spellings that decode to the same
        bytes is valid, because `derive_answer_id` hashes the spelling.
        """
        try:
            token_bytes = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (NotBase64, ValueError):
            raise LinkInvalid("not a token") from None
        if _encode_token(token_bytes) != token:
            raise LinkInvalid("not written as a token is")
        body, mac = token_bytes[:-_MAC_BYTES], token_bytes[-_MAC_BYTES:]
        if len(body) < _HEAD.size or not hmac.compare_digest(mac, self._mac(body)):
            raise LinkInvalid("not a token of this installation")
        version, expires_s, notification, realm_bytes = _HEAD.unpack_from(body)
        if version != _VERSION:
            raise LinkInvalid("a token of another version")
        rest = body[_HEAD.size :]
        link = AnswerLink(
            rest[:realm_bytes].decode(),
            str(UUID(bytes=notification)),
            rest[realm_bytes:].decode(),
            expires_s * 1000,
        )
        if now > link.expires_at:
            raise LinkExpired(link)
        return link

    def _mac(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, sha256).digest()[:_MAC_BYTES]


def compute_token_length(realm: str, person: str) -> int:
    """Return the length of the token of a call."""
    token_bytes = _HEAD.size + len(realm.encode()) + len(person.encode()) + _MAC_BYTES
    return -(-token_bytes * 4 // 3)


def _encode_token(token_bytes: bytes) -> str:
    return urlsafe_b64encode(token_bytes).rstrip(b"=").decode()


PROVIDER_LINK_LIFETIME_MS: Final = 4 * DAY_MS
"""Lifetime of a provider's link: providers retry for up to three days."""


@dataclass(frozen=True, slots=True)
class ProviderLink:
    """Receipts and keys that a provider's link stands for."""

    realm: str
    notification: str
    person: str
    attempt: str
    expires_at: Instant
    headcount: bool = False
    """True if its keys answer « are you safe? » instead of a call."""


class ProviderLinks:
    """Maker and reader of the tokens of `/r/{token}`."""

    def __init__(self, key: bytes) -> None:
        self._links = AnswerLinks(key)

    @classmethod
    def open(cls, secrets: Path) -> Self:
        """Return the links of the data directory with these `secrets`.

        Raises OSError, MasterKeyInvalid.
        """
        return cls(MasterKey.open(secrets).derive_key("return-link"))

    def token(self, returns: ProviderLink) -> str:
        """Return a URL-safe token. Raises ValueError like `AnswerLinks.token`."""
        return self._links.token(
            AnswerLink(
                returns.realm,
                returns.notification,
                f"{returns.attempt}/{'h' if returns.headcount else 'c'}/{returns.person}",
                returns.expires_at,
            )
        )

    def read(self, token: str, now: Instant) -> ProviderLink:
        """Read a token. Raises LinkInvalid, LinkExpired."""
        link = self._links.read(token, now)
        attempt, kind, person = link.person.split("/", 2)
        return ProviderLink(
            link.realm, link.notification, person, attempt, link.expires_at, headcount=kind == "h"
        )


def derive_answer_id(token: str) -> str:
    """Return the input id of a token's answer, the same for every button: a token answers once."""
    return f"link:{sha256(token.encode()).hexdigest()[:32]}"
