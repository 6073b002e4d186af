"""Hand in receipts and replies that providers send on their own.

A receipt may arrive before the outcome of its own attempt: it waits a little, then the provider is
asked to repeat it. A receipt of an unknown attempt (its sender died before it learnt the id) is
dropped after a while.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal
from uuid import uuid4

import structlog

from schemas.base import MINUTE_MS, Instant, Message
from schemas.callouts import HeadcountAnswer, headcount_text_id
from schemas.commands import AnswerCards, AnswerNotification
from schemas.delivery import ReceiptReceived, ReplyUnread, TextRead
from schemas.oncall import NoteReachability
from schemas.people.attendance import AttendanceMode, StateAttendance
from schemas.people.replies import (
    ARRIVED_TEXT_PREFIX,
    CardReply,
    ReplySubject,
    TextReading,
    find_subject,
    name_text_part,
    parse_area_reply,
    parse_attendance,
    parse_card_reply,
    parse_headcount_reply,
    parse_reply,
)
from schemas.topics import input_topic, select_urgent_topic
from schemas.words import Answer, CardChange, Channel, EventType
from services.delivery.channels.base import AS_WRITTEN, Inbox, Outgoing, TextPart, list_readings
from services.delivery.channels.sms.origin import normalize_provider_number
from services.delivery.replies.answers import HELP_PERIOD_MS
from services.delivery.sender.attempt_view import (
    AttemptView,
    CardList,
    OpenQuestion,
    ProviderReference,
)
from services.delivery.sender.sender import SOURCE
from services.runtime.http.sms_text import decode_text
from services.runtime.kafka.clients import BrokerAway, RecordProducer
from services.runtime.process import metrics
from services.runtime.process.exits import ARMED, reach_failpoint
from services.runtime.secrets.vault import TextItem, VaultDirectory, VaultTexts

log = structlog.get_logger(__name__)

WAIT_S: Final = 5.0
"""Time to wait for the outcome of an attempt to come back from the log."""
GIVE_UP_S: Final = 600.0
"""Time from the first receipt of an unknown id until it is dropped."""
INDEX_MAX_AGE_S: Final = 10.0
"""Oldest index of numbers that a reply may use: numbers change hands, and people are erased."""
REPEAT_MS: Final = 5 * MINUTE_MS
"""Time in which the same text of a number, without an id of the provider, is a repetition."""
_POLL_S: Final = 0.02
_KEPT_RECEIPTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class NumberHolder:
    """A person of one realm, as holder of a number."""

    realm: str
    person: str


@dataclass(frozen=True, slots=True)
class FieldText:
    """A text from the field, as the front door read it."""

    text: str
    """Id of the text."""
    words: str
    reading: TextReading
    type: EventType | None
    site: str | None
    may_answer: bool
    """True if it may be about a call: free words without the code of a site."""
    danger: bool
    sent_at: Instant


AskedQuestion = tuple[OpenQuestion, str, str]
"""A question with the ids of its notification and of the person."""


def _waiting(questions: Iterable[AskedQuestion]) -> dict[ReplySubject, AskedQuestion]:
    """Return the newest question of each kind that waits for an answer."""
    newest: dict[ReplySubject, AskedQuestion] = {}
    for question in questions:
        if not question[0].is_answered:
            newest.setdefault(question[0].subject, question)
    return newest


def _read_answer(subject: ReplySubject, words: str) -> Answer | None:
    """Interpret a reply as an answer to a kind of question; None if it is none."""
    match subject:
        case ReplySubject.HEADCOUNT:
            return None if parse_headcount_reply(words) is None else Answer.ACK
        case ReplySubject.AREA_ORDER:
            return parse_area_reply(words)
        case _:
            return parse_reply(words)


def _choose_question(
    questions: list[AskedQuestion], words: str
) -> tuple[AskedQuestion | None, bool]:
    """Return the question that a reply answers, and whether its sender is asked which one.

    Words that ask for help answer a headcount first of all. Others choose among the kinds of
    questions that wait. If they fit several, only a need for help counts. A reply that no waiting
    question reads changes an answer. Rule D33.
    """
    subject, waiting = find_subject(words), _waiting(questions)
    if subject is ReplySubject.HEADCOUNT and parse_headcount_reply(words) is HeadcountAnswer.HELP:
        headcount = next((one for one in questions if one[0].headcount), None)
        if headcount is not None:
            return headcount, False
    readers = {kind: one for kind, one in waiting.items() if _read_answer(kind, words) is not None}
    if subject in readers:
        return readers[subject], False
    if len(readers) > 1:
        needs_help = parse_headcount_reply(words) is HeadcountAnswer.HELP
        return readers.get(ReplySubject.HEADCOUNT) if needs_help else None, True
    if readers:
        return next(iter(readers.values())), False
    answered = [
        one
        for one in questions
        if one[0].is_answered
        and (not waiting or one[0].subject is subject)
        and _read_answer(one[0].subject, words) is not None
    ]
    return next(iter(answered), None), False


def _name_arrival(address: str, words: str, name: str | None, realms: Collection[str]) -> str:
    """Return the id of a text in `texts`; the number and the words cannot be read from it."""
    parts = (*realms, name or "", address, words)
    return f"{ARRIVED_TEXT_PREFIX}{sha256(chr(31).join(parts).encode()).hexdigest()[:32]}"


def _is_repetition(earlier: TextItem, now: Instant) -> bool:
    """Check whether the same words of a number, without an id, are one text that came twice."""
    return "words" in earlier.fields or now - int(earlier.fields["at"]) < REPEAT_MS


def _is_about_cards(
    reply: CardReply,
    card_list: tuple[str, str, CardList],
    newest: tuple[OpenQuestion, str, str] | None,
) -> bool:
    """Check whether a reply is about cards, not about a call that came after them.

    With a number it always is.
    """
    if reply.numbers or newest is None:
        return True
    return newest[0].is_answered or newest[0].at <= card_list[2].at


class ProviderInbox:
    """Inbox of one sender run; implements `channels.Inbox`."""

    def __init__(
        self,
        outbox: AttemptView,
        producer: RecordProducer,
        directory: VaultDirectory,
        texts: VaultTexts,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._outbox = outbox
        self._producer = producer
        self._directory = directory
        self._texts = texts
        self._monotonic = monotonic
        self._clock = clock
        self._unknown: dict[str, float] = {}
        self._usual: dict[tuple[str, Channel], int] = {}
        """Realm and channel → form in which its provider wrote the last id (`readings`)."""
        self._numbers: dict[str, tuple[NumberHolder, ...]] = {}
        self._read_at = float("-inf")
        self._indexing = asyncio.Lock()
        self._changing = asyncio.Lock()
        """Serializes changes: contacts are written whole, and several browsers may end at once."""

    async def receipt(
        self,
        channel: Channel,
        provider_id: str,
        state: Literal["received", "failed"],
        error: str | None,
        *,
        realm: str = "",
    ) -> bool:
        """Receive a receipt; see `Inbox`. `realm` is that of a provider of one realm alone."""
        key = self._outbox.build_key(realm, channel, provider_id)
        reference = await self._find_reference(channel, provider_id, realm)
        if reference is None:
            return self._gave_up(key, channel)
        self._unknown.pop(key, None)
        receipt = ReceiptReceived(
            notification=reference.notification, attempt=reference.attempt, state=state, error=error
        )
        await self._send(reference.realm, receipt, f"{reference.attempt}:receipt:{state}")
        metrics.count("vigie_receipts_total", channel=channel.value, state=state)
        return True

    def list_awaited_ids(self, channel: Channel) -> frozenset[str]:
        """Return the ids that wait for a receipt; see `Inbox`."""
        return frozenset(self._outbox.awaited_ids.get(channel, {}).values())

    async def _find_reference(
        self, channel: Channel, provider_id: str, realm: str
    ) -> ProviderReference | None:
        """Find the attempt of a provider's id, in the usual form of the provider first.

        Another form is tried only if that fails, because it may be the id of another message.
        """
        loop, keys = (
            asyncio.get_running_loop(),
            [self._outbox.build_key(realm, channel, id) for id in list_readings(provider_id)],
        )
        usual = keys[self._usual.get((realm, channel), AS_WRITTEN)]
        give_up = loop.time() + (0.0 if keys[AS_WRITTEN] in self._unknown else WAIT_S)
        while (reference := self._outbox.references.get(usual)) is None and loop.time() < give_up:
            await asyncio.sleep(_POLL_S)
        if reference is not None:
            return reference
        other = next((n for n, key in enumerate(keys) if key in self._outbox.references), None)
        if other is None:
            return None
        self._usual[realm, channel] = other
        return self._outbox.references[keys[other]]

    def _gave_up(self, key: str, channel: Channel) -> bool:
        since = self._unknown.setdefault(key, self._monotonic())
        while len(self._unknown) > _KEPT_RECEIPTS:
            del self._unknown[next(iter(self._unknown))]
        if self._monotonic() - since < GIVE_UP_S:
            return False
        del self._unknown[key]
        metrics.count("vigie_receipts_total", channel=channel.value, state="unknown")
        log.warning("receipt.unknown", channel=channel.value)
        return True

    async def accept_text(
        self,
        channel: Channel,
        address: str,
        words: str,
        *,
        name: str | None = None,
        realms: Collection[str] = (),
    ) -> bool:
        """Receive a text that a provider gave to this process: an answer, or a report; see `Inbox`.

        The front reads it like a text that a gateway posts to it, unless it answers a call. An
        answer of several words goes there, too, for it may tell of danger. Rule D100.
        """
        if not self._outbox.caught_up:
            return False
        now = int(self._clock() * 1000)
        id = _name_arrival(address, words, name, realms)
        earlier = await self._texts.get(id)
        if earlier is not None and name is not None:
            return True
        people = await self._find_people(address, realms)
        is_answer = await self._apply_reply(channel, people, words, name or str(uuid4()))
        is_over = is_answer and len(words.split()) == 1
        if is_over and name is not None:
            await self._texts.put(id, TextItem({"at": now}))
        if is_over or (earlier is not None and _is_repetition(earlier, now)):
            return True
        fields = {
            "from": address,
            "words": words,
            "at": now,
            "realms": list(realms),
            "is_answer": is_answer,
        }
        await self._texts.put(id, TextItem(fields))
        if ARMED:
            reach_failpoint("after-text")
        return True

    async def accept_part(
        self, channel: Channel, address: str, part: TextPart, *, realms: Collection[str] = ()
    ) -> bool:
        """Receive a part of a long text; see `Inbox`.

        The first part answers a call at once, also when the others never come. An answer about
        action cards waits for all of them: its reason may be long.
        """
        if not self._outbox.caught_up:
            return False
        id = name_text_part(
            address, part.reference, part.number, part.total, part.octets.hex(), realms
        )
        if await self._texts.get(id) is not None:
            return True
        words = decode_text(part.octets, part.data_coding)
        is_answer = False
        if part.number == 1 and parse_card_reply(words) is None:
            people = await self._find_people(address, realms)
            is_answer = await self._apply_reply(channel, people, words, id)
        fields = {
            "from": address,
            "reference": part.reference,
            "number": part.number,
            "total": part.total,
            "octets": part.octets.hex(),
            "data_coding": part.data_coding,
            "at": int(self._clock() * 1000),
            "realms": list(realms),
            "is_answer": is_answer,
        }
        await self._texts.put(id, TextItem(fields))
        if ARMED:
            reach_failpoint("after-text")
        return True

    async def reply(
        self,
        channel: Channel,
        address: str,
        words: str,
        *,
        name: str | None = None,
        realms: Collection[str] = (),
    ) -> bool:
        """Receive a reply that the front passes on.

        It answers the newest call of the person that waits for an answer, else it changes the
        answer to the last one. A reply about action cards answers the last list of them. A repeated
        `name` is the same answer. Delivery learns of replies that are no answer, so that the person
        gets help. Strangers get no reply. `realms` limits the calls that it may answer, if the
        gateway of the reply is limited.
        """
        if not self._outbox.caught_up:
            return False
        people = await self._find_people(address, realms)
        if not await self._apply_reply(channel, people, words, name or str(uuid4())):
            await self._note_unread(channel, people)
        return True

    async def _apply_reply(
        self, channel: Channel, people: Collection[NumberHolder], words: str, name: str
    ) -> bool:
        """Apply a reply to the call or the list of cards that it answers; False if it answers none.

        See `reply`.
        """
        questions = self._list_questions(people)
        newest = next(iter(questions), None)
        newest_list = self._find_card_list(people)
        cards = None if newest_list is None else parse_card_reply(words)
        if (
            newest_list is not None
            and cards is not None
            and _is_about_cards(cards, newest_list, newest)
        ):
            await self._answer_cards(channel, *newest_list, cards, name)
            metrics.count("vigie_replies_total", channel=channel.value, outcome="cards")
            return True
        chosen, is_unclear = _choose_question(questions, words)
        if chosen is not None:
            await self._apply_answer(channel, chosen, words, name)
        if is_unclear:
            await self._ask_back(channel, questions, chosen is not None, name)
        return chosen is not None or is_unclear

    async def _apply_answer(
        self, channel: Channel, question: AskedQuestion, words: str, name: str
    ) -> None:
        """Record the answer to one question."""
        call, notification, person = question
        answer = _read_answer(call.subject, words)
        if answer is None:
            return
        safety = parse_headcount_reply(words) if call.headcount else None
        if safety is not None:
            await self._texts.put(
                headcount_text_id(notification), TextItem({"headcount": safety.value})
            )
        await self._answer(channel, notification, call, person, answer, name)
        attendance = (
            parse_attendance(words) if answer is Answer.ACK and not call.headcount else None
        )
        if attendance is not None:
            await self._state_attendance(call, person, *attendance, name)
        metrics.count("vigie_replies_total", channel=channel.value, outcome=answer.value)

    async def _ask_back(
        self, channel: Channel, questions: list[AskedQuestion], is_help: bool, name: str
    ) -> None:
        """Tell delivery that a reply fits several questions, so that its sender is asked."""
        _, notification, person = questions[0]
        unclear_reply = ReplyUnread(
            notification=notification,
            person=person,
            channel=channel,
            subjects=tuple(subject for subject in ReplySubject if subject in _waiting(questions)),
            is_help=is_help,
            reply=name,
        )
        realm = questions[0][0].realm
        await self._send(realm, unclear_reply, f"unclear:{name}")
        metrics.count("vigie_replies_total", channel=channel.value, outcome="unclear")

    async def _note_unread(self, channel: Channel, people: Collection[NumberHolder]) -> None:
        """Count a reply that answers nothing, and have its sender helped with the open call."""
        newest = self._find_newest_question(people)
        newest_list = self._find_card_list(people)
        why = "stranger" if not people else "not_asked" if newest is None else "not_understood"
        metrics.count("vigie_replies_total", channel=channel.value, outcome=why)
        log.warning("reply.unused", channel=channel.value, why=why)
        if newest is not None:
            if not newest[0].unread:
                call, notification, person = newest
                await self._not_understood(channel, call.realm, notification, person)
        elif newest_list is not None and not newest_list[2].unread:
            realm, person, card_list = newest_list
            await self._not_understood(channel, realm, card_list.notification, person)

    async def answer_text(
        self, channel: Channel, address: str, text: FieldText, realms: Collection[str]
    ) -> bool:
        """Pass a text from the field on, so that its sender is answered; False = ask again.

        A person with an open call learns how to answer it, too; a text that was not understood is
        then about the call.
        """
        if not self._outbox.caught_up:
            return False
        people = await self._find_people(address, realms)
        is_answer = text.may_answer and await self._apply_reply(
            channel, people, text.words, text.text
        )
        is_helped = not is_answer and text.may_answer and self._is_asked(people, text.sent_at)
        if is_helped:
            await self._note_unread(channel, people)
        if text.reading is TextReading.NOT_UNDERSTOOD and (is_answer or is_helped):
            return True
        if people:
            message = TextRead(
                text=text.text,
                person=people[0].person,
                channel=channel,
                reading=text.reading,
                type=text.type,
                site=text.site,
                danger=text.danger,
                sent_at=text.sent_at,
            )
            realm, name = people[0].realm, f"text:{text.text}"
            await self._send(realm, message, name)
        return True

    def _is_asked(self, people: Collection[NumberHolder], now: Instant) -> bool:
        """Return whether one of these people may still learn how to answer a call or a list."""
        newest, newest_list = self._find_newest_question(people), self._find_card_list(people)
        questions = [
            *(() if newest is None else (newest[0],)),
            *(() if newest_list is None else (newest_list[2],)),
        ]
        return any(not one.unread and now - one.at <= HELP_PERIOD_MS for one in questions)

    def of(self, realm: str) -> Inbox:
        """Return the inbox of a provider that one realm alone uses; "" for a national one."""
        return _RealmInbox(self, realm) if realm else self

    async def remove_address(self, channel: Channel, outgoing: Outgoing) -> None:
        """Remove an address that no longer exists; see `Inbox`.

        While the broker is away it stays; the next message finds it again.
        """
        async with self._changing:
            await self._drop(channel, outgoing)

    async def _drop(self, channel: Channel, outgoing: Outgoing) -> None:
        people = self._directory.of(outgoing.realm)
        contact = await people.get(outgoing.row.person)
        if contact is None or outgoing.address not in contact.addresses(channel):
            return
        reduced_contact = contact.without(channel, outgoing.address)
        note = NoteReachability(
            author="system:delivery", role="admin", people=(reduced_contact.reach(),)
        )
        try:
            await people.put(reduced_contact)
            await self._producer.send(
                select_urgent_topic("alerts", outgoing.realm),
                outgoing.realm,
                note,
                id=f"gone-{outgoing.attempt}",
                source=SOURCE,
            )
        except BrokerAway as error:
            log.warning("address.not_dropped", channel=channel.value, error=str(error))
            return
        log.info("address.gone", channel=channel.value, person=contact.person)

    async def _answer(
        self,
        channel: Channel,
        notification: str,
        call: OpenQuestion,
        person: str,
        answer: Answer,
        name: str,
    ) -> None:
        command = AnswerNotification(
            author=person,
            role=call.role,
            notification=notification,
            person=person,
            answer=answer,
            channel=channel.value,
        )
        await self._send(call.realm, command, f"reply:{name}")

    async def _send(self, realm: str, message: Message, id: str) -> None:
        """Send an input of delivery. Raises BrokerAway."""
        await self._producer.send(input_topic("delivery"), realm, message, id=id, source=SOURCE)

    async def _find_people(self, address: str, realms: Collection[str]) -> list[NumberHolder]:
        """Return the people with a number, of these realms or of any."""
        holders = await self._holders_of(address)
        return [one for one in holders if not realms or one.realm in realms]

    def _find_newest_question(self, people: Collection[NumberHolder]) -> AskedQuestion | None:
        """Return the newest question to these people, first one that waits."""
        return next(iter(self._list_questions(people)), None)

    def _list_questions(self, people: Collection[NumberHolder]) -> list[AskedQuestion]:
        """List the questions to these people: those that wait first, the newest first."""
        open_questions = [
            (call, id, holder.person)
            for holder in people
            for id, call in self._outbox.questions.get(holder.person, {}).items()
            if call.realm == holder.realm
        ]
        open_questions.reverse()  # of two of the same time the later one goes first
        return sorted(open_questions, key=lambda one: (one[0].is_answered, -one[0].at))

    def _find_card_list(self, people: Collection[NumberHolder]) -> tuple[str, str, CardList] | None:
        """Return the last list of cards that any of these people got: realm, person, list."""
        lists = (
            (one.realm, one.person, card_list)
            for one in people
            if (card_list := self._outbox.card_lists.get((one.realm, one.person))) is not None
        )
        return max(lists, key=lambda one: one[2].at, default=None)

    async def _answer_cards(
        self,
        channel: Channel,
        realm: str,
        person: str,
        card_list: CardList,
        reply: CardReply,
        name: str,
    ) -> None:
        """Pass on an answer about cards; a reason lies in `texts`, the log holds its id."""
        reason = None
        if reply.change is CardChange.SKIP and reply.reason:
            text_id = f"cmd-{name}"  # not the name of the reply itself, which is erased once read
            await self._texts.put(text_id, TextItem({"text": reply.reason}))
            reason = f"text:{text_id}"
        command = AnswerCards(
            author=person,
            role=card_list.role,
            reason=reason,
            notification=card_list.notification,
            person=person,
            change=reply.change,
            numbers=reply.numbers,
            channel=channel.value,
        )
        await self._send(realm, command, f"reply:{name}")

    async def _state_attendance(
        self, call: OpenQuestion, person: str, mode: AttendanceMode, eta_min: int | None, name: str
    ) -> None:
        """Pass on how the person takes part in the crisis cell; without one it is refused. D90."""
        command = StateAttendance(
            author=person, role=call.role, person=person, mode=mode, eta_min=eta_min
        )
        await self._producer.send(
            select_urgent_topic("alerts", call.realm),
            call.realm,
            command,
            id=f"attendance:{name}",
            source=SOURCE,
        )

    async def _not_understood(
        self, channel: Channel, realm: str, notification: str, person: str
    ) -> None:
        unread_reply = ReplyUnread(notification=notification, person=person, channel=channel)
        await self._send(realm, unread_reply, f"unread:{notification}")

    async def _holders_of(self, address: str) -> tuple[NumberHolder, ...]:
        """Return the people of all realms with a number, from an index in memory.

        A duty phone changes hands, so there may be several, also in different realms.
        """
        async with self._indexing:
            if self._monotonic() - self._read_at >= INDEX_MAX_AGE_S:
                self._read_at = self._monotonic()
                self._numbers = await self._index()
        return self._numbers.get(address, ())

    async def _index(self) -> dict[str, tuple[NumberHolder, ...]]:
        holders_by_number: dict[str, tuple[NumberHolder, ...]] = {}
        for realm in self._directory.realms():
            people = self._directory.of(realm)
            for n, token in enumerate(people.ids()):
                if n % 200 == 0:
                    await asyncio.sleep(0)  # thousands of people must not keep the sender waiting
                contact = await people.get(token)
                numbers = () if contact is None else contact.addresses(Channel.SMS)
                for number in map(normalize_provider_number, numbers):
                    holders_by_number[number] = (
                        *holders_by_number.get(number, ()),
                        NumberHolder(realm, token),
                    )
        return holders_by_number


@dataclass(frozen=True, slots=True)
class _RealmInbox:
    """Inbox of a provider of one realm: its receipts and replies concern that realm alone."""

    inbox: ProviderInbox
    realm: str

    async def receipt(
        self,
        channel: Channel,
        provider_id: str,
        state: Literal["received", "failed"],
        error: str | None,
    ) -> bool:
        return await self.inbox.receipt(channel, provider_id, state, error, realm=self.realm)

    def list_awaited_ids(self, channel: Channel) -> frozenset[str]:
        return self.inbox.list_awaited_ids(channel)

    async def accept_text(
        self, channel: Channel, address: str, words: str, *, name: str | None = None
    ) -> bool:
        return await self.inbox.accept_text(
            channel, address, words, name=name, realms=(self.realm,)
        )

    async def accept_part(self, channel: Channel, address: str, part: TextPart) -> bool:
        return await self.inbox.accept_part(channel, address, part, realms=(self.realm,))

    async def remove_address(self, channel: Channel, outgoing: Outgoing) -> None:
        await self.inbox.remove_address(channel, outgoing)
