"""Writer of evidence bundles.

Entries leave as soon as they are made. The manifest with their hashes and its signature come last.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from hashlib import sha256
from io import RawIOBase
from typing import IO, Any, Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import orjson

from services.console.resources import Resource
from services.runtime.secrets.signing import SigningKey

FORMAT: Final = "vigie.evidence.v1"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
PUBLIC_KEY: Final = "signing.pub"
ENTRY_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""Time of every entry; the manifest has the real time."""


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
