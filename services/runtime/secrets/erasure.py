"""Erase texts on request, and those older than the installation keeps them.

Erasing deletes the key of a text, so no copy of it can be read. The mark replaces the text under
the same id and holds nothing of its text. By default all texts are kept. Rule D58, personal data.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from pydantic import Field

from schemas.base import DAY_MS, Instant
from schemas.topics import TOPICS_BY_NAME
from services.runtime.kafka.clients import BrokerAway, create_groupless_consumer
from services.runtime.process.machine import now_ms
from services.runtime.process.settings import Settings
from services.runtime.secrets.vault import TextItem, VaultTexts, build_attachment_id

ERASURE_FIELD: Final = "erased"
PHOTOS_FIELD: Final = "attachments"
"""Field of a report's text: ids of its photos."""
TOPIC: Final = "texts"
SWEEP_S: Final = 3600.0
UNMARKED_PREFIXES: Final = ("attachment-", "refused-")
"""Kinds of texts that leave no mark when they are erased: nobody looks for one."""
log = structlog.get_logger(__name__)
FindOffsets = Callable[[Instant], Awaitable[Mapping[int, int]]]
"""Returns partition → the first offset that is not older than a time."""


@dataclass(frozen=True, slots=True)
class TextErasure:
    """Time and reason of an erasure."""

    at: Instant
    reason: str


def read_erasure(item: TextItem | None) -> TextErasure | None:
    """Return the erasure that a mark records; None for a text that exists, or for no text."""
    mark = item.fields.get(ERASURE_FIELD) if item is not None else None
    return TextErasure(mark["at"], mark["reason"]) if isinstance(mark, dict) else None


async def erase_text(texts: VaultTexts, text_id: str, at: Instant, reason: str) -> None:
    """Erase a text with its photos and leave a mark.

    Photos go first, because the text names them. Raises BrokerAway: repeat; erased items stay
    erased.
    """
    item = await texts.get(text_id)
    for photo in (item.fields.get(PHOTOS_FIELD) or ()) if item is not None else ():
        await texts.erase(build_attachment_id(str(photo)))
    await texts.erase(text_id)
    await texts.put(text_id, TextItem({ERASURE_FIELD: {"at": at, "reason": reason}}))


class RetentionSettings(Settings):
    """Days that texts are kept, by kind; 0 = until a person erases them."""

    texts_days_reports: int = Field(default=0, ge=0)
    """Days for which text, original bytes and photos of reports are kept; 0 = for ever."""
    texts_days_photos: int = Field(default=0, ge=0)
    """Days for which photos are kept, even if the report's text is kept longer; 0 = for ever."""
    texts_days_notes: int = Field(default=0, ge=0)
    """Days for which notes, reasons of decisions and texts of call-outs are kept; 0 = for ever."""

    @property
    def days_by_prefix(self) -> dict[str, int]:
        """Prefix of text ids → days, for the kinds that are not kept for ever."""
        days_by_kind = {
            "report-": self.texts_days_reports,
            "attachment-": self.texts_days_photos,
            "cmd-": self.texts_days_notes,
        }
        return {prefix: days for prefix, days in days_by_kind.items() if days}


class TextRetention:
    """Eraser of old texts. Several processes may run it: erasing twice changes nothing."""

    def __init__(
        self, texts: VaultTexts, days_by_prefix: Mapping[str, int], older_than: FindOffsets
    ) -> None:
        self._texts = texts
        self._days_by_prefix = days_by_prefix
        self._older_than = older_than

    async def run(self) -> None:
        """Erase old texts once an hour, until cancelled."""
        while self._days_by_prefix:
            try:
                await self.sweep(now_ms())
            except (BrokerAway, KafkaError, OSError) as error:
                log.info("retention.postponed", why=f"{type(error).__name__}: {error}")
            await asyncio.sleep(SWEEP_S)

    async def sweep(self, now: Instant) -> int:
        """Erase texts that are too old at this time and return their number.

        Raises BrokerAway, KafkaError.
        """
        count = 0
        for prefix, days in self._days_by_prefix.items():
            ends = await self._older_than(now - days * DAY_MS)
            for text_id in self._texts.ids_before(prefix, ends):
                count += await self._erase(text_id, days, now)
        if count:
            log.info("retention.erased", texts=count)
        return count

    async def _erase(self, text_id: str, days: int, now: Instant) -> bool:
        if text_id.startswith(UNMARKED_PREFIXES):
            await self._texts.erase(text_id)
            return True
        if read_erasure(await self._texts.get(text_id)) is not None:
            return False
        await erase_text(self._texts, text_id, now, f"durée de conservation : {days} jours")
        return True


def create_offset_finder(kafka: str) -> FindOffsets:
    """Return a function that asks this broker for the offsets of a time."""

    async def ask(at: Instant) -> dict[int, int]:
        consumer: Any = create_groupless_consumer(kafka)
        partitions = [TopicPartition(TOPIC, p) for p in range(TOPICS_BY_NAME[TOPIC].partitions)]
        try:
            await consumer.start()
            ends = await consumer.end_offsets(partitions)
            young = await consumer.offsets_for_times(dict.fromkeys(partitions, at))
        finally:
            await consumer.stop()
        return {
            tp.partition: ends[tp] if young[tp] is None else young[tp].offset for tp in partitions
        }

    return ask
