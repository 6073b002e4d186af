"""Read the texts that a provider gave to delivery, over SMPP or by polling, as reports.

Delivery stores each of them, encrypted, before the provider may forget it. Here it is read like a
message that a gateway posts (`services.intake.field.sms`), under the same ids however often it is
read. Its number and words are erased once it is accepted or kept as refused; its id stays for a
while, so that a repetition of the provider has no effect.

The parts of a long text wait for one another here, a minute at most; then those that came are read.
A part that comes later still completes the report. Danger to people in the parts that came is
reported at once, and the others complete that report.

A handset uses its references again: parts are joined in the order of their arrival, and a part
whose place is filled begins another text.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from itertools import chain, groupby
from typing import Any, Final

import structlog

from schemas.base import HOUR_MS, Instant
from schemas.catalogue.event_types import EventType
from schemas.people.replies import (
    ARRIVED_TEXT_KEPT_MS,
    ARRIVED_TEXT_PREFIX,
    TEXT_PART_PREFIX,
    TEXT_PART_WAIT_MS,
)
from services.intake.field.short_line import read_line
from services.intake.field.sms import NAME, SmsIntegration
from services.intake.field.sms_messages import AcceptedReport, SmsMessage
from services.intake.integrations.dispatcher import TRANSIENT_STATUSES, Dispatcher
from services.runtime.http.problems import ProblemError
from services.runtime.http.sms_text import decode_text
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal, Scope, Source
from services.runtime.kafka.clients import BrokerAway
from services.runtime.secrets.vault import TextItem, VaultTexts

GAP: Final = "[…]"
"""Stands for missing parts between and behind those that came."""
MISSING_BEGINNING: Final = "[suite d’un SMS]"
"""Stands for a missing first part: the next word is no keyword and no answer."""
INCOMPLETE: Final = "[SMS incomplet]"
READ_INTERVAL_S: Final = 0.5
GIVE_UP_MS: Final = HOUR_MS
"""Age of a text, beyond the limits of strangers, from which it is kept as refused."""
PROVIDER_ID: Final = "provider.sms"
"""Sender of these texts in lists, where a registered gateway has its own name."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ArrivedPart:
    """A stored part."""

    id: str
    fields: dict[str, Any]

    @property
    def number(self) -> int:
        """Place in the text, from 1."""
        return int(self.fields["number"])

    @property
    def at(self) -> Instant:
        """Time of arrival."""
        return int(self.fields["at"])

    @cached_property
    def text_key(self) -> tuple[object, ...]:
        """Key that the parts of a text share: sender, reference, number of parts, way."""
        gateway = self.fields.get("gateway", {}).get("id")
        realms = tuple(self.fields.get("realms", ()))
        names = ("from", "reference", "total")
        return (*(self.fields[name] for name in names), gateway, realms)


@dataclass(frozen=True)
class LongText:
    """The parts of one text that came."""

    total: int
    parts: dict[int, ArrivedPart] = field(default_factory=dict)

    @property
    def first(self) -> ArrivedPart:
        """The part that came first."""
        return min(self.parts.values(), key=_order_of_arrival)

    @property
    def is_whole(self) -> bool:
        """Return whether no part is missing."""
        return len(self.parts) == self.total

    @property
    def words(self) -> str:
        """Return the words, with marks in place of missing parts."""
        numbers = sorted(self.parts)
        if self.is_whole:
            return _decode([self.parts[number] for number in numbers])
        texts = [] if 1 in self.parts else [MISSING_BEGINNING]
        for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
            texts += [_decode([self.parts[number] for _, number in run]), GAP]
        if self.total in self.parts:
            texts.pop()
        return " ".join((*texts, INCOMPLETE))

    def has_room(self, part: ArrivedPart) -> bool:
        """Return whether a part may belong to this text."""
        is_recent = part.at - self.first.at < ARRIVED_TEXT_KEPT_MS
        return part.number not in self.parts and is_recent


def join_parts(parts: Iterable[ArrivedPart]) -> list[LongText]:
    """Join parts to texts, in order of arrival."""
    texts: dict[tuple[object, ...], list[LongText]] = {}
    for part in sorted(parts, key=_order_of_arrival):
        candidates = texts.setdefault(part.text_key, [])
        text = next((one for one in candidates if one.has_room(part)), None)
        if text is None:
            text = LongText(int(part.fields["total"]))
            candidates.append(text)
        text.parts[part.number] = part
    return sorted(chain(*texts.values()), key=lambda text: text.first.at)


