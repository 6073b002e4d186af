"""Web push: the key that identifies this installation to push services, and subscriptions.

The key (RFC 8292) is derived from the master key. A new master key ends all subscriptions, which
browsers renew when their page is opened.
"""

import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import NoDecode

from services.runtime.process.settings import Settings
from services.runtime.secrets.keyring import MasterKey

CURVE: Final = ec.SECP256R1()
_CURVE_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Order of the group of P-256 (SEC 2, 2.4.2)."""
_PROOF_LIFETIME_S: Final = 12 * 3600
"""Lifetime of a proof of the sender: at most a day (RFC 8292, 2)."""
_BASE64_TEXT: Final = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_HOST_NAME: Final = re.compile(r"[a-z0-9.:-]+")
"""A name or an address. Two programs may read anything else as two hosts."""
PUSH_SERVICES: Final = (
    "fcm.googleapis.com",
    "push.services.mozilla.com",
    "notify.windows.com",
    "web.push.apple.com",
)
"""Push services of common browsers."""


def encode_base64(raw: bytes) -> str:
    """Encode bytes as URL-safe base64 without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_base64(text: str) -> bytes:
    """Decode URL-safe base64. Raises ValueError."""
    if not _BASE64_TEXT.fullmatch(text):
        raise ValueError("not base64url")
    return urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))


class PushSettings(Settings):
    """`VIGIE_PUSH_CONTACT`, `VIGIE_PUSH_SERVICES`."""

    push_contact: str = ""
    """`mailto:` or `https:` address of the operator for push services; empty = no web push."""
    push_services: Annotated[tuple[str, ...], NoDecode] = PUSH_SERVICES
    """Hosts, with their subdomains, to which messages may be posted.

    Subscriptions come from browsers, which may name any host.
    """

    @field_validator("push_services", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        return (
            tuple(part.strip().lower() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    def serves(self, endpoint: str) -> bool:
        """Return whether messages may be posted to an endpoint.

        It must be HTTPS on a known host, or plain HTTP on a known loopback address.
        """
        try:
            parts = urlsplit(endpoint)
            host, _ = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return False
        is_allowed_host = _HOST_NAME.fullmatch(host) is not None and any(
            host == s or host.endswith(f".{s}") for s in self.push_services
        )
        return (
            is_allowed_host
            and not parts.username
            and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)))
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class SubscriptionKeys(BaseModel):
    """Keys of a browser for one subscription."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    p256dh: str = Field(
        max_length=120, description="public key, an uncompressed point of P-256, base64url"
    )
    auth: str = Field(max_length=40, description="16 bytes, base64url")

    @field_validator("p256dh")
    @classmethod
    def _point(cls, text: str) -> str:
        ec.EllipticCurvePublicKey.from_encoded_point(CURVE, decode_base64(text))
        return text

    @field_validator("auth")
    @classmethod
    def _secret(cls, text: str) -> str:
        if len(decode_base64(text)) != 16:
            raise ValueError("must be 16 bytes")
        return text


class Subscription(BaseModel):
    """`PushSubscription.toJSON()` of a browser. Its JSON is an address of the directory."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    endpoint: str = Field(min_length=8, max_length=1_400)
    keys: SubscriptionKeys

    @property
    def address(self) -> str:
        """Address for a contact point of channel `app`."""
        return orjson.dumps(self.model_dump()).decode()

    @property
    def audience(self) -> str:
        """Origin of the push service."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc}"


class VapidKey:
    """Key that proves the sender to push services."""

    def __init__(self, seed: bytes, clock: Callable[[], float] = time.time) -> None:
        self._private = ec.derive_private_key(int.from_bytes(seed) % (_CURVE_ORDER - 1) + 1, CURVE)
        self._clock = clock
        self.public = encode_base64(
            self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        )
        """`applicationServerKey` of the page."""

    @classmethod
    def open(cls, secrets: Path) -> Self:
        """Return the key of the data directory with these `secrets`.

        Raises OSError, MasterKeyInvalid.
        """
        return cls(MasterKey.open(secrets).derive_key("web-push"))

    def authorization(self, audience: str, contact: str) -> str:
        """Return the header that proves the sender to one push service."""
        claims = {"aud": audience, "exp": int(self._clock()) + _PROOF_LIFETIME_S, "sub": contact}
        signing_input = ".".join(
            encode_base64(orjson.dumps(part)) for part in ({"typ": "JWT", "alg": "ES256"}, claims)
        )
        r, s = decode_dss_signature(self._private.sign(signing_input.encode(), ec.ECDSA(SHA256())))
        return f"vapid t={signing_input}.{encode_base64(r.to_bytes(32) + s.to_bytes(32))}, k={self.public}"
