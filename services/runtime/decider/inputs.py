"""Records of input topics before they are trusted: their headers, and their marks.

A mark is an HMAC that only a process with the installation's key can make. The password of the
broker lets any program write to an input topic. The mark proves that a process of this installation
wrote the record, for this topic, with this key, content and headers. A worker checks it before it
decides; `decide` and every fold of a log never see it. See
`docs/adr/0052-authenticate-inputs-with-a-mac.md`.
"""

import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from pydantic import ValidationError

from schemas import wire as ce
from schemas.base import DAY_MS, END_OF_TIME, Instant, Message, UnknownType, parse_open
from schemas.topics import RealmNameInvalid, is_live, parse_realm, partition_of
from schemas.wire import Place
from services.runtime.decider.protocol import RETENTION_MS
from services.runtime.process.machine import now_ms
from services.runtime.secrets.keyring import (
    INPUTS_SINCE_FILE,
    MasterKey,
    MasterKeyInvalid,
    write_private,
)

MAX_HEADER_CHARS: Final = 256
"""Greatest length of an id, source or type in characters. Longer ones would swell the log."""
Headers = Sequence[tuple[str, bytes | None]]
"""Header names and values. Kafka allows headers without a value; Vigie writes none."""


@dataclass(frozen=True, slots=True)
class InputRecord:
    """A record as the broker delivers it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: Instant
    """Broker append time."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Reason to refuse an input: a code of `InputRefused` and a sentence without personal data."""

    code: str
    detail: str


class _Unreadable(ValueError):
    """A header cannot be read. The message never repeats its value."""


class Envelope(NamedTuple):
    """Content of key and headers.

    With a `fault`, the other fields hold the readable rest, never raw bytes.
    """

    realm: str
    id: str
    type: str
    source: str
    correlation_id: str
    causation_id: str
    at: Instant | None = None
    place: Place | None = None
    place_hash: str | None = None
    fault: Refusal | None = None


def compute_input_digest(record: InputRecord) -> str:
    """Return the blake2b-128 hash of key, `ce_id` and value.

    All ticks have the same value, so the id is part of the hash; other headers are not.
    """
    id = b""
    for name, value in record.headers:
        if name == ce.CE_ID:
            id = value or b""
            break
    key, value = record.key or b"", record.value or b""
    return blake2b(
        b"%d,%d,%d,%b%b%b" % (len(key), len(id), len(value), key, id, value), digest_size=16
    ).hexdigest()


@lru_cache(maxsize=4096)
def _parse_realm_key(key: bytes | None, partition: int, partitions: int) -> str | Refusal:
    try:
        realm = (key or b"").decode()
        parse_realm(realm)
    except (UnicodeDecodeError, RealmNameInvalid):
        return Refusal("wrong_realm", "the key is not a realm name")
    if partition != (right := partition_of(realm, partitions)):
        return Refusal("wrong_realm", f"realm {realm} lives on partition {right}, not {partition}")
    return realm


def read_realm(record: InputRecord, partitions: int) -> str:
    """Return the realm of a record's key, or "" for an invalid key or another partition's realm."""
    realm = _parse_realm_key(record.key, record.partition, partitions)
    return "" if isinstance(realm, Refusal) else realm


def _read_header(raw: bytes | None, name: str) -> str | None:
    if raw is None:
        return None
    text = raw.decode()
    if not text or len(text) > MAX_HEADER_CHARS or not text.isprintable():
        raise _Unreadable(
            f"header {name} is empty, longer than {MAX_HEADER_CHARS} characters or not printable"
        )
    return text


_read_common_header = lru_cache(maxsize=1024)(_read_header)
"""Cached reader for headers with few different values: types and sources."""


