"""The keyring of a machine in a cluster: its data keys are on every other machine, too.

`keyring.db` then also holds the other machines, the private keys with which this machine opens what
they send (`services.runtime.secrets.mailbox`), and the numbers of erased keys, so that no late
record brings one back. `services.runtime.secrets.key_exchange` sends and receives.
"""

import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.runtime.kafka.clients import BrokerAway
from services.runtime.process.machine import now_ms
from services.runtime.process.settings import DataDir
from services.runtime.process.sqlite_cache import begin_transaction
from services.runtime.secrets.keyring import KEY_BYTES, Keyring, MasterKey
from services.runtime.secrets.mailbox import Hello, Mailbox, StoredKey, generate_key_pair

INDEX_BITS: Final = 16
"""Bits of a key's number inside its pool; the others are drawn at random for each pool."""
KEPT_EPOCHS: Final = 2
"""Newest private keys that are kept: others may not yet know the newest public key."""
_PRIVATE: Final = b"mailbox"
_TABLES: Final = """
    CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS mailbox (
        epoch INTEGER PRIMARY KEY, private BLOB NOT NULL, public BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS machines (
        name TEXT PRIMARY KEY, at INTEGER NOT NULL, epoch INTEGER NOT NULL, public BLOB,
        request TEXT NOT NULL, owed TEXT);
    CREATE TABLE IF NOT EXISTS erased (id INTEGER PRIMARY KEY, told INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS untold ON erased (id) WHERE told = 0;
"""
FIRST: Final = "first"
"""Debt to a machine that is new here and asks for nothing."""


@dataclass(frozen=True, slots=True)
class NewPool:
    """Keys of this machine that are on its disk, and not yet on the others."""

    keys: tuple[tuple[int, bytes], ...]
    stored_keys: tuple[StoredKey, ...]


