"""Headcounts: single answers lie encrypted in `texts`; what leaves here are counts. After 30 days the answers' keys are destroyed (D37, D58)."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Protocol
from uuid import uuid4

import structlog

from schemas.base import DAY_MS
from schemas.callouts import HeadcountAnswer, HeadcountTallied, headcount_text_id
from schemas.reports import Measure, ReportReceived
from schemas.topics import inputs
from schemas.words import EventType
from services.delivery.outbox import Headcount, Outbox
from services.delivery.sender import SOURCE, Inputs
from services.runtime.kafka import BrokerAway
from services.runtime.vault import TextItem

log = structlog.get_logger(__name__)

EVERY_S: Final = 5.0
"""From one count to the next: several answers in one, so that no count stands for a person."""
KEPT_MS: Final = 30 * DAY_MS


class Answers(Protocol):
    """`services.runtime.vault.Texts`."""

    def get_many(self, text_ids: Sequence[str]) -> dict[str, TextItem]: ...

    async def erase(self, id: str) -> None: ...


class Teller:
    """Counts the answers of running headcounts, and destroys those of old ones."""

    def __init__(
        self, outbox: Outbox, answers: Answers, producer: Inputs, *, wall_clock: Callable[[], float] = time.time, every_s: float = EVERY_S
    ) -> None:
        self._outbox = outbox
        self._answers = answers
        self._producer = producer
        self._wall_clock = wall_clock
        self._every_s = every_s
        self._told: dict[str, Counter[str]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.tell()
            except BrokerAway as error:
                log.warning("teller.broker_away", error=str(error))
            await asyncio.sleep(self._every_s)

    async def tell(self) -> None:
        """One round. Raises BrokerAway: the next round says it."""
        now = round(self._wall_clock() * 1000)
        for id, headcount in list(self._outbox.headcounts.items()):
            if headcount.started_at is not None and now - headcount.started_at > KEPT_MS:
                await self._destroy(id, headcount)
            else:
                await self._count(id, headcount, now)

    async def _count(self, id: str, headcount: Headcount, now: int) -> None:
        found = self._answers.get_many([headcount_text_id(n) for n in headcount.notifications])
        counts = Counter(str(item.fields["headcount"]) for item in found.values())
        if counts == self._told.get(id, Counter()):
            return
        tally = HeadcountTallied(callout=id, **{answer.value: counts[answer.value] for answer in HeadcountAnswer})
        await self._producer.send(inputs("delivery"), headcount.realm, tally, id=f"tally-{uuid4()}", source=SOURCE)
        if len(headcount.sites) == 1:
            await self._report(id, headcount, counts.total(), now)
        self._told[id] = counts

    async def _report(self, id: str, headcount: Headcount, found: int, now: int) -> None:
        """The count as a report: it is what the headcount's metric and the site's incident read."""
        report = ReportReceived(
            report_id=f"{id}-found-{found}", source="recensement", site_id=headcount.sites[0], type=EventType.HEADCOUNT, severity=1, occurred_at=now,
            measure=Measure(name="headcount_found", value=found, value_of=headcount.people, unit="personnes", scope="site"),
        )  # fmt: skip
        await self._producer.send(inputs("alerts"), headcount.realm, report, id=report.report_id, source=SOURCE)

    async def _destroy(self, id: str, headcount: Headcount) -> None:
        kept = self._answers.get_many([headcount_text_id(n) for n in headcount.notifications])
        for text_id in kept:
            await self._answers.erase(text_id)
        del self._outbox.headcounts[id]
        self._told.pop(id, None)
        log.info("headcount.answers_destroyed", callout=id, count=len(kept))
