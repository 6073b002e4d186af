"""Signed erasures on keyed topics (`access`, `texts`, `directory`).

A null value does not show its author: any program that may write to Kafka could delete tokens, open
closed sessions again and erase texts. So an erasure is a record with a MAC over topic and key, and
stays on the topic as the newest value of its key. A bare null is ignored. See
`docs/adr/0049-sign-erasures.md`.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import blake2b
from typing import Final

from services.runtime.process import metrics
from services.runtime.secrets.keyring import MasterKey

KEY_PURPOSE: Final = "tombstones"
MAGIC: Final = b"\0vigie\0T"
MARK_BYTES: Final = 16
MAC_BYTES: Final = 32
_LENGTH: Final = len(MAGIC) + MARK_BYTES + MAC_BYTES


class Tombstones:
    """Maker and reader of signed erasures. Safe for several threads."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, master: MasterKey) -> Tombstones:
        """Return the tombstones of an installation, with a key derived from its master key."""
        return cls(master.derive_key(KEY_PURPOSE))

    def make(self, topic: str, key: str) -> bytes:
        """Return the value that erases this key."""
        mark = secrets.token_bytes(MARK_BYTES)
        return MAGIC + mark + self._mac(topic, key, mark)

    def mark_of(self, topic: str, key: str, value: bytes | None) -> bytes | None:
        """Return the mark of an erasure, unique among those of the key; None for other values."""
        if value is None or len(value) != _LENGTH or not value.startswith(MAGIC):
            return None
        mark, mac = value[len(MAGIC) : len(MAGIC) + MARK_BYTES], value[len(MAGIC) + MARK_BYTES :]
        return mark if hmac.compare_digest(mac, self._mac(topic, key, mark)) else None

    def _mac(self, topic: str, key: str, mark: bytes) -> bytes:
        text = b"\x1f".join((topic.encode(), key.encode("utf-8", "surrogatepass"), mark))
        return blake2b(
            text, key=self._key, digest_size=MAC_BYTES, person=b"vigie.tombstone"
        ).digest()


def count_unsigned(topic: str) -> None:
    """Count an unsigned record that would have erased or replaced another."""
    metrics.count("vigie_unsigned_erasures_total", topic=topic)
