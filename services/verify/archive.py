"""Read an untrusted zip file: its possible errors and bounded lines."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final
from zipfile import BadZipFile, ZipFile

LINE_BYTES: Final = 4 << 20
"""Longest line. A log record has at most 1 MB; a line of a timeline is far shorter."""
MALFORMED_ARCHIVE_ERRORS: Final = (
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
"""Errors that a malformed zip or its JSON may raise.

zipfile raises NotImplementedError for an unknown compression, RuntimeError for encryption or
endless nesting.
"""


def read_lines(zip: ZipFile, name: str) -> Iterator[bytes]:
    """Yield the lines of an entry without line ends.

    Raises ValueError for a line longer than LINE_BYTES, and the errors in NOT_OF_THE_FORM.
    """
    with zip.open(name) as entry:
        while raw := entry.readline(LINE_BYTES + 1):
            if len(raw) > LINE_BYTES:
                raise ValueError(f"{name}: a line is longer than {LINE_BYTES} bytes")
            yield raw.rstrip(b"\n")
