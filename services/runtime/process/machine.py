"""The name, the clock and the memory of this machine.

Freed memory goes back to the system: the C library keeps what a start has freed, such as parsed
files, schemas in the making and the first read of the logs. Nobody needs it again for months.
Long-lived objects stay out of garbage collection, see
`docs/adr/0030-freeze-long-lived-objects-in-the-garbage-collector.md`.
"""

import asyncio
import contextlib
import ctypes
import gc
import re
import secrets
import socket
import time
from typing import Final

from schemas.base import Instant
from services.runtime.process.settings import DataDir
from services.runtime.secrets.keyring import write_private

SETTLED_S: Final = 30.0
"""Seconds after its start from which a process frees little more."""
THRESHOLDS: Final = (10_000, 10, 10)
"""Collection thresholds. Rendering a page keeps some thousands of objects alive.

With Python's 700 they all grow old before they are freed.
"""


def return_freed_memory() -> None:
    """Return whole free pages to the system. Takes some milliseconds; does nothing elsewhere."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def schedule_return() -> None:
    """Return freed memory once the running loop has worked for a while."""
    asyncio.get_running_loop().call_later(SETTLED_S, return_freed_memory)


def freeze_long_lived() -> None:
    """Exempt all present objects from collections: modules and schemas live as long as the process.

    Reference counts free them as before.
    """
    gc.set_threshold(*THRESHOLDS)
    gc.collect()
    gc.freeze()


MAX_HOST_LENGTH: Final = 40


def get_or_create_machine_name(data: DataDir) -> str:
    """Return the name of this data directory on this host, e.g. `siege-3f9a1c`.

    A data directory that was copied to another host gets another name. Raises OSError.
    """
    host = re.sub(r"[^a-z0-9-]", "-", socket.gethostname().lower())[:MAX_HOST_LENGTH] or "host"
    try:
        machine_name = data.machine.read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        machine_name = ""
    if re.fullmatch(rf"{re.escape(host)}-[0-9a-f]{{6}}", machine_name):
        return machine_name
    name = f"{host}-{secrets.token_hex(3)}"
    write_private(data.machine, name.encode(), replace=True)
    return name


def now_ms() -> Instant:
    """Return the present time in ms since the epoch."""
    return time.time_ns() // 1_000_000
