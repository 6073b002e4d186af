"""Store the values of versions as differences to an earlier version.

A new version mostly repeats its row, and a new row repeats the other rows of its collection. So each
value is compressed with such a *base* as its dictionary (zlib):

* the first value of a collection has no base,
* the first value of a row has the first value of its collection as base,
* a later value has an earlier one of its row as base, while that saves half of its size.

Reading a value takes three steps at most. zlib checks that the base is the one of writing.
"""

import sqlite3
import zlib
from typing import Final

_PACKED_FROM_BYTES: Final = 40
_SMALL_BYTES: Final = 64
"""Size of a difference from which a new base is considered."""
_OF_ROW: Final = b"\x01"
_OF_COLLECTION: Final = b"\x02"
_WITHOUT_BASE: Final = b"x"
"""First bytes of packed values; no JSON begins with them. The last is that of zlib."""
_HEADS: Final = (_OF_ROW, _OF_COLLECTION)
_BASE_END: Final = 6
"""End of the number of the base, which follows the first byte."""

_VALUE: Final = "SELECT value FROM versions WHERE rowid = ?"
_NEWEST: Final = "SELECT rowid, value FROM versions WHERE scope = ? AND id = ? ORDER BY at DESC, seq DESC LIMIT 1"
_ANY: Final = "SELECT rowid, value FROM versions WHERE scope = ? LIMIT 1"


class ValueReader:
    """Reader of packed values for one question; it keeps the bases that it has read."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._bases: dict[int, bytes] = {}

    def unpack(self, stored: bytes) -> bytes:
        """Return a value as it was written. Raises sqlite3.Error, also for a damaged value."""
        try:
            if stored.startswith(_HEADS):
                stream = zlib.decompressobj(zdict=self.read(_get_base(stored)))
                return stream.decompress(stored[_BASE_END:])
            return zlib.decompress(stored) if stored.startswith(_WITHOUT_BASE) else stored
        except zlib.error as error:
            raise sqlite3.DatabaseError(f"a value of the past is damaged: {error}") from error

    def read(self, version: int) -> bytes:
        """Return the value of a version by its number. Raises sqlite3.Error."""
        if version not in self._bases:
            row = self._db.execute(_VALUE, (version,)).fetchone()
            if row is None:
                raise sqlite3.DatabaseError("the base of a value of the past is missing")
            self._bases[version] = self.unpack(row[0])
        return self._bases[version]


class ValueWriter(ValueReader):
    """Packer of the values of one transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        self._firsts: dict[int, int] = {}

    def pack(self, scope: int, id: str, value: bytes) -> tuple[bytes, bool]:
        """Return a value as it is stored, and whether it is the first of its row."""
        newest = self._db.execute(_NEWEST, (scope, id)).fetchone()
        if len(value) < _PACKED_FROM_BYTES:
            return value, newest is None
        change = None
        if newest is not None:
            version, stored = newest
            change = self._compress(
                _OF_ROW, _get_base(stored) if stored.startswith(_OF_ROW) else version, value
            )
            if len(change) < _SMALL_BYTES:
                return change, False
        first = self._find_first(scope)
        whole = (
            zlib.compress(value) if first is None else self._compress(_OF_COLLECTION, first, value)
        )
        if change is not None and 2 * len(change) <= len(whole):
            return change, False
        return whole, newest is None

    def _compress(self, head: bytes, base: int, value: bytes) -> bytes:
        stream = zlib.compressobj(zdict=self.read(base))
        return b"".join(
            (head, base.to_bytes(_BASE_END - 1), stream.compress(value), stream.flush())
        )

    def _find_first(self, scope: int) -> int | None:
        """Return the version without a base on which the values of a scope rest."""
        if scope not in self._firsts:
            row = self._db.execute(_ANY, (scope,)).fetchone()
            if row is None:
                return None
            version, stored = row
            while stored.startswith(_HEADS):
                version = _get_base(stored)
                (stored,) = self._db.execute(_VALUE, (version,)).fetchone()
            self._firsts[scope] = version
        return self._firsts[scope]


def _get_base(stored: bytes) -> int:
    return int.from_bytes(stored[1:_BASE_END])