def read_envelope(record: InputRecord, partitions: int) -> Envelope:
    """Read the envelope of a record. Never raises.

    An unreadable envelope has a `fault` and the stand-in id `<topic>/<partition>/<offset>`.
    """
    standin = f"{record.topic}/{record.partition}/{record.offset}"
    realm = _parse_realm_key(record.key, record.partition, partitions)
    if isinstance(realm, Refusal):
        return Envelope("", standin, "", "", standin, standin, fault=realm)
    headers = dict(record.headers)
    try:
        id = _read_header(headers.get(ce.CE_ID), ce.CE_ID)
        type = _read_common_header(headers.get(ce.CE_TYPE), ce.CE_TYPE)
        source = _read_common_header(headers.get(ce.CE_SOURCE), ce.CE_SOURCE) or ""
        correlation = _read_header(headers.get(ce.CE_CORRELATION), ce.CE_CORRELATION)
        causation = _read_header(headers.get(ce.CE_CAUSATION), ce.CE_CAUSATION)
        at = int(raw) if (raw := headers.get(ce.CE_AT)) is not None else None
        if at is not None and not 0 <= at < END_OF_TIME:
            raise _Unreadable(f"header {ce.CE_AT} is no time in milliseconds")
        place = (
            Place.parse(text)
            if (text := _read_header(headers.get(ce.CE_PLACE), ce.CE_PLACE)) is not None
            else None
        )
        place_hash = _read_header(headers.get(ce.CE_PLACEHASH), ce.CE_PLACEHASH)
        if id is None:
            raise _Unreadable(f"header {ce.CE_ID} is missing")
        if place is not None and (place_hash is None or place.partition != record.partition):
            raise _Unreadable(
                "a forwarded fact comes with its hash, from the partition of the same number"
            )
    except ValueError as error:
        detail = (
            str(error)
            if isinstance(error, _Unreadable)
            else "a header is not UTF-8, or no number or place where one is due"
        )
        return Envelope(realm, standin, "", "", standin, standin, fault=Refusal("invalid", detail))
    if type is None:
        fault = Refusal("unknown_type", f"header {ce.CE_TYPE} is missing")
        return Envelope(
            realm, id, "", source, correlation or id, causation or id, at, place, place_hash, fault
        )
    return Envelope(
        realm, id, type, source, correlation or id, causation or id, at, place, place_hash
    )


def build_unproven_envelope(record: InputRecord, partitions: int, why: Refusal) -> Envelope:
    """Return the envelope of a record without a valid mark, without its id, author and place."""
    standin = f"{record.topic}/{record.partition}/{record.offset}"
    try:
        type = _read_header(dict(record.headers).get(ce.CE_TYPE), ce.CE_TYPE) or ""
    except ValueError:
        type = ""
    return Envelope(read_realm(record, partitions), standin, type, "", standin, standin, fault=why)


def parse_message(type: str, value: bytes | None) -> Message | Refusal:
    """Return the typed message of an input, or the reason why it has none."""
    if value is None:
        return Refusal("no_data", "the record has no value")
    try:
        return parse_open(type, value)
    except UnknownType:
        return Refusal("unknown_type", f"no message type {type}")
    except ValidationError as error:
        return Refusal("invalid", describe_error(error))


def describe_error(error: Exception, limit: int = 500) -> str:
    """Describe an exception in one line, without the offending values: they may be personal."""
    if isinstance(error, ValidationError):
        faults = (
            f"{'.'.join(str(p) for p in e['loc'])}: {e['type']}"
            for e in error.errors(include_input=False, include_url=False)
        )
        text = f"{error.title}: " + "; ".join(faults)
    else:
        text = f"{type(error).__name__}: {error}"
    return text.encode("utf-8", "replace").decode()[:limit]


KEY_PURPOSE: Final = "inputs"
REFUSAL_CODE: Final = "unsigned"
"""Code of `InputRefused` for an input with a missing, wrong or old mark."""
UNMARKED_GRACE_MS: Final = 10 * 60 * 1000
"""Time after its first start for which a version with marks accepts inputs without one.

Processes of the version before may still append while they are replaced.
"""
MAX_INPUT_AGE_MS: Final = RETENTION_MS - DAY_MS
"""Greatest age of an input. The id of a later copy may already be forgotten."""
_DIGITS: Final = 15
"""Most digits of a time in milliseconds."""
_MARK_MISSING: Final = Refusal(REFUSAL_CODE, "the record bears no mark of this installation")
_MARK_WRONG: Final = Refusal(
    REFUSAL_CODE, "the mark of the record is not of this installation, or its content was changed"
)
_MARK_OLD: Final = Refusal(
    REFUSAL_CODE, f"the record was made more than {MAX_INPUT_AGE_MS // DAY_MS} days before it came"
)


