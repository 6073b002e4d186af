"""For how long a message is worth delivering: providers drop what is older, so that no phone rings for yesterday."""

from __future__ import annotations

from schemas.base import HOUR_MS, MINUTE_MS
from schemas.delivery import NotificationRow


def validity_min(row: NotificationRow) -> int:
    """Minutes from the plan: a call until an hour after the time to answer it, information for a day."""
    until = row.ack_by + HOUR_MS if row.ack_by is not None else row.planned_at + 24 * HOUR_MS
    return max(5, (until - row.planned_at) // MINUTE_MS)
