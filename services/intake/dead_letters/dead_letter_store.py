"""Keep refused messages of known senders; only count those of strangers.

A refused message goes to `dead-letters` (lane `refused`) with its bytes encrypted in `texts`,
within a quota per source and day. The bytes are erased after 30 days. The last 20 messages per
stranger's address stay in memory, without bodies.

A corrected replay names its author and counts as unconfirmed. The front sets `CORRECTED_BY` while it routes such a message. The receiver writes it into the report
of any integration.
"""

import asyncio
import sqlite3
from collections import OrderedDict, deque
from contextvars import ContextVar
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final

import orjson
import structlog

from schemas.base import DAY_MS, Instant
from schemas.topics import derive_id
from services.intake.admission import DailyQuota
from services.intake.reports.deduplication import AnswerIndex
from services.runtime.http.problems import CATALOGUE, Problem, ProblemError, build_fault
from services.runtime.identity.principals import Principal
from services.runtime.kafka.clients import BrokerAway, RecordProducer
from services.runtime.kafka.dead_letters import TOPIC, DeadLetter, DeadLetterKind
from services.runtime.process import metrics
from services.runtime.process.machine import now_ms
from services.runtime.secrets.vault import TextItem, VaultTexts

MAX_QUEUED: Final = 200
"""Maximum number of refusals that wait to be written. Further ones are only counted."""
MAX_FIELDS: Final = 50
"""Maximum number of refused fields named in a dead letter; a report has fewer."""
MAX_ADDRESSES: Final = 1000
MAX_PER_ADDRESS: Final = 20
SWEEP_S: Final = 3600.0
ACK_TIMEOUT_S: Final = 5.0
RETRY_S: Final = 1.0
PATIENCE_S: Final = 600.0
"""Seconds of retries while the broker is away, before a message is dropped for the next."""
REFUSED_PREFIX: Final = "refused-"
"""Beginning of the id of a refused message in `texts`."""
log = structlog.get_logger(__name__)
CORRECTED_BY: Final[ContextVar[str | None]] = ContextVar("corrected_by", default=None)
"""Token of the person that corrected the message; None for an unchanged one."""
CORRECTOR_HEADER: Final = "vigie_corrected_by"
"""Kafka header of a record that is replayed with a corrected value."""
TOKEN_CHARS: Final = 64
UNREADABLE_CODE: Final = "not_json"
"""Code of a dead letter without readable fields: all of it may change."""


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """A refused message, as far as it was read."""

    principal: Principal
    problem: Problem
    body: bytes
    content_type: str
    dialect: str
    path: str = ""
    place: tuple[str, int, int] | None = None
    """Topic, partition and offset of a refused record, in place of the path."""
    at: Instant | None = None
    """Time of the refusal; None means now."""


class DeadLetterStore:
    """Writer of dead letters in the background.

    A refusal never waits for Kafka and never fails because of it.
    """

    def __init__(
        self,
        kafka: str,
        texts: VaultTexts,
        ledger: AnswerIndex,
        *,
        realm: str,
        days: int,
        per_day: int,
        bytes_per_day: int,
    ) -> None:
        self._producer = RecordProducer(kafka, timeout_s=ACK_TIMEOUT_S)
        self._texts = texts
        self._ledger = ledger
        self._realm = realm
        self._days = days
        self.quota = DailyQuota(per_day, bytes_per_day)
        self._queue: asyncio.Queue[RefusedMessage] = asyncio.Queue(MAX_QUEUED)
        for reason in (*CATALOGUE, "over_quota", "not_kept", "stranger"):
            metrics.initialize_counter("vigie_dead_letters_total", service="intake", reason=reason)

    def keep(self, refusal: RefusedMessage) -> None:
        """Queue a refused message if quota and queue allow. Never blocks, never raises."""
        if not self._within_quota(refusal):
            metrics.count("vigie_dead_letters_total", service="intake", reason="over_quota")
            return
        try:
            self._queue.put_nowait(replace(refusal, at=refusal.at or now_ms()))
        except asyncio.QueueFull:
            metrics.count("vigie_dead_letters_total", service="intake", reason="not_kept")

    def _within_quota(self, refusal: RefusedMessage) -> bool:
        return self.quota.count_item(refusal.principal.id, len(refusal.body))

    async def keep_now(self, refusal: RefusedMessage) -> None:
        """Store a refused message, however long the broker is away.

        Returns at once if the quota of the source is used up.
        """
        if not self._within_quota(refusal):
            metrics.count("vigie_dead_letters_total", service="intake", reason="over_quota")
            return
        await self._write_at_last(refusal)

    async def _write_at_last(self, refusal: RefusedMessage) -> None:
        """Write a refused message with retries. Raises sqlite3.Error, OSError."""
        while True:
            try:
                await self._write(refusal)
            except BrokerAway:
                await asyncio.sleep(RETRY_S)
                continue
            metrics.count("vigie_dead_letters_total", service="intake", reason=refusal.problem.code)
            return

    async def run(self) -> None:
        """Write queued messages until cancelled."""
        while True:
            refusal = await self._queue.get()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._write_at_last(refusal)
            except (TimeoutError, sqlite3.Error, OSError) as error:
                # A full disk must not end this task, because that would end the whole front.
                metrics.count("vigie_dead_letters_total", service="intake", reason="not_kept")
                log.warning(
                    "refusal.not_kept",
                    code=refusal.problem.code,
                    source=refusal.principal.id,
                    error=str(error),
                )

    async def _write(self, refusal: RefusedMessage) -> None:
        letter = build_dead_letter(refusal, self._realm, refusal.at or now_ms())
        if letter.text_id is not None:
            await self._texts.put(letter.text_id, TextItem({}, refusal.body, refusal.content_type))
            self._ledger.schedule_erasure(letter.text_id, letter.at)
        await self._producer.send_raw(TOPIC, letter.lane_partition, letter.key, letter.dump(), [])

    async def sweep(self) -> None:
        """Erase the bytes of messages refused more than `days` ago, hourly until cancelled."""
        while True:
            try:
                for text_id in self._ledger.refused_before(now_ms() - self._days * DAY_MS):
                    await self._texts.erase(text_id)
                    self._ledger.forget_erased(text_id)
            except (BrokerAway, sqlite3.Error, OSError) as error:
                log.info("refusals.sweep_postponed", why=f"{type(error).__name__}: {error}")
            await asyncio.sleep(SWEEP_S)

    async def stop(self) -> None:
        """Flush the producer for at most 2 s."""
        await self._producer.stop()


