"""Loopback ports: free ones, remembered for the next start, and a listening socket that is bound once and handed down."""

from __future__ import annotations

import errno
import json
import os
import socket
from pathlib import Path


class PortBusy(OSError):
    """Another program listens at this address."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; all held open together so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def is_free(port: int) -> bool:
    """True when a server could listen on this loopback port now."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def remembered_ports(file: Path, names: list[str]) -> dict[str, int]:
    """A port per name: those of the last start where still free, else new ones. Writes `file`. Raises OSError."""
    try:
        kept = {n: int(p) for n, p in json.loads(file.read_text()).items() if n in names and is_free(int(p))}
    except (OSError, ValueError, AttributeError):
        kept = {}
    missing = [n for n in names if n not in kept]
    kept |= dict(zip(missing, free_ports(len(missing)), strict=True))
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(kept, indent=1))
    os.replace(temporary, file)
    return kept


def listen(host: str, port: int) -> socket.socket:
    """A bound, listening, inheritable socket. Raises PortBusy, or OSError for an address that is not of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM)
    try:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((host, port))
        s.listen(1024)
        s.set_inheritable(True)
        s.setblocking(False)
    except OSError as error:
        s.close()
        if error.errno == errno.EADDRINUSE or isinstance(error, PermissionError):
            raise PortBusy(error.errno, os.strerror(error.errno or 0)) from error
        raise
    return s
