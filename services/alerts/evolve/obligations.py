"""Clocks of obligations."""

from __future__ import annotations

from collections.abc import Collection

from schemas.base import Instant
from schemas.crisis.obligations import ObligationRow, ObligationState
from services.alerts.deadlines import ObligationDue
from services.alerts.state import State


def evolve_obligation(s: State, row: ObligationRow) -> State:
    return s.put(
        obligations=s.obligations.set(row.id, row),
        agenda=s.agenda.arm(ObligationDue(row.id), row.next_at),
    )


def is_kept_clock(row: ObligationRow, before: Instant, incidents: Collection[str]) -> bool:
    """Return whether a clock is still needed.

    One that runs is never dropped. One that ended keeps a second one from its incident as long as
    the incident is known.
    """
    return (
        row.state is ObligationState.RUNNING
        or row.changed_at >= before
        or row.incident in incidents
    )
