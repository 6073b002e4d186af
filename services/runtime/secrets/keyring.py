"""The installation's master key, keys derived from it, and the keyring: a data key per item.

Erasing an item means deleting its key: copies of the ciphertext (log segments, mirrors, backups of
Kafka) become unreadable. So the keyring is never backed up beside them, and a deleted key is
overwritten in the file (`secure_delete`, truncated WAL). See
`docs/adr/0010-encrypt-each-text-with-its-own-key.md`.
"""

import os
import secrets
import sqlite3
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.runtime.process.sqlite_cache import begin_transaction

KEY_BYTES: Final = 32
KEYRING_FILE: Final = "keyring.db"
INPUTS_SINCE_FILE: Final = "inputs.since"
"""File beside the master key with the time (ms) from which inputs need a mark.

See `services.runtime.decider.inputs`.
"""
NONCE_BYTES: Final = 12
_DATA_KEY: Final = b"data key"


class MasterKeyInvalid(ValueError):
    """`secrets/master.key` is not 32 bytes, or is not the key of this keyring.

    Restore the right file.
    """


def write_private(path: Path, content: bytes, *, replace: bool = False) -> bool:
    """Write a file that only its owner may read, completely or not at all.

    Returns False if it exists already and `replace` is not set.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
            return True
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        return True
    finally:
        temporary.unlink(missing_ok=True)


def get_or_create_secret(path: Path) -> str:
    """Return the secret in this file, creating it first with 32 random bytes if it is missing.

    Processes that start at once agree on one. Raises OSError.
    """
    if (secret := read_secret(path)) is None:
        write_private(path, secrets.token_urlsafe(KEY_BYTES).encode())
        secret = read_secret(path)
        assert secret is not None
    return secret


def read_secret(path: Path) -> str | None:
    """Return the secret, or None if it is missing or unreadable for this user."""
    try:
        return path.read_text(encoding="ascii").strip() or None
    except (FileNotFoundError, NotADirectoryError, PermissionError, UnicodeDecodeError):
        return None


class MasterKey:
    """32 random bytes in `secrets/master.key`, mode 0600, created at the first start.

    Losing it loses every text and every login.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise MasterKeyInvalid(f"the master key must be {KEY_BYTES} bytes, not {len(key)}")
        self._key = key

    @classmethod
    def open(cls, secrets: Path) -> "MasterKey":
        """Return the key of this installation. Raises OSError, MasterKeyInvalid.

        Several processes that start at once agree on one.
        """
        path = secrets / "master.key"
        if not path.exists():
            if (keyring := secrets / KEYRING_FILE).exists():
                raise MasterKeyInvalid(
                    f"{path} is gone, and {keyring.name} beside it was made with it: put it back "
                    "from a backup, no other opens what is there. Only if it is lost for good, move "
                    f"{keyring.name} away: every text, name and account stays unreadable"
                )
            # A new installation has no input without a mark
            write_private(path.with_name(INPUTS_SINCE_FILE), b"0")
            write_private(path, os.urandom(KEY_BYTES))
        key = path.read_bytes()
        if len(key) != KEY_BYTES:
            raise MasterKeyInvalid(
                f"{path} is damaged ({len(key)} bytes in place of {KEY_BYTES}): put it back from a "
                "backup, no other opens what is there"
            )
        return cls(key)

    def derive_key(self, purpose: str) -> bytes:
        """Return a 32-byte key for one purpose. Knowing it reveals nothing about the others."""
        return blake2b(
            purpose.encode(), key=self._key, digest_size=KEY_BYTES, person=b"vigie.derived"
        ).digest()


def check_keyring(secrets: Path) -> None:
    """Check that the master key opens the newest data key, without a write.

    Raises MasterKeyInvalid, OSError, and sqlite3.Error for a damaged keyring.
    """
    path = secrets / KEYRING_FILE
    if not path.exists():
        return
    master = MasterKey.open(secrets)
    # Only a running Vigie has a journal; a new one of another user would lock it out
    is_open = path.with_name(f"{KEYRING_FILE}-wal").exists()
    address = f"{path.absolute().as_uri()}?mode=ro{'' if is_open else '&immutable=1'}"
    with closing(sqlite3.connect(address, uri=True, timeout=10)) as db:
        # A process that was killed at once leaves a file without the table
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'keys'").fetchone() is None:
            return
        row = db.execute("SELECT wrapped FROM keys ORDER BY id DESC LIMIT 1").fetchone()
    if row is None:
        return
    try:
        decrypt(master.derive_key("keyring"), row[0], _DATA_KEY)
    except ValueError:
        raise MasterKeyInvalid(
            f"{path} was made with another master key than master.key beside it: put that back "
            "from a backup, no other opens what is there"
        ) from None


