"""Secret addresses of calendar feeds: each names a realm and a post, and carries a MAC.

They do not expire, because calendar programs ask for years. `renew` ends all of them at once if an
address has leaked.
"""

import hmac
import secrets as random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from services.runtime.secrets.keyring import MasterKey, write_private

_MAC_BYTES: Final = 16
_FILE: Final = "feeds.salt"


class FeedLinkInvalid(ValueError):
    """The address is not from this installation, or predates the last renewal."""


@dataclass(frozen=True, slots=True)
class FeedLink:
    realm: str
    role: str
    scope: str | None


class FeedLinks:
    """Writer and reader of the tokens in `/calendriers/{token}.ics`."""

    def __init__(self, key: bytes, salt_file: Path) -> None:
        self._key, self._salt_file = key, salt_file

    @classmethod
    def open(cls, secrets: Path) -> Self:
        """Open the links with the key of a data directory. Raises OSError, MasterKeyInvalid."""
        return cls(MasterKey.open(secrets).derive_key("calendar-feed"), secrets / _FILE)

    def token(self, link: FeedLink) -> str:
        """Return a URL-safe token."""
        body = "\0".join((link.realm, link.role, link.scope or "")).encode()
        return urlsafe_b64encode(self._mac(body) + body).rstrip(b"=").decode()

    def read(self, token: str) -> FeedLink:
        """Read a token. Raises FeedLinkInvalid."""
        try:
            octets = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except (NotBase64, ValueError):
            raise FeedLinkInvalid("not a token") from None
        mac, body = octets[:_MAC_BYTES], octets[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)) or body.count(b"\0") != 2:
            raise FeedLinkInvalid("not a token of this installation")
        realm, role, scope = body.decode().split("\0")
        return FeedLink(realm, role, scope or None)

    def renew(self) -> None:
        """Make all earlier addresses invalid. Raises OSError."""
        write_private(self._salt_file, random.token_hex(16).encode(), replace=True)

    def _mac(self, body: bytes) -> bytes:
        try:
            salt = self._salt_file.read_bytes()
        except FileNotFoundError:
            salt = b""
        return hmac.digest(self._key, salt + b"\0" + body, sha256)[:_MAC_BYTES]
