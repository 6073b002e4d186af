"""Any process replaces a damaged copy by a new one; other errors do not count as damage."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from schemas.topics import TOPICS_BY_NAME
from services.runtime.kafka import compacted_topic
from services.runtime.kafka.compacted_topic import KeyedEntry, TopicFollower
from services.runtime.kafka.replica import Replica
from services.runtime.process.sqlite_cache import SMALL_PAGE_BYTES, open_cache

SCHEMA = "CREATE TABLE IF NOT EXISTS kept (id INTEGER PRIMARY KEY, what TEXT)"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Create a copy large enough for damage in its middle."""
    db = open_cache(tmp_path / "vault" / "copy.db", SCHEMA)
    db.executemany("INSERT INTO kept VALUES (?, ?)", [(n, "x" * 100) for n in range(2000)])
    db.close()
    return tmp_path / "vault" / "copy.db"


def rows(path: Path) -> int:
    db = open_cache(path, SCHEMA)
    count: int = db.execute("SELECT count(*) FROM kept").fetchone()[0]
    db.close()
    return count


def test_a_sound_file_is_kept(copy: Path) -> None:
    assert rows(copy) == 2000
    assert copy.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("begin", "end"), [(0, 100), (5000, 30_000)])
def test_one_that_is_damaged_is_set_aside_and_begun_anew(copy: Path, begin: int, end: int) -> None:
    content = copy.read_bytes()
    torn = content[:begin] + b"\xff" * (end - begin) + content[end:]
    copy.write_bytes(torn)
    assert rows(copy) == 0
    assert copy.with_suffix(".damaged").read_bytes() == torn
    assert rows(copy) == 0


def test_a_truncated_file_is_created_anew(copy: Path) -> None:
    copy.write_bytes(copy.read_bytes()[:20_000])
    assert rows(copy) == 0


def test_processes_that_find_it_together_share_one_new_file(copy: Path) -> None:
    copy.write_bytes(b"\xff" * 4096)
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: open_cache(copy, SCHEMA), range(8)))
    opened[0].execute("INSERT INTO kept VALUES (1, 'new')")
    assert [db.execute("SELECT what FROM kept").fetchall() for db in opened] == [[("new",)]] * 8
    for db in opened:
        db.close()


def test_a_file_that_is_busy_is_not_damaged(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **options: connect(path, **(options | {"timeout": 0}))
    )
    busy = connect(copy, isolation_level=None)
    busy.execute("PRAGMA journal_mode=DELETE")
    busy.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        open_cache(copy, SCHEMA)
    busy.close()
    assert not copy.with_suffix(".damaged").exists()
    assert rows(copy) == 2000


def test_holders_of_the_damaged_file_detect_it(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    before = Replica(path)
    assert not before.is_replaced()
    writer = sqlite3.connect(path)
    writer.execute(
        "PRAGMA wal_checkpoint(TRUNCATE)"
    )  # else all of it is in the journal, and nothing is lost
    writer.close()
    path.write_bytes(b"\xff" * 4096)
    after = Replica(path)
    assert (before.is_replaced(), after.is_replaced()) == (True, False)
    before.close()
    after.close()


def test_single_rows_write_small_pages_to_the_journal(tmp_path: Path) -> None:
    db = open_cache(tmp_path / "small.db", SCHEMA, page_bytes=SMALL_PAGE_BYTES)
    for n in range(50):
        db.execute("INSERT INTO kept VALUES (?, ?)", (n, "x" * 100))
    assert (tmp_path / "small.db-wal").stat().st_size < 50 * 2 * SMALL_PAGE_BYTES
    db.close()


async def test_all_records_of_a_fetch_are_applied_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The copy of texts writes its shared pages once per call."""
    partitions = [TopicPartition("texts", p) for p in range(TOPICS_BY_NAME["texts"].partitions)]

    class Consumer:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        async def start(self) -> None: ...

        async def stop(self) -> None: ...

        def assign(self, _: object) -> None: ...

        def seek(self, *_: object) -> None: ...

        async def end_offsets(self, _: object) -> dict[TopicPartition, int]:
            return dict.fromkeys(partitions, 1)

        async def beginning_offsets(self, _: object) -> dict[TopicPartition, int]:
            return dict.fromkeys(partitions, 0)

        async def getmany(self, **_: object) -> dict[TopicPartition, list[Any]]:
            return {
                tp: [
                    SimpleNamespace(
                        topic=tp.topic, partition=tp.partition, offset=0, key=b"id", value=b"text"
                    )
                ]
                for tp in partitions
            }

        async def position(self, _: object) -> int:
            return 1

    applied: list[list[tuple[int, int]]] = []

    async def apply(entries: Sequence[KeyedEntry]) -> None:
        applied.append([(e.partition, e.offset) for e in entries])
        raise asyncio.CancelledError

    monkeypatch.setattr(compacted_topic, "create_groupless_consumer", Consumer)
    monkeypatch.setattr(compacted_topic, "FetchThrottle", Consumer)
    with pytest.raises(asyncio.CancelledError):
        await TopicFollower("127.0.0.1:9", ["texts"], apply).run()
    assert applied == [[(tp.partition, 0) for tp in partitions]]
