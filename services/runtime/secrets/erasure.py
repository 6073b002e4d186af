"""Erase texts: words, raw bytes and photos are lost for good, a mark keeps time and reason.

Erasing deletes the key of a text, so no copy of it can be read. The mark replaces the text under
the same id and holds nothing of its text. Rule D58, personal data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas.base import Instant
from services.runtime.secrets.vault import TextItem, VaultTexts, build_attachment_id

ERASURE_FIELD: Final = "erased"
PHOTOS_FIELD: Final = "attachments"
"""Field of a report's text: ids of its photos."""


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
