"""`/r/{token}` turns posts of gateways into inputs of delivery, once stored and authorised."""

# ruff: noqa: ARG002  stand-ins have the signatures of what they stand for

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2 as httpx
import pytest

from schemas.base import Message
from schemas.commands import AnswerNotification
from schemas.delivery import ReceiptReceived
from services.console.app import create_app
from services.runtime.identity.signed_links import (
    AnswerLink,
    AnswerLinks,
    ProviderLink,
    ProviderLinks,
)
from services.runtime.kafka.clients import BrokerAway
from services.runtime.process.health import HealthChecks
from services.runtime.secrets.vault import TextItem

LINKS = ProviderLinks(b"r" * 32)
NOTIFICATION = "8f0f6a8e-0000-5000-8000-000000000001"
KNOWN = ProviderLink("92", NOTIFICATION, "dgs", "attempt-1", 4_000_000_000_000)


class Kafka:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str, Message]] = []
        self.away = False
        self.texts: dict[str, TextItem] = {}

    async def put(self, text_id: str, item: TextItem) -> None:
        self.texts[text_id] = item

    async def send(
        self, topic: str, realm: str, message: Message, *, id: str, source: str, **_: Any
    ) -> tuple[int, int]:
        if self.away:
            raise BrokerAway("no broker")
        self.sent.append((topic, realm, id, message))
        return 0, 0


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[httpx.AsyncClient, Kafka]]:
    app, kafka = create_app(HealthChecks()), Kafka()
    app.state.producer, app.state.return_links, app.state.texts = kafka, LINKS, kafka
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://console"
    ) as http:
        yield http, kafka


async def test_receipts_and_keys_become_inputs_of_the_attempt(
    gateway: tuple[httpx.AsyncClient, Kafka],
) -> None:
    http, kafka = gateway
    url = f"/r/{LINKS.token(KNOWN)}"
    for body in (
        {"status": "delivered"},
        {"status": "failed", "error": "busy"},
        {"key": "1", "channel": "voice"},
        {"key": "9"},
        {"id": "x"},
    ):
        assert (await http.post(url, json=body)).status_code == 204
    assert {(topic, realm) for topic, realm, _, _ in kafka.sent} == {("delivery.inputs", "92")}
    received, failed, pressed = (message for *_, message in kafka.sent)
    assert received == ReceiptReceived(
        notification=NOTIFICATION, attempt="attempt-1", state="received"
    )
    assert failed == ReceiptReceived(
        notification=NOTIFICATION, attempt="attempt-1", state="failed", error="busy"
    )
    assert isinstance(pressed, AnswerNotification)
    assert (pressed.person, pressed.answer, pressed.channel) == ("dgs", "ack", "voice")


async def test_the_states_of_smsmode_are_receipts_once_they_are_final(
    gateway: tuple[httpx.AsyncClient, Kafka],
) -> None:
    http, kafka = gateway
    url = f"/r/{LINKS.token(KNOWN)}"
    for value in ("SCHEDULED", "ENROUTE", "UNKNOWN", "DELIVERED", "UNDELIVERABLE"):
        body = {
            "messageId": "m-1",
            "direction": "MT",
            "recipient": {"to": "33612345678"},
            "status": {"value": value, "deliveryDate": "2027-02-11T10:00:00Z"},
        }
        assert (await http.post(url, json=body)).status_code == 204
    received, failed = (message for *_, message in kafka.sent)
    assert (received.state, received.error) == ("received", None)
    assert (failed.state, failed.error) == ("failed", "undeliverable")
    assert (await http.post(url, json={"status": "perhaps"})).status_code == 422


async def test_keys_of_a_headcount_are_kept_apart_and_read_as_an_answer(
    gateway: tuple[httpx.AsyncClient, Kafka],
) -> None:
    http, kafka = gateway
    url = f"/r/{LINKS.token(replace(KNOWN, headcount=True))}"
    for key in ("2", "9"):
        assert (await http.post(url, json={"key": key, "channel": "voice"})).status_code == 204
    (key_answer,) = (message for *_, message in kafka.sent)
    assert isinstance(key_answer, AnswerNotification)
    assert key_answer.answer == "ack"
    assert kafka.texts == {f"headcount-{NOTIFICATION}": TextItem({"headcount": "help"})}


async def test_a_repeated_receipt_has_the_same_id(gateway: tuple[httpx.AsyncClient, Kafka]) -> None:
    http, kafka = gateway
    for _ in range(2):
        await http.post(f"/r/{LINKS.token(KNOWN)}", json={"status": "delivered"})
    assert len({id for _, _, id, _ in kafka.sent}) == 1


async def test_an_unstored_receipt_is_refused_for_a_retry(
    gateway: tuple[httpx.AsyncClient, Kafka],
) -> None:
    http, kafka = gateway
    kafka.away = True
    assert (
        await http.post(f"/r/{LINKS.token(KNOWN)}", json={"status": "delivered"})
    ).status_code == 503


async def test_no_other_token_is_accepted(gateway: tuple[httpx.AsyncClient, Kafka]) -> None:
    """Not a forged one, not one that is over, and not the link that the person got."""
    http, kafka = gateway
    persons = AnswerLinks(b"a" * 32).token(AnswerLink("92", NOTIFICATION, "dgs", 4_000_000_000_000))
    over = LINKS.token(ProviderLink("92", NOTIFICATION, "dgs", "attempt-1", 1_000))
    for token in ("x", persons, over, LINKS.token(KNOWN)[:-4] + "abcd"):
        assert (await http.post(f"/r/{token}", json={"status": "delivered"})).status_code == 404
    assert (
        await http.post(f"/r/{LINKS.token(KNOWN)}", json={"error": "a sentence about +33612345678"})
    ).status_code == 422
    assert kafka.sent == []


async def test_twilio_posts_forms_and_gets_words_to_speak_after_a_key(
    gateway: tuple[httpx.AsyncClient, Kafka],
) -> None:
    http, kafka = gateway
    url = f"/r/{LINKS.token(KNOWN)}/twilio?language=en"
    for state in ("ringing", "in-progress", "no-answer", "completed"):
        assert (await http.post(url, data={"CallStatus": state})).status_code == 204
    pressed = await http.post(url, data={"CallStatus": "in-progress", "Digits": "1"})
    assert (pressed.status_code, pressed.headers["content-type"]) == (200, "application/xml")
    assert 'language="en-GB">Your answer is recorded. Goodbye.<' in pressed.text
    assert (await http.post(url, data={"Digits": "9"})).status_code == 204
    messages_by_id = {id.partition(":")[2]: message for _, _, id, message in kafka.sent}
    assert len(messages_by_id) == 3, "a repeated receipt has the same id"
    received, failed, answer = messages_by_id.values()
    assert received == ReceiptReceived(
        notification=NOTIFICATION, attempt="attempt-1", state="received"
    )
    assert failed == ReceiptReceived(
        notification=NOTIFICATION, attempt="attempt-1", state="failed", error="noanswer"
    )
    assert isinstance(answer, AnswerNotification)
    assert (answer.person, answer.answer, answer.channel) == ("dgs", "ack", "voice")
