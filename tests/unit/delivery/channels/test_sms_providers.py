"""SMS through smsmode and Octopush, against fakes that take the documented fields alone."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import pytest
from aiohttp import web

from services.delivery.channels.base import CallResult
from services.delivery.channels.sms import driver
from services.delivery.channels.sms.http_providers import OctopushSms, SmsGateway, SmsmodeSms
from services.delivery.channels.sms.ovh import OvhSms
from services.delivery.channels.sms.settings import SmsSettings, lint
from tests.integration.delivery.outgoing import LINK, RETURNS, outgoing
from tests.integration.delivery.serving import serving

TO: Final = "+33612345678"
ATTEMPT: Final = "1b4e28ba-2fa1-51d2-883f-0016d3cca427"
Check = Callable[[Any], bool]
SMSMODE: Final = "/sms/v1/messages"
OCTOPUSH: Final = "/v1/public/sms-campaign/send"
SMSMODE_FIELDS: Final[dict[str, Check]] = {
    "recipient": lambda v: set(v) == {"to"} and re.fullmatch(r"\d{8,15}", v["to"]) is not None,
    "body": lambda v: set(v) <= {"text", "encoding", "stop"} and bool(v["text"]),
    "from": lambda v: re.fullmatch(r"[A-Za-z0-9 .-]{3,15}", v) is not None,
    "refClient": lambda v: isinstance(v, str) and len(v) <= 140,
    "sentDate": lambda v: isinstance(v, str),
    "callbackUrlStatus": lambda v: v.startswith("https://"),
    "callbackUrlMo": lambda v: v.startswith("https://"),
}
OCTOPUSH_FIELDS: Final[dict[str, Check]] = {
    "text": lambda v: 1 <= len(v) <= 1224,
    "recipients": lambda v: [set(one) for one in v] == [{"phone_number"}] and is_e164(v),
    "type": lambda v: v in ("sms_premium", "sms_low_cost"),
    "purpose": lambda v: v in ("alert", "wholesale"),
    "sender": lambda v: re.fullmatch(r"[A-Za-z0-9]{3,11}", v) is not None,
    "send_at": lambda v: isinstance(v, str),
    "with_replies": lambda v: isinstance(v, bool),
    "simulation_mode": lambda v: isinstance(v, bool),
    "auto_optimize_text": lambda v: isinstance(v, bool),
    "request_id": lambda v: isinstance(v, str) and v != "",
}
"""The documented fields of both, with their accepted values."""


def is_e164(recipients: Any) -> bool:
    return all(re.fullmatch(r"\+\d{8,15}", one["phone_number"]) for one in recipients)


@dataclass
class FakeProvider:
    """One account: it refuses a wrong key, another path and undocumented fields."""

    path: str
    keys: dict[str, str]
    fields: dict[str, Check]
    answer: dict[str, Any]
    status: int = 201
    garbage: bytes | None = None
    taken: list[dict[str, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        if request.path != self.path or request.method != "POST":
            return web.json_response({"message": "not found"}, status=404)
        if any(request.headers.get(name) != value for name, value in self.keys.items()):
            return web.json_response({"message": "unauthorized"}, status=401)
        message = orjson.loads(await request.read())
        if unknown := set(message) - set(self.fields):
            return web.json_response({"message": f"unknown: {unknown}"}, status=400)
        if wrong := [name for name, value in message.items() if not self.fields[name](value)]:
            return web.json_response({"message": f"not valid: {wrong}"}, status=400)
        if "request_id" in message and message in self.taken:
            return web.json_response({"message": "request_id was used"}, status=422)
        if self.garbage is not None:
            return web.Response(body=self.garbage, status=self.status)
        if self.status < 300:
            self.taken.append(message)
        return web.json_response(self.answer, status=self.status)


@pytest.fixture
def smsmode() -> FakeProvider:
    answer = {"messageId": "m-1", "status": {"value": "ENROUTE"}, "body": {"messagePartCount": 1}}
    return FakeProvider(SMSMODE, {"X-Api-Key": "secret"}, SMSMODE_FIELDS, answer)


@pytest.fixture
def octopush() -> FakeProvider:
    answer = {"sms_ticket": "sms_5fa275dbf21dc", "number_of_contacts": 1, "total_cost": 0.05}
    keys = {"api-login": "cellule@example.org", "api-key": "secret"}
    return FakeProvider(OCTOPUSH, keys, OCTOPUSH_FIELDS, answer)


def make_settings(url: str, token: str, sender: str = "VIGIE", **more: Any) -> SmsSettings:
    return SmsSettings.model_validate(
        {"sms_url": url, "sms_token": token, "sms_sender": sender} | more
    )


@asynccontextmanager
async def sending(provider: FakeProvider, sender: str = "VIGIE", **more: Any) -> AsyncIterator[Any]:
    token = "secret" if provider.path == SMSMODE else "cellule@example.org:secret"
    async with serving(provider.handle) as url:
        settings = make_settings(url + provider.path, more.pop("token", token), sender, **more)
        async with driver(settings, None) as sms:  # type: ignore[arg-type]
            yield sms


async def test_smsmode_takes_a_message_and_posts_its_receipt_to_the_attempt(
    smsmode: FakeProvider,
) -> None:
    async with sending(smsmode) as sms:
        assert isinstance(sms, SmsmodeSms)
        made = await sms.call(outgoing(TO, attempt=ATTEMPT), 10)
    assert (made.outcome, made.provider_id, made.receipts) == ("accepted", "m-1", True)
    (message,) = smsmode.taken
    assert message["recipient"] == {"to": "33612345678"}
    assert message["from"] == "VIGIE"
    assert message["callbackUrlStatus"] == RETURNS
    assert message["refClient"] == ATTEMPT
    assert "stop" not in message["body"]
    assert LINK in message["body"]["text"]


async def test_smsmode_without_receipts_names_no_address(smsmode: FakeProvider) -> None:
    async with sending(smsmode, "38000", sms_receipts="none") as sms:
        made = await sms.call(outgoing(TO), 10)
    assert (made.outcome, made.receipts) == ("accepted", False)
    assert "callbackUrlStatus" not in smsmode.taken[0]


async def test_octopush_takes_an_alert_without_a_mention_of_stop(octopush: FakeProvider) -> None:
    async with sending(octopush) as sms:
        assert isinstance(sms, OctopushSms)
        made = await sms.call(outgoing(TO, attempt=ATTEMPT), 10)
        assert made == CallResult(
            "accepted", provider_id="sms_5fa275dbf21dc", parts=made.parts, receipts=False
        )
        again = await sms.call(outgoing(TO, attempt=ATTEMPT), 10)
    assert (again.outcome, again.error) == ("failed", "sms_422")
    (message,) = octopush.taken
    assert (message["purpose"], message["type"]) == ("alert", "sms_premium")
    assert (message["sender"], message["with_replies"]) == ("VIGIE", False)
    assert message["recipients"] == [{"phone_number": TO}]
    assert message["request_id"] == ATTEMPT


async def test_octopush_chooses_the_number_that_people_answer(octopush: FakeProvider) -> None:
    async with sending(octopush, "38000", sms_receipts="callback") as sms:
        assert (await sms.call(outgoing(TO), 10)).receipts is True
    assert "sender" not in octopush.taken[0]
    assert octopush.taken[0]["with_replies"] is True


async def test_octopush_without_a_valid_contact_is_final(octopush: FakeProvider) -> None:
    octopush.answer = {"sms_ticket": "sms_1", "number_of_contacts": 0}
    async with sending(octopush) as sms:
        made = await sms.call(outgoing(TO), 10)
    assert (made.outcome, made.error, made.retry) == ("failed", "sms_receiver_refused", False)


@pytest.mark.parametrize(
    ("status", "retry"),
    [(400, False), (401, False), (402, False), (403, False), (429, True), (500, True), (503, True)],
)
@pytest.mark.parametrize("name", ["smsmode", "octopush"])
async def test_refusals_are_final_and_pauses_pass(
    name: str, status: int, retry: bool, request: pytest.FixtureRequest
) -> None:
    provider: FakeProvider = request.getfixturevalue(name)
    provider.status = status
    async with sending(provider) as sms:
        made = await sms.call(outgoing(TO), 10)
    assert (made.outcome, made.error, made.retry) == ("failed", f"sms_{status}", retry)


@pytest.mark.parametrize(
    "garbage", [b"", b"<html>proxy</html>", b"[]", b"null", b'{"sms_ticket": 7}', b'{"id": 1}']
)
@pytest.mark.parametrize("name", ["smsmode", "octopush"])
async def test_an_answer_of_somebody_else_is_a_doubt(
    name: str, garbage: bytes, request: pytest.FixtureRequest
) -> None:
    provider: FakeProvider = request.getfixturevalue(name)
    provider.garbage = garbage
    async with sending(provider) as sms:
        made = await sms.call(outgoing(TO), 10)
    assert (made.outcome, made.error) == ("ambiguous", "sms_answer_unreadable")


@pytest.mark.parametrize("name", ["smsmode", "octopush"])
async def test_a_wrong_key_and_another_field_are_refused_by_the_fake(
    name: str, request: pytest.FixtureRequest
) -> None:
    provider: FakeProvider = request.getfixturevalue(name)
    async with sending(provider, token="somebody:else") as sms:
        assert (await sms.call(outgoing(TO), 10)).error == "sms_401"
    async with sending(provider) as sms:
        job = sms.job
        sms.job = lambda *given: job(*given) | {"noStopClause": True}
        assert (await sms.call(outgoing(TO), 10)).error == "sms_400"


@pytest.mark.parametrize(
    ("url", "token", "kind"),
    [
        ("https://rest.smsmode.com/sms/v1/messages", "a:b:c", SmsmodeSms),
        ("https://api.octopush.com/v1/public/sms-campaign/send", "me@example.org:k", OctopushSms),
        ("https://eu.api.ovh.com/1.0/sms/sms-ab1234-1/jobs", "a:b:c", OvhSms),
        ("https://sms.example.org/send", "token", SmsGateway),
    ],
)
def test_the_address_chooses_the_provider(url: str, token: str, kind: type) -> None:
    made = driver(make_settings(url, token), None)  # type: ignore[arg-type]
    assert type(made) is kind


@pytest.mark.parametrize(
    ("path", "token", "sender", "more", "faults"),
    [
        (SMSMODE, "key", "VIGIE", {}, []),
        (SMSMODE, "key", "38000", {"sms_receipts": "poll"}, [("VIGIE_SMS_RECEIPTS", True)]),
        (OCTOPUSH, "me@example.org:k", "VIGIE", {"sms_receipts": "callback"}, []),
        (OCTOPUSH, "me@example.org:k", "VIGIE", {}, [("VIGIE_SMS_RECEIPTS", False)]),
        (OCTOPUSH, "key", "VIGIE", {"sms_receipts": "callback"}, [("VIGIE_SMS_TOKEN", True)]),
        (
            OCTOPUSH,
            "me@example.org:k",
            "VIGIE 92",
            {"sms_receipts": "callback"},
            [("VIGIE_SMS_SENDER", True)],
        ),
        (
            OCTOPUSH,
            "me@example.org:k",
            "38000",
            {"sms_receipts": "callback"},
            [("VIGIE_SMS_SENDER", False)],
        ),
    ],
)
def test_settings_are_checked_for_each_provider(
    path: str, token: str, sender: str, more: dict[str, str], faults: list[tuple[str, bool]]
) -> None:
    findings = list(lint(make_settings(f"https://sms.example.org{path}", token, sender, **more)))
    variable_errors = [
        (one.variable, one.error) for one in findings if "répond par SMS à un nom" not in one.what
    ]
    assert variable_errors == faults
