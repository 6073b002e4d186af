"""Interpret replies to messages."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from schemas.callouts import HEADCOUNT_KEYS, HeadcountAnswer
from schemas.words import Answer

_YES_WORDS: Final = frozenset({"1", "ok", "oui", "yes", "y", "o", "present", "recu"})
_NO_WORDS: Final = frozenset({"2", "non", "no", "n", "ko", "indisponible"})
_HEADCOUNT_WORDS: Final = (
    HEADCOUNT_KEYS
    | dict.fromkeys(_YES_WORDS, HeadcountAnswer.SAFE)
    | dict.fromkeys(
        ("non", "no", "n", "ko", "aide", "help", "sos", "secours"), HeadcountAnswer.HELP
    )
    | dict.fromkeys(("absent", "absente", "indisponible", "away"), HeadcountAnswer.AWAY)
)
"""Words and keys → answer to a headcount; "no" means a need for help."""
UNPARSED_REPLY_TEMPLATE: Final = "reply_unread"
"""Template of the message that explains how to answer."""
WAITING_REPLY_PREFIX: Final = "reply-"
"""Prefix of the ids of texts with a reply, until the sender has read it."""


def parse_reply(reply: str) -> Answer | None:
    """Interpret a reply by its first word; None = a person must read it.

    Case, accents and dots do not count.
    """
    first = _first_word(reply)
    return Answer.ACK if first in _YES_WORDS else Answer.DECLINE if first in _NO_WORDS else None


def parse_headcount_reply(reply: str) -> HeadcountAnswer | None:
    """Interpret a reply to a headcount by its first word: 1, 2, 3 or a word of that meaning."""
    return _HEADCOUNT_WORDS.get(_first_word(reply))


def _first_word(reply: str) -> str:
    """Return the first word in lower case, without accents."""
    words = re.findall(
        r"\w+",
        "".join(
            c for c in unicodedata.normalize("NFKD", reply) if not unicodedata.combining(c)
        ).lower(),
    )
    return words[0] if words else ""
