"""A cache of the broker's loaded and linked classes, which halves the CPU time of its start.

It is an AOT cache of the JVM (Java ≥ 25), beside the jars. It is made once per Java and jars, by a
broker that starts, serves and ends in a folder of its own. Every start verifies its checksum, like
those of the jars; a JVM to which it does not belong works without it. See
`docs/adr/0037-cache-the-brokers-loaded-classes.md`.

`python -m services.appliance.embedded.classes` makes it now.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from services.appliance.embedded.java import (
    JarsUnavailable,
    Java,
    JavaUnusable,
    fetch_classpath,
    find_java,
    read_configured_java,
)
from services.appliance.embedded.kafka import BrokerFailed, KafkaNode, RunningKafka
from services.runtime.kafka.clients import COMPRESSION
from services.runtime.process import logs
from services.runtime.process.sockets import find_free_ports

MIN_JAVA: Final = 25
"""First Java that records and writes such a cache at the end of one run."""
MAKE_TIMEOUT_S: Final = 180.0
"""Longest wait in seconds for the end of the recorded broker, which writes the cache."""
MAX_CACHES: Final = 4
"""Number of caches that are kept, those used last. Each has 70 MB."""
log = structlog.get_logger(__name__)
_CACHE_NAME: Final = "classes-{}-{}.aot"
"""Placeholders: owner of the cache, checksum of its content."""
_LOCK_FILE: Final = ".classes.lock"
_PROTOCOL: Final = "scram"
"""Protocol of the recorded broker. A cache of another protocol lacks classes."""


def find_cache(java: Java, jars: tuple[Path, ...]) -> Path | None:
    """Return the cache of this Java and these jars, if this user made it.

    A damaged cache is removed. One that others could have written is left alone.
    """
    belongs_to = _compute_owner_key(java, jars)
    for cache in jars[0].parent.glob(_CACHE_NAME.format(belongs_to, "*")):
        with contextlib.suppress(OSError):
            if not _is_private_file(cache):
                continue
            if cache.name == _CACHE_NAME.format(belongs_to, _compute_digest(cache)):
                os.utime(cache)
                return cache
            cache.unlink()
    return None


def can_cache(java: Java, jars: tuple[Path, ...]) -> bool:
    """Return whether this Java can write a cache that this user can keep.

    Not beside the jars of others, nor on a file system without owners.
    """
    lock = jars[0].parent / _LOCK_FILE
    try:
        lock.touch(0o600)
        lock.chmod(0o600)
        return java.major >= MIN_JAVA and _is_private_file(lock)
    except OSError:
        return False


def make_cache(java: Java, jars: tuple[Path, ...]) -> Path | None:
    """Make the cache, unless it exists or another process makes it now; None if it cannot.

    Raises BrokerFailed, KafkaError, OSError, TimeoutError.
    """
    if not can_cache(java, jars):
        return None
    jar_folder = jars[0].parent
    with _try_lock(jar_folder) as alone:
        if alone and find_cache(java, jars) is None:
            for cut_short in jar_folder.glob(".classes-*"):
                shutil.rmtree(cut_short, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=".classes-", dir=jar_folder) as folder:
                port, controller_port = find_free_ports(2)
                cache_file = Path(folder) / "made.aot"
                password = secrets.token_urlsafe(32)
                node = KafkaNode(
                    Path(folder),
                    port,
                    controller_port,
                    java,
                    jars,
                    Path(folder) / "broker.jsonl",
                    password,
                )
                _record_classes(node, cache_file)
                cache_file.chmod(0o600)
                os.replace(
                    cache_file,
                    jar_folder
                    / _CACHE_NAME.format(
                        _compute_owner_key(java, jars), _compute_digest(cache_file)
                    ),
                )
            _remove_old_caches(jar_folder)
    return find_cache(java, jars)


def _compute_owner_key(java: Java, jars: tuple[Path, ...]) -> str:
    """Return a key of all that the JVM compares: each Java and set of jars has its own.

    The JVM compares the paths of jars, but only size and time of its own classes: installations
    of one Java in several folders share a cache.
    """
    modules = java.command.resolve().parents[1] / "lib" / "modules"
    files = (_describe_file(modules), *(f"{jar} {_describe_file(jar)}" for jar in jars))
    description = "\n".join((*files, _PROTOCOL))
    return hashlib.blake2b(description.encode(), digest_size=8).hexdigest()


def _describe_file(file: Path) -> str:
    try:
        file_status = file.stat()
    except OSError:
        return str(file)
    return f"{file_status.st_size} {file_status.st_mtime_ns}"


def _is_private_file(file: Path) -> bool:
    """Return whether only this user could have written a file.

    The JVM trusts the cache, and unlike the jars it has no checksum in the repository.
    """
    file_status = file.lstat()
    return (
        stat.S_ISREG(file_status.st_mode)
        and file_status.st_uid == os.geteuid()
        and not file_status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def _compute_digest(file: Path) -> str:
    with file.open("rb") as f:
        return hashlib.file_digest(f, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


@contextlib.contextmanager
def _try_lock(folder: Path) -> Iterator[bool]:
    with (folder / _LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _remove_old_caches(folder: Path) -> None:
    for old in sorted(
        folder.glob(_CACHE_NAME.format("*", "*")), key=lambda file: file.stat().st_mtime
    )[:-MAX_CACHES]:
        old.unlink(missing_ok=True)


def _record_classes(node: KafkaNode, into: Path) -> None:
    node.prepare()
    running = RunningKafka(node, recording=into)
    # The ending JVM starts another one to write the cache: neither may outlive this process.
    try:
        asyncio.run(_use_broker(running))
        running.stop(MAKE_TIMEOUT_S)
    except BaseException:
        running.kill()
        raise
    if not into.exists():
        raise BrokerFailed("the JVM wrote no cache")


async def _use_broker(running: RunningKafka) -> None:
    """Use the broker like a service, so that the cache holds the classes for that."""
    await running.start()
    login = running.node.security.options()
    admin = AIOKafkaAdminClient(bootstrap_servers=running.address, **login)
    await admin.start()
    await admin.create_topics([NewTopic("t", 1, 1, topic_configs={"flush.messages": "1"})])
    await admin.close()
    async with (
        AIOKafkaProducer(
            bootstrap_servers=running.address,
            enable_idempotence=True,
            compression_type=COMPRESSION,
            **login,
        ) as producer,
        AIOKafkaConsumer(
            "t",
            bootstrap_servers=running.address,
            group_id="g",
            auto_offset_reset="earliest",
            **login,
        ) as consumer,
    ):
        for n in range(100):
            await producer.send_and_wait("t", b"%1000d" % n, key=b"k", headers=[("h", b"v")])
        await consumer.getone()
        await consumer.commit()
        await consumer.end_offsets(consumer.assignment())


def _main() -> None:
    """Make the cache for the next start, beside a running system. Failures are only logged."""
    from services.runtime.process.settings import Settings

    logs.configure_logging("classes")
    # A broker that has just begun is asked again: hide the errors.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.nice(19)
    try:
        cache = make_cache(
            find_java(read_configured_java()),
            tuple(fetch_classpath(Settings().cache_dir, lambda _: None)),
        )
    except (BrokerFailed, JarsUnavailable, JavaUnusable, KafkaError, OSError) as error:
        log.warning("classes.not_kept", why=str(error))
    else:
        log.info("classes.kept" if cache else "classes.left", file=cache and str(cache))


if __name__ == "__main__":
    _main()
