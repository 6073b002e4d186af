"""Format times and durations for readers: Europe/Paris, 24 h, tabular. Rule D60.

The browser repeats `format_countdown` (clock.js).
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from babel.dates import format_datetime

from services.console.i18n import get_translator
from services.console.resource_base import to_datetime

PARIS = ZoneInfo("Europe/Paris")
NEAR = timedelta(days=180)
"""Range within which day and month are unambiguous."""


def to_paris(at: datetime) -> datetime:
    """Convert to the time in Paris."""
    return at.astimezone(PARIS)


def hm(at: datetime | None) -> str:
    """Format as `10:16`."""
    return "" if at is None else to_paris(at).strftime("%H:%M")


def label_tick(at: datetime) -> str:
    """Format a mark of a time axis as `10:00`; midnight is the day that begins, `15/01`."""
    return to_paris(at).strftime("%d/%m") if hm(at) == "00:00" else hm(at)


def hms(at: datetime) -> str:
    """Format as `10:16:24`."""
    return to_paris(at).strftime("%H:%M:%S")


def hm_day(at: datetime | None, now: datetime, lang: str) -> str:
    """Format as `10:16` today, `sam. 13/02` on another day, `13/02/2029` far away."""
    if at is None:
        return ""
    return hm(at) if to_paris(at).date() == to_paris(now).date() else day_near(at, now, lang)


def hm_short(at: datetime | None, now: datetime) -> str:
    """Format as `10:16` today, `13/02` on another day: five characters."""
    if at is None:
        return ""
    return hm(at) if to_paris(at).date() == to_paris(now).date() else to_paris(at).strftime("%d/%m")


def hm_dated(at: datetime | None, now: datetime, lang: str) -> str:
    """Format as `10:16` today, `sam. 13/02 10:16` on another day."""
    if at is None:
        return ""
    return (
        hm(at)
        if to_paris(at).date() == to_paris(now).date()
        else f"{day_near(at, now, lang)} {hm(at)}"
    )


def day_near(at: datetime, now: datetime, lang: str) -> str:
    """Format as `sam. 13/02`; with the year if the day alone would be ambiguous."""
    return day(at, lang) if abs(at - now) < NEAR else to_paris(at).strftime("%d/%m/%Y")


def format_minute(at: datetime) -> str:
    """Format as `2027-02-11T10:16` in Paris; seconds only if there are any.

    `<input type=datetime-local>` and `?as_of=` use this form.
    """
    return to_paris(at).strftime("%Y-%m-%dT%H:%M:%S").removesuffix(":00")


def day(at: datetime, lang: str) -> str:
    """Format as `jeu. 11/02`."""
    return format_datetime(to_paris(at), "EEE dd/MM", locale=lang)


def day_long(at: datetime, lang: str) -> str:
    """Format as `jeudi 11 février 2027`; the first of a month is `1er` in French."""
    is_first = lang == "fr" and to_paris(at).day == 1
    pattern = "EEEE d'er' MMMM y" if is_first else "EEEE d MMMM y"
    return format_datetime(to_paris(at), pattern, locale=lang)


def to_ms(at: datetime) -> int:
    """Convert to milliseconds since the epoch, the unit of the browser's clock."""
    return round(at.timestamp() * 1000)


def of(at: int) -> datetime:
    """Convert an instant of the contract to an aware datetime."""
    return to_datetime(at)


def format_duration(span: timedelta, lang: str) -> str:
    """Format as `35 min`, `2 h 05`, `3 j`."""
    _ = get_translator(lang)
    total = max(0, int(span.total_seconds() // 60))
    if total < 60:
        return _("{n} min", n=total)
    if total < 48 * 60:
        return _("{h} h {m:02d}", h=total // 60, m=total % 60)
    return _("{n} j", n=total // (24 * 60))


def format_countdown(until: datetime, now: datetime, lang: str) -> str:
    """Format as `05:36` under one hour, then `2 h 05`, then days; `00:00` when it is over."""
    remaining_seconds = max(0, int((until - now).total_seconds()))
    if remaining_seconds < 3600:
        return f"{remaining_seconds // 60:02d}:{remaining_seconds % 60:02d}"
    return format_duration(timedelta(seconds=remaining_seconds), lang)


def format_exercise_time(started_at: datetime, now: datetime, lang: str) -> str:
    """Format as `T+36`, as an exercise counts it."""
    duration = format_duration(now - started_at, lang)
    return f"T+{duration.removesuffix(' min').replace(chr(0xA0) + 'min', '')}"
