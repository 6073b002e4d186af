"""Read replies and receipts from the front door (`POST /webhooks/sms`).

They stay encrypted in `texts` until they are read here, then they are erased.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Literal

from schemas.people.replies import (
    OPEN_PLACE_MS,
    OPEN_PLACE_PREFIX,
    WAITING_REPLY_PREFIX,
    TextReading,
)
from schemas.words import Channel
from services.delivery.channels.sms.origin import normalize_provider_number
from services.delivery.replies.returns import GIVE_UP_S, FieldText, ProviderInbox
from services.delivery.sender.periodic import run_periodically
from services.runtime.secrets.vault import TextItem, VaultTexts

READ_INTERVAL_S: Final = 0.5
REMEMBERED_REPLIES: Final = 10_000
"""Number of read replies that are remembered."""


class ReplyReader:
    """Reader of waiting replies, in order of arrival: `2` after `1` is a change of mind.

    A gateway that got no answer posts the same message again, perhaps after a later one was read;
    that is no second reply. After a start, which forgets the read ones, the id of the answer shows
    that it is the same.
    """

    def __init__(
        self, letters: VaultTexts, returns: ProviderInbox, clock: Callable[[], float] = time.time
    ) -> None:
        self._letters = letters
        self._returns = returns
        self._clock = clock
        self._read: OrderedDict[str, None] = OrderedDict()
        """Ids of the last read replies; a repeat is erased at once."""

    async def run(self) -> None:
        """Run until cancelled."""
        await run_periodically("replies", self.read, READ_INTERVAL_S)

    async def read(self) -> None:
        """Read once. Raise BrokerAway; the next round reads the rest."""
        waiting_replies = [
            (id, await self._letters.get(id)) for id in self._letters.ids(WAITING_REPLY_PREFIX)
        ]
        for id, item in sorted(waiting_replies, key=_get_arrival):
            if (
                item is None and id in self._read
            ):  # erased here, and not gone yet from the local view
                continue
            if item is None or id in self._read or await self._hand_in(id, item):
                await self._letters.erase(id)
                self._remember(id)
        await self._erase_old_questions()

    async def _erase_old_questions(self) -> None:
        """Erase the questions for a place that were not answered in time."""
        for id in self._letters.ids(OPEN_PLACE_PREFIX):
            item = await self._letters.get(id)
            if item is None or self._clock() * 1000 - int(item.fields["at"]) > OPEN_PLACE_MS:
                await self._letters.erase(id)

    async def _hand_in(self, id: str, item: TextItem) -> bool:
        if "receipt" in item.fields:
            return await self._hand_in_receipt(item)
        number = normalize_provider_number(str(item.fields["from"]))
        realms = item.fields.get("realms", ())
        if "reading" in item.fields:
            text = FieldText(
                text=id,
                words=str(item.fields["words"]),
                reading=TextReading(item.fields["reading"]),
                type=item.fields.get("type"),
                site=item.fields.get("site"),
                may_answer=bool(item.fields.get("may_answer")),
                danger=bool(item.fields.get("danger")),
                sent_at=int(item.fields["at"]),
            )
            return await self._returns.answer_text(Channel.SMS, number, text, realms)
        return await self._returns.reply(
            Channel.SMS, number, str(item.fields["words"]), name=id, realms=realms
        )

    async def _hand_in_receipt(self, item: TextItem) -> bool:
        """Send an awaited receipt on; drop one of another message after a while.

        It never holds the replies of people up.
        """
        id = str(item.fields["receipt"])
        if id not in self._returns.list_awaited_ids(Channel.SMS):
            age_s = self._clock() - int(item.fields.get("at", 0)) / 1000
            return age_s > GIVE_UP_S
        state: Literal["received", "failed"] = (
            "received" if item.fields["state"] == "received" else "failed"
        )
        error = item.fields.get("error")
        realms = item.fields.get("realms", ())
        return await self._returns.receipt(
            Channel.SMS,
            id,
            state,
            str(error) if error else None,
            realm=str(realms[0]) if len(realms) == 1 else "",
        )

    def _remember(self, id: str) -> None:
        self._read[id] = None
        while len(self._read) > REMEMBERED_REPLIES:
            self._read.popitem(last=False)


def _get_arrival(entry: tuple[str, TextItem | None]) -> int:
    item = entry[1]
    return 0 if item is None else int(item.fields.get("at", 0))
