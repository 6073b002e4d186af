"""The installation's signing key (Ed25519).

With its public half, anybody can verify documents of this installation without asking it.
"""

from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from services.runtime.secrets.keyring import write_private

PRIVATE_FILE: Final = "signing.key"
PUBLIC_FILE: Final = "signing.pub"


class SigningKeyInvalid(ValueError):
    """A file that should hold an Ed25519 key in PEM does not."""


class PublicKey:
    """The public half of the key."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key

    @classmethod
    def load(cls, pem: bytes) -> Self:
        """Load a key from PEM. Raises SigningKeyInvalid."""
        try:
            key = load_pem_public_key(pem)
        except ValueError as error:
            raise SigningKeyInvalid(str(error)) from error
        if not isinstance(key, Ed25519PublicKey):
            raise SigningKeyInvalid("not an Ed25519 key")
        return cls(key)

    @property
    def pem(self) -> bytes:
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the raw key in hex, for people to compare."""
        return sha256(self._key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()

    def verify_signature(self, content: bytes, signature: bytes) -> bool:
        """Return whether the private half made this signature of this content."""
        try:
            self._key.verify(signature, content)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """The key in `secrets/signing.key`, mode 0600, created at first use beside its public half."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    @classmethod
    def open(cls, secrets: Path) -> Self:
        """Return the key of this installation. Raises OSError, SigningKeyInvalid.

        Several processes that start at once agree on one.
        """
        path = secrets / PRIVATE_FILE
        if not path.exists():
            private_bytes = Ed25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
            write_private(path, private_bytes)
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except ValueError as error:
            raise SigningKeyInvalid(f"{path}: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise SigningKeyInvalid(f"{path}: not an Ed25519 key")
        signing_key = cls(key)
        if not (secrets / PUBLIC_FILE).exists():
            write_private(secrets / PUBLIC_FILE, signing_key.public.pem)
        return signing_key

    def sign(self, content: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return self._key.sign(content)
