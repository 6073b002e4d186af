"""Format times and durations for readers: Europe/Paris, 24 h, tabular. Rule D60.

The browser repeats `countdown` (clock.js).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from babel.dates import format_datetime

from services.console.i18n import translator
from services.console.resources.base import when

PARIS = ZoneInfo("Europe/Paris")
NEAR = timedelta(days=180)
"""Range within which day and month are unambiguous."""


def local(at: datetime) -> datetime:
    """Convert to the time in Paris."""
    return at.astimezone(PARIS)


def hm(at: datetime | None) -> str:
    """Format as `10:16`."""
    return "" if at is None else local(at).strftime("%H:%M")


def hms(at: datetime) -> str:
    """Format as `10:16:24`."""
    return local(at).strftime("%H:%M:%S")


def hm_day(at: datetime | None, now: datetime, lang: str) -> str:
    """Format as `10:16` today, `sam. 13/02` on another day, `13/02/2029` far away."""
    if at is None:
        return ""
    return hm(at) if local(at).date() == local(now).date() else day_near(at, now, lang)


def hm_short(at: datetime | None, now: datetime) -> str:
    """Format as `10:16` today, `13/02` on another day: five characters."""
    if at is None:
        return ""
    return hm(at) if local(at).date() == local(now).date() else local(at).strftime("%d/%m")


def hm_dated(at: datetime | None, now: datetime, lang: str) -> str:
    """Format as `10:16` today, `sam. 13/02 10:16` on another day."""
    if at is None:
        return ""
    return (
        hm(at) if local(at).date() == local(now).date() else f"{day_near(at, now, lang)} {hm(at)}"
    )


def day_near(at: datetime, now: datetime, lang: str) -> str:
    """Format as `sam. 13/02`; with the year if the day alone would be ambiguous."""
    return day(at, lang) if abs(at - now) < NEAR else local(at).strftime("%d/%m/%Y")


def minute_value(at: datetime) -> str:
    """Format as `2027-02-11T10:16` in Paris; seconds only if there are any.

    `<input type=datetime-local>` and `?as_of=` use this form.
    """
    return local(at).strftime("%Y-%m-%dT%H:%M:%S").removesuffix(":00")


def day(at: datetime, lang: str) -> str:
    """Format as `jeu. 11/02`."""
    return format_datetime(local(at), "EEE dd/MM", locale=lang)


def day_long(at: datetime, lang: str) -> str:
    """Format as `jeudi 11 février 2027`."""
    return format_datetime(local(at), "EEEE d MMMM y", locale=lang)


def ms(at: datetime) -> int:
    """Convert to milliseconds since the epoch, the unit of the browser's clock."""
    return round(at.timestamp() * 1000)


def of(at: int) -> datetime:
    """Convert an instant of the contract to an aware datetime."""
    return when(at)


def minutes(span: timedelta) -> int:
    """Return whole minutes, not below 0."""
    return max(0, int(span.total_seconds() // 60))


def lasted(span: timedelta, lang: str) -> str:
    """Format as `35 min`, `2 h 05`, `3 j`."""
    _ = translator(lang)
    total = minutes(span)
    if total < 60:
        return _("{n} min", n=total)
    if total < 48 * 60:
        return _("{h} h {m:02d}", h=total // 60, m=total % 60)
    return _("{n} j", n=total // (24 * 60))


def countdown(until: datetime, now: datetime, lang: str) -> str:
    """Format as `05:36` under one hour, then `2 h 05`, then days; `00:00` when it is over."""
    left = max(0, int((until - now).total_seconds()))
    if left < 3600:
        return f"{left // 60:02d}:{left % 60:02d}"
    return lasted(timedelta(seconds=left), lang)


def since_start(started: datetime, now: datetime, lang: str) -> str:
    """Format as `T+36`, as an exercise counts it."""
    return f"T+{lasted(now - started, lang).removesuffix(' min').replace(chr(0xA0) + 'min', '')}"