class InputsSinceInvalid(MasterKeyInvalid):
    """`secrets/inputs.since` holds no time.

    Every process that reads or writes inputs stops with this sentence.
    """


class InputMarks:
    """Maker and checker of marks. Safe for several threads."""

    def __init__(self, master: MasterKey, since: Instant = 0) -> None:
        """Create marks with a key; records that were appended before `since` need none."""
        self._key = master.derive_key(KEY_PURPOSE)
        self._since = since

    @classmethod
    def open(cls, secrets: Path) -> Self:
        """Return the marks of this installation. Raises OSError, MasterKeyInvalid."""
        master = MasterKey.open(secrets)
        return cls(master, _read_start_time(secrets))

    def sign(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers
    ) -> list[tuple[str, bytes]]:
        """Return the headers with their mark; it replaces any other."""
        other_headers = [(name, content or b"") for name, content in headers if name != ce.MARK]
        return [*other_headers, (ce.MARK, self._mark(topic, key, value, other_headers))]

    def proves(self, record: Any) -> bool:
        """Return whether this installation wrote a record, or it is older than all marks."""
        return self._doubt(record) is None

    def find_fault(self, record: InputRecord) -> Refusal | None:
        """Return the reason to refuse a record; None for a fresh record of this installation.

        A forwarded fact may be old: its place shows whether it was applied before. Exercise realms
        forget no id, so their inputs may be old, too.
        """
        if (doubt := self._doubt(record)) is not None:
            return doubt
        headers = dict(record.headers)
        if (
            ce.MARK not in headers
            or ce.CE_PLACE in headers
            or not is_live((record.key or b"").decode())
        ):
            return None
        return _MARK_OLD if _is_old(headers.get(ce.CE_TIME), record.timestamp) else None

    def _doubt(self, record: Any) -> Refusal | None:
        """Return the fault of a record's mark, or None.

        The mark is the last header. A valid mark never covers a header that is itself a mark.
        """
        headers = record.headers
        if not headers or headers[-1][0] != ce.MARK:
            bears_one = any(name == ce.MARK for name, _ in headers)
            return (
                _MARK_WRONG
                if bears_one
                else None
                if record.timestamp < self._since
                else _MARK_MISSING
            )
        right = self._mark(record.topic, record.key, record.value, headers[:-1])
        return None if hmac.compare_digest(headers[-1][1] or b"", right) else _MARK_WRONG

    def _mark(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> bytes:
        parts = [topic.encode(), key, value]
        for name, content in headers:
            parts += (name.encode(), content)
        # hmac.digest would release the GIL, and wait for a busy thread to get it back
        return hmac.new(self._key, _join_parts(parts), "sha256").hexdigest().encode()


def _join_parts(parts: Sequence[bytes | None]) -> bytes:
    """Return one byte string: the number of parts, each length (−1 for None), then the parts."""
    lengths = [-1 if part is None else len(part) for part in parts]
    return struct.pack(f">{len(parts) + 1}i", len(parts), *lengths) + b"".join(
        [part or b"" for part in parts]
    )


def _is_old(made_at: bytes | None, appended_at: Instant) -> bool:
    """Return whether an input was made long before it was appended.

    A tick has no such time, and applying it again has no effect.
    """
    if made_at is None:
        return False
    return (
        appended_at - datetime.fromisoformat(made_at.decode()).timestamp() * 1000 > MAX_INPUT_AGE_MS
    )


def _read_start_time(secrets: Path) -> Instant:
    """Return the moment when inputs begin to need a mark; note it where none is noted yet.

    Raises OSError, InputsSinceInvalid.
    """
    path = secrets / INPUTS_SINCE_FILE
    if not path.exists():
        write_private(path, b"%d" % (now_ms() + UNMARKED_GRACE_MS))
    text = path.read_bytes().strip()
    if not text.isdigit() or len(text) > _DIGITS:
        raise InputsSinceInvalid(
            f"{path} is damaged: it holds a time in milliseconds, alone. Put it back from a backup, or write 0 "
            f"into it (`echo 0 > {path}`): then every input needs the mark of this installation"
        )
    return int(text)


def convert_record(record: Any) -> InputRecord:
    """Convert a consumer's record to an input record."""
    return InputRecord(
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        tuple(record.headers),
        record.timestamp,
    )
