"""SMS against a foreign SMSC (npm `smpp`): throttling, early receipts, lost connections."""

# ruff: noqa: ARG002  stand-ins have the signatures of what they stand for

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.words import Channel
from services.delivery.channels.base import CallResult, TextPart
from services.delivery.channels.sms.origin import parse_origin
from services.delivery.channels.sms.smpp.driver import SmppDriver
from services.delivery.channels.sms.smpp.session import Smsc as Address
from services.runtime.kafka.clients import BrokerAway
from tests.faults.matrix import proves
from tests.integration.delivery.outgoing import LINK, of_subject, outgoing
from tests.integration.delivery.smsc import PATIENCE_S, Smsc, running_smsc
from tests.waiting import eventually

TO = "+33612345678"
OK, TEMPORARY, THROTTLED, INVALID_DESTINATION = 0, 0x64, 0x58, 0x0B


@dataclass
class Box:
    """Inbox that knows the ids in `known`."""

    known: set[str] = field(default_factory=set)
    away: bool = False
    receipts: list[tuple[str, str, str | None]] = field(default_factory=list)
    replies: list[tuple[str, str]] = field(default_factory=list)
    parts: list[TextPart] = field(default_factory=list)

    async def receipt(
        self, channel: Channel, provider_id: str, state: Any, error: str | None
    ) -> bool:
        if self.away:
            raise BrokerAway("no broker")
        if provider_id not in self.known:
            return False
        self.receipts.append((provider_id, state, error))
        return True

    def list_awaited_ids(self, _: Channel) -> frozenset[str]:
        raise AssertionError("an SMSC sends receipts by itself")

    async def accept_text(
        self, channel: Channel, address: str, words: str, *, name: str | None = None
    ) -> bool:
        self.replies.append((address, words))
        return True

    async def accept_part(self, channel: Channel, address: str, part: TextPart) -> bool:
        self.parts.append(part)
        return True


@asynccontextmanager
async def bound(
    password: str = "secret", sender: str = "38000"
) -> AsyncIterator[tuple[Smsc, SmppDriver, Box]]:
    async with running_smsc() as smsc:
        box = Box()
        async with SmppDriver(
            Address("127.0.0.1", smsc.port, "vigie", password), parse_origin(sender), box
        ) as smpp:
            yield smsc, smpp, box


async def test_a_call_is_one_message_with_a_receipt_asked_for() -> None:
    async with bound() as (smsc, smpp, _):
        assert await smpp.call(outgoing(TO), PATIENCE_S) == CallResult("accepted", provider_id="m1")
        submission = await smsc.saw("submit")
        assert (
            submission["destination"],
            submission["source"],
            submission["ton"],
            submission["coding"],
            submission["wants"],
        ) == ("33612345678", "38000", 3, 0, 1)
        assert submission["text"].startswith(
            "Vigie N3 : Incident, tout le département. Prenez en charge avant "
        )
        assert LINK in submission["text"]
        remaining_validity = datetime.fromisoformat(submission["validity"]) - datetime.now(UTC)
        assert timedelta(minutes=65) < remaining_validity < timedelta(minutes=75), (
            "an hour and ten minutes: nobody is rung for yesterday"
        )
    assert smsc.of("unbind"), "a stop says goodbye"


async def test_the_number_of_parts_of_a_long_text_is_reported() -> None:
    async with bound() as (_, smpp, _):
        assert [
            (await smpp.call(of_subject(TO, "eau" * n), PATIENCE_S)).parts for n in (1, 40, 100)
        ] == [1, 2, 3]


async def test_the_smsc_is_tried_without_a_message() -> None:
    async with bound() as (smsc, smpp, _):
        assert await smpp.probe(PATIENCE_S) is None
        assert not smsc.of("submit")
    async with bound(password="wrong") as (_, smpp, _):
        assert str(await smpp.probe(2)).startswith("sms_")


async def test_danger_has_priority_and_long_texts_go_whole() -> None:
    async with bound(sender="VIGIE") as (smsc, smpp, _):
        made = outgoing(TO)
        row = made.row.model_copy(update={"danger": True})
        assert (await smpp.call(outgoing(TO, row=row), PATIENCE_S)).outcome == "accepted"
        submission = await smsc.saw("submit")
        assert (submission["priority"], submission["ton"], submission["npi"]) == (1, 5, 0)
        assert "pondez 1" not in submission["text"], "nobody can answer a name"


async def test_throttling_passes_a_wrong_number_does_not() -> None:
    async with bound() as (smsc, smpp, _):
        smsc.tell(do="answer", statuses=[THROTTLED, INVALID_DESTINATION])
        first = await smpp.call(outgoing(TO), PATIENCE_S)
        second = await smpp.call(outgoing(TO), PATIENCE_S)
        assert (first.outcome, first.error, first.retry) == ("failed", "sms_0x58", True)
        assert (second.outcome, second.error, second.retry) == ("failed", "sms_0x0b", False)
        assert (await smpp.call(outgoing("123456"), PATIENCE_S)).error == "address_invalid"
        assert len(smsc.of("submit")) == 2, "a number that is none reaches no provider"


