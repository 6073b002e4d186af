"""A line of a provider brings receipts in any order, replies of people, and noise of strangers."""

# ruff: noqa: ARG002  stand-ins have the signatures of what they stand for

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from schemas.base import Message
from schemas.calling import NotificationWithdrawn
from schemas.commands import AnswerNotification
from schemas.delivery import (
    AttemptOutcome,
    ClaimAttempt,
    NotificationRow,
    ReceiptReceived,
    ReplyUnread,
    TextRead,
)
from schemas.oncall import NoteReachability, ReachRow
from schemas.people.directory import Contact, ContactPoint
from schemas.people.replies import ARRIVED_TEXT_PREFIX, OPEN_PLACE_MS, TEXT_PART_PREFIX
from schemas.words import Answer, Channel, Level, NotificationState
from services.delivery.channels.base import Outgoing, TextPart
from services.delivery.channels.sms.origin import choose_sms_text
from services.delivery.replies.inbox import ReplyReader
from services.delivery.replies.returns import (
    GIVE_UP_S,
    INDEX_MAX_AGE_S,
    REPEAT_MS,
    ProviderInbox,
)
from services.delivery.sender.attempt_view import AttemptView, OpenHeadcount
from services.delivery.sender.sender import create_attempt_view
from services.messages import MessageNames, compose_message, load_phrases
from services.runtime.kafka.clients import BrokerAway
from services.runtime.secrets.vault import TextItem
from tests.unit.delivery.desk import T0
from tests.unit.delivery.test_sender import World

NUMBER = "+33612345678"


@dataclass
class Phones:
    contacts: dict[str, Contact] = field(default_factory=dict)
    readings: int = 0
    away: bool = False

    def of(self, realm: str) -> Phones:
        return self

    def realms(self) -> list[str]:
        return ["92"]

    def ids(self) -> list[str]:
        self.readings += 1
        return list(self.contacts)

    async def get(self, person: str) -> Contact | None:
        return self.contacts.get(person)

    async def put(self, contact: Contact) -> None:
        if self.away:
            raise BrokerAway("away")
        self.contacts[contact.person] = contact


class Answers(dict[str, TextItem]):
    """Texts by id."""

    async def put(self, text_id: str, item: TextItem) -> None:
        self[text_id] = item

    async def get(self, text_id: str) -> TextItem | None:
        return super().get(text_id)

    def ids(self, prefix: str) -> list[str]:
        return [id for id in self if id.startswith(prefix)]

    async def erase(self, id: str) -> None:
        del self[id]


@dataclass
class Line:
    """One sender's line, over the real decider."""

    world: World = field(default_factory=World)
    phones: Phones = field(default_factory=Phones)
    outbox: AttemptView = field(default_factory=create_attempt_view)
    kept: Answers = field(default_factory=Answers)
    sent: list[tuple[str, Message]] = field(default_factory=list)
    now_s: float = 0.0
    read: int = 0
    ids: dict[str, str] = field(default_factory=dict)
    """Notification → id of the provider, if not `p-` and its number."""

    def __post_init__(self) -> None:
        self.phones.contacts["dgs"] = Contact(
            person="dgs", points=(ContactPoint(channel=Channel.SMS, address="+33 6 12 34 56 78"),)
        )
        self.returns = ProviderInbox(
            self.outbox, self, self.phones, self.kept, monotonic=lambda: self.now_s
        )
        self.world.open("92", ("sms",))
        self.outbox.caught_up = True

    async def send(
        self,
        topic: str,
        realm: str,
        message: Message,
        *,
        id: str,
        source: str,
        correlation_id: str | None = None,
        traceparent: str | None = None,
    ) -> tuple[int, int]:
        self.sent.append((realm, message))
        self.world.put(message, realm, id)
        return 0, 0

    def follow(self) -> None:
        new = self.world.log[self.read :]
        for transaction in new:
            for call in self.outbox.observe(transaction):
                number = call.row.id[-1]
                provider_id = self.ids.get(f"n{number}", f"p-{number}")
                outcome = AttemptOutcome(
                    notification=call.row.id,
                    attempt=call.attempt.id,
                    run=self.outbox.run,
                    outcome="accepted",
                    provider_id=provider_id,
                )
                self.world.put(outcome, "92")
        self.read += len(new)

    def told(self, id: str = "n1", **changes: Any) -> str:
        """Build a notification that the provider accepted; its result is in the log and unread."""
        notification = self.world.plan(id, channels=(Channel.SMS,), **changes)
        self.follow()
        for offer in self.outbox.to_claim():
            self.outbox.claiming([offer], offer.attempt)
            self.world.put(
                ClaimAttempt(notification=offer.row.id, attempt=offer.attempt, run=self.outbox.run),
                "92",
            )
        self.follow()
        return notification


