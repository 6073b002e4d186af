"""Two live realms of one installation, where one token is a different person in each. Rule D140."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

import services.delivery.sender.sender as sender_module
from schemas.commands import AnswerNotification
from schemas.delivery import ReceiptReceived, ReplyUnread
from schemas.people.directory import Contact, ContactPoint
from schemas.people.replies import ReplySubject, TextReading
from schemas.words import Channel, NotificationState
from services.delivery.callouts.headcount_tally import HeadcountTally
from services.delivery.channels.base import CallResult, ChannelDrivers, Outgoing
from services.delivery.replies.inbox import ReplyReader
from services.delivery.replies.returns import FieldText, ProviderInbox
from services.delivery.sender.attempt_view import (
    AttemptView,
    OpenHeadcount,
    OpenQuestion,
    ProviderReference,
)
from services.delivery.sender.sender import create_attempt_view
from services.runtime.secrets.vault import TextItem
from tests.directories import make_directory
from tests.unit.delivery.test_returns import Answers, Line
from tests.unit.delivery.test_sender import Provider, World

IN_BOTH = (("n1", "92"), ("n2", "93"))
AT_ONCE = 4
SHARED = "+33600000009"
"""A duty phone that both départements have written down."""


def contact(person: str, *numbers: str, site: str | None = None) -> Contact:
    points = tuple(ContactPoint(channel=Channel.SMS, address=number) for number in numbers)
    return Contact(person=person, points=points, site=site)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(sender_module, "REPEAT_S", 0)
    made = World()
    for realm in ("92", "93"):
        made.open(realm, ["sms"])
    return made


async def test_a_fire_in_93_rings_people_of_93_only(world: World) -> None:
    world.people = make_directory(  # type: ignore[assignment]
        r92=[contact("dgs", "+33600000092")], r93=[contact("dgs", "+33600000093")]
    )
    provider = Provider()
    n = world.plan(realm="93", channels=(Channel.SMS,))
    await world.until(
        world.sender(drivers={Channel.SMS: provider}),
        lambda: world.row(n, "93").state is NotificationState.ACCEPTED,
    )
    assert [call.address for call in provider.calls] == ["+33600000093"]


async def test_a_person_unknown_in_93_is_not_taken_from_92(world: World) -> None:
    world.people = make_directory(r92=[contact("dgs", "+33600000092")])  # type: ignore[assignment]
    provider = Provider(CallResult("accepted"))
    n = world.plan(realm="93", channels=(Channel.SMS,))
    await world.until(
        world.sender(drivers={Channel.SMS: provider}),
        lambda: world.row(n, "93").state is NotificationState.FAILED,
    )
    assert provider.calls == []
    assert world.row(n, "93").attempts[0].error == "person_unknown"


async def test_a_fire_in_93_is_sent_by_the_gateway_of_93(world: World) -> None:
    national, own = Provider(), Provider()
    drivers = ChannelDrivers({Channel.SMS: national}, {"93": {Channel.SMS: own}})
    world.people = make_directory(  # type: ignore[assignment]
        r92=[contact("dgs", "+33600000092")], r93=[contact("dgs", "+33600000093")]
    )
    rows = [world.plan(id, realm, channels=(Channel.SMS,)) for id, realm in IN_BOTH]
    await world.until(
        world.sender(drivers=drivers),
        lambda: all(
            world.row(n, realm).state is NotificationState.ACCEPTED
            for n, (_, realm) in zip(rows, IN_BOTH, strict=True)
        ),
    )
    assert [call.address for call in national.calls] == ["+33600000092"]
    assert [call.address for call in own.calls] == ["+33600000093"]


async def test_a_silent_test_of_93_asks_the_providers_of_93(world: World) -> None:
    drivers = ChannelDrivers({Channel.SMS: Provider()}, {"93": {Channel.EMAIL: Provider()}})
    sender = world.sender(drivers=drivers)
    assert (await sender._probe_channel("92", Channel.SMS)).outcome == "no_silent_test"
    assert (await sender._probe_channel("93", Channel.SMS)).outcome == "not_configured"


async def test_calls_of_93_that_hang_leave_the_first_page_of_92_in_time(world: World) -> None:
    """The national provider hangs on every call of 93, and 93 has more calls than slots."""
    world.people = make_directory(  # type: ignore[assignment]
        r92=[contact("dgs", "+33600000092")], r93=[contact("dgs", "+33600000093")]
    )
    provider = HangsFor("+33600000093")
    page = {"channels": (Channel.SMS,), "wave": 1, "cycle": 1}
    for number in range(AT_ONCE + 2):
        world.plan(f"n{number + 10}", "93", **page)
    first = world.plan("n1", "92", **page)
    await world.until(
        world.sender(drivers={Channel.SMS: provider}, calls_at_once=AT_ONCE),
        lambda: world.row(first).state is NotificationState.ACCEPTED,
    )
    assert Counter(call.address for call in provider.calls) == {
        "+33600000093": AT_ONCE,
        "+33600000092": 1,
    }


class HangsFor(Provider):
    """Never answers a call to this number."""

    def __init__(self, number: str) -> None:
        super().__init__()
        self.number = number

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallResult:
        if outgoing.address == self.number:
            self.hangs = asyncio.Event()
        else:
            self.hangs = None
        return await super().call(outgoing, timeout_s)


async def test_a_receipt_concerns_the_message_of_its_own_provider() -> None:
    """Both gateways count their messages from 1, and each sends the receipt of its message 1."""
    line = Line(outbox=create_attempt_view(own_providers={("93", Channel.SMS)}))
    inbox = make_inbox(line)
    for realm, notification in (("92", "n-92"), ("93", "n-93")):
        key = line.outbox.build_key(realm, Channel.SMS, "1")
        line.outbox.references[key] = ProviderReference(realm, notification, "a")
    assert await inbox.of("93").receipt(Channel.SMS, "1", "received", None)
    assert await inbox.of("").receipt(Channel.SMS, "1", "received", None)
    receipts = [(r, m.notification) for r, m in line.sent if isinstance(m, ReceiptReceived)]
    assert receipts == [("93", "n-93"), ("92", "n-92")]

    after = create_attempt_view(own_providers={("93", Channel.SMS)})
    after.load(json.loads(json.dumps(line.outbox.dump())))
    assert after.references == line.outbox.references


async def test_a_reply_to_the_gateway_of_93_answers_no_call_of_92() -> None:
    line = Line()
    inbox = make_inbox(line)
    ask(line.outbox, "92", "n-92", at=2)
    assert await inbox.of("93").accept_text(Channel.SMS, SHARED, "1")
    assert list_answers(line) == []


def make_inbox(line: Line, *, numbers_93: tuple[str, ...] = (SHARED,)) -> ProviderInbox:
    directory = make_directory(
        r92=[contact("dgs", SHARED)], r93=[contact("dgs", *numbers_93), contact("maire", SHARED)]
    )
    return ProviderInbox(line.outbox, line, directory, line.kept)


def ask(view: AttemptView, realm: str, notification: str, at: int, person: str = "dgs") -> None:
    question = OpenQuestion(realm, "dgs", headcount=False, at=at, is_answered=False)
    view.questions.setdefault(person, {})[notification] = question


def list_answers(line: Line) -> list[tuple[str, str]]:
    return [(realm, m.notification) for realm, m in line.sent if isinstance(m, AnswerNotification)]


async def test_the_open_question_decides_the_realm_of_a_reply() -> None:
    line = Line()
    inbox = make_inbox(line)
    ask(line.outbox, "93", "n-93", at=1)
    assert await inbox.reply(Channel.SMS, SHARED, "1")
    assert list_answers(line) == [("93", "n-93")]


async def test_the_words_of_a_site_answer_an_order_for_an_area_and_no_other_call() -> None:
    line = Line()
    inbox = make_inbox(line)
    ask(line.outbox, "92", "n-call", at=1)
    assert await inbox.reply(Channel.SMS, SHARED, "pas concernés")
    assert list_answers(line) == []
    question = OpenQuestion("92", "dgs", headcount=False, at=2, is_answered=False, area_order=True)
    line.outbox.questions["dgs"]["n-order"] = question
    assert await inbox.reply(Channel.SMS, SHARED, "pas concernés")
    assert list_answers(line) == [("92", "n-order")]


def open_four_questions(line: Line) -> None:
    line.outbox.questions["dgs"] = {
        "n-call": OpenQuestion("92", "dgs", headcount=False, at=1, is_answered=False),
        "n-due": OpenQuestion(
            "92", "dgs", headcount=False, at=2, is_answered=False, action_due=True
        ),
        "n-count": OpenQuestion("92", "dgs", headcount=True, at=3, is_answered=False),
        "n-order": OpenQuestion(
            "92", "dgs", headcount=False, at=4, is_answered=False, area_order=True
        ),
    }


def list_questions_back(line: Line) -> list[ReplyUnread]:
    return [message for _realm, message in line.sent if isinstance(message, ReplyUnread)]


@pytest.mark.parametrize(
    ("words", "answered"),
    [
        ("1 dans 1 h", "n-call"),
        ("je prends", "n-call"),
        ("je ne peux pas", "n-call"),
        ("c’est fait", "n-due"),
        ("impossible", "n-due"),
        ("pas concerné", "n-order"),
        ("2 besoin d’aide", "n-count"),
        ("oui, je suis en sécurité", "n-count"),
        ("3", "n-count"),
    ],
)
async def test_words_answer_the_open_question_that_they_fit(words: str, answered: str) -> None:
    """«1 dans 1 h» to a call evacuated the site about which its person was asked later."""
    line = Line()
    inbox = make_inbox(line)
    open_four_questions(line)
    assert await inbox.reply(Channel.SMS, SHARED, words)
    assert list_answers(line) == [("92", answered)]
    assert list_questions_back(line) == []


@pytest.mark.parametrize("words", ["1", "ok", "oui la route est coupée"])
async def test_a_yes_to_one_of_several_kinds_of_questions_counts_for_none(words: str) -> None:
    """«1» to a call counted its person as safe, or ordered to leave a site."""
    line = Line()
    inbox = make_inbox(line)
    open_four_questions(line)
    assert await inbox.reply(Channel.SMS, SHARED, words, name="r-1")
    assert list_answers(line) == []
    (back,) = list_questions_back(line)
    assert back.subjects == tuple(ReplySubject)
    assert not back.is_help
    assert back.reply == "r-1"


@pytest.mark.parametrize("words", ["2", "non"])
async def test_a_no_that_may_ask_for_help_counts_as_that_at_once(words: str) -> None:
    """«2» to a headcount said that an order for an area does not concern the site."""
    line = Line()
    inbox = make_inbox(line)
    open_four_questions(line)
    assert await inbox.reply(Channel.SMS, SHARED, words)
    assert list_answers(line) == [("92", "n-count")]
    (back,) = list_questions_back(line)
    assert back.is_help


async def test_several_questions_of_one_kind_are_not_asked_back() -> None:
    line = Line()
    inbox = make_inbox(line)
    ask(line.outbox, "92", "n-1", at=1)
    ask(line.outbox, "92", "n-2", at=2)
    assert await inbox.reply(Channel.SMS, SHARED, "1")
    assert list_answers(line) == [("92", "n-2")]
    assert list_questions_back(line) == []


async def test_a_safe_person_asks_for_help_while_another_question_waits() -> None:
    line = Line()
    inbox = make_inbox(line)
    ask(line.outbox, "92", "n-call", at=2)
    line.outbox.questions["dgs"]["n-count"] = OpenQuestion(
        "92", "dgs", headcount=True, at=1, is_answered=True
    )
    assert await inbox.reply(Channel.SMS, SHARED, "ok mais besoin d’aide")
    assert list_answers(line) == [("92", "n-count")]


async def test_the_words_of_a_call_change_its_answer_while_a_headcount_waits() -> None:
    line = Line()
    inbox = make_inbox(line)
    line.outbox.questions["dgs"] = {
        "n-call": OpenQuestion("92", "dgs", headcount=False, at=1, is_answered=True),
        "n-count": OpenQuestion("92", "dgs", headcount=True, at=2, is_answered=False),
    }
    assert await inbox.reply(Channel.SMS, SHARED, "je ne peux pas")
    assert list_answers(line) == [("92", "n-call")]


async def test_a_text_that_answers_a_headcount_is_not_called_misunderstood() -> None:
    """The front knows no question; its reading of «je ne suis pas sur place» is that of no report."""
    line = Line()
    inbox = make_inbox(line)
    question = OpenQuestion("92", "agent", headcount=True, at=1, is_answered=False)
    line.outbox.questions["dgs"] = {"n-count": question}
    text = FieldText(
        text="t-1",
        words="Je ne suis pas sur place",
        reading=TextReading.NOT_UNDERSTOOD,
        type=None,
        site=None,
        may_answer=True,
        danger=False,
        sent_at=2,
    )
    assert await inbox.answer_text(Channel.SMS, SHARED, text, ("92",))
    assert [type(message) for _realm, message in line.sent] == [AnswerNotification]


async def test_a_reply_never_answers_the_call_of_another_persons_realm() -> None:
    """The number is that of the DGS of 92; the DGS of 93, with the same token, was called."""
    line = Line()
    inbox = make_inbox(line, numbers_93=("+33600000093",))
    ask(line.outbox, "93", "n-93", at=1)
    assert await inbox.reply(Channel.SMS, SHARED, "1")
    assert list_answers(line) == []


async def test_the_reply_through_the_gateway_of_93_answers_no_call_of_92() -> None:
    line = Line()
    inbox = make_inbox(line)
    ask(line.outbox, "93", "n-93", at=1)
    ask(line.outbox, "92", "n-92", at=2)
    fields = {"from": SHARED, "words": "1", "at": 1, "realms": ["93"]}
    await line.kept.put("reply-1", TextItem(fields))
    await ReplyReader(Kept(line.kept), inbox).read()
    assert list_answers(line) == [("93", "n-93")]


class Kept:
    """The waiting replies under any prefix."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def ids(self, prefix: str) -> list[str]:  # noqa: ARG002
        return list(self._answers)

    async def get(self, text_id: str) -> TextItem | None:
        return await self._answers.get(text_id)

    async def erase(self, id: str) -> None:
        await self._answers.erase(id)


