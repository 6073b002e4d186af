"""Local days of the territory (Europe/Paris): a day report ends with its day. Rule D10."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from schemas.base import Instant

PARIS: Final = ZoneInfo("Europe/Paris")


def _to_local(at: Instant) -> datetime:
    return datetime.fromtimestamp(at / 1000, PARIS)


def format_day(at: Instant) -> str:
    """Return the local date in ISO format."""
    return _to_local(at).date().isoformat()


def find_end_of_day(at: Instant) -> Instant:
    """Return 24:00 of the local day, also when the day has 23 or 25 hours."""
    tomorrow = _to_local(at).date() + timedelta(days=1)
    return int(
        datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=PARIS).timestamp() * 1000
    )


def parse_instant(text: str) -> Instant | None:
    """Parse an ISO 8601 time, local without an offset; return None for other text."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=PARIS)).timestamp() * 1000)
