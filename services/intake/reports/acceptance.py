"""Accept reports: store text and report in Kafka with one request, then answer.

1. Seal the text, and hand text and report to one producer, which puts them into one request.

2. Wait until both are acknowledged. From here on the report is accepted. A crash before that may
store only one of them. The sender got no answer then, and its retry stores both again: the report
counts once, because its id is known.

3. Remember the answer in the index, and send it.
"""

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import orjson
import structlog
from aiokafka.errors import KafkaError

from schemas.base import Instant
from schemas.crisis.maintenance import LeasesRenewed, Renewal
from schemas.reports import ReportReceived
from schemas.topics import derive_id, input_topics, is_live, select_urgent_topic
from schemas.words import Certainty, MsgType
from services.intake.admission import UNLIMITED, Admission, DecisionLag, ReportRateLimiter
from services.intake.dead_letters.dead_letter_store import CORRECTED_BY
from services.intake.reports.answer_follower import AnswerFollower
from services.intake.reports.deduplication import (
    TOPIC,
    URGENT,
    AnswerIndex,
    KnownReport,
    ReportIdentity,
    fingerprint_text,
    get_partition_number,
    identify_report,
)
from services.intake.reports.native import PreparedReport
from services.intake.reports.redaction import LogRedactor, RedactedReport, get_episode_prefix
from services.intake.reports.report_checks import RealmCheck, ReservedMeasures
from services.runtime.decider.inputs import InputMarks
from services.runtime.http.problems import FieldFault, ProblemError
from services.runtime.identity.principals import Principal
from services.runtime.kafka.clients import (
    BrokerAway,
    KeyedWriter,
    RecordHeaders,
    build_headers,
    choose_partition,
)
from services.runtime.process import tracing
from services.runtime.process.machine import now_ms
from services.runtime.secrets.vault import OWN_WORDS_FIELD, TextItem, VaultTexts

REPORT_WIRE_TYPE: Final = ReportReceived.wire_type()
RETRY_S: Final = 2
MAX_RENEWALS: Final = 200
"""Maximum number of renewals in one record: their effects must fit into one Transaction."""
RECONNECT_S: Final = 0.5
FREE_ALIAS_INTEGRATIONS: Final = frozenset({"native", "line"})
"""Integrations in which the sender writes the whole alias."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AcceptanceReceipt:
    """An accepted report. `is_replay`: the same message had been accepted before."""

    report_id: str
    realm: str
    recorded_at: Instant
    is_replay: bool
    warnings: tuple[FieldFault, ...] = ()
    """Doubts about the place of the report, for its sender."""


class StoredReport(NamedTuple):
    """A report that is on the log."""

    report: KnownReport
    is_repetition: bool
    """True if another front had accepted the same body before, and this one did not know yet."""


@dataclass(frozen=True, slots=True)
class RawBody:
    """A body as received, and its declared content type."""

    body: bytes
    content_type: str
    dialect: str = "native"
    signature: str | None = None
    """Verdict on the signature, if the protocol has one."""


def build_text_id(report_id: str) -> str:
    """Return the id of the text item with a report's free text and raw bytes."""
    return f"report-{report_id}"


class InputAppender:
    """Append to the input topics of `alerts`.

    The writer of the texts is used, so a text and its report travel in one request. Sends expire,
    so nothing piles up while the broker is away. Duplicates from retries have the same id.
    """

    def __init__(self, writer: KeyedWriter, marks: InputMarks) -> None:
        self._writer, self._marks = writer, marks

    async def run(self) -> None:
        """Connect, retrying until it works. The producer then reconnects by itself."""
        while True:
            try:
                await self._writer.connect(*input_topics("alerts"), "texts")
            except (KafkaError, OSError):
                await asyncio.sleep(RECONNECT_S)
                continue
            return

    async def append(
        self, topic: str, realm: str, partition: int, value: bytes, headers: RecordHeaders
    ) -> tuple[int, Instant]:
        """Append a record and return its offset and append time once all replicas have it.

        Raises BrokerAway; the record may land all the same.
        """
        signed_headers = self._marks.sign(topic, realm.encode(), value, headers)
        pending_send = await self._writer.send(topic, partition, realm, value, signed_headers)
        return await pending_send.wait_for_acknowledgement()

    async def reachable(self) -> bool:
        """Return whether a broker answers a metadata request."""
        return await self._writer.reachable()


