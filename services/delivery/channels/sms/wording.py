"""A message in the shape of an SMS, and what people write back."""

from __future__ import annotations

import re
from typing import Final

from schemas.callouts import HEADCOUNT_KEYS, HeadcountAnswer
from schemas.words import Answer
from services.delivery.channels.sms.encoding import plain
from services.delivery.messages import Text

_YES: Final = frozenset({"1", "ok", "oui", "yes", "y", "o", "present", "présent", "recu", "reçu"})
_NO: Final = frozenset({"2", "non", "no", "n", "ko", "indisponible"})


def wording(text: Text, *, answerable: bool) -> str:
    """Subject, facts, link; how to answer by SMS only where an answer can arrive. In GSM-7 letters where that costs accents only."""
    answers = () if text.link is None else (text.reply_says, text.link) if answerable else (text.link,)
    return plain("\n".join((*text.essence, *answers)))


def chosen(reply: str) -> HeadcountAnswer | None:
    """What a reply to a headcount means: its first word is 1, 2 or 3; « OK » is 1."""
    words = re.findall(r"\w+", reply.lower())
    first = words[0] if words else ""
    return HEADCOUNT_KEYS.get("1" if first in _YES else first)


def understood(reply: str) -> Answer | None:
    """What a reply means; None = a person must read it. Only the first word counts, whatever its case and dots."""
    words = re.findall(r"\w+", reply.lower())
    first = words[0] if words else ""
    return Answer.ACK if first in _YES else Answer.DECLINE if first in _NO else None
