"""One raw record of an input topic and its headers, before they are trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

from pydantic import ValidationError

from schemas.base import END_OF_TIME, Instant, Message, UnknownType, parse_open
from schemas.realms import RealmNameInvalid, parse_realm, partition_of
from schemas.wire import envelope as ce
from schemas.wire.envelope import Place

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


def input_digest(record: InputRecord) -> str:
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
