"""Web push against a real push service on loopback that decrypts like a browser."""

from __future__ import annotations

import hmac
import os
import struct
from base64 import urlsafe_b64decode
from dataclasses import replace
from typing import Any

import orjson
import pytest
from aiohttp import web
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.words import Channel
from services.delivery.channels.base import CallResult, Outgoing
from services.delivery.channels.push import MESSAGE_BYTES, PushDriver, encrypt_message, lint
from services.runtime.http.web_push import (
    PushSettings,
    Subscription,
    SubscriptionKeys,
    VapidKey,
    decode_base64,
    encode_base64,
)
from tests.integration.delivery.outgoing import NOTIFICATION, outgoing, with_forms
from tests.integration.delivery.serving import serving

CONTACT = "mailto:veille@vigie.example"
VAPID = VapidKey(b"\x07" * 32, clock=lambda: 1_800_000_000.0)


class Browser:
    """A browser's part of a subscription."""

    def __init__(self) -> None:
        self.private, self.secret = ec.generate_private_key(ec.SECP256R1()), os.urandom(16)
        self.public = self.private.public_key().public_bytes(
            Encoding.X962, PublicFormat.UncompressedPoint
        )

    def subscription(self, endpoint: str) -> Subscription:
        return Subscription(
            endpoint=endpoint,
            keys=SubscriptionKeys(
                p256dh=encode_base64(self.public), auth=encode_base64(self.secret)
            ),
        )

    def read(self, body: bytes) -> bytes:
        """Decrypt a message by RFC 8291, from the receiver's side."""
        salt, (size, length) = body[:16], struct.unpack(">IB", body[16:21])
        sender, sealed = body[21 : 21 + length], body[21 + length :]
        assert len(sealed) <= size
        shared = self.private.exchange(
            ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
        )
        info = b"WebPush: info\0" + self.public + sender
        keying = HKDFExpand(SHA256(), 32, info).derive(_extract(self.secret, shared))
        pseudo = _extract(salt, keying)
        key = HKDFExpand(SHA256(), 16, b"Content-Encoding: aes128gcm\0").derive(pseudo)
        nonce = HKDFExpand(SHA256(), 12, b"Content-Encoding: nonce\0").derive(pseudo)
        plain = AESGCM(key).decrypt(nonce, sealed, None)
        assert plain.rstrip(b"\0")[-1:] == b"\x02"
        return plain.rstrip(b"\0")[:-1]


def _extract(salt: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt, secret, "sha256")


class Gone:
    """Inbox that records ended subscriptions."""

    def __init__(self) -> None:
        self.ended: list[tuple[Channel, str]] = []

    async def receipt(self, *_: Any) -> bool:
        raise AssertionError("the browser posts receipts to the front")

    def list_awaited_ids(self, _: Channel) -> frozenset[str]:
        raise AssertionError("the browser posts receipts to the front")

    async def accept_text(self, *_: Any, **__: Any) -> bool:
        raise AssertionError("nobody writes back")

    async def accept_part(self, *_: Any, **__: Any) -> bool:
        raise AssertionError("only an SMSC gives texts in parts")

    async def remove_address(self, channel: Channel, outgoing: Outgoing) -> None:
        self.ended.append((channel, outgoing.row.person))


def settings(services: str = "127.0.0.1") -> PushSettings:
    return PushSettings(push_contact=CONTACT, push_services=services)  # type: ignore[arg-type]


async def call(
    handle: Any, inbox: Gone, browser: Browser, timeout_s: float = 10, **changes: Any
) -> CallResult:
    async with serving(handle) as url, PushDriver(settings(), VAPID, inbox) as push:
        return await push.call(
            outgoing(browser.subscription(f"{url}/send/abc").address, **changes), timeout_s
        )


async def test_only_the_browser_reads_the_signed_message() -> None:
    browser, requests = Browser(), list[tuple[dict[str, str], bytes, str]]()

    async def handle(request: web.Request) -> web.Response:
        requests.append(
            (
                {k.lower(): v for k, v in request.headers.items()},
                await request.read(),
                f"http://{request.host}",
            )
        )
        return web.Response(status=201, headers={"Location": "https://push.example/m/1"})

    assert await call(handle, Gone(), browser) == CallResult("accepted")
    headers, body, origin = requests[0]
    notification = orjson.loads(browser.read(body))
    assert (
        notification["url"],
        notification["receipt"],
        notification["tag"],
        notification["stays"],
        notification["lang"],
    ) == (
        "/a/token",
        "/r/token",
        NOTIFICATION,
        True,
        "fr",
    )
    assert notification["title"].startswith("N3 – Incident")
    assert (headers["content-encoding"], headers["urgency"], headers["ttl"]) == (
        "aes128gcm",
        "high",
        str((10 + 60) * 60),
    )
    assert len(headers["topic"]) <= 32
    claims = verified(headers["authorization"])
    assert (claims["aud"], claims["sub"]) == (origin, CONTACT)
    assert 1_800_000_000 < claims["exp"] <= 1_800_000_000 + 86_400
    assert b"92-2027" not in body
    with pytest.raises(InvalidTag):
        Browser().read(body)


