"""Accept SMS from gateways: `POST /webhooks/sms`, in the forms and JSON of common gateways.

* A line from a verified number in the directory is a report of that person.
* A line from any other number is counted and unconfirmed, within limits per number, gateway and
  window (`services.intake.field.rate_limits`). It may join an incident and has no other effect
  (rule D6, rumours).
* A number is looked up by its keyed hash and never stored. A report keeps its text. A refused
  message also keeps the hash, its id and time, so that it can be replayed unchanged.
* An answer to a call (`1`, `2 désolé`) is no report. It waits, encrypted, until the delivery
  service has read it.
* A receipt of Octopush, whose account has one address for all, goes to delivery, too.
* Other text from a person in the directory goes to delivery, too, which knows whether that person
  was called, and explains how to answer. It is still refused here, for a person to read, unless it
  tells of danger to people: then it is a report (`short_line`).
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
from schemas.catalogue.event_types import endangers_people
from schemas.people.replies import WAITING_REPLY_PREFIX
from schemas.words import Certainty
from services.intake.field.phone_numbers import PhoneNumbers, PhoneReporter
from services.intake.field.rate_limits import (
    AdmissionResult,
    AnonymousLimits,
    AnonymousReport,
    describe_others,
)
from services.intake.field.short_line import (
    ShortLineKind,
    SiteCodes,
    build_report,
    has_no_site,
    read_line,
)
from services.intake.integrations.dispatcher import RETRY_S, TRANSIENT_STATUSES, Dispatcher
from services.intake.integrations.reports import MessageSender
from services.intake.integrations.request import (
    IntegrationRequest,
    Reply,
    build_field_problem,
    get_first_text,
)
from services.intake.integrations.signals import choose_time
from services.intake.integrations.times import parse_time
from services.intake.reports.acceptance import RawBody
from services.runtime.http.problems import Problem, ProblemError
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal, Source
from services.runtime.kafka.clients import BrokerAway
from services.runtime.process import metrics
from services.runtime.secrets.vault import TextItem

NAME: Final = "sms"
PATHS: Final = ("/webhooks/sms",)
MAX_MESSAGES: Final = 100
MAX_DEPTH: Final = 8
"""Maximum depth of lists and wrappers around a message."""
JSON: Final = "application/json"
_NUMBER_FIELDS: Final = (
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
_TEXT_FIELDS: Final = (
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
_ID_FIELDS: Final = (
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
_TIME_FIELDS: Final = (
    "receivedAt",
    "received_at",
    "message-timestamp",
    "timestamp",
    "date",
    "datetime",
    "sent_at",
)
_RECEIPT_STATES: Final = {
    "DELIVERED": "received",
    "NOT_DELIVERED": "failed",
    "NOT_ALLOWED": "failed",
    "BAD_DESTINATION": "failed",
    "BLACKLISTED_NUMBER": "failed",
}
"""States of a receipt that are final; gateways also tell those on the way."""
_PART_FIELDS: Final = ("concat-part", "concat_part", "concatPart")
"""Number of a part of a long SMS that the gateway posts part by part, from 1."""
_LIST_FIELDS: Final = ("results", "messages", "data")
_NUMBER_HASH: Final = re.compile(r"[0-9a-f]{32}")


class TextStore(Protocol):
    """The part of `services.runtime.secrets.vault.Texts` that is used here."""

    async def get(self, text_id: str) -> TextItem | None: ...

    async def put(self, text_id: str, item: TextItem) -> None:
        """Store a text. Raises BrokerAway."""
        ...


@dataclass(frozen=True, slots=True)
class SmsReceipt:
    """Receipt of an SMS that was sent."""

    id: str
    """Id of the message at the provider."""
    status: str


@dataclass(frozen=True, slots=True)
class SmsMessage:
    number: str
    """Number of the sender; empty in a replay."""
    caller: str
    """Keyed hash of the number, in a replay."""
    words: str
    id: str | None
    at: datetime | None
    later_part: bool = False
    """True for the continuation of a long SMS: its first word means nothing."""


def read_messages(request: IntegrationRequest) -> list[SmsMessage]:
    """Read the messages of a request, without receipts and those that the gateway sent itself.

    Raises ProblemError `invalid`, `not_json`.
    """
    return [
        _read_message(one)
        for one in _list_told(request)
        if not get_first_text(one, "direction").lower().startswith(("out", "mt"))
        and _read_receipt(one) is None
    ]


def read_receipts(request: IntegrationRequest) -> list[SmsReceipt]:
    """Read the receipts of a request. Raises ProblemError `invalid`, `not_json`."""
    receipts = (_read_receipt(one) for one in _list_told(request))
    return [receipt for receipt in receipts if receipt is not None]


def _list_told(request: IntegrationRequest) -> list[dict[str, Any]]:
    """List the messages and receipts. Raises ProblemError `invalid`, `not_json`."""
    document: Any = (
        request.json
        if request.kind.endswith("json") or request.body.lstrip()[:1] in (b"{", b"[")
        else request.form()
    )
    messages = list(_find_messages(document))
    if not 1 <= len(messages) <= MAX_MESSAGES:
        raise build_field_problem(
            "body", "list", f"de 1 à {MAX_MESSAGES} messages", f"1 to {MAX_MESSAGES} messages"
        )
    return messages


def _read_receipt(fields: dict[str, Any]) -> SmsReceipt | None:
    """Return the receipt; None for a message of a person."""
    id, status = get_first_text(fields, "message_id"), get_first_text(fields, "status")
    if not id or not status or _read_text(fields):
        return None
    return SmsReceipt(id[:64], status[:32])


def _find_messages(document: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Find messages wherever gateways put them.

    They may be alone, in a list, or under `results`, `messages`, `data` or `payload`.
    """
    if depth > MAX_DEPTH:
        raise build_field_problem(
            "body", "depth", "imbriqué trop profondément", "nested too deeply"
        )
    if isinstance(document, list):
        for one in document[: MAX_MESSAGES + 1]:
            yield from _find_messages(one, depth + 1)
    elif isinstance(document, dict):
        for name in _LIST_FIELDS:
            if isinstance(document.get(name), list | dict):
                yield from _find_messages(document[name], depth + 1)
                return
        inner = document.get("payload")
        yield inner if isinstance(inner, dict) else document
    else:
        raise build_field_problem("body", "object", "un objet est attendu", "an object is expected")


