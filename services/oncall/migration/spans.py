"""Convert starts, turns and hours of other products to those of a rotation, in local time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError

from schemas.oncall import Rotation
from services.oncall.migration.mapping import RoleAssignment

PARIS: Final = ZoneInfo("Europe/Paris")
DAY_S: Final = 86_400


class NotMigrated(ValueError):
    """Signal an object without a counterpart; the message is the reason, in French."""


@dataclass(frozen=True, slots=True)
class Turns:
    """Turns of people in local time; `hours` are local minutes of each day."""

    persons: tuple[str, ...]
    every_days: int
    start: datetime
    until: date | None = None
    hours: tuple[int, int] | None = None


def find_zone(name: str | None) -> ZoneInfo:
    """Return a zone by its name; without a name, Paris. Raises NotMigrated."""
    try:
        return ZoneInfo(name) if name else PARIS
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise NotMigrated(f"fuseau horaire inconnu : {name}") from error


def parse_start(text: Any, zone: ZoneInfo) -> datetime:
    """Parse a time; one without offset is in `zone`. Return it in Paris. Raises NotMigrated."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise NotMigrated(f"date illisible : {text}") from error
    return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(PARIS)


def shift_minute(minute: int, zone: ZoneInfo, at: datetime) -> int:
    """Return the minute of the day in Paris for a minute of the day in `zone`."""
    local = at.astimezone(zone)
    offset = (local.utcoffset() or timedelta()) - (at.astimezone(PARIS).utcoffset() or timedelta())
    return int(minute - offset.total_seconds() // 60) % 1440


def keeps_paris_time(zone: ZoneInfo, at: datetime) -> bool:
    """Return whether clocks of the zone show the time of Paris all year round."""
    days = (at + timedelta(days=30 * n) for n in range(12))
    return all(d.astimezone(zone).utcoffset() == d.astimezone(PARIS).utcoffset() for d in days)


def build_rotation(post: RoleAssignment, turns: Turns) -> Rotation:
    """Build the rotation of a post. Raises NotMigrated."""
    if not turns.persons:
        raise NotMigrated("aucune personne")
    try:
        return Rotation(
            role=post.role,
            scope=post.scope,
            persons=turns.persons,
            every_days=turns.every_days,
            hand_off_min=turns.start.hour * 60 + turns.start.minute,
            since=turns.start.date(),
            until=turns.until,
            hours=turns.hours,
        )
    except ValidationError as error:
        fields = ", ".join(str(e["loc"][0]) for e in error.errors())
        raise NotMigrated(f"hors des limites d’une rotation : {fields}") from error
