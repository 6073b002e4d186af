"""Periods of reassignments in words: «à partir de lundi 8 h 30, jusqu’à nouvel ordre».

Rule D80, horizon.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from babel.dates import format_datetime

from services.console.i18n import Translator

PARIS: Final = ZoneInfo("Europe/Paris")
CLEAR_WEEKDAY_SPAN: Final = timedelta(days=6)
"""Span in which a weekday alone is clear."""


def describe_moment(at: datetime, now: datetime, lang: str) -> str:
    """Return `8 h 30` today, `lundi 8 h 30` within six days, else `lundi 15/11 8 h 30`."""
    there, here = at.astimezone(PARIS), now.astimezone(PARIS)
    hour = (
        f"{there.hour} h {there.minute:02}" if lang == "fr" else f"{there.hour}:{there.minute:02}"
    )
    if there.date() == here.date():
        return hour
    weekday = format_datetime(
        there, "EEEE" if abs(there - here) < CLEAR_WEEKDAY_SPAN else "EEEE dd/MM", locale=lang
    )
    return f"{weekday} {hour}"


def describe_order_period(
    starts_at: datetime | None, ends_at: datetime | None, dispatched_at: datetime, _: Translator
) -> str:
    """Describe the period of an order; empty for orders of earlier versions."""
    if starts_at is None:
        return ""
    begins = _("dès maintenant")
    if starts_at > dispatched_at:
        begins = _("à partir de {at}", at=describe_moment(starts_at, dispatched_at, _.lang))
    if ends_at is None:
        return _("{begins}, jusqu’à nouvel ordre", begins=begins)
    return _(
        "{begins}, jusqu’à {at}", begins=begins, at=describe_moment(ends_at, dispatched_at, _.lang)
    )
