"""Sockets of an installation: loopback ports, and Unix sockets that only its user can open."""

import errno
import hashlib
import itertools
import json
import os
import random
import socket
import stat
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Final

MAX_PATH_BYTES: Final = 103
"""Longest path in bytes that every system accepts: Linux 107, macOS 103."""
_MAX_NAME_BYTES: Final = 16
"""Bytes for the name of a socket and the slash before it."""
_BACKLOG: Final = 512
LOWEST, HIGHEST = 10_000, 32_768


def choose_socket_folder(run: Path) -> Path:
    """Return the folder for sockets: `run`, or a folder under /tmp if that path is too long.

    The latter has the same name at every start, unless another user has taken the name. Raises
    OSError.
    """
    if len(os.fsencode(run)) + _MAX_NAME_BYTES <= MAX_PATH_BYTES:
        return run
    digest = hashlib.blake2b(os.fsencode(run), digest_size=8).hexdigest()
    folder = Path("/tmp") / f"vigie-{os.geteuid()}-{digest}"  # noqa: S108  checked before use
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not _is_private_folder(folder):
            return Path(tempfile.mkdtemp(prefix="vigie-", dir="/tmp"))
    return folder


def remove_socket_folder(folder: Path, run: Path) -> None:
    """Remove a folder of sockets under /tmp and its contents; `run` stays."""
    if folder == run:
        return
    for socket_file in folder.glob("*.sock"):
        socket_file.unlink(missing_ok=True)
    folder.rmdir()


def open_unix_socket(path: Path) -> socket.socket:
    """Return a listening, inheritable socket at this path, replacing a stale one.

    Raises OSError.
    """
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen(_BACKLOG)
        listening.set_inheritable(True)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def _is_private_folder(folder: Path) -> bool:
    folder_stat = folder.lstat()
    return (
        stat.S_ISDIR(folder_stat.st_mode)
        and folder_stat.st_uid == os.geteuid()
        and not folder_stat.st_mode & 0o077
    )


class PortBusy(OSError):
    """Another program listens at this address."""


def find_free_ports(count: int) -> list[int]:
    """Return different ports that are free now.

    They lie below the range from which the kernel assigns ports to outgoing connections: such a
    connection could hold the port when its server restarts after a crash.
    """
    end = _read_first_ephemeral_port()
    candidates = list(range(LOWEST, min(end, HIGHEST) if end > LOWEST + 1000 else HIGHEST))
    random.shuffle(candidates)
    free_ports = list(itertools.islice((port for port in candidates if is_port_free(port)), count))
    if len(free_ports) < count:
        raise PortBusy(errno.EADDRINUSE, "no free port on this machine")
    return free_ports


def _read_first_ephemeral_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        return HIGHEST


def is_port_free(port: int) -> bool:
    """Return whether a server could listen on this loopback port now."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def read_ports(file: Path) -> dict[str, int]:
    """Return the ports of the last start; empty if the file cannot be read."""
    try:
        return {name: int(port) for name, port in json.loads(file.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def choose_ports(file: Path, names: Collection[str]) -> dict[str, int]:
    """Return a port per name: that of the last start if it is free, else a new one.

    Writes `file` with exactly these names. Raises OSError.
    """
    ports = {
        n: p
        for n, p in read_ports(file).items()
        if n in names and 0 < p < 65536 and is_port_free(p)
    }
    missing = [n for n in names if n not in ports]
    ports |= dict(zip(missing, find_free_ports(len(missing)), strict=True))
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(ports, indent=1))
    os.replace(temporary, file)
    return ports


def open_listening_socket(host: str, port: int, *, queues: bool = True) -> socket.socket:
    """Return a bound, inheritable socket that listens.

    Unless it `queues`, connections are refused until a server listens on it. Raises PortBusy, or
    OSError for an address that is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM)
    try:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((host, port))
        if queues:
            s.listen(1024)
        s.set_inheritable(True)
        s.setblocking(False)
    except OSError as error:
        s.close()
        if error.errno == errno.EADDRINUSE or isinstance(error, PermissionError):
            raise PortBusy(error.errno, os.strerror(error.errno or 0)) from error
        raise
    return s
