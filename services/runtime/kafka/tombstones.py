"""Erasures on keyed topics that only this installation can make (`access`, `texts`, `directory`).

A null value says nothing of who wrote it: whoever may write to Kafka could delete tokens, open closed sessions again and erase texts. So an
erasure is a record of its own, with a MAC over topic and key, and stays on the topic as the newest value of its key. A bare null is ignored.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import blake2b
from typing import Final

from services.runtime.process import metrics
from services.runtime.secrets.keyring import MasterKey

PURPOSE: Final = "tombstones"
MAGIC: Final = b"\0vigie\0T"
MARK_BYTES: Final = 16
MAC_BYTES: Final = 32
_LENGTH: Final = len(MAGIC) + MARK_BYTES + MAC_BYTES


class Tombstones:
    """Makes and reads signed erasures. Safe for several threads."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, master: MasterKey) -> Tombstones:
        """Under the key that the master key gives for it."""
        return cls(master.derived(PURPOSE))

    def make(self, topic: str, key: str) -> bytes:
        """Return the value that erases this key."""
        mark = secrets.token_bytes(MARK_BYTES)
        return MAGIC + mark + self._mac(topic, key, mark)

    def mark_of(self, topic: str, key: str, value: bytes | None) -> bytes | None:
        """Return what tells this erasure from any other of the key; None for a value that is no erasure of ours."""
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
    """Count a record that would have erased or replaced another and is not ours."""
    metrics.count("vigie_unsigned_erasures_total", topic=topic)