async def test_a_receipt_that_overtakes_its_outcome_waits_for_it() -> None:
    line = Line()
    notification = line.told()
    receiving = asyncio.create_task(line.returns.receipt(Channel.SMS, "p-1", "received", None))
    await asyncio.sleep(0)
    assert not receiving.done()
    line.follow()
    assert await receiving
    assert line.world.row(notification).state == "received"


async def test_a_receipt_of_no_attempt_is_asked_for_again_then_let_go() -> None:
    line = Line()
    line.returns._unknown["sms:ghost"] = 0.0  # heard before: no waiting
    assert not await line.returns.receipt(Channel.SMS, "ghost", "received", None)
    line.now_s = GIVE_UP_S
    assert await line.returns.receipt(Channel.SMS, "ghost", "received", None)
    assert line.sent == []


@pytest.mark.parametrize(
    ("taken_as", "receipt_of"),
    [
        ("1F3A9C", "2046620"),
        ("2046620", "1F3A9C"),
        ("0000001f3a9c", "1F3A9C"),
        ("1f3a9c", "0002046620"),
        ("00012345678", "305419896"),
        ("305419896", "12345678"),
        ("07220", "7220"),
        ("a-Z", "a-Z"),
    ],
)
async def test_a_receipt_finds_its_message_in_any_base_of_the_id(
    taken_as: str, receipt_of: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.delivery.replies.returns.WAIT_S", 0.05)
    line = Line(ids={"n1": taken_as, "n2": "7"})
    notification = line.told()
    line.follow()
    assert await line.returns.receipt(Channel.SMS, receipt_of, "received", None)
    assert line.world.row(notification).state == "received"


async def test_a_number_that_may_be_that_of_another_message_is_read_as_the_provider_writes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`256` is the hexadecimal of the second and the decimal of the first, which was taken as `100`."""
    monkeypatch.setattr("services.delivery.replies.returns.WAIT_S", 0.05)
    line = Line(ids={"n1": "100", "n2": "256", "n3": "FF"})
    notification_ids = [line.told(id) for id in ("n1", "n2", "n3")]
    line.follow()
    assert await line.returns.receipt(Channel.SMS, "255", "received", None)
    assert await line.returns.receipt(Channel.SMS, "256", "received", None)
    assert [line.world.row(n).state.value for n in notification_ids] == [
        "received",
        "accepted",
        "received",
    ]


async def test_a_late_failure_after_the_receipt_changes_nothing() -> None:
    line = Line()
    notification = line.told()
    line.follow()
    assert await line.returns.receipt(Channel.SMS, "p-1", "received", None)
    assert await line.returns.receipt(Channel.SMS, "p-1", "failed", "sms_expired")
    line.follow()
    assert [type(m) for _, m in line.sent] == [ReceiptReceived, ReceiptReceived]
    assert line.world.row(notification).state == "received", "who has it, has it"


async def test_a_reply_answers_the_newest_open_call_of_that_person() -> None:
    line = Line()
    first, second = line.told("n1"), line.told("n2")
    line.follow()
    assert await line.returns.reply(Channel.SMS, NUMBER, "OK")
    line.follow()
    assert (line.world.row(first).answer, line.world.row(second).answer) == (None, "ack")
    assert await line.returns.reply(Channel.SMS, NUMBER, "2")
    line.follow()
    assert line.world.row(first).answer == "decline"
    answers = [m for _, m in line.sent if isinstance(m, AnswerNotification)]
    assert [(a.person, a.channel, a.answer) for a in answers] == [
        ("dgs", "sms", Answer.ACK),
        ("dgs", "sms", Answer.DECLINE),
    ]
    assert NUMBER not in "".join(m.model_dump_json() for _, m in line.sent)


async def test_a_reply_to_a_headcount_is_kept_apart_and_published_only_as_an_answer() -> None:
    line = Line()
    notification = line.told(template="headcount")
    line.follow()
    assert await line.returns.reply(Channel.SMS, NUMBER, "2")
    line.follow()
    assert line.world.row(notification).answer == "ack"
    assert line.kept == {f"headcount-{notification}": TextItem({"headcount": "help"})}
    assert "help" not in "".join(m.model_dump_json() for _, m in line.sent)


async def test_an_acknowledgement_by_sms_can_become_a_decline() -> None:
    line = Line()
    first, second = line.told("n1"), line.told("n2")
    line.follow()
    for words in ("1", "oui", "2 finalement je ne peux pas"):
        assert await line.returns.reply(Channel.SMS, NUMBER, words)
        line.follow()
    assert (line.world.row(first).answer, line.world.row(second).answer) == ("decline", "ack"), (
        "the one that was answered last"
    )
    line.told("n3")
    line.follow()
    await line.returns.reply(Channel.SMS, NUMBER, "1")
    line.follow()
    assert line.world.row(first).answer == "decline", "what waits for an answer comes first"


async def test_a_safe_person_can_still_ask_for_help() -> None:
    line = Line()
    notification = line.told(template="headcount")
    line.follow()
    for words in ("1", "2 !!"):
        assert await line.returns.reply(Channel.SMS, NUMBER, words)
        line.follow()
    assert line.kept == {f"headcount-{notification}": TextItem({"headcount": "help"})}


async def test_no_single_answer_is_kept_any_more_once_they_were_destroyed() -> None:
    line = Line()
    notification = line.told(template="headcount")
    line.follow()
    line.outbox.headcounts["c1"] = OpenHeadcount(
        "92", ("cen-1",), 0, over=True, notifications={notification: "dgs"}
    )
    line.outbox.forget_headcount("c1")
    assert await line.returns.reply(Channel.SMS, NUMBER, "2")
    assert (line.kept, line.sent) == ({}, [])


async def test_a_shared_on_call_telephone_answers_for_the_person_called() -> None:
    line = Line()
    line.phones.contacts["ast"] = line.phones.contacts["dgs"].model_copy(update={"person": "ast"})
    notification = line.told()
    line.follow()
    assert await line.returns.reply(Channel.SMS, NUMBER, "1")
    line.follow()
    assert line.world.row(notification).answer == "ack"


async def test_a_number_that_changed_hands_answers_for_its_new_holder() -> None:
    line = Line()
    line.phones.contacts["before"] = line.phones.contacts.pop("dgs").model_copy(
        update={"person": "before"}
    )
    assert await line.returns.reply(Channel.SMS, NUMBER, "1")
    line.phones.contacts["dgs"] = line.phones.contacts.pop("before").model_copy(
        update={"person": "dgs"}
    )
    notification = line.told()
    line.follow()
    line.now_s = INDEX_MAX_AGE_S
    assert await line.returns.reply(Channel.SMS, NUMBER, "1")
    line.follow()
    assert line.world.row(notification).answer == "ack"


async def test_replies_that_come_while_the_directory_is_read_are_nobodys_loss() -> None:
    line = Line()
    first, second = line.told("n1"), line.told("n2")
    line.follow()
    await asyncio.gather(*(line.returns.reply(Channel.SMS, NUMBER, words) for words in ("1", "1")))
    line.follow()
    assert [m.notification for _, m in line.sent if isinstance(m, AnswerNotification)] == [
        second,
        second,
    ]
    assert line.world.row(first).answer is None


async def test_replies_of_strangers_and_uncalled_people_have_no_effect() -> None:
    line = Line()
    assert await line.returns.reply(Channel.SMS, NUMBER, "qui est là ?")
    line.told()
    line.follow()
    line.now_s = INDEX_MAX_AGE_S
    for words in ("OK", "qui est là ?", "OK"):
        assert await line.returns.reply(Channel.SMS, "+33699999999", words)
    assert line.sent == []
    assert line.phones.readings == 2, "a flood of strangers must not read the directory each time"


async def test_an_unparsed_reply_is_answered_once_with_help() -> None:
    line = Line()
    notification = line.told(values={"number": "92-2027-0211-01"})
    line.follow()
    for words in ("j’arrive", "j’arrive !!", "votre message a été lu automatiquement"):
        assert await line.returns.reply(Channel.SMS, NUMBER, words)
        line.follow()
    assert [(realm, m) for realm, m in line.sent] == [
        ("92", ReplyUnread(notification=notification, person="dgs", channel=Channel.SMS))
    ]
    assert "arrive" not in "".join(m.model_dump_json() for _, m in line.sent)
    (help_row,) = [
        row
        for id, row in line.world.service.state("92").notifications.items()
        if id != notification
    ]
    assert (help_row.person, help_row.channels, help_row.answer_expected) == (
        "dgs",
        (Channel.SMS,),
        False,
    )
    assert choose_sms_text(
        compose_message(help_row, MessageNames(), load_phrases("fr"), None), answerable=True
    ) == (
        "Vigie N3 : SMS non compris. Appel en cours : Incident, tout le département. Commencez votre SMS par 1 : je prends, ou 2 : je ne peux pas."
    )
    assert await line.returns.reply(Channel.SMS, NUMBER, "1 j’arrive")
    line.follow()
    assert line.world.row(notification).answer == "ack", "and their answer is to the call"


async def test_a_reply_by_the_front_door_waits_until_the_log_was_read_then_answers_and_is_erased() -> (
    None
):
    line = Line()
    waiting = ReplyReader(line.kept, line.returns)
    await line.kept.put("reply-1", TextItem({"from": "06 12 34 56 78", "words": "1 j'arrive"}))
    line.outbox.caught_up = False
    await waiting.read()
    assert "reply-1" in line.kept, "what was asked is not known yet"
    notification = line.told()
    line.follow()
    line.outbox.caught_up = True
    await waiting.read()
    line.follow()
    assert line.world.row(notification).answer == "ack"
    assert line.kept == {}


async def test_replies_by_the_front_door_are_read_in_the_order_in_which_they_came_and_each_once() -> (
    None
):
    line = Line()
    waiting = ReplyReader(line.kept, line.returns)
    notification = line.told(template="headcount")
    line.follow()
    safe, help = (
        TextItem({"from": NUMBER, "words": words, "at": at}) for words, at in (("1", 1), ("2", 2))
    )
    await line.kept.put("reply-b", safe)
    await line.kept.put("reply-a", help)
    await waiting.read()
    await line.kept.put("reply-b", safe)
    await waiting.read()
    line.follow()
    assert line.kept == {f"headcount-{notification}": TextItem({"headcount": "help"})}


async def test_a_reply_that_is_posted_again_after_a_start_is_the_same_answer() -> None:
    line = Line()
    notification = line.told()
    line.follow()
    for name, words in (("reply-b", "1"), ("reply-a", "2"), ("reply-b", "1")):
        await line.kept.put(name, TextItem({"from": NUMBER, "words": words}))
        await ReplyReader(line.kept, line.returns).read()
        line.follow()
    assert line.world.row(notification).answer == "decline"


async def test_a_receipt_by_the_front_door_is_handed_in_once_its_message_is_known() -> None:
    line = Line(ids={"n1": "sms_5fa275dbf21dc"})
    item = TextItem({"receipt": "sms_5fa275dbf21dc", "state": "received", "error": None, "at": 1})
    reader = ReplyReader(line.kept, line.returns, clock=lambda: 5.0)
    await line.kept.put("reply-r", item)
    await reader.read()
    assert list(line.kept) == ["reply-r"], "its message is not known yet"
    notification = line.told()
    line.follow()
    await reader.read()
    line.follow()
    assert line.world.row(notification).state == "received"
    assert line.kept == {}


async def test_a_receipt_of_another_message_delays_no_reply_and_is_dropped() -> None:
    line = Line()
    now = [5.0]
    reader = ReplyReader(line.kept, line.returns, clock=lambda: now[0])
    notification = line.told()
    line.follow()
    await line.kept.put("reply-a", TextItem({"receipt": "ghost", "state": "failed", "at": 1}))
    await line.kept.put("reply-b", TextItem({"from": NUMBER, "words": "1", "at": 2}))
    async with asyncio.timeout(1):
        await reader.read()
    line.follow()
    assert line.world.row(notification).answer == "ack"
    assert list(line.kept) == ["reply-a"]
    now[0] = GIVE_UP_S + 6
    await reader.read()
    assert line.kept == {}


async def test_a_reply_of_a_stranger_by_the_front_door_is_erased_too() -> None:
    line = Line()
    await line.kept.put("reply-1", TextItem({"from": "+33699999999", "words": "1"}))
    await ReplyReader(line.kept, line.returns).read()
    assert (line.kept, line.sent) == ({}, [])


async def test_a_call_that_was_withdrawn_is_asked_no_more() -> None:
    line = Line()
    notification = line.told()
    line.follow()
    line.world.put(NotificationWithdrawn(notification=notification, why="superseded"), "92")
    line.follow()
    assert await line.returns.reply(Channel.SMS, NUMBER, "OK")
    assert line.sent == []


def test_expected_replies_survive_a_restart() -> None:
    line = Line()
    line.told()
    line.follow()
    after = create_attempt_view()
    after.load(json.loads(json.dumps(line.outbox.dump())))
    assert (after.references, after.questions) == (line.outbox.references, line.outbox.questions)
    assert after.references
    assert after.questions


async def test_an_address_that_is_nobodys_any_more_leaves_the_directory_and_the_ladders_hear_of_it() -> (
    None
):
    line, old, new = Line(), "a subscription", "another one"
    points = tuple(ContactPoint(channel=Channel.APP, address=a, verified_at=1) for a in (old, new))
    line.phones.contacts["dgs"] = Contact(
        person="dgs", points=(*points, ContactPoint(channel=Channel.SMS, address=old))
    )

    async def gone(address: str) -> tuple[ReachRow, ...]:
        line.sent.clear()
        row = NotificationRow(
            id="n",
            level=Level.N1,
            role="r",
            person="dgs",
            channels=(),
            state=NotificationState.ATTEMPTED,
            template="t",
            planned_at=0,
        )
        text = compose_message(row, MessageNames(), load_phrases("fr"), None)
        await line.returns.remove_address(
            Channel.APP, Outgoing("92", row, "a1", 1, False, address, text, "r")
        )
        return next((m.people for _, m in line.sent if isinstance(m, NoteReachability)), ())

    line.phones.away = True
    assert await gone(old) == (), "the next message finds out again"
    line.phones.away = False
    (reach_row,) = await gone(old)
    assert {r.channel for r in reach_row.points} == {Channel.APP, Channel.SMS}
    assert line.phones.contacts["dgs"].addresses(Channel.APP) == (new,)
    assert line.phones.contacts["dgs"].addresses(Channel.SMS) == (old,), (
        "the same words on another channel are another address"
    )
    (reach_row,) = await gone(new)
    assert {r.channel for r in reach_row.points} == {Channel.SMS}
    assert await gone("unknown") == ()


def store_text(line: Line, reading: str, *, words: str = "il y a le feu", **fields: Any) -> None:
    """Store a text from the field, as the front door does."""
    line.kept["reply-t"] = TextItem(
        {
            "from": NUMBER,
            "words": words,
            "at": T0,
            "reading": reading,
            "may_answer": True,
            **fields,
        }
    )


async def read_texts(line: Line) -> list[Message]:
    await ReplyReader(line.kept, line.returns, lambda: T0 / 1000).read()
    assert not line.kept.ids("reply-")
    line.follow()
    return [m for _, m in line.sent if isinstance(m, TextRead | ReplyUnread)]


@pytest.mark.parametrize("reading", ["report", "place_missing", "not_understood"])
async def test_the_reading_of_a_text_goes_to_the_decider(reading: str) -> None:
    line = Line()
    store_text(line, reading, type="fire", site="clg-1", danger=True)
    (read,) = await read_texts(line)
    assert isinstance(read, TextRead)
    assert (read.person, read.text, read.reading, read.type, read.site, read.danger) == (
        "dgs",
        "reply-t",
        reading,
        "fire",
        "clg-1",
        True,
    )
    assert NUMBER not in read.model_dump_json()


async def test_the_text_of_a_stranger_or_of_another_realm_is_not_answered() -> None:
    line = Line()
    store_text(line, "report", **{"from": "+33600000000"})
    assert await read_texts(line) == []
    store_text(line, "report", realms=("93",))
    assert await read_texts(line) == []


async def test_a_person_with_an_open_call_learns_how_to_answer_it_too() -> None:
    line = Line()
    line.told()
    line.follow()
    store_text(line, "not_understood", words="j’arrive")
    assert [type(m) for m in await read_texts(line)] == [ReplyUnread]
    store_text(line, "report", danger=True)
    assert [type(m) for m in await read_texts(line)] == [ReplyUnread, TextRead]


async def test_a_line_about_a_site_is_about_no_call() -> None:
    line = Line()
    line.told()
    line.follow()
    store_text(line, "not_understood", words="117 panne", may_answer=False)
    assert [type(m) for m in await read_texts(line)] == [TextRead]


async def test_a_question_for_a_place_is_erased_after_its_time() -> None:
    line = Line()
    line.kept["place-a"] = TextItem({"at": T0 - OPEN_PLACE_MS - 1})
    line.kept["place-b"] = TextItem({"at": T0 - OPEN_PLACE_MS + 1})
    await ReplyReader(line.kept, line.returns, lambda: T0 / 1000).read()
    assert line.kept.ids("place-") == ["place-b"]


async def list_arrivals(line: Line) -> list[tuple[str | None, bool]]:
    """Return words of the texts for the front, and whether they answered a call."""
    items = [await line.kept.get(id) for id in line.kept.ids(ARRIVED_TEXT_PREFIX)]
    return [
        (item.fields.get("words"), bool(item.fields.get("is_answer")))
        for item in items
        if item is not None
    ]


async def test_a_text_that_answers_no_call_is_for_the_front_once() -> None:
    line = Line()
    for name in ("ovh-7", "ovh-7", "ovh-8"):
        assert await line.returns.accept_text(Channel.SMS, NUMBER, "117 FEU", name=name)
    for _ in range(2):
        assert await line.returns.accept_text(Channel.SMS, "+33699999999", "il y a le feu")
    assert await list_arrivals(line) == [
        ("117 FEU", False),
        ("117 FEU", False),
        ("il y a le feu", False),
    ]
    assert line.sent == []


async def test_an_answer_of_one_word_is_an_answer_alone_and_a_longer_one_may_tell_of_danger() -> (
    None
):
    line = Line()
    notification = line.told()
    line.follow()
    assert await line.returns.accept_text(Channel.SMS, NUMBER, "1")
    assert await list_arrivals(line) == []
    assert line.world.row(notification).answer == "ack"
    assert await line.returns.accept_text(Channel.SMS, NUMBER, "2 blessés au gymnase")
    assert await list_arrivals(line) == [("2 blessés au gymnase", True)]


async def test_a_text_without_an_id_is_a_repetition_for_some_minutes_only() -> None:
    line = Line()
    clock = [T0 / 1000]
    line.returns._clock = lambda: clock[0]
    assert await line.returns.accept_text(Channel.SMS, NUMBER, "117 FEU")
    (id,) = line.kept.ids(ARRIVED_TEXT_PREFIX)
    line.kept[id] = TextItem({"at": T0})
    clock[0] += REPEAT_MS / 1000 - 1
    assert await line.returns.accept_text(Channel.SMS, NUMBER, "117 FEU")
    assert await list_arrivals(line) == [(None, False)]
    clock[0] += 2
    assert await line.returns.accept_text(Channel.SMS, NUMBER, "117 FEU")
    assert await list_arrivals(line) == [("117 FEU", False)]


def make_part(words: str, number: int, total: int = 2, reference: str = "udh0-77") -> TextPart:
    return TextPart(reference, number, total, words.encode("latin-1"), 3)


async def test_each_part_of_a_long_text_is_for_the_front_once() -> None:
    line = Line()
    long_text = (make_part("Fuite de gaz", 1), make_part(" au collège", 2))
    for part in (long_text[1], long_text[0], long_text[1]):
        assert await line.returns.accept_part(Channel.SMS, NUMBER, part)
    parts = [line.kept[id].fields for id in line.kept.ids(TEXT_PART_PREFIX)]
    assert [(part["number"], part["is_answer"]) for part in parts] == [(2, False), (1, False)]
    assert bytes.fromhex(parts[0]["octets"]).decode("latin-1") == " au collège"
    assert await list_arrivals(line) == []
    for id in line.kept.ids(TEXT_PART_PREFIX):  # the front has read them
        line.kept[id] = TextItem({"at": T0})
    assert await line.returns.accept_part(Channel.SMS, NUMBER, long_text[0])
    assert await line.returns.accept_part(Channel.SMS, NUMBER, make_part("Autre chose", 1))
    assert (
        len([id for id in line.kept.ids(TEXT_PART_PREFIX) if "octets" in line.kept[id].fields]) == 1
    )


async def test_the_first_part_of_a_long_answer_answers_at_once_and_a_later_one_never() -> None:
    line = Line()
    notification = line.told()
    line.follow()
    assert await line.returns.accept_part(Channel.SMS, NUMBER, make_part("2 ou 3 minutes", 2))
    line.follow()
    assert line.world.row(notification).answer is None
    assert await line.returns.accept_part(Channel.SMS, NUMBER, make_part("1 je pars, comptez ", 1))
    line.follow()
    assert line.world.row(notification).answer == "ack"
    answers = [line.kept[id].fields["is_answer"] for id in line.kept.ids(TEXT_PART_PREFIX)]
    assert answers == [False, True]


async def test_a_part_waits_at_the_provider_until_the_calls_are_known() -> None:
    line = Line()
    line.outbox.caught_up = False
    assert not await line.returns.accept_part(Channel.SMS, NUMBER, make_part("117 FEU", 1))
    assert not line.kept


async def test_a_text_waits_at_the_provider_until_the_calls_are_known() -> None:
    line = Line()
    line.outbox.caught_up = False
    assert not await line.returns.accept_text(Channel.SMS, NUMBER, "117 FEU")
    assert await list_arrivals(line) == []


async def test_a_danger_behind_an_answer_answers_the_call_and_is_answered() -> None:
    line = Line()
    notification = line.told()
    line.follow()
    store_text(line, "place_missing", words="oui, il y a le feu", danger=True)
    assert [type(m) for m in await read_texts(line)] == [TextRead]
    assert line.world.row(notification).answer == "ack"
