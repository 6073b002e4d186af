"""Interpret replies to messages."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

from schemas.base import HOUR_MS, MINUTE_MS
from schemas.callouts import HEADCOUNT_KEYS, HeadcountAnswer
from schemas.people.attendance import MAX_ETA_MIN, AttendanceMode
from schemas.words import Answer, CardChange

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
_ATTENDANCE_WORDS: Final = (
    dict.fromkeys(("place", "la", "site", "here"), AttendanceMode.ON_SITE)
    | dict.fromkeys(("route", "arrive", "coming"), AttendanceMode.EN_ROUTE)
    | dict.fromkeys(("distance", "visio", "tel", "remote"), AttendanceMode.REMOTE)
)
"""Word after the answer → how the person takes part in the crisis cell."""
_CARD_WORDS: Final = (
    dict.fromkeys((("fait",), ("faite",), ("faits",), ("faites",), ("done",)), CardChange.COMPLETE)
    | dict.fromkeys((("debut",), ("en", "cours"), ("start",)), CardChange.START)
    | dict.fromkeys((("sans", "objet"), ("skip",)), CardChange.SKIP)
)
"""First words → change of an action card."""
_MAX_CARD_NUMBERS: Final = 20
_MAX_DIGITS: Final = 3
_NUMBER_JOINTS: Final = frozenset({"et", "and"})
UNPARSED_REPLY_TEMPLATE: Final = "reply_unread"
"""Template of the message that explains how to answer."""
WAITING_REPLY_PREFIX: Final = "reply-"
"""Prefix of the ids of texts with a reply, until the sender has read it."""
ARRIVED_TEXT_PREFIX: Final = "arrived-"
"""Prefix of the ids of texts that a provider gave to the sender, for the front to read."""
ARRIVED_TEXT_KEPT_MS: Final = 2 * HOUR_MS
"""Time for which the id of such a text is kept: longer than a provider is asked for it."""
TEXT_PART_PREFIX: Final = "part-"
"""Prefix of the ids of texts with a part of a long text, for the front to join."""
TEXT_PART_WAIT_MS: Final = MINUTE_MS
"""Time for which the other parts of a long text are waited for."""
OPEN_PLACE_PREFIX: Final = "place-"
"""Prefix of the ids of texts about a danger without a place."""
OPEN_PLACE_MS: Final = 15 * MINUTE_MS
"""Time in which the next text of the same number may name the place. Rule D8."""


class TextReading(StrEnum):
    """Reading of a text from the field, which its sender is told."""

    REPORT = "report"
    PLACE_MISSING = "place_missing"
    """A report without a known place: the sender is asked for it."""
    NOT_UNDERSTOOD = "not_understood"


TEXT_ANSWERS: Final = {
    TextReading.REPORT: "text_received",
    TextReading.PLACE_MISSING: "text_without_place",
    TextReading.NOT_UNDERSTOOD: "text_not_understood",
}
"""Templates of the answers to a text from the field."""
HELP_TEMPLATES: Final = frozenset({UNPARSED_REPLY_TEMPLATE, *TEXT_ANSWERS.values()})
"""Templates of messages that answer a text of a person."""
_OWN_ANSWER: Final = re.compile(
    r"\bvigie\s*:\s*(?:signalement recu|sms non compris|report received|sms not understood)\b"
)
"""Openings of these answers, without accents."""


def name_text_part(*values: str | int | Iterable[str]) -> str:
    """Return the id of a part of a long text: another one for other words under its reference."""
    parts = (str(v) if isinstance(v, str | int) else chr(30).join(v) for v in values)
    return f"{TEXT_PART_PREFIX}{sha256(chr(31).join(parts).encode()).hexdigest()[:32]}"


def cut_own_answer(text: str) -> str:
    """Return a text without an answer of ours that it quotes, as automatic replies do.

    The words before the quotation are left.
    """
    folded = "".join(_fold(character)[:1] or " " for character in text)
    quotation = _OWN_ANSWER.search(folded)
    return text if quotation is None else text[: quotation.start()].rstrip(' \t\r\n>|"«')


def parse_reply(reply: str) -> Answer | None:
    """Interpret a reply by its first word; None = a person must read it.

    Case, accents and dots do not count.
    """
    first = _first_word(reply)
    return Answer.ACK if first in _YES_WORDS else Answer.DECLINE if first in _NO_WORDS else None


def parse_attendance(reply: str) -> tuple[AttendanceMode, int | None] | None:
    """Interpret the words after a yes: `1 25` (on the way, 25 min), `1 sur place`, `1 distance`.

    None = nothing is said about it. Rule D90.
    """
    words = _split_words(reply)
    if not words or words[0] not in _YES_WORDS:
        return None
    minutes = next((int(w) for w in words[1:] if w.isascii() and w.isdigit() and len(w) <= 3), None)
    if minutes is not None and minutes > MAX_ETA_MIN:
        minutes = None
    mode = next((_ATTENDANCE_WORDS[w] for w in words[1:] if w in _ATTENDANCE_WORDS), None)
    if mode is None:
        return None if minutes is None else (AttendanceMode.EN_ROUTE, minutes)
    return mode, minutes if mode is AttendanceMode.EN_ROUTE else None


@dataclass(frozen=True, slots=True)
class CardReply:
    """Reply about action cards: `FAIT 1 3`, `DEBUT 2`, `SANS OBJET 2 ascenseur déposé`."""

    change: CardChange
    numbers: tuple[int, ...]
    reason: str
    """Words behind the numbers, as written."""


def parse_card_reply(reply: str) -> CardReply | None:
    """Interpret a reply about action cards by its first words; None = it is about none. Rule D84.

    Case and accents do not count. The numbers end with the first other word.
    """
    words = list(re.finditer(r"[^\W\d_]+|\d+", reply))
    plain = [_fold(word[0]) for word in words]
    head = next((head for head in _CARD_WORDS if tuple(plain[: len(head)]) == head), None)
    if head is None:
        return None
    numbers: list[int] = []
    at = len(head)
    while at < len(words) and (
        (plain[at].isascii() and plain[at].isdigit() and len(plain[at]) <= _MAX_DIGITS)
        or (plain[at] in _NUMBER_JOINTS and numbers)
    ):
        if plain[at] not in _NUMBER_JOINTS:
            numbers.append(int(plain[at]))
        at += 1
    reason = reply[words[at].start() :].strip() if at < len(words) else ""
    return CardReply(_CARD_WORDS[head], tuple(dict.fromkeys(numbers))[:_MAX_CARD_NUMBERS], reason)


def parse_headcount_reply(reply: str) -> HeadcountAnswer | None:
    """Interpret a reply to a headcount by its first word: 1, 2, 3 or a word of that meaning."""
    return _HEADCOUNT_WORDS.get(_first_word(reply))


def _first_word(reply: str) -> str:
    """Return the first word in lower case, without accents."""
    return next(iter(_split_words(reply)), "")


def _split_words(reply: str) -> list[str]:
    """Return the words in lower case, without accents."""
    return re.findall(r"\w+", _fold(reply))


def _fold(text: str) -> str:
    """Return a text in lower case, without accents."""
    parts = unicodedata.normalize("NFKD", text)
    return "".join(c for c in parts if not unicodedata.combining(c)).lower()
