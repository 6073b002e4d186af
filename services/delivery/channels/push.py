"""Web push (RFC 8030): a message that a browser shows, even while no page is open.

Only that browser can read it: an `aes128gcm` record (RFC 8188, RFC 8291). This installation signs
it (RFC 8292). The browser's worker shows the message and posts the receipt
(`services/console/static/js/sw.js`). A subscription that ended (404, 410) leaves the directory.
`Topic` is the notification: a repetition replaces an undelivered message. The settings are in
`services.runtime.http.web_push`, because the page needs them too.
"""

import os
import struct
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from schemas.words import Channel
from services.delivery.channels.base import (
    CallResult,
    ChannelType,
    Inbox,
    Outgoing,
    SettingsFault,
    compute_validity_min,
)
from services.delivery.channels.posting import HttpPoster
from services.runtime.http.web_push import (
    CURVE,
    PushSettings,
    Subscription,
    SubscriptionKeys,
    VapidKey,
    decode_base64,
    encode_base64,
)

_ENDED_SUBSCRIPTION_ERRORS: Final = frozenset({"push_404", "push_410"})
_BODY_CHARACTERS: Final = 1_200
"""Characters that a phone may show; the page behind the link has the full text."""
RECORD_BYTES: Final = 4096
"""Bytes that every push service takes (RFC 8030, 7.2)."""
MESSAGE_BYTES: Final = RECORD_BYTES - 86 - 17
"""Bytes of a message: without the header, the delimiter and the tag."""
_RECORD_DELIMITER: Final = b"\x02"
"""Delimiter of the only record."""


def lint(settings: PushSettings, public_url: str = "") -> Iterator[SettingsFault]:
    """Report errors and surprises; `public_url` is the public address of the front."""
    if not settings.push_contact:
        return
    scheme, _, rest = settings.push_contact.partition(":")
    if scheme not in ("mailto", "https") or not rest:
        yield SettingsFault(
            "VIGIE_PUSH_CONTACT",
            "doit être mailto:… ou https://… : les services push refusent un envoi sans adresse",
        )
    if not settings.push_services:
        yield SettingsFault(
            "VIGIE_PUSH_SERVICES", "ne nomme aucun hôte : rien ne pourrait être envoyé"
        )
    parts = urlsplit(public_url)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        yield SettingsFault(
            "VIGIE_PUBLIC_URL", "un navigateur ne s’abonne que sur une page https://", error=False
        )


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
    shared_secret = private.exchange(
        ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, theirs)
    )
    secret = _derive_key(
        shared_secret, decode_base64(keys.auth), b"WebPush: info\0" + theirs + ours, 32
    )
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


class PushDriver(HttpPoster):
    """Driver for all browsers."""

    def __init__(self, settings: PushSettings, key: VapidKey, inbox: Inbox) -> None:
        super().__init__("push")
        self._settings = settings
        self._key = key
        self._inbox = inbox

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallResult:
        """Send the push message; see `Driver` and `HttpPoster`."""
        try:
            to = Subscription.model_validate_json(outgoing.address)
        except ValidationError:
            return CallResult("failed", error="address_invalid")
        if not self._settings.serves(to.endpoint):
            return CallResult("failed", error="push_service_unknown")
        urgent = outgoing.row.answer_expected or outgoing.row.danger
        headers = {
            "content-type": "application/octet-stream",
            "content-encoding": "aes128gcm",
            "ttl": str(compute_validity_min(outgoing.row) * 60),
            "urgency": "high" if urgent else "normal",
            "topic": encode_base64(UUID(outgoing.row.id).bytes),
            "authorization": self._key.authorization(to.audience, self._settings.push_contact),
        }
        result = await self.post(
            to.endpoint, encrypt_message(build_payload(outgoing), to.keys), headers, timeout_s
        )
        if result.error in _ENDED_SUBSCRIPTION_ERRORS:
            await self._inbox.remove_address(Channel.APP, outgoing)
            return CallResult("failed", error="subscription_gone")
        return result

    def interpret_answer(self, content: bytes) -> CallResult:  # noqa: ARG002
        """Accept a 201; a push service sends no body."""
        return CallResult("accepted")


def build_payload(outgoing: Outgoing) -> bytes:
    """Build the message for the worker; addresses are paths, relative to the subscribed origin."""
    row, text = outgoing.row, outgoing.text
    payload = {
        "title": text.push_title,
        "body": text.push[:_BODY_CHARACTERS],
        "lang": text.lang,
        "tag": row.id,
        "stays": row.answer_expected or row.danger,
        "url": urlsplit(text.link).path if text.link else "/",
        "receipt": urlsplit(outgoing.returns_url).path,
    }
    while len(octets := orjson.dumps(payload)) > MESSAGE_BYTES:
        payload["body"] = str(payload["body"])[: len(str(payload["body"])) // 2]
        payload["title"] = str(payload["title"])[:200]
    return octets


CHANNEL = ChannelType(
    Channel.APP,
    settings=PushSettings,
    provider="push_contact",
    open=lambda settings, inbox: PushDriver(settings, VapidKey.open(settings.data.secrets), inbox),
    lint=lambda settings: lint(settings, settings.public_url),
)