class SharedKeyring(Keyring):
    """Keyring of a machine in a cluster: a put uses a key once all other machines can have it.

    Numbers of keys are drawn at random for each pool, so machines never give the same number.
    """

    def __init__(self, path: Path, master: MasterKey, machine: str) -> None:
        super().__init__(path, master)
        self.machine: Final = machine
        self.mailbox: Final = Mailbox(master)
        self._db.executescript(_TABLES)
        with self._change():
            # A folder that was copied to another machine is another member
            if self._fact("machine") != machine:
                self._db.execute("DELETE FROM facts")
                self._db.execute("DELETE FROM mailbox")
                self._db.execute("DELETE FROM machines")
                self._set("machine", machine)
                self._set("request", secrets.token_hex(8))

    # -- Keys for puts

    @property
    def pool_size(self) -> int:
        """Number of keys that a put may use at once."""
        return len(self._pool)

    @property
    def is_low(self) -> bool:
        """Whether more keys should be made."""
        return len(self._pool) <= self._batch // 2

    def take_key(self) -> tuple[int, bytes]:
        """Return a new key that every machine can have, and its number. Raises BrokerAway."""
        try:
            return self._pool.popleft()
        except IndexError:
            raise BrokerAway("no data key is shared with the other machines yet") from None

    def make_pool(self) -> NewPool:
        """Make durable keys for the next puts, which must not use them yet."""
        base = secrets.randbits(63 - INDEX_BITS) << INDEX_BITS
        keys = tuple((base + index, os.urandom(KEY_BYTES)) for index in range(self._batch))
        wrapped_keys = tuple(StoredKey(number, self._wrap(key)) for number, key in keys)
        with self._change():
            self._db.executemany("INSERT INTO keys (id, wrapped) VALUES (?, ?)", wrapped_keys)
        self._batch = min(self._batch * 4, self.POOL)
        return NewPool(keys, wrapped_keys)

    def release_pool(self, pool: NewPool) -> None:
        """Release a pool that the topic has acknowledged, for puts."""
        self._pool.extend(pool.keys)

    # -- Keys of all machines

    def is_pending(self, number: int) -> bool:
        """Return whether a key may still arrive: it is not here, and was not erased."""
        with self._lock:
            row = self._db.execute(
                "SELECT 1 FROM keys WHERE id = ? UNION ALL SELECT 1 FROM erased WHERE id = ?",
                (number, number),
            ).fetchone()
        return row is None

    def add_keys(self, keys: Iterable[StoredKey]) -> int:
        """Store keys of another machine, except erased ones; return the number of new ones."""
        with self._change():
            before = self._db.total_changes
            self._db.executemany(
                "INSERT OR IGNORE INTO keys (id, wrapped) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 "
                "FROM erased WHERE id = ?1)",
                keys,
            )
            return self._db.total_changes - before

    def list_keys(self, after: int, limit: int) -> list[StoredKey]:
        """Return the keys with the next numbers after this one."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, wrapped FROM keys WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
            ).fetchall()
        return [StoredKey(*row) for row in rows]

    def erase(self, numbers: Iterable[int]) -> None:
        """Delete keys for ever here, and remember to tell the other machines."""
        self._erase(numbers, is_shared=False)

    def erase_told(self, numbers: Iterable[int]) -> None:
        """Delete keys for ever that another machine has erased."""
        self._erase(numbers, is_shared=True)

    def _erase(self, numbers: Iterable[int], *, is_shared: bool) -> None:
        key_numbers = tuple(numbers)
        with self._change():
            self._db.executemany(
                "INSERT INTO erased VALUES (?, ?) ON CONFLICT DO UPDATE SET told = max(told, "
                "excluded.told)",
                ((number, is_shared) for number in key_numbers),
            )
        super().erase(key_numbers)

    def list_untold(self, limit: int) -> tuple[int, ...]:
        """Return numbers of erased keys of which the other machines do not know."""
        with self._lock:
            rows = self._db.execute("SELECT id FROM erased WHERE told = 0 LIMIT ?", (limit,))
            return tuple(row[0] for row in rows.fetchall())

    def mark_told(self, numbers: Iterable[int]) -> None:
        """Record that the topic has these erasures."""
        with self._change():
            self._db.executemany(
                "UPDATE erased SET told = 1 WHERE id = ?", ((number,) for number in numbers)
            )

    # -- Own announcements

    def announce(self, *, renew: bool) -> Hello:
        """Return the next announcement of this machine, with a new key pair if `renew`.

        Older private keys are forgotten, except the one before.
        """
        with self._change():
            now = max(now_ms(), int(self._fact("at") or 0) + 1)
            newest = self._db.execute(
                "SELECT epoch, public FROM mailbox ORDER BY epoch DESC LIMIT 1"
            ).fetchone()
            if renew or newest is None:
                private, public = generate_key_pair()
                newest = (now, public)
                self._db.execute(
                    "INSERT INTO mailbox VALUES (?, ?, ?)",
                    (now, self._wrap(private, _PRIVATE), public),
                )
                self._db.execute(
                    "DELETE FROM mailbox WHERE epoch NOT IN (SELECT epoch FROM mailbox ORDER BY "
                    "epoch DESC LIMIT ?)",
                    (KEPT_EPOCHS,),
                )
            self._set("at", str(now))
            request = self._fact("request") or ""
        if renew:
            self._shrink_journal()
        epoch, key = newest
        return Hello(self.machine, now, epoch, key, request)

    def get_private_key(self, epoch: int) -> bytes | None:
        """Return a private key of this machine; None if it was forgotten."""
        with self._lock:
            row = self._db.execute(
                "SELECT private FROM mailbox WHERE epoch = ?", (epoch,)
            ).fetchone()
        return None if row is None else self._unwrap(row[0], _PRIVATE)

    @property
    def renewed_at(self) -> int:
        """Time (ms) of the newest key pair; 0 without one."""
        with self._lock:
            row = self._db.execute("SELECT max(epoch) FROM mailbox").fetchone()
        return int(row[0] or 0)

    @property
    def is_joined(self) -> bool:
        """Whether this machine has read its own announcement, and so all earlier ones."""
        with self._lock:
            return self._fact("joined") == "1"

    @property
    def request(self) -> str:
        """The request for keys that nobody has answered yet; empty = nothing is missing."""
        with self._lock:
            return self._fact("request") or ""

    def ask_again(self) -> None:
        """Ask every machine for its keys: some may not have reached this one."""
        with self._change():
            self._set("request", secrets.token_hex(8))

    def begin(self) -> None:
        """Wait with new keys until this run has read its own announcement."""
        with self._change():
            self._db.execute("DELETE FROM facts WHERE name = 'joined'")

    def restart(self) -> None:
        """Begin again on a topic that was made again or has lost records."""
        with self._change():
            self._db.execute("DELETE FROM facts WHERE name IN ('joined', 'next')")
            self._set("request", secrets.token_hex(8))

    @property
    def next_offset(self) -> int:
        """Offset of the topic's next record to read."""
        with self._lock:
            return int(self._fact("next") or 0)

    def advance(self, offset: int) -> None:
        """Record the topic's next record to read."""
        with self._change():
            self._set("next", str(offset))

    def needs_review(self) -> bool:
        """Return whether late keys arrived, so that records refused before may be ours."""
        with self._lock:
            return self._fact("review") == "1"

    def set_review(self, *, is_needed: bool) -> None:
        """Record whether refused records must be read again."""
        with self._change():
            self._set("review", "1" if is_needed else "0")

    # -- Announcements of the others

    def hear(self, hello: Hello) -> None:
        """Take a machine's newest public key; owe a new machine, or one that asks, all keys."""
        with self._change():
            if hello.machine == self.machine:
                if hello.at >= int(self._fact("at") or 0):
                    self._set("joined", "1")
                return
            row = self._db.execute(
                "SELECT at, public, request FROM machines WHERE name = ?", (hello.machine,)
            ).fetchone()
            if row is not None and hello.at <= row[0]:
                return  # Sent again, perhaps by a stranger
            is_new = row is None or row[1] is None
            asks = hello.request and (is_new or hello.request != row[2])
            owed = hello.request if asks else FIRST if is_new else None
            self._db.execute(
                "INSERT INTO machines VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
                "at = excluded.at, epoch = excluded.epoch, public = excluded.public, request = "
                "excluded.request, owed = coalesce(excluded.owed, owed)",
                (hello.machine, hello.at, hello.epoch, hello.public, hello.request, owed),
            )

    def dismiss(self, machine: str, at: int) -> None:
        """Seal nothing more for a machine, until it announces itself again."""
        with self._change():
            if machine == self.machine:
                if at > int(self._fact("at") or 0):  # We were thought lost: keys may be missing
                    self._set("request", secrets.token_hex(8))
                return
            self._db.execute(
                "INSERT INTO machines VALUES (?, ?, 0, NULL, '', NULL) ON CONFLICT (name) DO "
                "UPDATE SET at = excluded.at, public = NULL, owed = NULL WHERE at < excluded.at",
                (machine, at),
            )

    def accept_answer(self, request: str) -> None:
        """Record that a machine has sent all its keys."""
        with self._change():
            if request == self._fact("request"):
                self._set("request", "")

    def list_addressees(self) -> list[Hello]:
        """Return the newest announcement of every other machine."""
        with self._lock:
            rows = self._db.execute(
                "SELECT name, at, epoch, public, request FROM machines WHERE public IS NOT NULL"
            ).fetchall()
        return [Hello(*row) for row in rows]

    def list_owed(self) -> list[tuple[Hello, str]]:
        """Return the machines that wait for the whole keyring, each with its request."""
        with self._lock:
            rows = self._db.execute(
                "SELECT name, owed FROM machines WHERE owed IS NOT NULL AND public IS NOT NULL"
            ).fetchall()
        owed = dict(rows)
        return [(h, owed[h.machine]) for h in self.list_addressees() if h.machine in owed]

    def settle_debt(self, machine: str, request: str) -> None:
        """Record that a machine was sent the whole keyring."""
        with self._change():
            self._db.execute(
                "UPDATE machines SET owed = NULL WHERE name = ? AND owed = ?", (machine, request)
            )

    # -- Helpers

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self._lock, begin_transaction(self._db):
            yield

    def _fact(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _set(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def _shrink_journal(self) -> None:
        with self._lock:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def read_next_offset(data: DataDir) -> int:
    """Return the topic's next record that this machine will read, without opening the keyring."""
    with closing(sqlite3.connect(data.secrets / "keyring.db", timeout=10)) as db:
        try:
            row = db.execute("SELECT value FROM facts WHERE name = 'next'").fetchone()
        except sqlite3.OperationalError:  # Never opened in a cluster
            return 0
    return int(row[0]) if row else 0
