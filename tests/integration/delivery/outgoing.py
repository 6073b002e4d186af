"""A message for channel tests."""

from __future__ import annotations

from copy import copy
from typing import Any

from schemas.delivery import NotificationRow
from schemas.words import Channel, Level, NotificationState
from services.delivery.channels.base import Outgoing
from services.messages import MessageNames, MessageText, compose_message, load_phrases
from services.runtime.http.sms_text import simplify_text

NOTIFICATION = "8f0f6a8e-0000-5000-8000-000000000001"
LINK = "https://vigie.example/a/token"
RETURNS = "https://vigie.example/r/token"


def outgoing(address: str, lang: str = "fr", **changes: Any) -> Outgoing:
    """Return a call to `address` that expects an answer."""
    row = NotificationRow(
        id=NOTIFICATION,
        incident="i1",
        level=Level.N3,
        role="directeur_pole",
        scope="SOL",
        person="dir-sol",
        channels=(Channel.EMAIL,),
        state=NotificationState.ATTEMPTED,
        template="incident_wave",
        values={"number": "92-2027-0211-01"},
        planned_at=1_802_340_000_000,
        ack_by=1_802_340_600_000,
    )
    made: dict[str, Any] = {
        "realm": "92",
        "row": row,
        "attempt": "a1",
        "number": 1,
        "possible_duplicate": False,
        "address": address,
        "text": compose_message(row, MessageNames(), load_phrases(lang), LINK),
        "returns_url": RETURNS,
        **changes,
    }
    return Outgoing(**made)


def with_forms(text: MessageText, **forms: str) -> MessageText:
    """Return a copy of a text with other forms of some channels."""
    made = copy(text)
    vars(made).update(forms)
    return made


def of_subject(address: str, subject: str) -> Outgoing:
    """Return the same with another text."""
    text = outgoing(address).text
    sms = simplify_text(f"{subject} {text.sms}")
    return outgoing(
        address,
        text=with_forms(
            text,
            subject=subject,
            sms=sms,
            sms_one_way=simplify_text(f"{subject} {text.sms_one_way}"),
        ),
    )
