"""The contents of a backup: sections of records and files, then a signed manifest.

Each section has its hash. This module writes and reads entries, without Kafka:

    S  head of a section (JSON)      R  one record of a topic      B  a block of a file
    M  the manifest (JSON)           G  its signature
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import structlog
from pydantic import AwareDatetime, BaseModel, ValidationError

from services.runtime.backup.sealed_file import SealedInvalid, SealedReader, SealedWriter
from services.runtime.process.files import open_atomic_file
from services.runtime.secrets.signing import PublicKey, SigningKey, SigningKeyInvalid

FORMAT: Final = "vigie.backup.v1"
BLOCK_BYTES: Final = 256 << 10
_ENTRY: Final = struct.Struct(">cI")
_RECORD: Final = struct.Struct(">qqiiH")
_HEADER: Final = struct.Struct(">Hi")
_MAX_ENTRY_BYTES: Final = 64 << 20
log = structlog.get_logger(__name__)


class LastBackup(BaseModel):
    """The last backup that was completed."""

    taken_at: AwareDatetime


def write_last_backup(file: Path, taken_at: datetime) -> None:
    """Record a completed backup; a record that cannot be written is only logged."""
    try:
        with open_atomic_file(file, 0o600) as target:
            target.write(LastBackup(taken_at=taken_at).model_dump_json().encode())
    except OSError as error:
        log.warning("backup.unrecorded", file=str(file), error=error.strerror)


def read_last_backup(file: Path) -> datetime | None:
    """Return when the last backup was completed; None without a record that can be read."""
    try:
        return LastBackup.model_validate_json(file.read_bytes()).taken_at
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("backup.record_unreadable", error=type(error).__name__)
        return None


class BackupRecord(NamedTuple):
    """A record of a topic as it is restored."""

    offset: int
    """Original offset."""
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    def dump(self) -> bytes:
        """Serialize the record to the bytes of an entry."""
        parts = [
            _RECORD.pack(
                self.offset,
                self.timestamp,
                _encode_length(self.key),
                _encode_length(self.value),
                len(self.headers),
            )
        ]
        parts += [self.key or b"", self.value or b""]
        for name, value in self.headers:
            raw = name.encode()
            parts += [_HEADER.pack(len(raw), _encode_length(value)), raw, value or b""]
        return b"".join(parts)

    @classmethod
    def load(cls, raw: bytes) -> "BackupRecord":
        """Parse the bytes of an entry. Raises struct.error, UnicodeDecodeError."""
        offset, timestamp, key_length, value_length, count = _RECORD.unpack_from(raw)
        at = _RECORD.size
        key, at = _read_piece(raw, at, key_length)
        value, at = _read_piece(raw, at, value_length)
        headers = []
        for _ in range(count):
            name_length, length = _HEADER.unpack_from(raw, at)
            name, at = _read_piece(raw, at + _HEADER.size, name_length)
            content, at = _read_piece(raw, at, length)
            headers.append(((name or b"").decode(), content))
        return cls(offset, timestamp, key, value, tuple(headers))


def _encode_length(value: bytes | None) -> int:
    return -1 if value is None else len(value)


def _read_piece(raw: bytes, at: int, length: int) -> tuple[bytes | None, int]:
    return (None, at) if length < 0 else (raw[at : at + length], at + length)


@dataclass(frozen=True, slots=True)
class BackupSection:
    """Head of a section: records of one topic partition, or one file."""

    topic: str = ""
    partition: int = 0
    file: str = ""
    """Path under the data directory."""

    @property
    def name(self) -> str:
        return self.file or f"{self.topic}/{self.partition}"


class ContentsWriter:
    """Writer of sections, one after the other, then `finish`."""

    def __init__(self, writer: SealedWriter) -> None:
        self._sealed = writer
        self._hash = sha256()
        self._count = 0
        self._open: BackupSection | None = None
        self.sections: dict[str, dict[str, Any]] = {}

    def begin(self, section: BackupSection) -> None:
        """Begin the next section, which ends the one before."""
        self._end()
        self._open = section
        self._entry(
            b"S",
            orjson.dumps(
                {"topic": section.topic, "partition": section.partition, "file": section.file}
            ),
        )

    def record(self, record: BackupRecord) -> None:
        """Write a record of the section."""
        self._content(b"R", record.dump())

    def block(self, content: bytes) -> None:
        """Write a block of the section's file."""
        self._content(b"B", content)

    def finish(self, about: dict[str, Any], key: SigningKey) -> dict[str, Any]:
        """Write the manifest, its signature and the end of the file."""
        self._end()
        manifest = {"format": FORMAT, **about, "sections": self.sections}
        raw = orjson.dumps(manifest)
        self._entry(b"M", raw)
        self._entry(b"G", key.sign(raw) + key.public.pem)
        self._sealed.close()
        return manifest

    def _content(self, kind: bytes, content: bytes) -> None:
        self._hash.update(content)
        self._count += 1
        self._entry(kind, content)

    def _end(self) -> None:
        if self._open is not None:
            self.sections[self._open.name] = {
                "entries": self._count,
                "sha256": self._hash.hexdigest(),
            }
        self._open, self._hash, self._count = None, sha256(), 0

    def _entry(self, kind: bytes, content: bytes) -> None:
        self._sealed.write(_ENTRY.pack(kind, len(content)) + content)


