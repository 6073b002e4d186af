"""Compute the meals that a place with a kitchen still serves.

One rule for levels and for the activity. Rules D13 and D40.
"""

from __future__ import annotations

from schemas.words import EventType

MEALS_FAIL_BELOW: float = 50.0
"""Share of meals, in per cent, below which a college is without meals (`catering_down`)."""


def compute_meals_lost(
    type: EventType, failed_pct: float | None, suppliers: tuple[str, ...], kitchen: str | None
) -> float:
    """Return the loss of meals, in per cent, that a cause adds to the loss of its site.

    A water outage stops a kitchen. A failed supplier takes `failed_pct` of the meals, all without
    that number, from those it serves: its own kitchen, or, if the report names no supplier, the
    site of the report.
    """
    if not kitchen:
        return 0.0
    if type is EventType.OUTAGE_WATER:
        return 100.0
    if type is not EventType.SUPPLIER_FAILURE or (suppliers and kitchen not in suppliers):
        return 0.0
    return 100.0 if failed_pct is None else failed_pct


def compute_meals_served(value: bool | float | str) -> float:
    """Convert the state of a kitchen or supplier to the share that it still serves, in per cent.

    States are down, up, degraded, or a share.
    """
    match value:
        case bool():
            return 100.0
        case str() as word:
            return 0.0 if word == "down" else 100.0
        case share:
            return min(max(float(share), 0.0), 100.0)


def compute_meals_left(losses: tuple[float, ...]) -> float:
    """Return the share of meals left after the largest loss, in per cent.

    Losses are not added. Rule D14.
    """
    return 100.0 - max(losses, default=0.0)
