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
* A text of a person in the directory goes to delivery with its reading, so that its sender gets an
  answer: the report and its site, the question where a danger is, or how to write. Delivery also
  knows whether that person was called. A text that was not understood is still refused here, for a
  person to read. Strangers get no answer: anybody can write under a number that is not theirs.
* A danger without a place is remembered for a few minutes under the hash of its number: the next
  text of that number may be the place alone, and completes the report.
* An answer of ours that a text quotes is no part of it, so that no automatic reply makes a report.
* A text that came to delivery, over SMPP or from OVH, is read like one that a gateway posts
  (`services.intake.field.arrived_texts`). If it answered a call there, it reports danger alone.
* A part of a long text waits, encrypted, until all of them are there (same module). An answer in
  the first part goes to delivery at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final
from uuid import uuid4

import orjson

from schemas.base import MINUTE_MS
from schemas.catalogue.event_types import EventType, endangers_people
from schemas.catalogue.sources import MANAGER, STAFF
from schemas.people.replies import (
    OPEN_PLACE_MS,
    OPEN_PLACE_PREFIX,
    WAITING_REPLY_PREFIX,
    TextReading,
    cut_own_answer,
    name_text_part,
    parse_card_reply,
)
from schemas.words import Certainty, MsgType
from services.intake.field.phone_numbers import PhoneNumbers
from services.intake.field.rate_limits import (
    AdmissionResult,
    AnonymousLimits,
    AnonymousReport,
    describe_others,
)
from services.intake.field.short_line import (
    ShortLine,
    ShortLineKind,
    build_report,
    has_no_site,
    read_line,
)
from services.intake.field.site_codes import SiteCodes
from services.intake.field.sms_messages import (
    AcceptedReport,
    SmsMessage,
    SmsPart,
    SmsReceipt,
    read_messages,
    read_receipts,
)
from services.intake.integrations.dispatcher import RETRY_S, TRANSIENT_STATUSES, Dispatcher
from services.intake.integrations.reports import MessageSender
from services.intake.integrations.request import IntegrationRequest, Reply
from services.intake.integrations.signals import choose_time
from services.intake.reports.acceptance import RawBody
from services.intake.reports.report_checks import is_elsewhere
from services.runtime.http.problems import Problem, ProblemError, build_field_problem
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal, Source
from services.runtime.kafka.clients import BrokerAway
from services.runtime.process import metrics
from services.runtime.process.machine import now_ms
from services.runtime.secrets.vault import TextItem, VaultTexts

NAME: Final = "sms"
PATHS: Final = ("/webhooks/sms",)
JSON: Final = "application/json"
_RECEIPT_STATES: Final = {
    "DELIVERED": "received",
    "NOT_DELIVERED": "failed",
    "NOT_ALLOWED": "failed",
    "BAD_DESTINATION": "failed",
    "BLACKLISTED_NUMBER": "failed",
}
"""States of a receipt that are final; gateways also tell those on the way."""


@dataclass(frozen=True, slots=True)
class FieldReporter:
    """The sender of a report: a person with a verified number, or a stranger."""

    realm: str
    speaks: Principal
    sites: tuple[str, ...]
    own_sites: tuple[str, ...]
    is_verified: bool

    def speak_of(self, site: str | None) -> Principal:
        """Return the sender; of a site that is not the own one, a manager speaks as any agent."""
        is_manager = self.is_verified and self.speaks.source_kind == MANAGER
        if is_manager and is_elsewhere(site, self.own_sites):
            return self.speaks.model_copy(update={"speaks_as": STAFF})
        return self.speaks


@dataclass(frozen=True, slots=True)
class OpenPlace:
    """A place that completes an earlier report."""

    site: str
    correction: Mapping[str, Any]
    """Fields that make the report an update of the earlier one."""


