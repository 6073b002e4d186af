"""Webhooks against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from services.delivery.channels.webhook import GuardedResolver, WebhookDriver, sign_webhook
from tests.faults.matrix import proves
from tests.integration.delivery.outgoing import LINK, NOTIFICATION, outgoing

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """An HTTP server that answers with `status`, or not at all."""

    def __init__(
        self,
        status: int = 204,
        hang: bool = False,
        drop: bool = False,
        location: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status, self.hang, self.drop, self.location, self.headers = (
            status,
            hang,
            drop,
            location,
            headers or {},
        )
        self.got: list[tuple[dict[str, str], bytes]] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.got.append(({k.lower(): v for k, v in request.headers.items()}, await request.read()))
        if self.hang:
            await asyncio.Event().wait()
        if self.drop and request.transport is not None:
            request.transport.abort()
        return web.Response(
            status=self.status,
            headers={"Location": self.location} if self.location else self.headers,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook?k=1"
        finally:
            await runner.cleanup()


async def call(receiver: Receiver, timeout_s: float = 5, **changes: Any) -> Any:
    async with (
        receiver.running() as url,
        WebhookDriver(SECRET, clock=lambda: 1_614_265_330.9) as webhook,
    ):
        return await webhook.call(outgoing(url, **changes), timeout_s)


def test_signatures_are_those_of_standard_webhooks() -> None:
    """The example of the specification."""
    signature = sign_webhook(
        SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_signed_message_arrives() -> None:
    receiver = Receiver()
    result = await call(receiver)
    assert (result.outcome, result.provider_id) == ("accepted", NOTIFICATION)
    ((headers, body),) = receiver.got
    assert headers["webhook-id"] == NOTIFICATION
    assert headers["webhook-signature"] == sign_webhook(
        SECRET, NOTIFICATION, int(headers["webhook-timestamp"]), body
    )
    data = json.loads(body)["data"]
    assert (
        data["notification"],
        data["level"],
        data["answer_url"],
        data["possible_duplicate"],
    ) == (NOTIFICATION, 3, LINK, False)


async def test_a_repetition_carries_the_same_id_and_is_marked() -> None:
    receiver = Receiver()
    await call(receiver)
    await call(receiver, number=2, possible_duplicate=True)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert json.loads(receiver.got[1][1])["data"]["possible_duplicate"] is True


@pytest.mark.parametrize(
    ("status", "outcome", "retry"),
    [
        (200, "accepted", False),
        (202, "accepted", False),
        (301, "failed", False),
        (400, "failed", False),
        (410, "failed", False),
        (429, "failed", True),
        (500, "failed", True),
        (503, "failed", True),
        (504, "ambiguous", False),
    ],
)
async def test_the_status_gives_the_result(status: int, outcome: str, retry: bool) -> None:
    result = await call(Receiver(status))
    assert (result.outcome, result.retry) == (outcome, retry)


@pytest.mark.parametrize(
    ("status", "said", "asked_s"),
    [
        (429, "120", 120),
        (503, "0", 0),
        (503, "Fri, 27 Nov 2026 08:02:30 GMT", 150),
        (429, "Fri, 27 Nov 2026 07:00:00 GMT", 0),
        (503, "9" * 30, 86_400),
        (503, "soon", None),
        (503, "Fri, 27 Nov 99999999999999 08:00:00 GMT", None),
        (503, "-5", None),
        (503, "", None),
        (400, "120", None),
        (200, "120", None),
    ],
)
async def test_the_retry_time_of_the_receiver_is_reported(
    status: int, said: str, asked_s: int | None
) -> None:
    """A date counts from the receiver's own clock."""
    headers = {"Retry-After": said, "Date": "Fri, 27 Nov 2026 08:00:00 GMT"}
    assert (await call(Receiver(status, headers=headers))).retry_after_s == asked_s


async def test_a_redirection_is_not_followed() -> None:
    other = Receiver()
    async with other.running() as elsewhere:
        assert (await call(Receiver(307, location=elsewhere))).error == "webhook_307"
    assert not other.got


@proves("provider", "network", doubled="said")
async def test_silence_or_a_cut_after_the_request_is_a_doubt() -> None:
    assert (await call(Receiver(hang=True), timeout_s=0.2)).outcome == "ambiguous"
    assert (await call(Receiver(drop=True))).outcome == "ambiguous"


async def test_a_missing_receiver_is_a_transient_failure() -> None:
    async with Receiver().running() as url:
        pass
    async with WebhookDriver(SECRET) as webhook:
        result = await webhook.call(outgoing(url), 2)
    assert (result.outcome, result.retry) == ("failed", True)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/hook",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "https://",
        "http://[::1",
        "",
        "http://127.0.0.1.example.org/",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://0.0.0.0/",
    ],
)
async def test_only_https_and_loopback_are_called(url: str) -> None:
    async with WebhookDriver(SECRET) as webhook:
        assert (await webhook.call(outgoing(url), 2)).error == "webhook_url_not_https"


class Names(AbstractResolver):
    """A resolver that answers with these addresses for any name."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=a, port=port, family=family, proto=0, flags=0)
            for a in self._addresses
        ]

    async def close(self) -> None: ...


async def test_a_name_leads_to_no_link_local_address() -> None:
    """The owner of a name chooses its addresses: only the literal address was looked at."""
    with pytest.raises(OSError, match="may be called"):
        await GuardedResolver(Names("169.254.169.254", "fe80::1%eth0")).resolve("hook.example.org")
    both = await GuardedResolver(Names("169.254.169.254", "192.0.2.7")).resolve("hook.example.org")
    assert [answer["host"] for answer in both] == ["192.0.2.7"]
    for own in ("10.1.2.3", "192.168.1.4", "fd00::1", "127.0.1.1"):
        (answer,) = await GuardedResolver(Names(own)).resolve("astreinte.interne")
        assert answer["host"] == own


async def test_a_call_to_a_name_without_a_callable_address_fails_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("aiohttp.DefaultResolver", lambda: Names("169.254.169.254"))
    async with WebhookDriver(SECRET) as webhook:
        result = await webhook.call(outgoing("https://hook.example.org/"), 2)
    assert (result.outcome, result.error, result.retry) == ("failed", "webhook_connection", True)
