"""SQLite files that hold a copy of data in the logs.

A damaged file is renamed and created again; the logs fill it. Opening checks the file, which takes
2 s per GB: open a large one in a thread, and once. The keyring is no such file, because its keys
exist only there (`services.runtime.secrets.keyring`).
"""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

SMALL_PAGE_BYTES: Final = 1024
"""Page size for single rows: each write copies all pages that it changes."""
CHECKPOINT_BYTES: Final = 8_192_000
"""Size of a journal from which its pages move to the file, each one once."""
_DAMAGE_CODES: Final = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))


def open_cache(
    path: Path, schema: str, *pragmas: str, page_bytes: int = 4096
) -> sqlite3.Connection:
    """Open a connection in autocommit mode, for any thread.

    Several processes may open it at once. A file that exists keeps its pages. Raises OSError,
    sqlite3.Error (disk full).
    """
    pragmas = (
        f"page_size={page_bytes}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        f"wal_autocheckpoint={CHECKPOINT_BYTES // page_bytes}",
        *pragmas,
    )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.with_suffix(".opening").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return _open_checked(path, schema, pragmas)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in _DAMAGE_CODES:
                raise
            log.error(
                "copy.damaged",
                path=str(path),
                error=str(error),
                kept=str(path.with_suffix(".damaged")),
            )
        path.replace(path.with_suffix(".damaged"))
        for journal in ("-wal", "-shm"):
            path.with_name(path.name + journal).unlink(missing_ok=True)
        return _open_checked(path, schema, pragmas)


def open_second_connection(path: Path) -> sqlite3.Connection:
    """Open another connection to a file that this process has opened with `open_cache`."""
    return sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)


@contextmanager
def begin_transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Write the changes of a block as a whole, or nothing if it fails."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # A full disk ends it
            db.execute("ROLLBACK")
        raise


def _open_checked(path: Path, schema: str, pragmas: tuple[str, ...]) -> sqlite3.Connection:
    db = open_second_connection(path)
    try:
        path.chmod(0o600)
        for pragma in pragmas:
            db.execute(f"PRAGMA {pragma}")
        if (check_answer := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise _build_damage_error(check_answer)
        db.executescript(schema)
    except BaseException:
        db.close()
        raise
    return db


def _build_damage_error(check_answer: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(check_answer)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
