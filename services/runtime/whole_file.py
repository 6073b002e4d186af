"""A file that a person asked for: it appears under its name when it is whole and on the disk, or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def appearing(file: Path, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """Write what `file` shall hold; `mode` is lessened by the umask. Whoever writes the same file meanwhile writes another one: the last that
    is whole stays. Raises OSError.
    """
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    try:
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error
    try:
        with os.fdopen(handle, "w+b") as target:
            yield target
            target.flush()
            os.fsync(handle)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