def verified(header: str) -> dict[str, Any]:
    """Return the claims of a VAPID header after checking its signature with its key."""
    kind, _, rest = header.partition(" ")
    token, key = (part.strip().partition("=")[2] for part in rest.split(","))
    assert (kind, key) == ("vapid", VAPID.public)
    signed, _, signature = token.rpartition(".")
    raw = decode_base64(signature)
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decode_base64(key))
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    public.verify(der, signed.encode(), ec.ECDSA(SHA256()))
    with pytest.raises(InvalidSignature):
        public.verify(der, b"x" + signed.encode(), ec.ECDSA(SHA256()))
    return dict(orjson.loads(decode_base64(signed.partition(".")[2])))


@pytest.mark.parametrize("status", [404, 410])
async def test_a_subscription_that_ended_leaves_the_directory(status: int) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=status)

    inbox = Gone()
    assert await call(handle, inbox, Browser()) == CallResult("failed", error="subscription_gone")
    assert inbox.ended == [(Channel.APP, "dir-sol")]


@pytest.mark.parametrize(
    ("status", "retry"), [(429, True), (503, True), (400, False), (403, False), (413, False)]
)
async def test_other_refusals_are_reported_by_code_and_end_nothing(
    status: int, retry: bool
) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=status, text="no")

    inbox = Gone()
    assert await call(handle, inbox, Browser()) == CallResult(
        "failed", error=f"push_{status}", retry=retry
    )
    assert inbox.ended == []


async def test_only_known_services_are_asked_and_only_subscriptions_are_addresses() -> None:
    async def never(_: web.Request) -> web.Response:
        raise AssertionError("asked")

    async with serving(never) as url, PushDriver(settings("push.example"), VAPID, Gone()) as push:
        stranger = outgoing(Browser().subscription(f"{url}/x").address)
        assert await push.call(stranger, 5) == CallResult("failed", error="push_service_unknown")
        for wrong in (
            "",
            "{}",
            "device-7",
            '{"endpoint": "https://push.example/x", "keys": {"p256dh": "AA", "auth": "AA"}}',
        ):
            assert await push.call(replace(stranger, address=wrong), 5) == CallResult(
                "failed", error="address_invalid"
            )


@pytest.mark.parametrize(
    ("endpoint", "serves"),
    [
        ("https://fcm.googleapis.com/fcm/send/x", True),
        ("https://updates.push.services.mozilla.com/wpush/v2/x", True),
        ("https://par02p.notify.windows.com/w/?token=x", True),
        ("https://web.push.apple.com/x", True),
        ("http://fcm.googleapis.com/x", False),
        ("https://fcm.googleapis.com.evil.example/x", False),
        ("https://evil.example/fcm.googleapis.com", False),
        ("https://u:p@fcm.googleapis.com/x", False),
        ("https://127.0.0.1/x", False),
        ("file:///etc/passwd", False),
        ("https://[x/", False),
        ("https://evil.example\\.fcm.googleapis.com/", False),
        ("https://evil.example%2f.fcm.googleapis.com/", False),
        ("https://evil.example\0.fcm.googleapis.com/", False),
        ("https://evil.example .fcm.googleapis.com/", False),
        ("https://evil.example;.fcm.googleapis.com/", False),
    ],
)
def test_messages_go_to_the_services_of_browsers_and_nowhere_else(
    endpoint: str, serves: bool
) -> None:
    assert PushSettings(push_contact=CONTACT).serves(endpoint) is serves


def test_the_example_of_the_specification_comes_out_byte_for_byte() -> None:
    """RFC 8291, 5."""
    keys = SubscriptionKeys(
        p256dh="BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        auth="BTBZMqHH6r4Tts7J_aSIgg",
    )
    private = ec.derive_private_key(
        int.from_bytes(decode_base64("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")), ec.SECP256R1()
    )
    made = encrypt_message(
        b"When I grow up, I want to be a watermelon",
        keys,
        salt=decode_base64("DGv6ra1nlYgDCS1FRnbzlw"),
        private=private,
    )
    assert made == urlsafe_b64decode(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


async def test_a_long_text_is_cut_to_the_limit_of_push_services() -> None:
    browser, bodies = Browser(), list[bytes]()

    async def handle(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(status=201)

    made = outgoing("x")
    text = with_forms(made.text, push="é" * 9_000, push_title="€" * 900)
    assert (await call(handle, Gone(), browser, text=text)).outcome == "accepted"
    assert len(bodies[0]) <= 4096
    assert orjson.loads(browser.read(bodies[0]))["body"].startswith("é" * 300)
    with pytest.raises(ValueError, match="longer"):
        encrypt_message(
            b"x" * (MESSAGE_BYTES + 1), browser.subscription("https://x.example/1").keys
        )


def test_the_linter_wants_an_address_and_pages_that_browsers_trust() -> None:
    def found(
        contact: str, public_url: str = "https://vigie.example", **more: Any
    ) -> list[tuple[str, bool]]:
        return [
            (f.variable, f.error)
            for f in lint(PushSettings(push_contact=contact, **more), public_url)
        ]

    assert (
        found("")
        == found(CONTACT)
        == found("https://vigie.example/contact")
        == found(CONTACT, "http://127.0.0.1:8092")
        == []
    )
    assert found("veille@vigie.example") == [("VIGIE_PUSH_CONTACT", True)]
    assert found(CONTACT, "http://vigie.example") == [("VIGIE_PUBLIC_URL", False)]
    assert found(CONTACT, push_services="") == [("VIGIE_PUSH_SERVICES", True)]
