"""SMS through OVH's API, against a fake that refuses undocumented requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.words import Channel
from services.delivery.channels.base import CallResult
from services.delivery.channels.sms import driver, ovh
from services.delivery.channels.sms.origin import parse_origin
from services.delivery.channels.sms.ovh import OvhSms
from services.delivery.channels.sms.settings import SmsSettings, lint
from tests.integration.delivery.outgoing import LINK, of_subject, outgoing
from tests.integration.delivery.ovh import DESCRIBED, TOKEN, UNKNOWN, OvhApi
from tests.waiting import eventually

TO = "+33612345678"
NOW = datetime(2026, 11, 28, 23, 30, tzinfo=UTC)
ATTEMPT = "1b4e28ba-2fa1-51d2-883f-0016d3cca427"


@dataclass
class Inbox:
    """Receiver of the sender; `waiting`: ids with an expected receipt."""

    waiting: set[str] = field(default_factory=set)
    receipts: list[tuple[Any, ...]] = field(default_factory=list)
    replies: list[tuple[Any, ...]] = field(default_factory=list)

    def list_awaited_ids(self, channel: Channel) -> frozenset[str]:
        return frozenset(self.waiting) if channel is Channel.SMS else frozenset()

    async def receipt(
        self, channel: Channel, provider_id: str, state: str, error: str | None
    ) -> bool:
        self.receipts.append((channel, provider_id, state, error))
        self.waiting.discard(provider_id)
        return True

    async def accept_text(
        self, channel: Channel, address: str, words: str, *, name: str | None = None
    ) -> bool:
        self.replies.append((channel, address, words, name))
        return True

    async def accept_part(self, *_: Any, **__: Any) -> bool:
        raise AssertionError("only an SMSC gives texts in parts")

    async def remove_address(self, channel: Channel, outgoing: Any) -> None:
        raise AssertionError((channel, outgoing))


@asynccontextmanager
async def sending(
    api: OvhApi, inbox: Inbox | None = None, sender: str = "VIGIE", *, polls: bool = False
) -> AsyncIterator[OvhSms]:
    async with api.running() as url:
        keys = ovh.OvhKeys.read(TOKEN)
        assert keys is not None
        made = OvhSms(
            url,
            keys,
            parse_origin(sender),
            inbox or Inbox(),
            polls=polls,
            clock=lambda: NOW.timestamp() + 0.5,
        )
        async with made as sms:
            yield sms


@pytest.fixture
def api() -> OvhApi:
    return OvhApi(NOW)


async def test_a_job_has_only_parameters_that_the_api_describes(api: OvhApi) -> None:
    async with sending(api) as sms:
        assert await sms.call(outgoing(TO, attempt=ATTEMPT), 10) == CallResult(
            "accepted", provider_id="1000", receipts=False
        )
    job = api.taken[1000]
    assert set(job) <= set(DESCRIBED)
    assert (
        job["receivers"],
        job["sender"],
        job["priority"],
        job["coding"],
        job["validityPeriod"],
    ) == ([TO], "VIGIE", "high", "7bit", 70)
    assert job["noStopClause"] is True
    assert job["tag"] == ATTEMPT.replace("-", "")[:20]
    assert LINK in job["message"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    danger=st.booleans(),
    expected=st.booleans(),
    answerable=st.booleans(),
    subject=st.sampled_from(["eau", "水" * 100]),
)
async def test_every_message_passes_the_api(
    danger: bool, expected: bool, answerable: bool, subject: str
) -> None:
    api, made = OvhApi(NOW), of_subject(TO, subject)
    row = made.row.model_copy(update={"danger": danger, "answer_expected": expected})
    async with sending(api, sender="38000" if answerable else "VIGIE") as sms:
        assert (await sms.call(outgoing(TO, row=row, text=made.text), 10)).outcome == "accepted"


async def test_the_fake_api_refuses_undocumented_requests(api: OvhApi) -> None:
    """The fake is as strict as the real API."""
    async with sending(api) as sms:
        job = sms.job
        sms.job = lambda *given: job(*given) | {"callback": "https://vigie.example/r/x"}  # type: ignore[method-assign]
        assert await sms.call(outgoing(TO), 10) == CallResult(
            "failed", error="sms_400", receipts=False
        )
        sms.job = lambda *given: job(*given) | {"tag": "t" * 21}  # type: ignore[method-assign]
        assert (await sms.call(outgoing(TO), 10)).error == "sms_400"
        sms.job = lambda *given: job(*given) | {"receiversSlotId": "7"}  # type: ignore[method-assign]
        assert (await sms.call(outgoing(TO), 10)).error == "sms_400"


async def test_a_wrong_signature_is_refused(api: OvhApi) -> None:
    async with api.running() as url:
        keys = ovh.OvhKeys("application", "another secret", "consumer")
        async with OvhSms(url, keys, parse_origin("VIGIE"), Inbox(), clock=NOW.timestamp) as sms:
            assert (await sms.call(outgoing(TO), 10)).error == "sms_400"


async def test_a_number_that_the_api_calls_invalid_is_final(api: OvhApi) -> None:
    async with sending(api) as sms:
        refused = await sms.call(outgoing(UNKNOWN), 10)
    assert (refused.outcome, refused.error, refused.retry) == (
        "failed",
        "sms_receiver_refused",
        False,
    )


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"<html>Welcome to the hotel</html>",
        b"{}",
        b"[]",
        b'"ok"',
        b'{"status": "ok"}',
        b'{"ids": [], "validReceivers": [], "invalidReceivers": [], "totalCreditsRemoved": 0}',
        b'{"ids": 7, "validReceivers": "x", "invalidReceivers": null}',
    ],
)
async def test_a_yes_that_is_not_the_documented_answer_is_a_doubt(
    api: OvhApi, garbage: bytes
) -> None:
    api.garbage = garbage
    async with sending(api) as sms:
        result = await sms.call(outgoing(TO), 10)
    assert (result.outcome, result.error) == ("ambiguous", "sms_answer_unreadable")


# ── receipts and answers ───────────────────────────────────────────────────────────────────────────────────────────


async def test_receipts_are_polled_and_reported(api: OvhApi) -> None:
    inbox = Inbox(waiting={"1000", "1001", "1002"})
    async with sending(api, inbox, polls=True) as sms:
        for _ in range(3):
            assert (await sms.call(outgoing(TO), 10)).receipts is True
        api.receipts = {1000: 1, 1001: 16, 1002: 4, 999: 1}
        await sms.ask()
    assert inbox.receipts == [
        (Channel.SMS, "1000", "received", None),
        (Channel.SMS, "1001", "failed", "dlr_16"),
    ]


async def test_no_poll_happens_without_an_expected_receipt(api: OvhApi) -> None:
    async with sending(api, polls=True) as sms:
        await sms.ask()
    assert not [path for path in api.asked if "outgoing" in path]


async def test_the_driver_asks_by_itself(api: OvhApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ovh, "POLL_S", 0)
    inbox = Inbox(waiting={"1000"})
    api.receipts = {1000: 1}
    async with sending(api, inbox, polls=True):
        await eventually(lambda: inbox.receipts == [(Channel.SMS, "1000", "received", None)], 10)


@pytest.mark.parametrize("sender", ["38000", "VIGIE"])
async def test_texts_to_a_number_of_the_service_are_polled_and_reported_once(
    api: OvhApi, sender: str
) -> None:
    inbox = Inbox()
    api.answers = {7: {"id": 7, "sender": "0033612345678", "message": "1", "tag": "", "credits": 0}}
    async with sending(api, inbox, sender, polls=True) as sms:
        await sms.ask()
        await sms.ask()
    assert inbox.replies == [(Channel.SMS, TO, "1", "ovh-7")]


async def test_keys_without_the_right_to_ask_cost_no_message(api: OvhApi) -> None:
    api.rights = ("POST",)
    inbox = Inbox(waiting={"1000"})
    async with sending(api, inbox, polls=True) as sms:
        assert (await sms.call(outgoing(TO), 10)).outcome == "accepted"
        await sms.ask()
    assert inbox.receipts == []


# ── settings ───────────────────────────────────────────────────────────────────────────────────────────────────────

OVH: dict[str, Any] = {
    "sms_url": "https://eu.api.ovh.com/1.0/sms/sms-ab1234-1/jobs",
    "sms_sender": "VIGIE",
    "sms_token": TOKEN,
}


def faults(**given: Any) -> list[tuple[str, bool]]:
    return [
        (f.variable, f.error)
        for f in lint(SmsSettings(**given))
        if f.variable != "VIGIE_SMS_SENDER"
    ]


def test_three_keys_mean_ovh_and_its_receipts_are_off_until_they_are_asked_for() -> None:
    made = driver(SmsSettings(**OVH), Inbox())
    assert isinstance(made, OvhSms)
    assert faults(**OVH) == [("VIGIE_SMS_RECEIPTS", False)]
    assert faults(**OVH, sms_receipts="poll") == []


def test_impossible_settings_are_errors() -> None:
    assert faults(**OVH, sms_receipts="callback") == [("VIGIE_SMS_RECEIPTS", True)]
    assert faults(**OVH | {"sms_url": "https://eu.api.ovh.com/1.0/sms/"}, sms_receipts="poll") == [
        ("VIGIE_SMS_URL", True)
    ]
    assert faults(**OVH | {"sms_token": "bearer"}, sms_receipts="poll") == [
        ("VIGIE_SMS_RECEIPTS", True)
    ]
    assert faults(**OVH | {"sms_token": "bearer"}) == []