@proves("provider", "network", doubled="said")
async def test_a_message_without_an_answer_is_in_doubt() -> None:
    async with bound() as (smsc, smpp, _):
        smsc.tell(do="drop")
        await smsc.saw("bind")
        dropped = await smpp.call(outgoing(TO), PATIENCE_S)
        assert (dropped.outcome, dropped.error) == ("ambiguous", "sms_no_answer")
        await smsc.saw("bind", 2)
        smsc.tell(do="mute")
        mute = await smpp.call(outgoing(TO), 1.0)
        assert (mute.outcome, mute.error) == ("ambiguous", "sms_no_answer")
        assert (await smpp.call(outgoing(TO), PATIENCE_S)).outcome == "accepted", (
            "the session goes on"
        )


@proves("provider", "restarts", doubled="said")
async def test_a_provider_that_ends_three_times_gets_each_message_once() -> None:
    """It stops while it holds a message, and again before the next one.

    Each time this is a doubt, never a second message on our own account.
    """
    async with bound() as (smsc, smpp, _):
        for turn in range(3):
            await smsc.saw("bind", 2 * turn + 1)
            smsc.tell(do="drop")
            assert (await smpp.call(outgoing(TO), PATIENCE_S)).outcome == "ambiguous"
            await smsc.saw("bind", 2 * turn + 2)
            smsc.tell(do="kick")
        await smsc.saw("bind", 7)
        assert (await smpp.call(outgoing(TO), PATIENCE_S)).outcome == "accepted"
        assert len(smsc.of("submit")) == 4


async def test_without_a_session_nothing_was_sent() -> None:
    async with bound(password="wrong") as (smsc, smpp, _):
        await smsc.saw("bind")
        result = await smpp.call(outgoing(TO), 1.0)
        assert (result.outcome, result.error, result.retry) == ("failed", "sms_bind_0x0d", True)
    async with SmppDriver(
        Address("127.0.0.1", 1, "vigie", "secret"), parse_origin("38000"), Box()
    ) as smpp:
        result = await smpp.call(outgoing(TO), 0.5)
        assert (result.outcome, result.error, result.retry) == ("failed", "sms_connection", True)


@pytest.mark.parametrize("tlv", [False, True])
async def test_receipts_in_any_order_are_taken_once_they_are_safe(tlv: bool) -> None:
    """A receipt for an unknown id, or during a failure of Kafka, is requested again.

    Later ones do not wait for it.
    """
    async with bound() as (smsc, smpp, box):
        for _ in range(2):
            await smpp.call(outgoing(TO), PATIENCE_S)
        smsc.tell(do="receipt", id="m2", state="DELIVRD", err="000", tlv=tlv)
        assert (await smsc.saw("receipt_answered", 1))["status"] == TEMPORARY
        box.known = {"m1", "m2"}
        smsc.tell(do="receipt", id="m1", state="UNDELIV", err="069", tlv=tlv)
        assert (await smsc.saw("receipt_answered", 2))["status"] == OK
        box.away = True
        smsc.tell(do="receipt", id="m2", state="DELIVRD", err="000", tlv=tlv)
        assert (await smsc.saw("receipt_answered", 3))["status"] == TEMPORARY
        box.away = False
        smsc.tell(do="receipt", id="m2", state="ENROUTE", err="000", tlv=tlv)
        smsc.tell(do="receipt", id="m2", state="DELIVRD", err="000", tlv=tlv)
        assert (await smsc.saw("receipt_answered", 5))["status"] == OK
        assert box.receipts == [("m1", "failed", "sms_undeliv_069"), ("m2", "received", None)]


async def test_replies_arrive_with_number_and_text_also_after_a_reconnection() -> None:
    async with bound() as (smsc, smpp, box):
        await smsc.saw("bind")
        smsc.tell(do="kick")
        await smsc.saw("bind", 2)
        assert (await smpp.call(outgoing(TO), PATIENCE_S)).outcome == "accepted"
        smsc.tell(do="reply", source="33612345678", text="OK, j'arrive à pied")
        assert (await smsc.saw("reply_answered"))["status"] == OK
        assert box.replies == [(TO, "OK, j'arrive à pied")]


async def test_a_text_is_read_in_the_alphabet_of_its_handset_and_a_long_one_part_by_part() -> None:
    """The SMSC of the tests writes `ç` as Latin-1, like many others."""
    first, second = ([0, 3, 77, 2, n] for n in (1, 2))
    async with bound() as (smsc, _, box):
        await smsc.saw("bind")
        smsc.tell(do="reply", source="33612345678", text="Reçu")
        smsc.tell(
            do="reply", source="33612345678", text="1 je pars de Sceaux et je serai", header=first
        )
        smsc.tell(do="reply", source="33612345678", text="2 ou 3 minutes en retard", header=second)
        assert (await smsc.saw("reply_answered", 3))["status"] == OK
        assert box.replies == [(TO, "Reçu")]
        assert box.parts == [
            TextPart("38000:udh0-77", 1, 2, b"1 je pars de Sceaux et je serai", 1),
            TextPart("38000:udh0-77", 2, 2, b"2 ou 3 minutes en retard", 1),
        ]


async def test_many_calls_share_one_session_within_its_window() -> None:
    async with bound() as (smsc, smpp, _):
        results = await asyncio.gather(*(smpp.call(outgoing(TO), PATIENCE_S) for _ in range(60)))
        assert {r.outcome for r in results} == {"accepted"}
        assert len({r.provider_id for r in results}) == 60
        await eventually(lambda: len(smsc.of("submit")) == 60, PATIENCE_S)
