"""Reading a stranger's zip: what it may raise, and lines that end."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final
from zipfile import BadZipFile, ZipFile

LINE_BYTES: Final = 4 << 20
"""A log record is at most 1 MB; a line of a timeline is far shorter."""
NOT_OF_THE_FORM: Final = (
    BadZipFile,
    zlib.error,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
"""What reading such a zip and the JSON in it may raise; NotImplementedError when it is packed in a way that zipfile does not know, RuntimeError
when it is encrypted or nested without end.
"""


def lines(zip: ZipFile, name: str) -> Iterator[bytes]:
    """Lines of an entry without their ends. Raises ValueError for one that is longer than LINE_BYTES, and what NOT_OF_THE_FORM names."""
    with zip.open(name) as entry:
        while raw := entry.readline(LINE_BYTES + 1):
            if len(raw) > LINE_BYTES:
                raise ValueError(f"{name}: a line is longer than {LINE_BYTES} bytes")
            yield raw.rstrip(b"\n")
