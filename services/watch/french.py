"""Write days and hours in French, Paris time. Pure."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final

from services.watch.parsing import PARIS

COLOURS: Final = ("vert", "jaune", "orange", "rouge")


def get_paris_day(time: datetime) -> date:
    return time.astimezone(PARIS).date()


def write_day(day: date) -> str:
    """Write a day as 12/01."""
    return f"{day:%d/%m}"


def write_hour(time: datetime) -> str:
    """Write an hour as `5 h` or `5 h 30`."""
    local = time.astimezone(PARIS)
    return f"{local.hour} h {local.minute:02}" if local.minute else f"{local.hour} h"


def write_end_hour(time: datetime) -> str:
    """Write the hour when a period ends: midnight is that of the day before."""
    local = time.astimezone(PARIS)
    return "minuit" if local.hour == local.minute == 0 else write_hour(time)


def write_day_and_hour(time: datetime) -> str:
    return f"{write_day(get_paris_day(time))} {write_hour(time)}"


def write_moment(time: datetime) -> str:
    """Write a moment as 12/01 à 9 h."""
    return f"{write_day(get_paris_day(time))} à {write_hour(time)}"


def get_last_day(end: datetime) -> date:
    """Return the Paris day when a period ends; midnight belongs to the day before."""
    return get_paris_day(end - timedelta(seconds=1))


def write_metres(value: float) -> str:
    return f"{value:.2f}".replace(".", ",") + " m"


def lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