class VerifiedEnd(NamedTuple):
    """The end of a verified backup."""

    manifest: dict[str, Any]
    key: PublicKey
    """Key of the installation that made it."""


def read_contents(
    reader: SealedReader,
) -> Iterator[BackupSection | BackupRecord | bytes | VerifiedEnd]:
    """Yield everything in order; `VerifiedEnd` comes last, once hashes and signature are verified.

    Raises SealedInvalid.
    """
    sections: dict[str, dict[str, Any]] = {}
    hash, count = sha256(), 0
    open_: BackupSection | None = None
    while True:
        kind, content = _read_entry(reader)
        if kind in (b"R", b"B"):
            hash.update(content)
            count += 1
            yield content if kind == b"B" else _parse_record(content)
            continue
        if open_ is not None:
            sections[open_.name] = {"entries": count, "sha256": hash.hexdigest()}
        if kind == b"M":
            yield _verify_end(reader, content, sections)
            return
        open_, hash, count = _parse_section(content), sha256(), 0
        yield open_


def _read_entry(reader: SealedReader) -> tuple[bytes, bytes]:
    kind, length = _ENTRY.unpack(reader.read(_ENTRY.size))
    if kind not in b"SRBMG" or length > _MAX_ENTRY_BYTES:
        raise SealedInvalid("écrit par une version que celle-ci ne comprend pas")
    return kind, reader.read(length)


def _parse_section(content: bytes) -> BackupSection:
    try:
        return BackupSection(**orjson.loads(content))
    except (ValueError, TypeError) as error:
        raise SealedInvalid("écrit par une version que celle-ci ne comprend pas") from error


def _parse_record(content: bytes) -> BackupRecord:
    try:
        return BackupRecord.load(content)
    except (struct.error, UnicodeDecodeError) as error:
        raise SealedInvalid(f"contient un enregistrement illisible ({error})") from error


def _verify_end(
    reader: SealedReader, raw: bytes, sections: dict[str, dict[str, Any]]
) -> VerifiedEnd:
    _, signature = _read_entry(reader)
    reader.close()
    manifest = orjson.loads(raw)
    if manifest.get("format") != FORMAT:
        raise SealedInvalid(
            f"son format est {manifest.get('format')!r}, cette version lit {FORMAT}"
        )
    try:
        key = PublicKey.load(signature[64:])
    except SigningKeyInvalid as error:
        raise SealedInvalid(f"signé avec une clé illisible ({error})") from error
    if not key.verify_signature(raw, signature[:64]):
        raise SealedInvalid("n’est pas signé par la clé qu’il nomme")
    if manifest["sections"] != sections:
        wrong = sorted(
            n
            for n in {*sections, *manifest["sections"]}
            if sections.get(n) != manifest["sections"].get(n)
        )
        raise SealedInvalid(f"ne correspond pas à son manifeste : {', '.join(wrong[:3])}")
    return VerifiedEnd(manifest, key)
