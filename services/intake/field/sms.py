"""SMS in: `POST /webhooks/sms`, from a gateway that is a source of dialect `sms`, in the forms and JSON of common gateways.

A line of a verified number of the directory is a report of that person. From any other number it is counted and enters unconfirmed, so many
per number, per gateway and window (`limits.py`): it may join an incident and counts for nothing (D6). The number is looked up by its keyed hash and kept nowhere: what is
stored of a report is its text; of a message that was refused also that hash, its id and its time, so that it can be offered again as what it was.
An answer to a call (`1`, `2 désolé`) is no report: it waits, encrypted, until the sender has read it. So do words of somebody of the directory that
are neither: delivery knows whether that person was called, and tells them how to answer. They are refused all the same, for a person to read.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, Protocol
from uuid import uuid4

import orjson

from schemas.base import MINUTE_MS
from schemas.replies import WAITING
from schemas.words import Certainty
from services.intake.field.phone_numbers import People, Person
from services.intake.field.rate_limits import Entry, Limits, Word, describe_others
from services.intake.field.short_line import Kind, body_of, names_no_site, read_line
from services.intake.field.site_codes import Places
from services.intake.integrations.dispatcher import RETRY_S, TRANSIENT, Machines
from services.intake.integrations.reports import Speaker
from services.intake.integrations.request import Asked, Reply, text, wrong
from services.intake.integrations.signals import credible
from services.intake.integrations.times import read_time
from services.intake.reports.acceptance import Raw
from services.intake.reports.native import DANGER
from services.runtime.http.problems import Problem, ProblemError
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal, Source
from services.runtime.kafka.clients import BrokerAway
from services.runtime.process import metrics
from services.runtime.secrets.vault import TextItem

NAME: Final = "sms"
PATHS: Final = ("/webhooks/sms",)
MESSAGES: Final = 100
DANGER_SEVERITY: Final = 5
DEPTH: Final = 8
"""Lists and wrappers of gateways around a message."""
JSON: Final = "application/json"
_NUMBER: Final = (
    "from",
    "From",
    "sender",
    "msisdn",
    "originator",
    "phoneNumber",
    "phone_number",
    "phone",
    "mobile",
    "number",
)
_TEXT: Final = (
    "text",
    "Text",
    "body",
    "Body",
    "message",
    "Message",
    "content",
    "cleanText",
    "msg",
    "payload",
)
_ID: Final = (
    "MessageSid",
    "SmsSid",
    "messageId",
    "message-id",
    "message_id",
    "MessageId",
    "MessageUUID",
    "id",
    "msgId",
    "sms_id",
)
_TIME: Final = (
    "receivedAt",
    "received_at",
    "message-timestamp",
    "timestamp",
    "date",
    "datetime",
    "sent_at",
)
_PART: Final = ("concat-part", "concat_part", "concatPart")
"""Of a long SMS that a gateway posts part by part, from 1."""
_LISTS: Final = ("results", "messages", "data")
_CALLER: Final = re.compile(r"[0-9a-f]{32}")


class Letters(Protocol):
    """`services.runtime.secrets.vault.Texts`."""

    async def get(self, text_id: str) -> TextItem | None: ...

    async def put(self, text_id: str, item: TextItem) -> None:
        """Raises BrokerAway."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    number: str
    """Empty in one that was kept and is offered again."""
    caller: str
    """Keyed hash of the number, in one that was kept."""
    words: str
    id: str | None
    at: datetime | None
    later_part: bool = False
    """It goes on where another message ends: what it begins with is no word for Vigie."""


def messages_of(asked: Asked) -> list[Message]:
    """Each message of the request; a gateway may tell of those that were sent, too, and they are none. Raises ProblemError `invalid`, `not_json`."""
    document: Any = (
        asked.json
        if asked.kind.endswith("json") or asked.body.lstrip()[:1] in (b"{", b"[")
        else asked.form()
    )
    told = list(_documents(document))
    if not 1 <= len(told) <= MESSAGES:
        raise wrong("body", "list", f"de 1 à {MESSAGES} messages", f"1 to {MESSAGES} messages")
    return [_message(one) for one in told if not text(one, "direction").lower().startswith("out")]


