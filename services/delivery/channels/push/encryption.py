"""Encrypt a message for one browser: an `aes128gcm` record (RFC 8188, RFC 8291)."""

from __future__ import annotations

import os
import struct
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.runtime.http.web_push import CURVE, SubscriptionKeys, decode_base64

RECORD_BYTES: Final = 4096
"""Bytes that every push service takes (RFC 8030, 7.2)."""
MESSAGE_BYTES: Final = RECORD_BYTES - 86 - 17
"""Bytes of a message: without the header, the delimiter and the tag."""
_RECORD_DELIMITER: Final = b"\x02"
"""Delimiter of the only record."""


def encrypt_message(
    plain: bytes,
    keys: SubscriptionKeys,
    *,
    salt: bytes | None = None,
    private: ec.EllipticCurvePrivateKey | None = None,
) -> bytes:
    """Encrypt the body of the request; salt and key are random for each message.

    Raise ValueError if `plain` is longer than MOST.
    """
    if len(plain) > MESSAGE_BYTES:
        raise ValueError("longer than a push service takes")
    salt, private = salt or os.urandom(16), private or ec.generate_private_key(CURVE)
    theirs = decode_base64(keys.p256dh)
    ours = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    shared = private.exchange(
        ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, theirs)
    )
    secret = _derive_key(shared, decode_base64(keys.auth), b"WebPush: info\0" + theirs + ours, 32)
    key = _derive_key(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derive_key(secret, salt, b"Content-Encoding: nonce\0", 12)
    return (
        salt
        + struct.pack(">IB", RECORD_BYTES, len(ours))
        + ours
        + AESGCM(key).encrypt(nonce, plain + _RECORD_DELIMITER, None)
    )


def _derive_key(secret: bytes, salt: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, purpose).derive(secret)
