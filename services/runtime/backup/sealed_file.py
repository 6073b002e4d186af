"""An encrypted file, written and read as a stream in bounded memory, that reveals every change.

    magic, salt (16), nonce prefix (7), check (16), then frames:
    length (4, big-endian), AES-256-GCM of up to 1 MiB of zlib-compressed plain bytes

The nonce of a frame consists of prefix, number of the frame and a flag for the last one (the STREAM
construction). So frames that are missing, repeated, exchanged or cut off at the end do not open.
The key is Argon2id of the secret and the salt; `check` tells a wrong key from a changed file.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from hmac import compare_digest
from typing import IO, Final

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC: Final = b"VIGIE-BACKUP-1\n"
FRAME_BYTES: Final = 1 << 20
MIN_SECRET_CHARS: Final = 12
"""Least length of a passphrase: the file may lie in many places, for years."""
_SALT, _PREFIX, _CHECK, _TAG = 16, 7, 16, 16
_HEAD_BYTES: Final = len(MAGIC) + _SALT + _PREFIX + _CHECK
_FRAME_LENGTH: Final = struct.Struct(">I")
_MAX_SEALED_BYTES: Final = FRAME_BYTES + 1024 + _TAG
"""Greatest size of a sealed frame: incompressible bytes grow a little."""


class SealedInvalid(ValueError):
    """Not a backup, not this key, cut off or changed: the message tells them apart."""


class SecretTooShort(ValueError):
    """The key of a backup has fewer than `MIN_SECRET_CHARS` characters."""


def _derive_key(secret: bytes, salt: bytes) -> bytes:
    if len(secret) < MIN_SECRET_CHARS:
        raise SecretTooShort(f"la clé d’une sauvegarde a {MIN_SECRET_CHARS} caractères au moins")
    return hash_secret_raw(
        secret, salt, time_cost=3, memory_cost=64 << 10, parallelism=1, hash_len=32, type=Type.ID
    )


def _compute_check(key: bytes, salt: bytes, prefix: bytes) -> bytes:
    return blake2b(salt + prefix, key=key, digest_size=_CHECK, person=b"vigie.backup").digest()


def _build_nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])


class SealedWriter:
    """Writer of a sealed file; without `close` the file does not open."""

    def __init__(self, file: IO[bytes], secret: bytes) -> None:
        """Write the head of the file. Raises SecretTooShort, OSError."""
        salt, self._prefix = os.urandom(_SALT), os.urandom(_PREFIX)
        key = _derive_key(secret, salt)
        self._file, self._aead, self._number = file, AESGCM(key), 0
        self._head = MAGIC + salt + self._prefix + _compute_check(key, salt, self._prefix)
        self._buffer = bytearray()
        file.write(self._head)

    def write(self, plain: bytes) -> None:
        """Append plain bytes. Raises OSError."""
        self._buffer += plain
        while len(self._buffer) > FRAME_BYTES:
            self._frame(bytes(self._buffer[:FRAME_BYTES]), last=False)
            del self._buffer[:FRAME_BYTES]

    def close(self) -> None:
        """Write the last frame. The file itself stays open."""
        self._frame(bytes(self._buffer), last=True)

    def _frame(self, plain: bytes, *, last: bool) -> None:
        ciphertext = self._aead.encrypt(
            _build_nonce(self._prefix, self._number, last=last), zlib.compress(plain, 1), self._head
        )
        self._file.write(_FRAME_LENGTH.pack(len(ciphertext)) + ciphertext)
        self._number += 1


class SealedReader:
    """Reader of a sealed file; `close` checks that the end is complete."""

    def __init__(self, file: IO[bytes], secret: bytes) -> None:
        """Read the head of the file. Raises SealedInvalid, SecretTooShort, OSError."""
        head = file.read(_HEAD_BYTES)
        if not head.startswith(MAGIC):
            other = head.startswith(MAGIC[: MAGIC.rindex(b"-") + 1])
            raise SealedInvalid(
                "écrit par une autre version de Vigie, dans une forme inconnue de celle-ci"
                if other
                else "n’est pas une sauvegarde de Vigie"
            )
        if len(head) < _HEAD_BYTES:
            raise SealedInvalid("tronqué : il s’arrête dans son en-tête")
        salt = head[len(MAGIC) :][:_SALT]
        self._prefix = head[len(MAGIC) + _SALT :][:_PREFIX]
        key = _derive_key(secret, salt)
        if not compare_digest(head[-_CHECK:], _compute_check(key, salt, self._prefix)):
            raise SealedInvalid("chiffré avec une autre clé")
        self._frames = self._read_frames(file, AESGCM(key), head)
        self._buffer = bytearray()

    def read(self, count: int) -> bytes:
        """Return exactly `count` bytes. Raises SealedInvalid."""
        while len(self._buffer) < count:
            plain = next(self._frames, None)
            if plain is None:
                raise SealedInvalid("endommagé : le contenu s’arrête trop tôt")
            self._buffer += plain
        octets = bytes(self._buffer[:count])
        del self._buffer[:count]
        return octets

    def close(self) -> None:
        """Check that nothing follows. Raises SealedInvalid."""
        if self._buffer or next(self._frames, b""):
            raise SealedInvalid("endommagé : quelque chose suit la fin")

    def _read_frames(self, file: IO[bytes], aead: AESGCM, head: bytes) -> Iterator[bytes]:
        number, is_end = 0, False
        while raw := file.read(_FRAME_LENGTH.size):
            (length,) = _FRAME_LENGTH.unpack(raw) if len(raw) == _FRAME_LENGTH.size else (0,)
            if is_end or (
                len(raw) == _FRAME_LENGTH.size and not _TAG <= length <= _MAX_SEALED_BYTES
            ):
                raise SealedInvalid(f"modifié après l’octet {file.tell()}")
            ciphertext = file.read(length)
            if len(raw) < _FRAME_LENGTH.size or len(ciphertext) < length:
                raise SealedInvalid("tronqué : la fin manque")
            content, is_end = self._one(aead, head, number, ciphertext)
            number += 1
            yield zlib.decompress(content)
        if not is_end:
            raise SealedInvalid("tronqué : la fin manque")

    def _one(self, aead: AESGCM, head: bytes, number: int, ciphertext: bytes) -> tuple[bytes, bool]:
        for last in (False, True):
            try:
                return aead.decrypt(
                    _build_nonce(self._prefix, number, last=last), ciphertext, head
                ), last
            except InvalidTag:
                continue
        raise SealedInvalid(f"modifié dans la partie {number + 1}")
