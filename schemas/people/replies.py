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

_YES_WORDS: Final = frozenset({"1", "ok", "oui", "yes", "y", "o", "present", "presente", "recu"})
_NO_WORDS: Final = frozenset({"2", "non", "no", "n", "ko", "indisponible"})
_CALL_ANSWERS: Final = {
    "je prends": Answer.ACK,
    "i take it": Answer.ACK,
    "je ne peux pas": Answer.DECLINE,
    "je peux pas": Answer.DECLINE,
    "i cannot": Answer.DECLINE,
}
_ACTION_ANSWERS: Final = {
    "c est fait": Answer.ACK,
    "it is done": Answer.ACK,
    "impossible": Answer.DECLINE,
}
_OFFERED_ANSWERS: Final = _CALL_ANSWERS | _ACTION_ANSWERS
"""Whole replies in the words that our messages offer, to a call and to an action that is due."""
_CANNOT: Final = re.compile(
    r"\b(?:peux|peut|pourrai|pouvons) pas(?: venir| prendre| y aller| me deplacer| intervenir)?"
    r"(?= ?$| (?:mais|car|desolee?|ce|cette|la|le|avant|aujourd|maintenant)\b)"
    r"|\bimpossible(?: de (?:venir|prendre|y aller|me deplacer|intervenir))?"
    r"(?= ?$| (?:mais|car|desolee?|ce|cette|avant|aujourd|maintenant)\b)"
    r"|\b(?:indisponible|cannot|can t)\b"
    r"|(?:\b(?:suis|mais)|^\S+) (?:(?:pas|plus) (?:dispo|disponible)|malade|absente?"
    r"|en (?:conges?|vacances|arret))\b"
    r"|^\S+ (?:ou|or) (?:2|non|no|n)\b|^\S+ (?:(?:mais|but|et|and) )?(?:non|no)\b(?! plus\b)"
)
"""Words that take back a yes before them."""
_CONCERNED: Final = re.compile(r"\bconcerne(?:e?s?|d)\b")
_NOT_CONCERNED: Final = re.compile(
    r"\b(?:pas|non|plus|not)(?: (?:du|tout|vraiment|directement|at|all)){0,2}"
    r" concerne(?:e|es|s|d)?\b"
)
_DENIED: Final = (
    r"(?<!\bpas )(?<!\bpas d )(?<!\bpas de )(?<!\bsans )(?<!\baucun )(?<!\baucune )"
    r"(?<!besoin d )(?<!besoin d une )(?<!\bpersonne n est )"
)
_HELP: Final = re.compile(
    r"(?<!\bpas )(?<!\baucun )\bbesoin d(?:e|u|es|aide)?\b"
    rf"|{_DENIED}\b(?:aide|aidez|secours|sos|help|ambulance|samu|malaise|danger|urgent|urgence"
    r"|blessee?s?|inconsciente?s?|coincee?s?|bloquee?s?)\b"
    r"|\b(?:pas|plus) en securite\b|\bnot safe\b"
)
"""Words that ask for help in a reply to a headcount, also behind a yes."""
_NOT_HERE: Final = re.compile(r"^(?:(?:je (?:ne )?suis )?pas sur place|not on site)$")
_SAFE: Final = re.compile(
    r"^(?:oui )?(?:je suis |nous sommes |on est )?(?:bien )?en securite\b|^(?:i am |i m )?safe$"
)
"""Words that say to a headcount that its sender is safe."""
_HEADCOUNT_WORDS: Final = (
    HEADCOUNT_KEYS
    | dict.fromkeys(_YES_WORDS, HeadcountAnswer.SAFE)
    | dict.fromkeys(
        ("non", "no", "n", "ko", "aide", "help", "sos", "secours"), HeadcountAnswer.HELP
    )
    | dict.fromkeys(("absent", "absente", "indisponible", "away"), HeadcountAnswer.AWAY)
)
"""Words and keys → answer to a headcount; "no" means a need for help."""
_ATTENDANCE_PHRASES: Final = (
    (
        re.compile(
            r"\bsur (?:place|site)\b|^(?:place|site|la|ici|here)$|\b(?:suis|deja) (?:la|ici)$"
        ),
        AttendanceMode.ON_SITE,
    ),
    (re.compile(r"\b(?:distance|visio|telephone|remote)\b|^(?:par )?tel$"), AttendanceMode.REMOTE),
    (
        re.compile(r"\b(?:en|sur la) route\b|\b(?:arrive|coming)\b|^route$|\bje pars$"),
        AttendanceMode.EN_ROUTE,
    ),
)
"""Words after a yes → how the person takes part in the crisis cell."""
_JUST_A_DURATION: Final = re.compile(r"^(?:(?:dans|d ici|environ|j y suis|la|in) )*$")
"""Words before a duration that alone says that its sender is on the way."""
_DURATION: Final = re.compile(
    r"\b(?:(?P<hours>\d{1,2}) ?(?:h|heures?|hours?)(?: ?(?P<rest>\d{1,2})\b)?"
    r"|(?P<minutes>\d{1,3}) ?(?:min|mn|minutes?)?)(?: ?(?:min|mn|minutes?))?\b"
)
_TIME_OF_DAY: Final = re.compile(r"\b(?:a|vers|pour|avant|at) \d{1,2} ?h(?: ?\d{2})?\b")
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
UNCLEAR_REPLY_TEMPLATE: Final = "reply_unclear"
"""Template of the message that asks which of several questions a reply answers."""
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


