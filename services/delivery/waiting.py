"""Replies that came in by the front door (`POST /webhooks/sms`): they lie encrypted in `texts` until they are read here, then they are erased."""

from __future__ import annotations

from typing import Final, Protocol

from schemas.replies import WAITING
from schemas.words import Channel
from services.delivery.channels.sms.origin import same_number
from services.delivery.returns import Returns
from services.delivery.rounds import rounds
from services.runtime.vault import TextItem

EVERY_S: Final = 0.5


class Letters(Protocol):
    """`services.runtime.vault.Texts`."""

    def ids(self, prefix: str) -> list[str]: ...

    async def get(self, text_id: str) -> TextItem | None: ...

    async def erase(self, id: str) -> None: ...


class Waiting:
    """Hands them in. One that is read twice is the same answer twice, which has no effect."""

    def __init__(self, letters: Letters, returns: Returns) -> None:
        self._letters = letters
        self._returns = returns
        self._read: set[str] = set()
        """Erased, and not gone yet from what this process knows."""

    async def run(self) -> None:
        """Until cancelled."""
        await rounds("replies", self.read, EVERY_S)

    async def read(self) -> None:
        """One round. Raises BrokerAway: what is left is read in the next one."""
        there = self._letters.ids(WAITING)
        self._read.intersection_update(there)
        for id in (one for one in there if one not in self._read):
            item = await self._letters.get(id)
            if item is None or await self._returns.reply(Channel.SMS, same_number(str(item.fields["from"])), str(item.fields["words"])):
                await self._letters.erase(id)
                self._read.add(id)