def _read_message(fields: dict[str, Any]) -> SmsMessage:
    sender = fields.get("from")
    number = (
        get_first_text(sender, "phone_number", "phoneNumber", "number")
        if isinstance(sender, dict)
        else get_first_text(fields, *_NUMBER_FIELDS)
    )
    words, caller = _read_text(fields), get_first_text(fields, "caller")
    if not number and not _NUMBER_HASH.fullmatch(caller):
        raise build_field_problem(
            "from", "missing", "numéro de l’expéditeur attendu", "the sender's number is expected"
        )
    if not words:
        raise build_field_problem(
            "text", "missing", "texte du message attendu", "the text of the message is expected"
        )
    at = next(
        (
            parsed_time
            for n in _TIME_FIELDS
            if (parsed_time := parse_time(fields.get(n))) is not None
        ),
        None,
    )
    later = get_first_text(fields, *_PART_FIELDS) not in ("", "1")
    return SmsMessage(number, "" if number else caller, words, _read_id(fields), at, later)


def _read_id(fields: dict[str, Any]) -> str | None:
    """Return the id of a message.

    A reply through Octopush has that of the message that it answers: with its time it is one.
    """
    id = get_first_text(fields, *_ID_FIELDS)
    reception_date = get_first_text(fields, "reception_date")
    return f"{id} {reception_date}" if id and reception_date else id or None


def _read_text(fields: dict[str, Any]) -> str:
    """Return the text, without the keyword of a shared number if the whole is no valid line.

    Some gateways send the text with and without that keyword.
    """
    body = fields.get("body")  # smsmode wraps the text
    whole = get_first_text(body if isinstance(body, dict) else fields, *_TEXT_FIELDS)
    bare = get_first_text(fields, "cleanText")
    if bare:
        try:
            read_line(whole)
        except ProblemError:
            return bare
    return whole


