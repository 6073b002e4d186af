"""Texts that are erased: words, raw bytes and photos go for good, a mark says when and why (D58).

Erasing deletes the key of a text, so that no copy of it can be read. The mark takes the place of the text
under the same id and holds no word of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas.base import Instant
from services.runtime.secrets.vault import TextItem, Texts, attachment_text

MARK: Final = "erased"
PHOTOS: Final = "attachments"
"""Field of a report's text: ids of its photos."""


@dataclass(frozen=True, slots=True)
class Erased:
    """When a text was erased, and the reason that was given."""

    at: Instant
    reason: str


def erased_of(item: TextItem | None) -> Erased | None:
    """Return what the mark says; None for a text that is there, and for none."""
    mark = item.fields.get(MARK) if item is not None else None
    return Erased(mark["at"], mark["reason"]) if isinstance(mark, dict) else None


async def erase_text(texts: Texts, text_id: str, at: Instant, reason: str) -> None:
    """Erase a text with its photos and leave a mark. Raises BrokerAway: repeat, nothing comes back.

    Photos go first: the text names them.
    """
    item = await texts.get(text_id)
    for photo in (item.fields.get(PHOTOS) or ()) if item is not None else ():
        await texts.erase(attachment_text(str(photo)))
    await texts.erase(text_id)
    await texts.put(text_id, TextItem({MARK: {"at": at, "reason": reason}}))
