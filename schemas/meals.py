"""Meals that are left at a place with a kitchen (D13, D40): one rule for levels and for the activity."""

from __future__ import annotations

from schemas.words import EventType

MEALS_FAIL_BELOW: float = 50.0
"""A college whose meals are under it, in per cent, is without meals (`catering_down`)."""


def meals_lost_by_cause(
    type: EventType, failed_pct: float | None, suppliers: tuple[str, ...], kitchen: str | None
) -> float:
    """Return what a cause takes from the meals of its site beyond what it takes from the site, in per cent.

    A cut of water stops a kitchen. A supplier takes what it does not deliver (`failed_pct`, all of it when nobody says how much) from
    whoever it serves: its own kitchen, or everybody on whose site it was told of without a name.
    """
    if not kitchen:
        return 0.0
    if type is EventType.OUTAGE_WATER:
        return 100.0
    if type is not EventType.SUPPLIER_FAILURE or (suppliers and kitchen not in suppliers):
        return 0.0
    return 100.0 if failed_pct is None else failed_pct


def meals_served_by(value: bool | float | str) -> float:
    """Return what a kitchen or supplier still serves, in per cent, by what was declared of it: down, up, degraded, or a share."""
    match value:
        case bool():
            return 100.0
        case str() as word:
            return 0.0 if word == "down" else 100.0
        case share:
            return min(max(float(share), 0.0), 100.0)


def meals_left(losses: tuple[float, ...]) -> float:
    """Return the meals that are left of a place, in per cent: the largest of its losses, they are not added (D14)."""
    return 100.0 - max(losses, default=0.0)
