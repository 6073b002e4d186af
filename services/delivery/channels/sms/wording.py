"""A message in the shape of an SMS."""

from __future__ import annotations

from services.delivery.messages import Text
from services.runtime.sms_text import plain


def wording(text: Text, *, answerable: bool) -> str:
    """Subject, facts, link; how to answer by SMS only where an answer can arrive. In GSM-7 letters where that costs accents only."""
    answers = () if text.link is None else (text.reply_says, text.link) if answerable else (text.link,)
    return plain("\n".join((*text.essence, *answers)))