class SmsIntegration:
    """Integration of SMS gateways."""

    NAME: Final = NAME
    KEY_LOCATION: Final = "?token="
    PATHS: Final = PATHS
    PERMISSION: Final = Permission.REPORT_POST

    def __init__(
        self, people: PhoneNumbers, places: SiteCodes, limits: AnonymousLimits, letters: TextStore
    ) -> None:
        self._people = people
        self._places = places
        self._limits = limits
        self._letters = letters

    def kept(self, request: IntegrationRequest) -> bytes:
        """Return the messages without their numbers, which are neither stored nor logged."""
        try:
            return self._dump(read_messages(request))
        except ProblemError:
            return b""

    def _dump(self, messages: Sequence[SmsMessage]) -> bytes:
        """Serialize messages so that they replay under the same keys and at the same time."""
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
        self,
        machines: Dispatcher,
        principal: Principal,
        source: Source,
        request: IntegrationRequest,
    ) -> int:
        """Accept each message and return how many there were.

        Raises ProblemError if all are refused, or if one may be accepted later.
        """
        receipts = read_receipts(request)
        for receipt in receipts:
            await self._hand_over_receipt(principal, receipt)
        messages, problems = read_messages(request), list[tuple[SmsMessage, ProblemError]]()
        for message in messages:
            try:
                await self._take_one(machines, principal, source, message)
            except ProblemError as error:
                if error.problem.status in TRANSIENT_STATUSES:
                    raise
                problems.append((message, error))
            else:
                machines.book.accepted(principal.id)
        if problems and len(problems) == len(messages):
            raise problems[0][1]
        for message, refusal in problems:
            machines.keep(
                principal, refusal.problem, RawBody(self._dump([message]), JSON, NAME), PATHS[0]
            )
        return len(messages) + len(receipts)

    async def _take_one(
        self, machines: Dispatcher, gateway: Principal, source: Source, message: SmsMessage
    ) -> None:
        if message.later_part:
            raise build_field_problem(
                "text",
                "later_part",
                "suite d’un long SMS : seule sa première partie est lue",
                "the rest of a long SMS: only its first part is read",
            )
        try:
            line = read_line(message.words)
        except ProblemError:
            may_answer = bool(message.number) and has_no_site(message.words)
            if may_answer and await self._is_listed(gateway, message):
                await self._hand_over(gateway, message)
            raise
        if line.kind is ShortLineKind.ANSWER:
            await self._answer(gateway, message)
            return
        realm = machines.transitions.speaker(gateway, source, _build_raw(message)).realm
        person = await self._people.of(self._caller(message), realm)
        reporter = person or PhoneReporter(
            gateway.model_copy(update={"speaks_as": "public"}), gateway.scope.sites
        )
        at = choose_time(message.at, datetime.now(UTC))
        site = self._places.site_of(line.site, reporter.sites, optional=line.is_danger)
        body = build_report(line, site, message.words, at.isoformat())
        speaker = machines.transitions.speaker(reporter.speaks, source, _build_raw(message))
        # A person may write through several gateways.
        key = f"sms\x1f{gateway.id}\x1f{self._identify(message)}"
        if person is None:
            metrics.count("vigie_reports_total", dialect=NAME, status="unverified")
            body["certainty"] = Certainty.UNCONFIRMED
            await self._tell_unverified(
                machines, speaker, self._word(gateway, message, body), body | {"realm": realm}, key
            )
            return
        await machines.transitions.accept(speaker, body | {"realm": realm}, key)
        if line.is_free_text and message.number:
            await self._hand_over(gateway, message)

    async def _tell_unverified(
        self,
        machines: Dispatcher,
        speaker: MessageSender,
        word: AnonymousReport,
        body: dict[str, Any],
        key: str,
    ) -> None:
        """Accept or only count a report from an unverified number. Raises ProblemError."""
        # A gateway repeats the whole request after a refusal: accepted messages must not count
        # again.
        if not machines.transitions.has_taken(speaker, key):
            entry = self._admit(word)
            if entry.repeats is not None:
                metrics.count("vigie_reports_total", dialect=NAME, status="repeated")
                return
            body["description"] = describe_others(body.get("description"), entry.others)
        receipt = await machines.transitions.accept(speaker, body, key)
        self._limits.note(word, receipt.report_id)

    def _word(
        self, gateway: Principal, message: SmsMessage, body: dict[str, Any]
    ) -> AnonymousReport:
        is_danger = endangers_people(body["type"], body["severity"])
        matter = f"{body.get('site_id')}\x1f{body['type']}"
        return AnonymousReport(gateway.id, self._caller(message).hex(), matter, is_danger)

    async def _answer(self, gateway: Principal, message: SmsMessage) -> None:
        """Pass the answer to a call to delivery, which knows the call that waits for it.

        Delivery reads number and text where they are stored encrypted.
        """
        if not message.number:
            raise build_field_problem(
                "text",
                "answer",
                "une réponse à un appel ne se reprend pas",
                "an answer to a call is not replayed",
            )
        if not await self._is_listed(gateway, message):
            self._admit(
                AnonymousReport(gateway.id, self._caller(message).hex(), "", is_danger=False)
            )
        await self._hand_over(gateway, message)

    async def _is_listed(self, gateway: Principal, message: SmsMessage) -> bool:
        return await self._people.listed(self._caller(message), gateway.scope.realms)

    async def _hand_over(self, gateway: Principal, message: SmsMessage) -> None:
        """Store a message for delivery, with the time of its arrival.

        A message that the gateway repeats under the same id is stored once (`_identify`).
        """
        id = str(uuid4()) if message.id is None else self._identify(message)
        digest = sha256(f"{id}\x1f{gateway.id}".encode()).hexdigest()[:32]
        name = f"{WAITING_REPLY_PREFIX}{digest}"
        if await self._letters.get(name) is not None:
            return
        item = TextItem(
            {
                "from": message.number,
                "words": message.words,
                "at": time.time_ns() // 1_000_000,
                "realms": gateway.scope.realms,
            }
        )
        try:
            await self._letters.put(name, item)
        except BrokerAway as error:
            raise ProblemError("broker_away", retry_after_s=RETRY_S) from error

    async def _hand_over_receipt(self, gateway: Principal, receipt: SmsReceipt) -> None:
        """Store a final receipt for delivery, which knows the message. Raises ProblemError."""
        state = _RECEIPT_STATES.get(receipt.status)
        if state is None:
            return
        digest = sha256(f"receipt\x1f{receipt.id}\x1f{state}\x1f{gateway.id}".encode()).hexdigest()
        item = TextItem(
            {
                "receipt": receipt.id,
                "state": state,
                "error": receipt.status.lower() if state == "failed" else None,
                "at": time.time_ns() // 1_000_000,
                "realms": gateway.scope.realms,
            }
        )
        try:
            await self._letters.put(f"{WAITING_REPLY_PREFIX}{digest[:32]}", item)
        except BrokerAway as error:
            raise ProblemError("broker_away", retry_after_s=RETRY_S) from error

    def _admit(self, word: AnonymousReport) -> AdmissionResult:
        """Count a report of an unverified number. Raises ProblemError `overloaded`."""
        try:
            return self._limits.admit(word)
        # A gateway drops a message after a 429 and repeats it after a 503.
        except ProblemError as error:
            wait_s = error.problem.retry_after_s or RETRY_S
            raise ProblemError("overloaded", retry_after_s=wait_s, wait_s=wait_s) from error

    def _caller(self, message: SmsMessage) -> bytes:
        return (
            bytes.fromhex(message.caller) if message.caller else self._people.hashed(message.number)
        )

    def _identify(self, message: SmsMessage) -> str:
        """Return the identity of a message: its id with number and text, or `_same`.

        Gateways may number the messages of each telephone, or after a restart, from 1 again.
        """
        if message.id is None:
            return self._same(message)
        return f"{message.id}\x1f{self._caller(message).hex()}\x1f{message.words}"

    def _same(self, message: SmsMessage) -> str:
        """Return an id for a message without one: number, text and minute."""
        minute = (
            time.time_ns() // 1_000_000 // MINUTE_MS
            if message.at is None
            else int(message.at.timestamp() // 60)
        )
        return f"{self._caller(message).hex()}\x1f{message.words}\x1f{minute}"

    def accepted(self, request: IntegrationRequest, outcome: int) -> Reply:  # noqa: ARG002  protocol of integrations
        return Reply(200, {"messages": outcome})

    def refused(self, problem: Problem) -> Reply | None:  # noqa: ARG002
        """Use the standard problem document."""
        return None


def _build_raw(message: SmsMessage) -> RawBody:
    return RawBody(orjson.dumps({"text": message.words, "id": message.id}), JSON, NAME)
