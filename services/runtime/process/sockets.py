"""Unix sockets of one installation, in a folder that only its user can open (0700)."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Final

MAX_PATH_BYTES: Final = 103
"""Longest path in bytes that every system accepts: Linux 107, macOS 103."""
_MAX_NAME_BYTES: Final = 16
"""Bytes for the name of a socket and the slash before it."""
_BACKLOG: Final = 512


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
