"""Handovers of the crisis cell."""

from __future__ import annotations

from schemas.base import Instant
from schemas.crisis.handovers import OPEN_HANDOVER_STATES, HandoverRow
from services.alerts.state import State


def evolve_handover(s: State, row: HandoverRow) -> State:
    return s.put(handovers=s.handovers.set(row.id, row))


def is_kept_handover(s: State, row: HandoverRow, before: Instant) -> bool:
    """Return whether a handover is still needed: open ones, recent ones, and the last number."""
    newest = max(one.number for one in s.handovers.values())
    is_open = row.state in OPEN_HANDOVER_STATES
    return is_open or row.changed_at >= before or row.number == newest