async def test_an_answer_in_one_realm_keeps_the_answered_call_of_another(world: World) -> None:
    line = Line(world=world)
    first = line.world.plan("n1", realm="92", channels=(Channel.SMS,))
    view = create_attempt_view()
    question = OpenQuestion("93", "dgs", headcount=False, at=1, is_answered=True)
    view.questions["dgs"] = {"n-93": question}
    row = world.row(first).model_copy(update={"answer": "ack"})
    view._ask("92", row)
    assert view.questions["dgs"] == {"n-93": question}


async def test_a_number_that_ended_is_dropped_in_the_realm_that_called(world: World) -> None:
    directory = make_directory(r92=[contact("dgs", SHARED)], r93=[contact("dgs", SHARED)])
    world.people = directory  # type: ignore[assignment]
    provider = Provider()
    n = world.plan(realm="93", channels=(Channel.SMS,))
    await world.until(
        world.sender(drivers={Channel.SMS: provider}),
        lambda: world.row(n, "93").state is NotificationState.ACCEPTED,
    )
    line = Line()
    inbox = ProviderInbox(line.outbox, Deaf(), directory, line.kept)
    await inbox.remove_address(Channel.SMS, provider.calls[0])
    assert directory.of("93").peek("dgs") == Contact(person="dgs")
    assert directory.of("92").peek("dgs") == contact("dgs", SHARED)


class Deaf:
    """Kafka that takes every input."""

    async def send(self, *_: object, **__: object) -> tuple[int, int]:
        return 0, 0


async def test_a_headcount_places_people_by_the_directory_of_its_realm() -> None:
    directory = make_directory(
        r92=[contact("dgs", site="cen-1")], r93=[contact("dgs", site="stdenis-2")]
    )
    view, answer_store = create_attempt_view(), Answers()
    sites: dict[str, str] = {}
    headcount = OpenHeadcount("93", ("stdenis-1", "stdenis-2"), 1, over=False, persons={"dgs"})
    tally = HeadcountTally(view, answer_store, directory, Deaf())  # type: ignore[arg-type]
    await tally._place(headcount, sites)
    assert sites == {"dgs": "stdenis-2"}