class ReplySubject(StrEnum):
    """Question that the words of a reply fit."""

    CALL = "call"
    ACTION = "action"
    """« Is the action done? »"""
    AREA_ORDER = "area_order"
    HEADCOUNT = "headcount"


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
HELP_TEMPLATES: Final = frozenset(
    {UNPARSED_REPLY_TEMPLATE, UNCLEAR_REPLY_TEMPLATE, *TEXT_ANSWERS.values()}
)
"""Templates of messages that answer a text of a person."""
_OWN_ANSWER: Final = re.compile(
    r"\bvigie\s*:\s*(?:signalement re(?:ç|c\u0327?)u|sms non compris|report received"
    r"|sms not understood)\b",
    re.IGNORECASE,
)
"""Openings of these answers, as written or without accents."""


def name_text_part(*values: str | int | Iterable[str]) -> str:
    """Return the id of a part of a long text: another one for other words under its reference."""
    parts = (str(v) if isinstance(v, str | int) else chr(30).join(v) for v in values)
    return f"{TEXT_PART_PREFIX}{sha256(chr(31).join(parts).encode()).hexdigest()[:32]}"


def cut_own_answer(text: str) -> str:
    """Return a text without an answer of ours that it quotes, as automatic replies do.

    The words before the quotation are left.
    """
    quotation = _OWN_ANSWER.search(text)
    return text if quotation is None else text[: quotation.start()].rstrip(' \t\r\n>|"«')


def parse_reply(reply: str) -> Answer | None:
    """Interpret a reply by its first word; None = a person must read it.

    Case, accents and dots do not count. The words that a message offers are an answer, too. A yes
    that goes on with «je ne peux pas» is none: its sender is asked again.
    """
    words = _split_words(reply)
    plain = " ".join(words)
    if plain in _OFFERED_ANSWERS:
        return _OFFERED_ANSWERS[plain]
    first = next(iter(words), "")
    if first in _NO_WORDS:
        return None if words[:2] == ["n", "1"] else Answer.DECLINE
    return Answer.ACK if first in _YES_WORDS and not _CANNOT.search(plain) else None