class Keyring:
    """Data keys by number in `secrets/keyring.db`, each wrapped by the master key.

    Safe for several threads and processes. `take_key` returns keys that are durable already, so a
    put never waits for a disk. Numbers are never used twice. A killed process leaves at most one
    pool of unused keys behind.
    """

    POOL: Final = 1024

    def __init__(self, path: Path, master: MasterKey) -> None:
        self._wrapping = AESGCM(master.derive_key("keyring"))
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        path.chmod(0o600)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS keys (id INTEGER PRIMARY KEY AUTOINCREMENT, wrapped BLOB "
            "NOT NULL)"
        )
        self._pool: deque[tuple[int, bytes]] = deque()
        self._batch = 8
        self._filling: Future[None] | None = None
        self._thread: Executor = ThreadPoolExecutor(1, "keyring")

    def take_key(self) -> tuple[int, bytes]:
        """Return a new durable key and its number.

        Raises sqlite3.Error, for example on a full disk.
        """
        if len(self._pool) <= self._batch // 2 and (self._filling is None or self._filling.done()):
            self._filling = self._thread.submit(self._fill)
        while True:
            try:
                return self._pool.popleft()
            except IndexError:
                self._fill()

    def _fill(self) -> None:
        keys = []
        with self._lock:
            with begin_transaction(self._db):
                for _ in range(self._batch):
                    key = os.urandom(KEY_BYTES)
                    number = self._db.execute(
                        "INSERT INTO keys (wrapped) VALUES (?)", (self._wrap(key),)
                    ).lastrowid
                    assert number is not None
                    keys.append((number, key))
            self._batch = min(self._batch * 4, self.POOL)
        self._pool.extend(keys)

    def key(self, number: int) -> bytes | None:
        """Return the key, or None if it was erased. Raises MasterKeyInvalid."""
        with self._lock:
            row = self._db.execute("SELECT wrapped FROM keys WHERE id = ?", (number,)).fetchone()
        if row is None:
            return None
        return self._unwrap(row[0])

    def _wrap(self, key: bytes, bound_to: bytes = _DATA_KEY) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._wrapping.encrypt(nonce, key, bound_to)

    def _unwrap(self, sealed_key: bytes, bound_to: bytes = _DATA_KEY) -> bytes:
        try:
            return self._wrapping.decrypt(
                sealed_key[:NONCE_BYTES], sealed_key[NONCE_BYTES:], bound_to
            )
        except InvalidTag:
            raise MasterKeyInvalid("the keyring was made with another master key") from None

    def erase(self, numbers: Iterable[int]) -> None:
        """Delete keys for ever, from the file and its journal."""
        with self._lock:
            with begin_transaction(self._db):
                self._db.executemany("DELETE FROM keys WHERE id = ?", ((n,) for n in numbers))
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Erase unused keys and close the file."""
        self._thread.shutdown()
        unused_numbers = [number for number, _ in self._pool]
        self._pool.clear()
        if unused_numbers:
            self.erase(unused_numbers)
        self._db.close()


def encrypt(key: bytes, plain: bytes, bound_to: bytes) -> bytes:
    """Encrypt with AES-256-GCM: nonce and ciphertext.

    `bound_to` must be given again to open it.
    """
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound_to)


def decrypt(key: bytes, ciphertext: bytes, bound_to: bytes) -> bytes:
    """Decrypt the result of `encrypt`.

    Raises ValueError if the key, the bytes or `bound_to` differ.
    """
    try:
        return AESGCM(key).decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], bound_to)
    except InvalidTag:
        raise ValueError("sealed with another key, or changed") from None
