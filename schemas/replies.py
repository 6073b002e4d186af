"""What people write back to a message, and where such words wait for delivery when they came in by the front door."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from schemas.callouts import HEADCOUNT_KEYS, HeadcountAnswer
from schemas.words import Answer

_YES: Final = frozenset({"1", "ok", "oui", "yes", "y", "o", "present", "recu"})
_NO: Final = frozenset({"2", "non", "no", "n", "ko", "indisponible"})
_SAFETY: Final = (
    HEADCOUNT_KEYS
    | dict.fromkeys(_YES, HeadcountAnswer.SAFE)
    | dict.fromkeys(
        ("non", "no", "n", "ko", "aide", "help", "sos", "secours"), HeadcountAnswer.HELP
    )
    | dict.fromkeys(("absent", "absente", "indisponible", "away"), HeadcountAnswer.AWAY)
)
"""Whoever is not safe needs help."""
UNREAD: Final = "reply_unread"
"""Template of the message that tells a person how to answer, after words that are no answer."""
WAITING: Final = "reply-"
"""Begins the ids of texts that hold a reply, its number and words, until the sender has read it."""


def understood(reply: str) -> Answer | None:
    """What a reply means; None = a person must read it. Only the first word counts, whatever its case, accents and dots."""
    first = _first_word(reply)
    return Answer.ACK if first in _YES else Answer.DECLINE if first in _NO else None


def chosen(reply: str) -> HeadcountAnswer | None:
    """What a reply to a headcount means: its first word is 1, 2 or 3, or says the same."""
    return _SAFETY.get(_first_word(reply))


def _first_word(reply: str) -> str:
    """In small letters, without accents."""
    words = re.findall(
        r"\w+",
        "".join(
            c for c in unicodedata.normalize("NFKD", reply) if not unicodedata.combining(c)
        ).lower(),
    )
    return words[0] if words else ""