def find_subject(reply: str) -> ReplySubject | None:
    """Return the question that the words of a reply fit; None if they fit any.

    «1 dans 1 h» answers a call, although an order for an area was asked about later.
    """
    plain = " ".join(_split_words(reply))
    if _HELP.search(plain) or _NOT_HERE.search(plain) or _SAFE.search(plain):
        return ReplySubject.HEADCOUNT
    if _CONCERNED.search(plain) or _NOT_CONCERNED.search(plain):
        return ReplySubject.AREA_ORDER
    if plain in _ACTION_ANSWERS:
        return ReplySubject.ACTION
    is_about_call = plain in _CALL_ANSWERS or parse_attendance(reply) is not None
    return ReplySubject.CALL if is_about_call else None


def parse_area_reply(reply: str) -> Answer | None:
    """Interpret a reply to the question whether an order concerns a site. Rule D102.

    «Concerné» and «pas concerné» are answers. One that says both, or both yes and no, is asked
    again.
    """
    plain, answer = " ".join(_split_words(reply)), parse_reply(reply)
    others = _NOT_CONCERNED.sub(" ", plain)
    if others != plain:
        is_doubtful = answer is Answer.ACK or _CONCERNED.search(others)
        return None if is_doubtful else Answer.DECLINE
    if _CONCERNED.search(plain):
        return None if answer is Answer.DECLINE else Answer.ACK
    return answer


def parse_attendance(reply: str) -> tuple[AttendanceMode, int | None] | None:
    """Interpret the words after a yes: `1 25` (on the way, 25 min), `1 sur place`, `1 distance`.

    None = nothing is said about it, or in a way that leaves doubt: a function counts as filled by
    these words. Rule D90.
    """
    words = _split_words(reply)
    if not words or words[0] not in _YES_WORDS:
        return None
    rest = " ".join(words[1:])
    if "pas" in words:
        return None
    mode = next((mode for phrase, mode in _ATTENDANCE_PHRASES if phrase.search(rest)), None)
    if _TIME_OF_DAY.search(rest):
        return None  # «vers 22 h»: later than any travel
    duration = _DURATION.search(rest)
    if mode in (AttendanceMode.ON_SITE, AttendanceMode.REMOTE) and duration is None:
        return mode, None
    if mode is AttendanceMode.REMOTE:
        return None
    before, minutes = (rest, None) if duration is None else _read_duration(duration)
    if mode is None and (minutes is None or not _JUST_A_DURATION.search(before)):
        return None
    return AttendanceMode.EN_ROUTE, minutes  # also «sur place dans 20 min»


def _read_duration(duration: re.Match[str]) -> tuple[str, int | None]:
    """Return the words before a duration, and its minutes.

    The minutes are None above MAX_ETA_MIN, and beside another number: then they may mean a place.
    """
    before, after = duration.string[: duration.start()], duration.string[duration.end() :]
    minutes = int(duration["minutes"] or 0) + 60 * int(duration["hours"] or 0)
    minutes += int(duration["rest"] or 0)
    is_clear = minutes <= MAX_ETA_MIN and not any(c.isdigit() for c in before + after)
    return before, minutes if is_clear else None


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
    """Interpret a reply to a headcount by its first word: 1, 2, 3 or a word of that meaning.

    Words that ask for help count first: «oui, mais besoin d'aide» is no yes.
    """
    words = _split_words(reply)
    plain = " ".join(words)
    if _HELP.search(plain):
        return HeadcountAnswer.HELP
    if _NOT_HERE.search(plain):
        return HeadcountAnswer.AWAY
    if _SAFE.search(plain):
        return HeadcountAnswer.SAFE
    return _HEADCOUNT_WORDS.get(next(iter(words), ""))


def _split_words(reply: str) -> list[str]:
    """Return the words in lower case, without accents."""
    return re.findall(r"\w+", _fold(reply))


def _fold(text: str) -> str:
    """Return a text in lower case, without accents."""
    parts = unicodedata.normalize("NFKD", text)
    return "".join(c for c in parts if not unicodedata.combining(c)).lower()