def _documents(document: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Messages wherever gateways put them: alone, in a list, under `results`, `messages`, `data` or `payload`."""
    if depth > DEPTH:
        raise wrong("body", "depth", "imbriqué trop profondément", "nested too deeply")
    if isinstance(document, list):
        for one in document[: MESSAGES + 1]:
            yield from _documents(one, depth + 1)
    elif isinstance(document, dict):
        for name in _LISTS:
            if isinstance(document.get(name), list | dict):
                yield from _documents(document[name], depth + 1)
                return
        inner = document.get("payload")
        yield inner if isinstance(inner, dict) else document
    else:
        raise wrong("body", "object", "un objet est attendu", "an object is expected")


def _message(given: dict[str, Any]) -> Message:
    sender = given.get("from")
    number = (
        text(sender, "phone_number", "phoneNumber", "number")
        if isinstance(sender, dict)
        else text(given, *_NUMBER)
    )
    words, caller = _words(given), text(given, "caller")
    if not number and not _CALLER.fullmatch(caller):
        raise wrong(
            "from", "missing", "numéro de l’expéditeur attendu", "the sender's number is expected"
        )
    if not words:
        raise wrong(
            "text", "missing", "texte du message attendu", "the text of the message is expected"
        )
    at = next((found for n in _TIME if (found := read_time(given.get(n))) is not None), None)
    later = text(given, *_PART) not in ("", "1")
    return Message(number, "" if number else caller, words, text(given, *_ID) or None, at, later)


def _words(given: dict[str, Any]) -> str:
    """As they were written; without the word that a shared number asks for, where the gateway tells both and only that is a line."""
    whole, bare = text(given, *_TEXT), text(given, "cleanText")
    if bare:
        try:
            read_line(whole)
        except ProblemError:
            return bare
    return whole


class Sms:
    """The dialect, with what it needs to know."""

    NAME: Final = NAME
    PATHS: Final = PATHS
    PERMISSION: Final = Permission.REPORT_POST

    def __init__(self, people: People, places: Places, limits: Limits, letters: Letters) -> None:
        self._people = people
        self._places = places
        self._limits = limits
        self._letters = letters

    def kept(self, asked: Asked) -> bytes:
        """All but the numbers, which are neither stored nor logged."""
        try:
            return self._dump(messages_of(asked))
        except ProblemError:
            return b""

    def _dump(self, messages: Sequence[Message]) -> bytes:
        """What replays as the same messages, under the same keys and at the same time."""
        now = datetime.now(UTC)
        return orjson.dumps(
            [
                {
                    "caller": self._caller(m).hex(),
                    "text": m.words,
                    "id": m.id or self._same(m),
                    "received_at": (m.at or now).isoformat(),
                }
                for m in messages
            ]
        )

    async def take(
        self, machines: Machines, principal: Principal, source: Source, asked: Asked
    ) -> int:
        """How many messages there were. Raises ProblemError when all are refused, or when one may pass again."""
        messages, problems = messages_of(asked), list[tuple[Message, ProblemError]]()
        for message in messages:
            try:
                await self._take_one(machines, principal, source, message)
            except ProblemError as error:
                if error.problem.status in TRANSIENT:
                    raise
                problems.append((message, error))
            else:
                machines.book.accepted(principal.id)
        if problems and len(problems) == len(messages):
            raise problems[0][1]
        for message, refused in problems:
            machines.keep(
                principal, refused.problem, Raw(self._dump([message]), JSON, NAME), PATHS[0]
            )
        return len(messages)

    async def _take_one(
        self, machines: Machines, gateway: Principal, source: Source, message: Message
    ) -> None:
        if message.later_part:
            raise wrong(
                "text",
                "later_part",
                "suite d’un long SMS : seule sa première partie est lue",
                "the rest of a long SMS: only its first part is read",
            )
        try:
            line = read_line(message.words)
        except ProblemError:
            if message.number and names_no_site(message.words) and await self._is_listed(message):
                await self._hand_over(gateway, message)
            raise
        if line.kind is Kind.ANSWER:
            await self._answer(gateway, message)
            return
        person = await self._people.of(self._caller(message))
        known = person or Person(
            gateway.model_copy(update={"speaks_as": "public"}), gateway.scope.sites
        )
        at = credible(message.at, datetime.now(UTC))
        body = body_of(
            line, self._places.site_of(line.site, known.sites), message.words, at.isoformat()
        )
        realm = machines.transitions.speaker(gateway, source, _raw(message)).realm
        speaker = machines.transitions.speaker(known.speaks, source, _raw(message))
        key = f"sms\x1f{gateway.id}\x1f{message.id or self._same(message)}"  # a person may write by several gateways
        if person is None:
            metrics.count("vigie_reports_total", dialect=NAME, status="unverified")
            body["certainty"] = Certainty.UNCONFIRMED
            await self._tell_unverified(
                machines, speaker, self._word(gateway, message, body), body | {"realm": realm}, key
            )
            return
        await machines.transitions.accept(speaker, body | {"realm": realm}, key)

    async def _tell_unverified(
        self, machines: Machines, speaker: Speaker, word: Word, body: dict[str, Any], key: str
    ) -> None:
        """Accept a line of a number that nobody verified, or only count it. Raises ProblemError."""
        # of many in one request, those before the one that was too much come again
        if not machines.transitions.has_taken(speaker, key):
            entry = self._admit(word)
            if entry.repeats is not None:
                metrics.count("vigie_reports_total", dialect=NAME, status="repeated")
                return
            body["description"] = describe_others(body.get("description"), entry.others)
        receipt = await machines.transitions.accept(speaker, body, key)
        self._limits.note(word, receipt.report_id)

    def _word(self, gateway: Principal, message: Message, body: dict[str, Any]) -> Word:
        is_danger = body["type"] in DANGER or body.get("severity") == DANGER_SEVERITY
        matter = f"{body.get('site_id')}\x1f{body['type']}"
        return Word(gateway.id, self._caller(message).hex(), matter, is_danger)

    async def _answer(self, gateway: Principal, message: Message) -> None:
        """To a call: delivery knows which one waits for it, and reads the number and the words where they lie encrypted."""
        if not message.number:
            raise wrong(
                "text",
                "answer",
                "une réponse à un appel ne se reprend pas",
                "an answer to a call is not replayed",
            )
        if not await self._is_listed(message):
            self._admit(Word(gateway.id, self._caller(message).hex(), "", is_danger=False))
        await self._hand_over(gateway, message)

    async def _is_listed(self, message: Message) -> bool:
        return await self._people.listed(self._caller(message))

    async def _hand_over(self, gateway: Principal, message: Message) -> None:
        """To delivery, with when it came first: what a gateway posts again under its id is the same message."""
        id = message.id or str(uuid4())
        named = sha256(f"{id}\x1f{gateway.id}".encode()).hexdigest()[:32]
        name = f"{WAITING}{named}"
        if await self._letters.get(name) is not None:
            return
        item = TextItem(
            {"from": message.number, "words": message.words, "at": time.time_ns() // 1_000_000}
        )
        try:
            await self._letters.put(name, item)
        except BrokerAway as error:
            raise ProblemError("broker_away", retry_after_s=RETRY_S) from error

    def _admit(self, word: Word) -> Entry:
        """Count a word of a number that nobody verified. Raises ProblemError `overloaded`."""
        try:
            return self._limits.admit(word)
        except ProblemError as error:  # a gateway drops on a 429 for ever, and comes again on a 503
            wait_s = error.problem.retry_after_s or RETRY_S
            raise ProblemError("overloaded", retry_after_s=wait_s, wait_s=wait_s) from error

    def _caller(self, message: Message) -> bytes:
        return (
            bytes.fromhex(message.caller) if message.caller else self._people.hashed(message.number)
        )

    def _same(self, message: Message) -> str:
        """Without an id of the gateway: the same words of the same number within a minute."""
        minute = (
            time.time_ns() // 1_000_000 // MINUTE_MS
            if message.at is None
            else int(message.at.timestamp() // 60)
        )
        return f"{self._caller(message).hex()}\x1f{message.words}\x1f{minute}"

    def accepted(self, asked: Asked, found: int) -> Reply:  # noqa: ARG002  the protocol of dialects
        """Any 2xx."""
        return Reply(200, {"messages": found})

    def refused(self, problem: Problem) -> Reply | None:  # noqa: ARG002
        """The usual problem document."""
        return None


def _raw(message: Message) -> Raw:
    return Raw(orjson.dumps({"text": message.words, "id": message.id}), JSON, NAME)