def _order_of_arrival(part: ArrivedPart) -> tuple[Instant, int, str]:
    return part.at, part.number, part.id


def _decode(parts: Sequence[ArrivedPart]) -> str:
    """Decode neighbours: those in one alphabet together, for a character may span two of them."""
    texts = list[str]()
    for data_coding, run in groupby(parts, key=lambda part: part.fields.get("data_coding")):
        if data_coding is None:
            texts += [str(part.fields["words"]) for part in run]
        else:
            octets = b"".join(bytes.fromhex(part.fields["octets"]) for part in run)
            texts.append(decode_text(octets, int(data_coding)))
    return "".join(texts)


class PartReading(StrEnum):
    """Reading of the parts of a long text that came."""

    DANGER = "danger"
    """They tell of danger; others are awaited."""
    LATE = "late"
    """The others did not come in time."""
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class AcceptedText:
    """A text that needs no other reading. `report`: id and type of the report that it made."""

    report: Mapping[str, str] | None


class ArrivedTextReader:
    """Reader of the texts that delivery stored."""

    def __init__(
        self,
        texts: VaultTexts,
        sms: SmsIntegration,
        machines: Dispatcher,
        starts: Collection[asyncio.Event],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Create a reader that begins after all events of `starts`."""
        self._texts = texts
        self._sms = sms
        self._machines = machines
        self._starts = starts
        self._clock = clock

    async def run(self) -> None:
        """Read until cancelled."""
        for start in self._starts:
            await start.wait()
        while True:
            try:
                await self.read()
            except BrokerAway as error:
                log.warning("arrived_texts.broker_away", error=str(error))
            except Exception as error:  # noqa: BLE001
                # One text must not end the reading of the others.
                log.error("arrived_texts.failed", error=type(error).__name__)
            await asyncio.sleep(READ_INTERVAL_S)

    async def read(self) -> None:
        """Read the stored texts once, in order of arrival. Raises BrokerAway."""
        await self._read_parts()
        items = [(id, await self._texts.get(id)) for id in self._texts.ids(ARRIVED_TEXT_PREFIX)]
        waiting = [(id, item) for id, item in items if item is not None]
        for id, item in sorted(waiting, key=lambda one: int(one[1].fields["at"])):
            at = int(item.fields["at"])
            if "words" in item.fields:
                await self._accept(id, item, at)
            elif self._clock() * 1000 - at > ARRIVED_TEXT_KEPT_MS:
                await self._texts.erase(id)

    async def _read_parts(self) -> None:
        """Read the long texts that are whole, tell of danger, or have waited long enough."""
        items = [(id, await self._texts.get(id)) for id in self._texts.ids(TEXT_PART_PREFIX)]
        fields_by_id = {id: item.fields for id, item in items if item is not None}
        read_parts = {
            part_id for fields in fields_by_id.values() for part_id in fields.get("joined", ())
        }
        parts = list[ArrivedPart]()
        for id, fields in fields_by_id.items():
            if "number" in fields and id in read_parts:  # its erasure was interrupted
                await self._replace_part(id, int(fields["at"]))
            elif "number" in fields:
                parts.append(ArrivedPart(id, fields))
            elif self._clock() * 1000 - int(fields["at"]) > ARRIVED_TEXT_KEPT_MS:
                await self._texts.erase(id)
        for text in join_parts(parts):
            await self._read_long_text(text)

    async def _read_long_text(self, text: LongText) -> None:
        """Read a long text as far as it came, unless it was read so far."""
        age_ms = self._clock() * 1000 - text.first.at
        if text.is_whole:
            reading = PartReading.WHOLE
        elif age_ms >= TEXT_PART_WAIT_MS:
            reading = PartReading.LATE
        elif _is_dangerous(text.words):
            reading = PartReading.DANGER
        else:
            return
        states = [part.fields.get("reading") for part in text.parts.values()]
        if any(state != reading for state in states):
            report = next(
                (p.fields["report"] for p in text.parts.values() if "report" in p.fields), None
            )
            accepted = await self._accept_long_text(text, reading, report)
            if accepted is None:
                return
            if reading is not PartReading.WHOLE:
                await self._note_reading(text, reading, accepted.report or report)
        elif age_ms > ARRIVED_TEXT_KEPT_MS:
            reading = PartReading.WHOLE
        if reading is PartReading.WHOLE:
            await self._erase_parts(text)

    async def _accept_long_text(
        self, text: LongText, reading: PartReading, report: Mapping[str, str] | None
    ) -> AcceptedText | None:
        """Accept the parts of a text that came; None if they may be accepted later."""
        first = text.first
        numbers = "+".join(map(str, sorted(text.parts)))
        fields = first.fields
        message = SmsMessage(
            number=str(fields["from"]),
            caller="",
            words=text.words,
            id=f"{first.id}:{first.at}:{reading}:{numbers}",
            at=datetime.fromtimestamp(first.at / 1000, UTC),
            is_answer=any(part.fields["is_answer"] for part in text.parts.values()),
            is_open=reading is PartReading.DANGER,
            completes=None
            if report is None
            else AcceptedReport(report["id"], EventType(report["type"])),
        )
        if "gateway" in fields:
            principal = Principal.model_validate(fields["gateway"])
            source = Source.model_validate(fields["source"])
        else:
            principal, source = _build_sender(fields.get("realms", ()))
        return await self._accept_message(principal, source, message, first.at)

    async def _note_reading(
        self, text: LongText, reading: PartReading, report: Mapping[str, str] | None
    ) -> None:
        """Keep with each part how it was read, and the report that later parts complete."""
        for part in text.parts.values():
            fields = part.fields | {"reading": reading.value}
            if report is not None:
                fields["report"] = dict(report)
            await self._texts.put(part.id, TextItem(fields))

    async def _erase_parts(self, text: LongText) -> None:
        """Erase a text; the ids of its parts stay for a while.

        They are named first, so that no part is read alone after an interruption.
        """
        ids = sorted(part.id for part in text.parts.values())
        at = text.first.at
        digest = sha256("".join(ids).encode()).hexdigest()[:32]
        await self._texts.put(f"{TEXT_PART_PREFIX}{digest}", TextItem({"at": at, "joined": ids}))
        for id in ids:
            await self._replace_part(id, at)

    async def _replace_part(self, id: str, at: Instant) -> None:
        await self._texts.erase(id)
        await self._texts.put(id, TextItem({"at": at}))

    async def _accept(self, id: str, item: TextItem, at: Instant) -> None:
        """Accept a text, or keep it as refused; leave one that may be accepted later."""
        principal, source = _build_sender(item.fields.get("realms", ()))
        message = SmsMessage(
            number=str(item.fields["from"]),
            caller="",
            words=str(item.fields["words"]),
            id=f"{id}:{at}",
            at=datetime.fromtimestamp(at / 1000, UTC),
            is_answer=bool(item.fields.get("is_answer")),
        )
        if await self._accept_message(principal, source, message, at) is not None:
            await self._texts.erase(id)
            await self._texts.put(id, TextItem({"at": at}))

    async def _accept_message(
        self, principal: Principal, source: Source, message: SmsMessage, at: Instant
    ) -> AcceptedText | None:
        """Accept a message, or keep it as refused; None if it may be accepted later."""
        report = None
        try:
            report = await self._sms.accept_message(self._machines, principal, source, message)
        except ProblemError as error:
            is_early = self._clock() * 1000 - at < GIVE_UP_MS
            if error.problem.status in TRANSIENT_STATUSES and is_early:
                return None
            if not message.is_open:  # its other parts are awaited
                self._sms.keep_refused(self._machines, principal, message, error.problem)
        else:
            self._machines.book.count_accepted(principal.id)
        return AcceptedText(None if report is None else {"id": report.id, "type": report.type})


def _is_dangerous(words: str) -> bool:
    try:
        return read_line(words).is_danger
    except ProblemError:
        return False


def _build_sender(realms: Collection[str]) -> tuple[Principal, Source]:
    principal = build_provider(realms)
    return principal, Source(id=principal.id, name=NAME, dialect=NAME, type=EventType.INFO)


def build_provider(realms: Collection[str]) -> Principal:
    """Return the sender of texts of a provider, which all realms or the named ones use."""
    name = ".".join((PROVIDER_ID, *realms))[:64]
    return Principal(
        id=name,
        role=Role.SOURCE,
        scope=Scope(realms=tuple(realms)),
        label="texts that the provider of SMS gave to delivery",
    )
