"""Every record of the `access` topic in memory, with an encrypted copy in a local file."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, TypeVar

import orjson
import structlog
from pydantic import ValidationError

from services.runtime.identity.principals import (
    RECORD_KINDS,
    Account,
    Code,
    EndedSession,
    Principal,
    Record,
    Source,
    Token,
    Trace,
    get_topic_key,
)
from services.runtime.secrets.keyring import decrypt, encrypt, write_private

_R = TypeVar("_R", Principal, Token, Account, Code, EndedSession, Source, Trace)
_NOT_STORED = (-1, b"")
log = structlog.get_logger(__name__)


class AccessRecords:
    """Records by kind and id, with sealed value and offset on the topic (-1: not there)."""

    def __init__(self, file: Path, key: bytes) -> None:
        """Create empty records; `key` seals each value, on the topic and in the file."""
        self.sealed: dict[str, tuple[int, bytes]] = {}
        """Topic key → offset and sealed value."""
        self.pending: set[str] = set()
        """Topic keys that count here and have not reached the topic."""
        self._file = file
        self._key = key
        self._tables: dict[str, dict[str, Record]] = {kind: {} for kind in RECORD_KINDS}
        self._by_hash: dict[str, Token] = {}
        self._unreadable = 0

    def get(self, kind: type[_R], id: str) -> _R | None:
        """Return one record, even if it is disabled or revoked."""
        record = self._tables[kind.kind].get(id)
        return record if isinstance(record, kind) else None

    def all(self, kind: type[_R]) -> list[_R]:
        """Return every record of a kind, including disabled and revoked ones."""
        return [r for r in self._tables[kind.kind].values() if isinstance(r, kind)]

    def token(self, hash: str) -> Token | None:
        """Return a token by its hash, even if it is revoked or expired."""
        return self._by_hash.get(hash)

    def offset(self, key: str) -> int:
        """Return the offset of the newest known value on the topic."""
        return self.sealed.get(key, _NOT_STORED)[0]

    def put(self, key: str, offset: int, sealed: bytes, record: Record) -> None:
        """Store a record in place of the one with its key."""
        self.sealed[key] = (offset, sealed)
        self._tables[record.kind][record.id] = record
        if isinstance(record, Token):
            self._by_hash[record.hash] = record

    def drop(self, key: str) -> None:
        """Forget a record, if it is known."""
        self.sealed.pop(key, None)
        kind, _, id = key.partition(":")
        record: Any = self._tables.get(kind, {}).pop(id, None)
        if isinstance(record, Token):
            self._by_hash.pop(record.hash, None)

    def seal(self, record: Record) -> tuple[str, bytes]:
        """Return (topic key, sealed value) of a record."""
        key = get_topic_key(record)
        return key, encrypt(self._key, record.model_dump_json().encode(), key.encode())

    def open(self, key: str, sealed: bytes) -> Record | None:
        """Return the record of a value; None if it is unreadable, which is logged once."""
        kind = RECORD_KINDS.get(key.partition(":")[0])
        try:
            return (
                kind.model_validate_json(decrypt(self._key, sealed, key.encode()), extra="ignore")
                if kind
                else None
            )
        except (ValueError, ValidationError) as error:
            if not self._unreadable:
                log.error(
                    "access.unreadable",
                    key=key,
                    error=type(error).__name__,
                    hint="written with another secrets/master.key?",
                )
            self._unreadable += 1
            return None

    def load(self) -> None:
        """Read the local file, as far as it is readable."""
        try:
            stored = orjson.loads(self._file.read_bytes())
            values = {key: base64.b64decode(text) for key, text in stored["records"].items()}
            pending = set(stored["pending"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("access.file_unreadable", file=str(self._file), error=str(error))
            return
        for key, sealed in values.items():
            if (record := self.open(key, sealed)) is not None:
                self.put(key, -1, sealed, record)
        self.pending |= pending & self.sealed.keys()

    def save(self) -> None:
        """Write the local file. May run in a thread. Raises OSError."""
        stored = {
            key: base64.b64encode(sealed).decode() for key, (_, sealed) in list(self.sealed.items())
        }
        write_private(
            self._file,
            orjson.dumps({"records": stored, "pending": sorted(self.pending)}),
            replace=True,
        )
