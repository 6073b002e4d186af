"""Records of the topic `keyring`, on which the machines of a cluster exchange data keys.

Data keys are sealed for one machine, with a public key (X25519) that it renews every hour. A
machine forgets its old private keys, so no copy of the topic opens afterwards, even with the master
key. Every record is also sealed with a key that derives from the master key: a stranger on the
broker cannot write one. See `docs/adr/0066-exchange-data-keys-between-machines.md`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import Any, Final, NamedTuple

import orjson
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.runtime.secrets.keyring import KEY_BYTES, NONCE_BYTES, MasterKey, decrypt, encrypt

TOPIC: Final = "keyring"
PURPOSE: Final = "keyring.exchange"
WRAPPED_BYTES: Final = NONCE_BYTES + KEY_BYTES + 16
MAX_KEYS: Final = 8192
"""Keys in one record: half a megabyte."""
_KEY: Final = Struct(f">Q{WRAPPED_BYTES}s")
_FIXED_NONCE: Final = bytes(NONCE_BYTES)


class StoredKey(NamedTuple):
    """A data key as it lies in `keyring.db`: number, and key wrapped by the master key."""

    number: int
    wrapped_key: bytes


@dataclass(frozen=True, slots=True)
class Hello:
    """Announcement of a machine: the public key with which others seal data keys for it."""

    machine: str
    at: int
    """Time in ms, later than that of every earlier record of this machine."""
    epoch: int
    """Number of the public key."""
    public: bytes
    request: str = ""
    """Set if the machine lacks keys: every other machine then sends its whole keyring once."""


@dataclass(frozen=True, slots=True)
class Dismissal:
    """A machine that will not come back: no data keys are sealed for it any more."""

    machine: str
    at: int


@dataclass(frozen=True, slots=True)
class Erasure:
    """Numbers of data keys that every machine deletes."""

    machine: str
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Delivery:
    """Data keys that are sealed for one machine."""

    machine: str
    epoch: int
    public: bytes
    """Public half of the key pair that was made for this record alone."""
    ciphertext: bytes
    answers: str = ""
    """Set on the last record that answers a request."""


KeyringMessage = Hello | Dismissal | Erasure | Delivery


class Mailbox:
    """Writer and reader of the records, for an installation's master key."""

    def __init__(self, master: MasterKey) -> None:
        self._secret = master.derive_key(PURPOSE)

    def seal(self, message: KeyringMessage) -> tuple[str, bytes]:
        """Return key and value of the record of a message."""
        kind, fields, rest = _dump(message)
        key = f"{kind}/{message.machine}"
        return key, encrypt(self._secret, orjson.dumps(fields) + b"\n" + rest, key.encode())

    def open(self, key: str, value: bytes | None) -> KeyringMessage | None:
        """Return the message of a record; None if this installation did not write it."""
        kind, _, machine = key.partition("/")
        try:
            plain = decrypt(self._secret, value or b"", key.encode())
        except ValueError:
            return None
        line, _, rest = plain.partition(b"\n")
        return _load(kind, machine, orjson.loads(line), rest)

    def deliver(self, hello: Hello, keys: Sequence[StoredKey], answers: str = "") -> Delivery:
        """Seal data keys for the machine of a hello."""
        own = X25519PrivateKey.generate()
        shared_secret = own.exchange(X25519PublicKey.from_public_bytes(hello.public))
        public = own.public_key().public_bytes_raw()
        plain = b"".join(_KEY.pack(*key) for key in keys)
        # The key seals this one record only, so its nonce may be fixed
        ciphertext = AESGCM(self._derive(shared_secret, public, hello.public)).encrypt(
            _FIXED_NONCE, plain, hello.machine.encode()
        )
        return Delivery(hello.machine, hello.epoch, public, ciphertext, answers)

    def open_delivery(self, delivery: Delivery, private: bytes) -> list[StoredKey]:
        """Return the data keys of a delivery. Raises ValueError, InvalidTag."""
        own = X25519PrivateKey.from_private_bytes(private)
        shared_secret = own.exchange(X25519PublicKey.from_public_bytes(delivery.public))
        secret = self._derive(shared_secret, delivery.public, own.public_key().public_bytes_raw())
        plain = AESGCM(secret).decrypt(_FIXED_NONCE, delivery.ciphertext, delivery.machine.encode())
        return [StoredKey(*fields) for fields in _KEY.iter_unpack(plain)]

    def _derive(self, shared_secret: bytes, *publics: bytes) -> bytes:
        return blake2b(
            b"".join((shared_secret, *publics)),
            key=self._secret,
            digest_size=KEY_BYTES,
            person=b"vigie.delivery",
        ).digest()


def generate_key_pair() -> tuple[bytes, bytes]:
    """Return (private, public) of a new key pair."""
    private = X25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


def _dump(message: KeyringMessage) -> tuple[str, dict[str, Any], bytes]:
    match message:
        case Hello():
            fields = {"at": message.at, "epoch": message.epoch, "request": message.request}
            return "hello", fields, message.public
        case Dismissal():
            return "dismissed", {"at": message.at}, b""
        case Erasure():
            return "erased", {"numbers": message.numbers}, b""
        case Delivery():
            fields = {"epoch": message.epoch, "answers": message.answers}
            return "keys", fields, message.public + message.ciphertext


def _load(kind: str, machine: str, fields: dict[str, Any], rest: bytes) -> KeyringMessage | None:
    match kind:
        case "hello":
            return Hello(machine, fields["at"], fields["epoch"], rest, fields["request"])
        case "dismissed":
            return Dismissal(machine, fields["at"])
        case "erased":
            return Erasure(machine, tuple(fields["numbers"]))
        case "keys":
            public, ciphertext = rest[:KEY_BYTES], rest[KEY_BYTES:]
            return Delivery(machine, fields["epoch"], public, ciphertext, fields["answers"])
    return None
