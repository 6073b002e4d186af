"""Erase texts: words, raw bytes and photos are lost for good, a mark keeps time and reason.

Erasing deletes the key of a text, so no copy of it can be read. The mark replaces the text under
the same id and holds nothing of its text. Rule D58, personal data.
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
    """Time and reason of an erasure."""

    at: Instant
    reason: str


def erased_of(item: TextItem | None) -> Erased | None:
    """Return the erasure that a mark records; None for a text that exists, or for no text."""
    mark = item.fields.get(MARK) if item is not None else None
    return Erased(mark["at"], mark["reason"]) if isinstance(mark, dict) else None


async def erase_text(texts: Texts, text_id: str, at: Instant, reason: str) -> None:
    """Erase a text with its photos and leave a mark.

    Photos go first, because the text names them. Raises BrokerAway: repeat; erased items stay
    erased.
    """
    item = await texts.get(text_id)
    for photo in (item.fields.get(PHOTOS) or ()) if item is not None else ():
        await texts.erase(attachment_text(str(photo)))
    await texts.erase(text_id)
    await texts.put(text_id, TextItem({MARK: {"at": at, "reason": reason}}))
