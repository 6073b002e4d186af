"""Read the texts that a provider gave to delivery, over SMPP or by polling, as reports.

Delivery stores each of them, encrypted, before the provider may forget it. Here it is read like a
message that a gateway posts (`services.intake.field.sms`), under the same ids however often it is
read. Its number and words are erased once it is accepted or kept as refused; its id stays for a
while, so that a repetition of the provider has no effect.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Final

import structlog

from schemas.base import HOUR_MS, Instant
from schemas.catalogue.event_types import EventType
from schemas.people.replies import ARRIVED_TEXT_KEPT_MS, ARRIVED_TEXT_PREFIX
from services.intake.field.sms import NAME, SmsIntegration
from services.intake.field.sms_messages import SmsMessage
from services.intake.integrations.dispatcher import TRANSIENT_STATUSES, Dispatcher
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal, Scope, Source
from services.runtime.kafka.clients import BrokerAway
from services.runtime.secrets.vault import TextItem, VaultTexts

READ_INTERVAL_S: Final = 0.5
GIVE_UP_MS: Final = HOUR_MS
"""Age of a text, beyond the limits of strangers, from which it is kept as refused."""
PROVIDER_ID: Final = "provider.sms"
"""Sender of these texts in lists, where a registered gateway has its own name."""
log = structlog.get_logger(__name__)


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
        items = [(id, await self._texts.get(id)) for id in self._texts.ids(ARRIVED_TEXT_PREFIX)]
        waiting = [(id, item) for id, item in items if item is not None]
        for id, item in sorted(waiting, key=lambda one: int(one[1].fields["at"])):
            at = int(item.fields["at"])
            if "words" in item.fields:
                await self._accept(id, item, at)
            elif self._clock() * 1000 - at > ARRIVED_TEXT_KEPT_MS:
                await self._texts.erase(id)

    async def _accept(self, id: str, item: TextItem, at: Instant) -> None:
        """Accept a text, or keep it as refused; leave one that may be accepted later."""
        principal = build_provider(item.fields.get("realms", ()))
        source = Source(id=principal.id, name=NAME, dialect=NAME, type=EventType.INFO)
        message = SmsMessage(
            number=str(item.fields["from"]),
            caller="",
            words=str(item.fields["words"]),
            id=f"{id}:{at}",
            at=datetime.fromtimestamp(at / 1000, UTC),
            is_answer=bool(item.fields.get("is_answer")),
        )
        try:
            await self._sms.accept_message(self._machines, principal, source, message)
        except ProblemError as error:
            is_early = self._clock() * 1000 - at < GIVE_UP_MS
            if error.problem.status in TRANSIENT_STATUSES and is_early:
                return
            self._sms.keep_refused(self._machines, principal, message, error.problem)
        else:
            self._machines.book.count_accepted(principal.id)
        await self._texts.erase(id)
        await self._texts.put(id, TextItem({"at": at}))


def build_provider(realms: Collection[str]) -> Principal:
    """Return the sender of texts of a provider, which all realms or the named ones use."""
    name = ".".join((PROVIDER_ID, *realms))[:64]
    return Principal(
        id=name,
        role=Role.SOURCE,
        scope=Scope(realms=tuple(realms)),
        label="texts that the provider of SMS gave to delivery",
    )
