"""Every message of a scenario holds its required facts and no forbidden ones (D59, D70)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Final

from schemas.delivery import NotificationChanged, NotificationRow
from services.messages import MessageNames, MessageText, compose_message, load_phrases
from services.messages.composition import (
    SMS_MAX_SEPTETS,
    SUBJECT_MAX_CHARACTERS,
    VOICE_MAX_CHARACTERS,
)
from services.runtime.http.sms_text import count_septets, encode_text, simplify_text
from tests.scenarios.memory import MemoryPlayer
from tests.shipped import territory

URL: Final = "https://vigie.hauts-de-seine.fr"
LINK: Final = f"{URL}/a/{'x' * 78}"
CODES: Final = re.compile(
    r"\b[A-Z]{3}-\d\d\b|\bPT-[A-Z]|\bPCA-\w|\b92-\d{4}-\d|\b92\d{3}\b|\b(?:cen|clg|pmi|sst|col)-\w*\d|[{}⟨⟩⟦⟧\[\]]|\bNone\b|appelez la cellule de crise"
)
"""Ids and codes without meaning for people called at night, and remains of failed templates."""
ASKED: Final = re.compile(
    r"\b(prenez|rejoignez|dites|décidez|changez|agissez|choisissez|faites|cochez|confirmez|gardez|répondez|ouvrez|cherchez|prévenez|désignez"
    r"|prévoyez|comblez|commencez|comptez|voyez|considérez|approuvez|relancez|organisez|préparez|adressez-vous|suivez|traitez|complétez)\b"
)
UNTIL: Final = re.compile(
    r"\bavant\b|d[èe]s maintenant|tout de suite|jusqu[’']|sous 72 h|cette semaine|dès leur retour|désormais"
)
"""Time limit of the request."""
OPEN_ENDED: Final = frozenset(
    {
        "action_cancelled",
        "area_order_over",
        "callout",
        "callout_correction",
        "cards_answered",
        "cards_over",
        "instruction_withdrawn",
        "reply_unclear",
        "reply_unread",
        "reply_unread_area",
        "reply_unread_cards",
        "reply_unread_headcount",
        "text_not_understood",
        "text_received",
        "text_without_place",
        "withdrawn",
    }
)
"""Templates that ask for nothing of their own by a certain time."""
SINCE: Final = re.compile(r"depuis ?:? (le .{4,16} à )?\d", re.IGNORECASE)
SPOKEN: Final = re.compile(r"\bN[0-4]\b|\d\d:\d\d|https?:|%")
PLACELESS: Final = frozenset(
    {"readiness_hole", "readiness_digest", "shift_ending", "callout", "vigilance_digest"}
)
"""Messages that are about a post, or a text of the cell."""


@cache
def names() -> MessageNames:
    return replace(MessageNames.of(territory().sections), territory="Hauts-de-Seine")


def last_rows(player: MemoryPlayer) -> list[NotificationRow]:
    """List final notifications, without those first planned in another form."""
    rows: dict[str, NotificationRow] = {}
    for fact in player.system.facts(player.realm, ["delivery"]):
        message = fact.message()
        if isinstance(message, NotificationChanged):
            rows[message.row.id] = message.row
    return list(rows.values())


def longest_rows(player: MemoryPlayer) -> list[NotificationRow]:
    """Return, of the messages of one kind about one place or post, the one with most to say."""
    longest: dict[tuple[object, ...], NotificationRow] = {}
    for row in last_rows(player):
        about = (row.values.get("kind"), row.level, row.previous_level, row.role, row.scope)
        key = (row.template, row.answer_expected, row.danger, bool(row.bundle), *about)
        if key not in longest or _length(row) > _length(longest[key]):
            longest[key] = row
    return list(longest.values())


def _length(row: NotificationRow) -> int:
    return len(str(row.values)) + len(str(row.bundle))


def text_of(row: NotificationRow, lang: str = "fr") -> MessageText:
    return compose_message(row, names(), load_phrases(lang), LINK, "Texte.", public_url=URL)


def faults_of(row: NotificationRow) -> Iterator[str]:
    """List the faults in the texts of a notification."""
    text, english = text_of(row), text_of(row, "en")
    for sms in (text.sms, text.sms_one_way, english.sms, english.sms_one_way):
        if count_septets(sms) > SMS_MAX_SEPTETS or len(encode_text(sms).segments) > 2:
            yield f"an SMS of {count_septets(sms)} septets"
    texts = {
        "sms": text.sms,
        "voice": text.voice,
        "push": f"{text.push_title} {text.push}",
        "subject": text.subject,
        "body": text.plain(),
    }
    yield from (
        f"{name}: {fault_match[0]}"
        for name, one in texts.items()
        if (fault_match := CODES.search(one))
    )
    yield from (
        f"{name} (en): {fault_match[0]}"
        for name, one in (("sms", english.sms), ("voice", english.voice))
        if (fault_match := CODES.search(one))
    )
    if fault_match := SPOKEN.search(text.voice):
        yield f"the voice says {fault_match[0]}"
    if len(text.voice) > VOICE_MAX_CHARACTERS or len(text.subject) > SUBJECT_MAX_CHARACTERS:
        yield "a voice or a subject that is too long"
    for name, one in texts.items():
        if name != "subject" and not ASKED.search(one.lower()):
            yield f"{name}: nothing is asked"
        if name != "subject" and row.template not in OPEN_ENDED and not UNTIL.search(one.lower()):
            yield f"{name}: not until when"
    if row.template == "plan_proposed" and not row.bundle:
        yield from (
            f"{name}: not why"
            for name, one in texts.items()
            if name != "subject" and "Pourquoi" not in one
        )
    if row.template not in PLACELESS:
        yield from _untold(row, texts)


def _untold(row: NotificationRow, shown: dict[str, str]) -> Iterator[str]:
    kind = load_phrases("fr").term("kinds", row.values.get("kind"))
    for name in ("sms", "voice", "push", "body"):
        plain_text = simplify_text(shown[name].replace("\u00a0", " "))
        if kind is not None and simplify_text(kind).lower() not in plain_text.lower():
            yield f"{name}: not what ({kind})"
        if kind is not None and not SINCE.search(plain_text):
            yield f"{name}: not since when"
        if not any(place in plain_text for place in _places()) and not re.search(
            r"\d+ communes", plain_text
        ):
            yield f"{name}: not where"


@cache
def _places() -> frozenset[str]:
    place_names = names()
    sites = {name for name, _ in place_names.sites.values()}
    poles = {name for name, _ in place_names.poles.values()}
    voiced = {
        re.sub(r"\s+", " ", re.sub(r"\s*\(", ", ", one).replace(")", "")).strip() for one in sites
    }
    return frozenset(
        simplify_text(one)
        for one in sites
        | voiced
        | poles
        | set(place_names.communes.values())
        | {place_names.territory}
    )
