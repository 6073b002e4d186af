"""Wording of an SMS."""

from __future__ import annotations

from services.messages import MessageText


def choose_sms_text(text: MessageText, *, answerable: bool) -> str:
    """Return the SMS; it explains the answer by SMS only if one can arrive."""
    return text.sms if answerable else text.sms_one_way