def build_dead_letter(refusal: RefusedMessage, realm: str, at: int) -> DeadLetter:
    """Build the dead letter.

    The same message refused for the same reason within a minute has the same id, and so has the
    same record.
    """
    content = blake2b(refusal.body, digest_size=16).hexdigest()
    where = str(refusal.place) if refusal.place is not None else str(at // 60_000)
    id = derive_id(
        realm,
        f"{refusal.principal.id}\x1f{refusal.problem.code}\x1f{content}\x1f{where}",
        "refused",
        0,
    )
    topic, partition, offset = refusal.place or (None, None, None)
    fields = ", ".join(f"{field}: {code}" for field, code in _list_refused_fields(refusal.problem))
    return DeadLetter(
        id=id,
        lane=DeadLetterKind.REFUSED,
        service="intake",
        realm=realm,
        at=at,
        code=refusal.problem.code,
        detail=fields or refusal.problem.kind.title["en"],
        input_type=refusal.dialect,
        source=refusal.principal.id,
        content_type=refusal.content_type,
        headers={"path": refusal.path} if refusal.path else {},
        topic=topic,
        partition=partition,
        offset=offset,
        text_id=f"{REFUSED_PREFIX}{id}" if refusal.body else None,
    )


def _list_refused_fields(problem: Problem) -> list[tuple[str, str]]:
    """Return field and code of each refused part of the content."""
    if not problem.faults and (field := problem.values.get("field")) is not None:
        return [(str(field), problem.code)]
    return [(fault.field, fault.code) for fault in problem.faults[:MAX_FIELDS]]


class UnknownSenders:
    """Messages of unidentified senders: a count, and the last few per address."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, deque[dict[str, Any]]] = OrderedDict()
        self.count = 0

    def note(self, address: str, method: str, path: str, code: str) -> None:
        """Count a message."""
        self.count += 1
        metrics.count("vigie_dead_letters_total", service="intake", reason="stranger")
        address_messages = self._seen.setdefault(address, deque(maxlen=MAX_PER_ADDRESS))
        self._seen.move_to_end(address)
        address_messages.append(
            {"at": now_ms(), "method": method, "path": path[:200], "code": code}
        )
        if len(self._seen) > MAX_ADDRESSES:
            self._seen.popitem(last=False)

    def describe(self) -> dict[str, Any]:
        """Return the count and the last messages per address, for the administrator."""
        return {
            "count": self.count,
            "addresses": [
                {"address": a, "last": list(address_messages)}
                for a, address_messages in reversed(self._seen.items())
            ],
        }


def get_author_token(author: Principal) -> str:
    """Return the token of a person in the log."""
    return author.person or author.id


def check_correction(letter: DeadLetter, original: bytes | None, new_body: bytes) -> None:
    """Refuse a correction that changes a field that was not refused. Raises ProblemError `invalid`.

    Without a readable original, all fields may change.
    """
    before, after = _parse_fields(original), _parse_fields(new_body)
    if letter.code == UNREADABLE_CODE or before is None or after is None:
        return
    refused_fields = list_refused_fields(letter)
    changed_fields = {
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    }
    why = (
        "n’avait pas été refusé : ce champ ne change pas",
        "was not refused: this field may not change",
    )
    if unchangeable := sorted(changed_fields - refused_fields):
        raise ProblemError(
            "invalid",
            faults=tuple(build_fault(name[:64], "unchanged", *why) for name in unchangeable[:20]),
        )


def list_refused_fields(letter: DeadLetter) -> set[str]:
    """Return the top-level fields named in the detail of a dead letter."""
    field_parts = (part.partition(": ") for part in letter.detail.split(", "))
    return {field.partition(".")[0] for field, separator, _ in field_parts if separator}


def _parse_fields(body: bytes | None) -> dict[str, Any] | None:
    try:
        document = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None