class ReportReceiver:
    """Accept reports. One per process."""

    def __init__(
        self,
        inputs: InputAppender,
        texts: VaultTexts,
        ledger: AnswerIndex,
        admission: Admission,
        rates: ReportRateLimiter,
        backlog: DecisionLag,
        fingerprint_key: bytes,
        words: LogRedactor,
        ack_timeout_s: float,
        reserved_measures: ReservedMeasures,
        realms: RealmCheck,
        follower: AnswerFollower | None = None,
    ) -> None:
        """Accept reports; `follower` knows those of the other fronts of a cluster."""
        self._follower = follower
        self._reserved = reserved_measures
        self._realms = realms
        self._inputs = inputs
        self._texts = texts
        self._ledger = ledger
        self._admission = admission
        self._rates = rates
        self._backlog = backlog
        self._key = fingerprint_key
        self._words = words
        self._timeout_s = ack_timeout_s
        self._under_way: dict[str, tuple[str, asyncio.Task[StoredReport]]] = {}
        self.away = False
        """True if the last attempt found no broker.

        Then one attempt at a time, and each danger to people, tries again. Other reports are
        answered at once.
        """

    def broker_answers(self) -> None:
        """Record that the broker answers a metadata request.

        Reports may be tried again, unless an attempt in progress will show whether the broker is
        back.
        """
        if not self._under_way:
            self.away = False

    def is_under_way(self, report_id: str) -> bool:
        """Return whether this front is just storing a report."""
        return report_id in self._under_way

    def resolve(self, sender: str, realm: str, reference: str) -> str:
        """Resolve a sender's reference. See Ledger.resolve."""
        return self._ledger.resolve(realm, sender, reference)

    def print_of(self, words: bytes) -> str:
        """Return the fingerprint of a report with these `Claim.words`."""
        return fingerprint_text(words, self._key)

    async def accept(
        self,
        claim: PreparedReport,
        principal: Principal,
        key: str | None,
        raw: RawBody,
        *,
        first_stands: bool = False,
    ) -> AcceptanceReceipt:
        """Store a report and return once it is on the log.

        With `first_stands`, the same key with another body counts as a repetition, as when a
        program reports the same transition with other text. Raises ProblemError `key_reused`,
        `out_of_scope`, `measure_reserved`, `realm_unknown`, `realm_closed`, `overloaded`,
        `over_rate`, `decider_behind`, `starting`, `broker_away`.
        """
        if not self._ledger.caught_up.is_set():
            await self._wait_for_index()
        # Nothing waits between here and `_under_way`.
        is_closed = await self._realms.check(claim.realm)
        identity = identify_report(claim, principal.id, key, self._key)
        if key is not None and not first_stands:
            identity = replace(identity, is_exclusive=True)
        if (recorded_report := self._ledger.get(identity.report_id)) is not None:
            receipt = _repeat_receipt(recorded_report, identity, first_stands)
            if not recorded_report.answered and recorded_report.fingerprint == identity.fingerprint:
                await self._answer_at_last(identity.report_id, claim, principal, raw)
            return receipt
        if (other := self._under_way.get(identity.report_id)) is not None:
            fingerprint, task = other
            if fingerprint != identity.fingerprint and not first_stands:
                raise ProblemError("key_reused")
            stored_report = await self._wait(task)
            return _repeat_receipt(stored_report.report, identity, first_stands)
        if is_closed:
            raise ProblemError("realm_closed")
        self._check_references(claim, principal)
        self._reserved.check(claim.message)
        if self.away and self._under_way and not claim.danger:
            raise _build_away_problem()
        if (
            principal.rate_per_s != UNLIMITED
            and is_live(claim.realm)
            and self._lane_of(claim, principal.id) == TOPIC
        ):
            partition = choose_partition(TOPIC, claim.realm)
            self._backlog.check(partition, claim.realm, danger=claim.danger)
        with self._admission.enter(claim.realm, danger=claim.danger):
            self._rates.count_report(principal, claim.realm, danger=claim.danger)
            storing = self._store if tracing.get_traces() is None else self._store_traced
            task = asyncio.create_task(storing(claim, principal, identity, raw))
            self._under_way[identity.report_id] = identity.fingerprint, task
            task.add_done_callback(lambda t: self._on_stored(identity.report_id, t))
            recorded_report, is_repetition = await self._wait(task)
        return AcceptanceReceipt(
            recorded_report.report_id,
            recorded_report.realm,
            recorded_report.recorded_at,
            is_replay=is_repetition,
        )

    def _check_references(self, claim: PreparedReport, principal: Principal) -> None:
        """Check that a limited sender replaces or withdraws only its own reports.

        A reference would otherwise reach any site. Raises ProblemError `out_of_scope`. Rule D3,
        updates and withdrawals.
        """
        if claim.message["msg_type"] is MsgType.ALERT or not (
            principal.scope.sites or principal.scope.types or principal.scope.poles
        ):
            return
        for reference in claim.message.get("references", ()):
            earlier_report = self._ledger.get(reference)
            if earlier_report is not None and earlier_report.sender != principal.id:
                raise ProblemError("out_of_scope", field="references")

    async def _answer_at_last(
        self, report_id: str, claim: PreparedReport, principal: Principal, raw: RawBody
    ) -> None:
        """Store the text of a report that was perhaps never answered, and mark it answered.

        It was found on the log after a crash, or another front took it. A text that exists stays,
        and so does the mark of an erasure.
        """
        text_id = build_text_id(report_id)
        with _convert_errors():
            if self._texts.peek_bytes(text_id) is None:
                text = _build_text(claim, self._redact(claim, principal, raw), raw)
                await self._texts.put(text_id, text)
            self._ledger.mark_answered(report_id)

    def _redact(self, claim: PreparedReport, principal: Principal, raw: RawBody) -> RedactedReport:
        """Return the report as the log may hold it, and the sender's own text.

        Rule D58, personal data.
        """
        alias = claim.message.get("alias")
        if alias is not None:
            alias = self._log_alias(claim.realm, principal.id, str(alias), raw.dialect)
        return self._words.clean(claim.realm, claim.message, alias)

    def _log_alias(self, realm: str, sender: str, alias: str, dialect: str) -> str:
        if dialect in FREE_ALIAS_INTEGRATIONS:
            return self._words.name(realm, alias)
        began = get_episode_prefix(alias)
        if began is not None and self._ledger.has_alias(realm, sender, began):
            # An episode opened by an earlier version keeps its name to its end.
            return alias
        return self._words.machine_alias(realm, alias)

    async def renew(self, realm: str, principal: Principal, renewals: Sequence[Renewal]) -> None:
        """Record that alerts of this sender still hold. A repetition changes nothing.

        Each record of renewals counts as one report. A corrected message renews nothing. Renewals
        go into the urgent lane, like the ticks that let a lease lapse. Raises ProblemError
        `broker_away`, `over_rate`. Rule D66, leases.
        """
        sender = principal.id
        if CORRECTED_BY.get() is not None:
            return
        for start in range(0, len(renewals), MAX_RENEWALS):
            self._rates.count_report(principal, realm, danger=False)
            message = LeasesRenewed(
                source_key=sender, leases=tuple(renewals[start : start + MAX_RENEWALS])
            )
            value = orjson.dumps(message.model_dump())
            id = derive_id(
                realm,
                f"{sender}\x1frenewed\x1f{blake2b(value, digest_size=16).hexdigest()}",
                "input",
                0,
            )
            headers = build_headers(
                LeasesRenewed.wire_type(), id=id, source=f"/{sender}", at=None, time_ms=now_ms()
            )
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._inputs.append(
                        select_urgent_topic("alerts", realm),
                        realm,
                        choose_partition(TOPIC, realm),
                        value,
                        headers,
                    )
            except (BrokerAway, TimeoutError) as error:
                self._went_away(str(error) or "no acknowledgement of a renewal")
                raise _build_away_problem() from error

    async def _wait_for_index(self) -> None:
        """Wait for the index after a start, so that queued connections are not refused at once.

        Raises ProblemError `starting`.
        """
        try:
            await asyncio.wait_for(self._ledger.caught_up.wait(), self._timeout_s)
        except TimeoutError:
            raise ProblemError("starting", retry_after_s=RETRY_S) from None

    async def _wait(self, task: asyncio.Task[StoredReport]) -> StoredReport:
        """Wait for a task; it goes on if the sender leaves: a retry joins it."""
        done_tasks, _ = await asyncio.wait({task}, timeout=self._timeout_s)
        if not done_tasks:
            self._went_away(f"no acknowledgement within {self._timeout_s:g} s")
            raise _build_away_problem()
        with _convert_errors():
            return task.result()

    def _on_stored(self, report_id: str, task: asyncio.Task[StoredReport]) -> None:
        self._under_way.pop(report_id, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self.away = False
        elif isinstance(error, BrokerAway):
            self._went_away(str(error))

    def _went_away(self, why: str) -> None:
        if not self.away:
            log.warning("log.away", why=why, then="reports are answered with 503 until it is back")
        self.away = True

    async def _store_traced(
        self, claim: PreparedReport, principal: Principal, identity: ReportIdentity, raw: RawBody
    ) -> StoredReport:
        attributes: tracing.Attributes = {
            "vigie.realm": claim.realm,
            "vigie.report": identity.report_id,
            "vigie.dialect": raw.dialect,
        }
        with tracing.trace_request("intake accept", lambda: attributes) as span:
            return await self._store(
                claim, principal, identity, raw, None if span is None else span.traceparent
            )

    async def _store(
        self,
        claim: PreparedReport,
        principal: Principal,
        identity: ReportIdentity,
        raw: RawBody,
        traceparent: str | None = None,
    ) -> StoredReport:
        report_id, text_id = identity.report_id, build_text_id(identity.report_id)
        redacted_report = self._redact(claim, principal, raw)
        message: dict[str, Any] = redacted_report.message | {
            "report_id": report_id,
            "text_id": text_id,
            "dialect": raw.dialect,
            "fingerprint": identity.fingerprint,
        }
        if claim.is_unplaced:
            message["area"] = text_id
        _mark_correction(message)
        if raw.signature is not None:
            message["signature"] = raw.signature
        realm, partition, sender = claim.realm, choose_partition(TOPIC, claim.realm), principal.id
        topic = self._lane_of(claim, sender)
        headers = build_headers(
            REPORT_WIRE_TYPE,
            id=report_id,
            source=f"/{principal.id}",
            at=None if is_live(realm) else claim.at,
            time_ms=now_ms(),
            traceparent=traceparent,
        )
        place = get_partition_number(topic, partition)
        mark = self._ledger.sending(place)
        first: KnownReport | None = None
        try:
            value, plain = orjson.dumps(message), _build_text(claim, redacted_report, raw).dump()
            if self._follower is not None and identity.is_exclusive:
                # Its text must not replace that of another body under the same key
                offset, appended_at = await self._append(topic, realm, sender, value, headers)
                first = await self._follower.confirm(topic, partition, offset, report_id)
                if first is not None and first.fingerprint != identity.fingerprint:
                    raise ProblemError("key_reused")
                await self._texts.put_bytes(text_id, plain)
            else:
                text = await self._texts.hand_over(text_id, plain)
                offset, appended_at = await self._append(topic, realm, sender, value, headers)
                await self._texts.wait_for_replicas(text)
        except BaseException:
            self._ledger.not_sent(place, mark)
            raise
        recorded_at = appended_at if claim.at is None else claim.at
        log_message = redacted_report.message
        recorded_report = KnownReport(
            report_id,
            realm,
            identity.fingerprint,
            recorded_at,
            principal.id,
            log_message.get("alias"),
            occurred_at=log_message["occurred_at"],
            urgent=topic == URGENT,
        )
        is_repetition = first is not None and first.recorded_at != recorded_at
        if first is not None and is_repetition:
            recorded_report = replace(first, answered=True)
        self._ledger.record_sent(place, mark, offset, recorded_report)
        return StoredReport(recorded_report, is_repetition)

    async def _append(
        self,
        topic: str,
        realm: str,
        sender: str,
        value: bytes,
        headers: RecordHeaders,
    ) -> tuple[int, Instant]:
        partition = choose_partition(TOPIC, realm)
        offset, appended_at = await self._inputs.append(topic, realm, partition, value, headers)
        self._backlog.record_report(topic, partition, offset, realm, sender)
        return offset, appended_at

    def _lane_of(self, claim: PreparedReport, sender: str) -> str:
        """Return the input topic of a report: the urgent lane for danger to people.

        A report that references urgent ones follows them. A withdrawal never overtakes the reports
        that it withdraws: it would have no effect. A sender that fills the urgent lane, or a realm
        that fills it beside other realms, uses the ordinary one.
        """
        referenced_reports = [
            referenced_report
            for reference in claim.message.get("references", ())
            if (referenced_report := self._ledger.get(reference)) is not None
        ]
        follows = any(referenced_report.urgent for referenced_report in referenced_reports)
        overtakes = claim.message["msg_type"] is MsgType.CANCEL and not all(
            referenced_report.urgent for referenced_report in referenced_reports
        )
        if overtakes or not (follows or claim.danger):
            return TOPIC
        urgent = select_urgent_topic("alerts", claim.realm)
        if not follows and self._backlog.fills_urgent_lane(
            urgent, choose_partition(TOPIC, claim.realm), claim.realm, sender
        ):
            return TOPIC
        return urgent


def _build_text(claim: PreparedReport, redacted_report: RedactedReport, raw: RawBody) -> TextItem:
    own = {OWN_WORDS_FIELD: redacted_report.own_words} if redacted_report.own_words else {}
    return TextItem(claim.text | own, raw.body, raw.content_type)


def _repeat_receipt(
    recorded_report: KnownReport, identity: ReportIdentity, first_stands: bool
) -> AcceptanceReceipt:
    if recorded_report.fingerprint != identity.fingerprint and not first_stands:
        raise ProblemError("key_reused")
    return AcceptanceReceipt(
        recorded_report.report_id,
        recorded_report.realm,
        recorded_report.recorded_at,
        is_replay=True,
    )


@contextmanager
def _convert_errors() -> Iterator[None]:
    """Raise storage failures as problems for the sender."""
    try:
        yield
    except BrokerAway as error:
        raise _build_away_problem() from error
    except sqlite3.Error as error:
        log.error("report.not_stored", error=str(error), hint="is the disk full?")
        raise ProblemError("storage", retry_after_s=RETRY_S) from error


def _build_away_problem() -> ProblemError:
    return ProblemError("broker_away", retry_after_s=RETRY_S)


def _mark_correction(message: dict[str, Any]) -> None:
    """Add the author of a correction to a report, and lower its certainty.

    A corrected report cannot acknowledge. Does nothing if the message is unchanged.
    """
    by = CORRECTED_BY.get()
    if by is None:
        return
    message["corrected_by"] = by
    message.pop("acknowledges", None)
    if message.get("certainty", Certainty.CONFIRMED) != Certainty.RUMOUR:
        message["certainty"] = Certainty.UNCONFIRMED
