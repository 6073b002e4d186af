"""Validity of a message: providers drop older ones, so that no phone rings for yesterday."""

from __future__ import annotations

from schemas.base import HOUR_MS, MINUTE_MS
from schemas.delivery import NotificationRow


def compute_validity_min(row: NotificationRow) -> int:
    """Return the minutes of validity from the plan.

    A call is valid until an hour after its time to answer, information for a day.
    """
    until = row.ack_by + HOUR_MS if row.ack_by is not None else row.planned_at + 24 * HOUR_MS
    return max(5, (until - row.planned_at) // MINUTE_MS)
