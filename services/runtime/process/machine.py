"""The name and the clock of this machine."""

import re
import secrets
import socket
import time
from typing import Final

from schemas.base import Instant
from services.runtime.process.settings import DataDir
from services.runtime.secrets.keyring import write_private

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
