"""Write evidence bundles, and select the log records that concern an incident.

Entries leave as soon as they are made. The manifest with their hashes and its signature come last.

Log records stay as they are, byte for byte, so that their chain can be checked alone.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass, field
from hashlib import sha256
from io import RawIOBase
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import orjson

from services.console.logbook.lines import is_shown_in
from services.console.resources import Resource
from services.runtime.log.chain import Position, advance_position
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.reader import find_newest_logic
from services.runtime.log.transaction import Transaction, compute_digest
from services.runtime.secrets.signing import SigningKey

FORMAT: Final = "vigie.evidence.v1"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
PUBLIC_KEY: Final = "signing.pub"
ENTRY_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""Time of every entry; the manifest has the real time."""
MEMORY_BYTES: Final = 8 << 20
CHUNK_BYTES: Final = 256 << 10
RECORDS_PER_TURN: Final = 200
"""Number of records after which other requests get a turn."""


class _ByteBuffer(RawIOBase):
    """Output file of zipfile that collects bytes to send.

    It cannot seek, so an entry is complete once it is written.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._waiting += data
        return len(data)

    def drain(self) -> bytes:
        """Return all bytes since the last call."""
        chunk, self._waiting = bytes(self._waiting), bytearray()
        return chunk


class BundleEntry(AbstractContextManager["BundleEntry"]):
    """One file of the bundle while it is written."""

    def __init__(self, name: str, file: IO[bytes], files: dict[str, Any]) -> None:
        self._name, self._file, self._files = name, file, files
        self._hash, self._size = sha256(), 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self._size += len(data)

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._files[self._name] = {"sha256": self._hash.hexdigest(), "bytes": self._size}


class Bundle:
    """A zip that is sent while it grows: call `drain` after each step."""

    def __init__(self) -> None:
        self._sink = _ByteBuffer()
        self._zip = ZipFile(self._sink, "w", ZIP_DEFLATED)
        self._files: dict[str, Any] = {}

    def entry(self, name: str) -> BundleEntry:
        """Open a file in the zip; close it before the next one."""
        return BundleEntry(
            name, self._zip.open(_make_entry_info(name), "w", force_zip64=True), self._files
        )

    def add(self, name: str, content: bytes) -> None:
        """Add a whole file."""
        with self.entry(name) as entry:
            entry.write(content)

    def add_lines(self, name: str, items: Iterable[Resource | dict[str, Any]]) -> None:
        """Add a file of JSON lines."""
        with self.entry(name) as entry:
            for item in items:
                entry.write(
                    (
                        item.model_dump_json().encode()
                        if isinstance(item, Resource)
                        else orjson.dumps(item)
                    )
                    + b"\n"
                )

    def drain(self) -> bytes:
        """Return the bytes that can be sent now."""
        return self._sink.drain()

    def finish(self, about: dict[str, Any], key: SigningKey) -> bytes:
        """Add the manifest, its signature and the public key, and return the last bytes."""
        manifest = orjson.dumps(
            {"format": FORMAT, **about, "key": key.public.fingerprint, "files": self._files},
            option=orjson.OPT_INDENT_2,
        )
        for name, content in (
            (MANIFEST, manifest),
            (SIGNATURE, key.sign(manifest)),
            (PUBLIC_KEY, key.public.pem),
        ):
            self._zip.writestr(_make_entry_info(name), content)
        self._zip.close()
        return self._sink.drain()


def _make_entry_info(name: str) -> ZipInfo:
    info = ZipInfo(name, ENTRY_TIME)
    info.compress_type = ZIP_DEFLATED
    return info


@dataclass(slots=True)
class LogExcerpt:
    """Part of one log in a bundle: every record from the first to the last about the incident.

    Those merged into it count for it.
    A record of another realm is withheld: its line gives the hash only, so the chain stays
    complete.
    """

    partition: int
    records: int = 0
    withheld: int = 0
    first: dict[str, Any] | None = None
    last: dict[str, Any] | None = None
    person: list[Transaction] = field(default_factory=list)
    """Transactions of personal commands that name the incident."""

    def about(self) -> dict[str, Any]:
        """Return the description for the manifest."""
        return {
            "partition": self.partition,
            "records": self.records,
            "withheld": self.withheld,
            "first": self.first,
            "last": self.last,
        }


async def write_log(
    bundle: Bundle,
    reader: PartitionReader,
    service: str,
    topic: str,
    partition: int,
    realm: str,
    incidents: Collection[str],
    stretch: LogExcerpt,
) -> AsyncGenerator[bytes, None]:
    """Write `log/<service>.jsonl`, fill `stretch`, and yield bytes to send on the way.

    Line n holds the bytes of a record; their BLAKE2b-128 is `prev` of line n + 1. Raises
    KafkaError, OSError, Stop.
    """
    begin, end = (await reader.bounds(topic, [partition]))[partition]
    at, logic = Position(), find_newest_logic(service)
    incident_bytes = [id.encode() for id in incidents]
    with bundle.entry(f"log/{service}.jsonl") as entry, SpooledTemporaryFile(MEMORY_BYTES) as tail:
        waiting: list[tuple[int, str, bool]] = []
        byte_count = 0
        async with aclosing(_read_records(reader, topic, partition, begin, end)) as records:
            async for offset, raw in records:
                at, tx = advance_position(at, offset, raw, logic)
                if offset % RECORDS_PER_TURN == 0:
                    await asyncio.sleep(0)
                if tx is None:
                    continue
                mine = is_shown_in(realm, tx, partition)
                concerns = mine and any(id in raw for id in incident_bytes)
                if stretch.first is None and not concerns:
                    continue
                if stretch.first is None:
                    stretch.first = {"seq": tx.seq, "prev": tx.prev}
                line = (
                    raw
                    if mine
                    else orjson.dumps(
                        {"withheld": True, "seq": tx.seq, "hash": compute_digest(raw)}
                    )
                )
                tail.write(line + b"\n")
                waiting.append((tx.seq, compute_digest(raw), mine))
                if not concerns:
                    continue
                if tx.src.source.startswith("person:"):
                    stretch.person.append(tx)
                tail.seek(0)
                while block := tail.read(CHUNK_BYTES):
                    entry.write(block)
                    byte_count += len(block)
                tail.seek(0)
                tail.truncate()
                stretch.records += len(waiting)
                stretch.withheld += sum(not own for _seq, _hash, own in waiting)
                seq, hash, _own = waiting[-1]
                stretch.last = {"seq": seq, "hash": hash}
                waiting.clear()
                if byte_count >= CHUNK_BYTES:
                    byte_count = 0
                    yield bundle.drain()


async def _read_records(
    reader: PartitionReader, topic: str, partition: int, begin: int, end: int
) -> AsyncGenerator[tuple[int, bytes], None]:
    async for record in reader.read(topic, {partition: (begin, end)}):
        yield record.offset, record.value
