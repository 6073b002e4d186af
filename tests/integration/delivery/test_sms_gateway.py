"""SMS over HTTP against a gateway with French rules: hours, senders, repeated keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.delivery.channels.base import CallResult
from services.delivery.channels.sms.http_providers import SmsGateway
from services.delivery.channels.sms.origin import parse_origin
from tests.integration.delivery.outgoing import LINK, RETURNS, of_subject, outgoing

TO = "+33612345678"
PARIS = ZoneInfo("Europe/Paris")
NIGHT = datetime(2026, 11, 28, 23, 30, tzinfo=PARIS)
"""A Saturday."""
SENDERS = ("VIGIE",)


def is_held(at: datetime) -> bool:
    """Apply the providers' rule for commercial messages."""
    return at.hour >= 22 or at.hour < 8 or at.isoweekday() == 7


@dataclass
class Gateway:
    """Takes jobs as a provider does at `now`; `statuses` of the next answers come first."""

    now: datetime = NIGHT
    statuses: list[int] = field(default_factory=list)
    hang: bool = False
    taken: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Idempotency key → job."""
    held: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    garbage: bytes | None = None
    """The body of every answer, with status 200."""

    async def jobs(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.headers.append(
            {k.lower(): v for k, v in request.headers.items()}
            | {"body": body.decode(), "url": str(request.url)}
        )
        if self.hang:
            await asyncio.Event().wait()
        if self.garbage is not None:
            return web.Response(body=self.garbage)
        if self.statuses:
            return web.json_response({"message": "no, +33612345678"}, status=self.statuses.pop(0))
        job = orjson.loads(body)
        if job.get("sender", "VIGIE") not in SENDERS:
            return web.json_response({"message": "sender"}, status=400)
        if job["receivers"] == ["+33600000000"]:
            return web.json_response(
                {
                    "ids": [],
                    "validReceivers": [],
                    "invalidReceivers": job["receivers"],
                    "totalCreditsRemoved": 0,
                }
            )
        key = request.headers["idempotency-key"]
        self.taken.setdefault(key, job)
        if not job.get("noStopClause") and is_held(self.now):
            self.held.append(key)
        return web.json_response(
            {
                "ids": [17],
                "validReceivers": job["receivers"],
                "invalidReceivers": [],
                "totalCreditsRemoved": 1,
            }
        )

    @asynccontextmanager
    async def running(self, sender: str = "VIGIE", **options: Any) -> AsyncIterator[SmsGateway]:
        app = web.Application()
        app.router.add_post("/jobs", self.jobs)
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/jobs"
        try:
            async with SmsGateway(url, "t0k3n", parse_origin(sender), **options) as driver:
                yield driver
        finally:
            await runner.cleanup()


async def test_a_call_is_an_alert_at_every_hour() -> None:
    gateway = Gateway()
    async with gateway.running() as driver:
        assert await driver.call(outgoing(TO), 10) == CallResult("accepted", provider_id="17")
    job = gateway.taken["a1"]
    assert (
        job["receivers"],
        job["sender"],
        job["priority"],
        job["coding"],
        job["validityPeriod"],
    ) == ([TO], "VIGIE", "high", "7bit", 70)
    assert (job["tag"], job["callback"]) == ("a1", RETURNS)
    assert LINK in job["message"]
    assert gateway.held == []
    assert gateway.headers[0]["authorization"] == "Bearer t0k3n"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.datetimes(timezones=st.just(PARIS)), danger=st.booleans(), expected=st.booleans())
async def test_no_hour_and_no_sunday_holds_a_message_back(
    at: datetime, danger: bool, expected: bool
) -> None:
    gateway = Gateway(now=at)
    made = outgoing(TO)
    row = made.row.model_copy(update={"danger": danger, "answer_expected": expected})
    async with gateway.running() as driver:
        assert (await driver.call(outgoing(TO, row=row), 10)).outcome == "accepted"
    assert gateway.held == []


@pytest.mark.parametrize(
    ("subject", "parts"), [("eau", 1), ("eau" * 40, 2), ("水" * 30, 2), ("水" * 90, 3)]
)
async def test_the_number_of_billed_messages_is_reported(subject: str, parts: int) -> None:
    """In GSM-7, or in UCS-2 as soon as one letter asks for it."""
    async with Gateway().running() as driver:
        assert (await driver.call(of_subject(TO, subject), 10)).parts == parts


async def test_an_answerable_sender_lets_people_write_back() -> None:
    gateway = Gateway()
    async with gateway.running(sender="38000") as driver:
        await driver.call(outgoing(TO), 10)
    job = gateway.taken["a1"]
    assert job["senderForResponse"] is True
    assert "sender" not in job
    assert "pondez 1" in job["message"]


async def test_errors_of_the_gateway_are_reported_by_code_only() -> None:
    gateway = Gateway(statuses=[429, 503, 400, 401])
    async with gateway.running() as driver:
        results = [await driver.call(outgoing(TO), 10) for _ in range(4)]
        refused = await driver.call(outgoing("+33600000000"), 10)
        nobody = await driver.call(outgoing("12 34 56"), 10)
    assert [(r.error, r.retry) for r in results] == [
        ("sms_429", True),
        ("sms_503", True),
        ("sms_400", False),
        ("sms_401", False),
    ]
    assert {r.outcome for r in results} == {"failed"}
    assert (refused.outcome, refused.error, refused.retry) == (
        "failed",
        "sms_receiver_refused",
        False,
    )
    assert (nobody.outcome, nobody.error) == ("failed", "address_invalid")


async def test_silence_is_a_doubt_and_a_closed_door_is_not() -> None:
    gateway = Gateway(hang=True)
    async with gateway.running() as driver:
        assert (await driver.call(outgoing(TO), 0.5)).outcome == "ambiguous"
    async with SmsGateway("http://127.0.0.1:1/jobs", "t", parse_origin("VIGIE")) as driver:
        assert await driver.call(outgoing(TO), 5) == CallResult(
            "failed", error="sms_connection", retry=True
        )


async def test_repeating_an_attempt_repeats_its_key() -> None:
    gateway = Gateway()
    async with gateway.running() as driver:
        for _ in range(2):
            await driver.call(outgoing(TO), 10)
    assert len(gateway.taken) == 1


@pytest.mark.parametrize(
    "garbage", [b"", b"<html>Welcome to the hotel</html>", b'{"status": "ok"}', b'{"ids": [17]}']
)
async def test_a_yes_that_is_not_the_documented_answer_is_a_doubt(garbage: bytes) -> None:
    gateway = Gateway(garbage=garbage)
    async with gateway.running() as driver:
        result = await driver.call(outgoing(TO), 10)
    assert (result.outcome, result.error) == ("ambiguous", "sms_answer_unreadable")


@pytest.mark.parametrize(
    ("answer", "id"),
    [
        ({"messages": [{"id": "m-1"}]}, "m-1"),
        ({"messages": [{"id": 7}]}, "7"),
        ({"messages": []}, None),
        ({"messages": [{"id": None}]}, None),
        ({"messages": {"0": "x"}}, None),
    ],
)
async def test_the_settings_say_where_another_gateway_writes_its_id(
    answer: dict[str, Any], id: str | None
) -> None:
    gateway = Gateway(garbage=orjson.dumps(answer))
    async with gateway.running(id_at="/messages/0/id") as driver:
        result = await driver.call(outgoing(TO), 10)
    assert (result.outcome, result.provider_id) == (("accepted", id) if id else ("ambiguous", None))


async def test_a_gateway_without_receipts_is_given_no_address_for_them() -> None:
    gateway = Gateway()
    async with gateway.running(receipts=False) as driver:
        result = await driver.call(outgoing(TO), 10)
    assert (result.outcome, result.receipts) == ("accepted", False)
    assert "callback" not in gateway.taken["a1"]
