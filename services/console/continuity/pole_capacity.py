"""Capacity of a pôle against its minimum (MBCO): the capacities of its activities (D40), each weighted by its staff."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from schemas import continuity as c
from schemas import reference as ref
from services.console.read_model.reference_index import Reference


class Capacity(NamedTuple):
    """What is left of the work of a pôle, and what must be left of it."""

    now_pct: float
    minimum_pct: float
    below: int
    """Activities that have less than their own minimum; the sum may hide them."""


NOTHING_TO_DO = Capacity(100.0, 0.0, 0)
"""A pôle without activities."""


def pole_capacities(reference: Reference, rows: Mapping[str, c.ActivityRow]) -> dict[str, Capacity]:
    """Pôle → its capacity; without a row an activity has all of its own."""
    of: dict[str, list[ref.Activity]] = {}
    for one in reference.activities.values():
        of.setdefault(one.pole, []).append(one)
    return {
        pole: _capacity(
            (one, rows[one.id].capacity_pct if one.id in rows else 100.0) for one in mine
        )
        for pole, mine in of.items()
    }


def _capacity(activities: Iterable[tuple[ref.Activity, float]]) -> Capacity:
    """An activity without staff counts as one agent, as a site does (D40)."""
    weights, left, needed, below = 0, 0.0, 0.0, 0
    for one, now_pct in activities:
        weight = max(one.staff, 1)
        weights += weight
        left += weight * now_pct
        needed += weight * one.mbco_pct
        below += now_pct < one.mbco_pct
    return Capacity(round(left / weights, 2), round(needed / weights, 2), below)
