"""Read times in the formats of monitoring programs.

They are RFC 3339 with any number of digits, `+0000`, `+00:00Z`, and epoch seconds or milliseconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s*(?:(Z|z)|([+-])(\d\d):?(\d\d)(?:Z)?)?"
)
_EPOCH: Final = re.compile(r"[0-9]{10}(?:\.[0-9]{1,9})?|[0-9]{13}")
"""Seconds or milliseconds as written in form fields."""
_MIN_MILLISECONDS: Final = 100_000_000_000
"""Epoch numbers beyond this are milliseconds."""


def parse_time(value: Any) -> datetime | None:
    """Read an aware time, or return None if unreadable: a wrong clock must not lose the message.

    A time without an offset is UTC. The year 1 (Go's zero time) is no time.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and _EPOCH.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, int | float):
        try:
            return datetime.fromtimestamp(
                value / 1000 if abs(value) > _MIN_MILLISECONDS else value, UTC
            )
        except (ValueError, OverflowError, OSError):
            return None
    if not isinstance(value, str) or (time_match := _RFC3339.fullmatch(value.strip())) is None:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, hours, minutes = time_match.groups()
    try:
        at = datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            int(second or 0),
            int((fraction or "0").ljust(6, "0")[:6]),
            tzinfo=UTC,
        )
        if sign:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            at = at - offset if sign == "+" else at + offset
    except (ValueError, OverflowError):
        return None
    return at if at.year > 1 else None