class SmsIntegration:
    """Integration of SMS gateways."""

    NAME: Final = NAME
    KEY_LOCATION: Final = "?token="
    PATHS: Final = PATHS
    PERMISSION: Final = Permission.REPORT_POST

    def __init__(
        self, people: PhoneNumbers, places: SiteCodes, limits: AnonymousLimits, letters: VaultTexts
    ) -> None:
        self._people = people
        self._places = places
        self._limits = limits
        self._letters = letters

    def get_storable_bytes(self, request: IntegrationRequest) -> bytes:
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

    async def accept_request(
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
                await self.accept_message(machines, principal, source, message)
            except ProblemError as error:
                if error.problem.status in TRANSIENT_STATUSES:
                    raise
                problems.append((message, error))
            else:
                machines.book.count_accepted(principal.id)
        if problems and len(problems) == len(messages):
            raise problems[0][1]
        for message, refusal in problems:
            self.keep_refused(machines, principal, message, refusal.problem)
        return len(messages) + len(receipts)

    def keep_refused(
        self, machines: Dispatcher, principal: Principal, message: SmsMessage, problem: Problem
    ) -> None:
        """Keep a refused message, without its number."""
        machines.keep(principal, problem, RawBody(self._dump([message]), JSON, NAME), PATHS[0])

    async def accept_message(
        self, machines: Dispatcher, gateway: Principal, source: Source, message: SmsMessage
    ) -> AcceptedReport | None:
        """Accept one message and return the report that it made. Raises ProblemError."""
        if message.part is not None:
            await self._keep_part(gateway, source, message, message.part)
            return None
        if message.is_rest:
            raise build_field_problem(
                "text",
                "later_part",
                "suite d’un long SMS : seule sa première partie est lue",
                "the rest of a long SMS: only its first part is read",
            )
        words = cut_own_answer(message.words)
        try:
            line = read_line(words)
        except ProblemError:
            if await self._add_place(machines, gateway, source, message, words, None):
                return None
            if message.is_answer:
                return None
            # An automatic reply gets no answer.
            if (
                words == message.words
                and message.number
                and not message.is_open
                and await self._is_listed(gateway, message)
            ):
                await self._hand_over(gateway, message, reading=TextReading.NOT_UNDERSTOOD)
            raise
        if await self._add_place(machines, gateway, source, message, words, line):
            return None
        if message.is_answer and not line.is_danger:
            return None
        if line.kind is ShortLineKind.ANSWER:
            await self._answer(gateway, message)
            return None
        return await self._report(machines, gateway, source, message, line)

    async def _keep_part(
        self, gateway: Principal, source: Source, message: SmsMessage, part: SmsPart
    ) -> None:
        """Store a part of a long text, as delivery does with those of an SMSC."""
        place = (part.reference, part.number, part.total)
        id = name_text_part(gateway.id, message.number, *place, message.words)
        if await self._letters.get(id) is not None:
            return
        is_answer = part.number == 1 and _is_plain_answer(message.words)
        if is_answer:
            await self._answer(gateway, message)
        fields = {
            "from": message.number,
            "reference": part.reference,
            "number": part.number,
            "total": part.total,
            "words": message.words,
            "at": now_ms(),
            "is_answer": is_answer,
            "gateway": gateway.model_dump(mode="json"),
            "source": source.model_dump(mode="json"),
        }
        await self._store(id, TextItem(fields))

    async def _report(
        self,
        machines: Dispatcher,
        gateway: Principal,
        source: Source,
        message: SmsMessage,
        line: ShortLine,
        place: OpenPlace | None = None,
    ) -> AcceptedReport | None:
        """Accept the report of a line, and have its sender answered. Raises ProblemError.

        `place` completes an earlier report of the same sender.
        """
        reporter = await self._find_reporter(machines, gateway, source, message)
        at = choose_time(message.at, datetime.now(UTC))
        try:
            site = (
                self._places.site_of_line(line, message.words, reporter.sites)
                if place is None
                else place.site
            )
        except ProblemError:
            await self._tell_sender(gateway, message, TextReading.NOT_UNDERSTOOD, None, None)
            raise
        body = build_report(line, site, message.words, at.isoformat())
        earlier = message.completes
        if place is not None:
            body |= place.correction
        elif earlier is not None and earlier.type == body["type"]:
            body |= {"msg_type": MsgType.UPDATE, "references": [earlier.id]}
        report = await self._accept(machines, gateway, source, message, reporter, body)
        accepted = None if report is None else AcceptedReport(report, EventType(body["type"]))
        if line.kind is not ShortLineKind.TROUBLE:
            return accepted
        is_known = site is not None and self._places.knows(site)
        reading = TextReading.REPORT if is_known else TextReading.PLACE_MISSING
        if line.is_danger and not is_known and report is not None:
            await self._remember_danger(message, report, body)
        await self._tell_sender(gateway, message, reading, line, site if is_known else None)
        return accepted

    async def _find_reporter(
        self, machines: Dispatcher, gateway: Principal, source: Source, message: SmsMessage
    ) -> FieldReporter:
        """Return the person of a number, or the gateway itself for a stranger."""
        realm = machines.transitions.speaker(gateway, source, _build_raw(message)).realm
        person = await self._people.of(self._caller(message), realm)
        if person is not None:
            return FieldReporter(
                realm, person.speaks, person.sites, person.own_sites, is_verified=True
            )
        public = gateway.model_copy(update={"speaks_as": "public"})
        return FieldReporter(realm, public, gateway.scope.sites, (), is_verified=False)

    async def _accept(
        self,
        machines: Dispatcher,
        gateway: Principal,
        source: Source,
        message: SmsMessage,
        reporter: FieldReporter,
        body: dict[str, Any],
    ) -> str | None:
        """Accept a report; return its id, or None if it only repeats another. Raises ProblemError."""
        speaks = reporter.speak_of(body.get("site_id"))
        speaker = machines.transitions.speaker(speaks, source, _build_raw(message))
        # A person may write through several gateways.
        key = f"sms\x1f{gateway.id}\x1f{self._identify(message)}"
        body |= {"realm": reporter.realm}
        if reporter.is_verified:
            return (await machines.transitions.accept(speaker, body, key)).report_id
        metrics.count("vigie_reports_total", dialect=NAME, status="unverified")
        body["certainty"] = Certainty.UNCONFIRMED
        if message.completes is not None:  # its first parts were counted
            return (await machines.transitions.accept(speaker, body, key)).report_id
        word = self._word(gateway, message, body)
        return await self._tell_unverified(machines, speaker, word, body, key)

    async def _add_place(
        self,
        machines: Dispatcher,
        gateway: Principal,
        source: Source,
        message: SmsMessage,
        words: str,
        line: ShortLine | None,
    ) -> bool:
        """Complete an earlier danger of the sender with the place that this text names.

        Returns whether it did. A text that reports something else does not. Rule D8.
        """
        if line is not None and not _may_name_place(line, words):
            return False
        name = self._name_open_place(message)
        item = await self._letters.get(name)
        if item is None or not 0 <= now_ms() - int(item.fields["at"]) <= OPEN_PLACE_MS:
            return False
        danger = item.fields["type"]
        if line is not None and line.kind is ShortLineKind.TROUBLE and line.type != danger:
            return False
        site = None if line is None or line.site is None else self._places.find_code(line.site)
        site = site or self._places.find_place(words)
        if site is None:
            return False
        completed = line
        if completed is None or completed.kind is not ShortLineKind.TROUBLE:
            completed = ShortLine(
                ShortLineKind.TROUBLE, None, EventType(danger), int(item.fields["severity"])
            )
        correction = {
            "msg_type": MsgType.UPDATE,
            "references": [item.fields["report"]],
            "occurred_at": item.fields["occurred_at"],
        }
        place = OpenPlace(site, correction)
        await self._report(machines, gateway, source, message, completed, place)
        try:
            await self._letters.erase(name)
        except BrokerAway as error:
            raise ProblemError("broker_away", retry_after_s=RETRY_S) from error
        return True

    async def _remember_danger(
        self, message: SmsMessage, report: str, body: Mapping[str, Any]
    ) -> None:
        """Remember a danger without a place for the next text of this number."""
        item = TextItem(
            {
                "report": report,
                "type": str(body["type"]),
                "severity": body["severity"],
                "occurred_at": body["occurred_at"],
                "at": now_ms(),
            }
        )
        await self._store(self._name_open_place(message), item)

    def _name_open_place(self, message: SmsMessage) -> str:
        return f"{OPEN_PLACE_PREFIX}{self._caller(message).hex()}"

    async def _tell_sender(
        self,
        gateway: Principal,
        message: SmsMessage,
        reading: TextReading,
        line: ShortLine | None,
        site: str | None,
    ) -> None:
        """Store the reading of a text for delivery, if a person of the directory sent it."""
        if message.number and not message.is_open and await self._is_listed(gateway, message):
            await self._hand_over(gateway, message, reading=reading, line=line, site=site)

    async def _tell_unverified(
        self,
        machines: Dispatcher,
        speaker: MessageSender,
        word: AnonymousReport,
        body: dict[str, Any],
        key: str,
    ) -> str | None:
        """Accept a report from an unverified number and return its id, or only count it.

        Raises ProblemError.
        """
        # A gateway repeats the whole request after a refusal: accepted messages must not count
        # again.
        if not machines.transitions.has_taken(speaker, key):
            entry = self._admit(word)
            if entry.repeats is not None:
                metrics.count("vigie_reports_total", dialect=NAME, status="repeated")
                return None
            body["description"] = describe_others(body.get("description"), entry.others)
        receipt = await machines.transitions.accept(speaker, body, key)
        self._limits.note(word, receipt.report_id)
        return receipt.report_id

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
        return await self._people.is_listed(self._caller(message), gateway.scope.realms)

    async def _hand_over(
        self,
        gateway: Principal,
        message: SmsMessage,
        *,
        reading: TextReading | None = None,
        line: ShortLine | None = None,
        site: str | None = None,
    ) -> None:
        """Store a message for delivery, with the time of its arrival and its reading.

        A message that the gateway repeats under the same id is stored once (`_identify`).
        """
        id = str(uuid4()) if message.id is None else self._identify(message)
        digest = sha256(f"{id}\x1f{gateway.id}".encode()).hexdigest()[:32]
        name = f"{WAITING_REPLY_PREFIX}{digest}"
        if await self._letters.get(name) is not None:
            return
        fields: dict[str, Any] = {
            "from": message.number,
            "words": message.words,
            "at": now_ms(),
            "realms": gateway.scope.realms,
        }
        if reading is not None:
            fields |= {"reading": reading.value, "site": site}
            is_free = line is None or line.is_free_text
            is_open = is_free and not message.is_answer
            fields["may_answer"] = is_open and has_no_site(message.words)
        if line is not None:
            fields |= {"type": line.type, "danger": line.is_danger}
        await self._store(name, TextItem(fields))

    async def _store(self, name: str, item: TextItem) -> None:
        """Store a text. Raises ProblemError `broker_away`."""
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
                "at": now_ms(),
                "realms": gateway.scope.realms,
            }
        )
        await self._store(f"{WAITING_REPLY_PREFIX}{digest[:32]}", item)

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
            bytes.fromhex(message.caller)
            if message.caller
            else self._people.hash_number(message.number)
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
        minute = now_ms() // MINUTE_MS if message.at is None else int(message.at.timestamp() // 60)
        return f"{self._caller(message).hex()}\x1f{message.words}\x1f{minute}"

    def build_reply(self, request: IntegrationRequest, outcome: int) -> Reply:  # noqa: ARG002  protocol of integrations
        return Reply(200, {"messages": outcome})


def _is_plain_answer(words: str) -> bool:
    """Return whether the first part of a text answers a call, for which the others need not come.

    The reason in an answer about action cards may go on in them.
    """
    try:
        return parse_card_reply(words) is None and read_line(words).kind is ShortLineKind.ANSWER
    except ProblemError:
        return False


def _may_name_place(line: ShortLine, words: str) -> bool:
    """Return whether a line may be the place of an earlier danger: «ok, collège Mermoz»."""
    if line.kind is ShortLineKind.ANSWER:
        return len(words.split()) > 1
    return line.kind is ShortLineKind.TROUBLE


def _build_raw(message: SmsMessage) -> RawBody:
    return RawBody(orjson.dumps({"text": message.words, "id": message.id}), JSON, NAME)
