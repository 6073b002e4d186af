"""A message in the shape of an SMS."""

from __future__ import annotations

from services.messages import Text


def wording(text: Text, *, answerable: bool) -> str:
    """Return the SMS; how to answer by SMS is said only where an answer can arrive."""
    return text.sms if answerable else text.sms_one_way
