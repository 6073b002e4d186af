"""Capacity of a pôle against its minimum (MBCO).

It is the capacity of the pôle's activities, weighted by their staff. Rule D40.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from schemas import continuity as c
from schemas import reference as ref
from services.console.read_model.reference_index import IndexedReference


class PoleCapacity(NamedTuple):
    """Current and minimum capacity of a pôle."""

    now_pct: float
    minimum_pct: float
    below: int
    """Number of activities below their own minimum, which the sum may hide."""


NO_ACTIVITIES = PoleCapacity(100.0, 0.0, 0)
"""Capacity of a pôle without activities."""


def compute_pole_capacities(
    reference: IndexedReference, rows: Mapping[str, c.ActivityRow]
) -> dict[str, PoleCapacity]:
    """Return pôle → its capacity; an activity without a row has full capacity."""
    of: dict[str, list[ref.Activity]] = {}
    for one in reference.activities.values():
        of.setdefault(one.pole, []).append(one)
    return {
        pole: _compute_capacity(
            (one, rows[one.id].capacity_pct if one.id in rows else 100.0) for one in mine
        )
        for pole, mine in of.items()
    }


def _compute_capacity(activities: Iterable[tuple[ref.Activity, float]]) -> PoleCapacity:
    """Compute the weighted capacity; an activity without staff counts as one agent. Rule D40."""
    weights, remaining_capacity, needed_capacity, below = 0, 0.0, 0.0, 0
    for one, now_pct in activities:
        weight = max(one.staff, 1)
        weights += weight
        remaining_capacity += weight * now_pct
        needed_capacity += weight * one.mbco_pct
        below += now_pct < one.mbco_pct
    return PoleCapacity(
        round(remaining_capacity / weights, 2), round(needed_capacity / weights, 2), below
    )
