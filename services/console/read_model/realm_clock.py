"""Compute the clock of a simulated realm between two steps, as people read it.

A realm moves in steps. Between them its clock runs on from the last step at the speed of the realm,
up to the time that it was asked to reach. The projection keeps where it started, so the clock is a
function of that and of the server's time: the same for everybody, after every reload. It never goes
back: the value shown at a change is its floor.
"""

from collections.abc import Mapping
from typing import Any, Final

from schemas.base import Instant
from schemas.runtime import StepTo
from schemas.topics import is_live
from services.runtime.log.transaction import Transaction
from services.runtime.simulation.conductor import compute_tick_ms

AHEAD_TICKS: Final = 2
"""Ticks beyond the last step up to which the clock runs; further means the conductor is away."""
STANDING_MS: Final = 5_000
"""Real time without progress after which a realm counts as standing.

A player asks for the next step at once.
"""
_PACE: Final = frozenset({"RealmOpened", "PaceChanged"})


def show_clock(fields: Mapping[str, Any], clock: Instant | None, real: Instant) -> Instant:
    """Return the time that people read in a realm at a real time.

    `fields` are those that the projection keeps of the realm; `clock` is the logical time of its
    newest fact.
    """
    began_at: Instant = fields["began_at"]
    reached_at: Instant = max(clock or began_at, began_at, fields.get("clock_floor", began_at))
    limit = find_limit(fields)
    if limit is None:
        return reached_at
    ahead = (real - fields["clock_real"]) * fields["speed"]
    return max(reached_at, min(int(fields["clock_from"] + max(ahead, 0)), limit))


def find_limit(fields: Mapping[str, Any]) -> Instant | None:
    """Return when the clock stops until the next step; None if it stands already."""
    target, from_ = fields.get("stepping_to"), fields.get("clock_from")
    if target is None or from_ is None or not fields.get("speed"):
        return None
    if fields.get("paused") or fields["state"] != "open" or target <= from_:
        return None
    return int(min(target, from_ + AHEAD_TICKS * compute_tick_ms(fields["speed"])))


def is_standing(fields: Mapping[str, Any], clock: Instant | None, real: Instant) -> bool:
    """Return whether an open simulated realm reached its target, or nobody has asked for a step."""
    if fields["state"] != "open" or fields.get("paused"):
        return False
    target = fields.get("stepping_to")
    has_arrived = target is None or max(clock or 0, fields.get("clock_from", 0)) >= target
    since: Instant = fields.get("clock_real", fields["opened_at"])
    return has_arrived and real - since > STANDING_MS


def anchor_clock(fields: Mapping[str, Any], tx: Transaction) -> dict[str, Instant]:
    """Return the fields that the clock continues from after a record of the log of alerts.

    `fields` are those before the record. Empty if the record does not concern the clock, or if the
    clock runs on.
    """
    if is_live(tx.realm) or tx.service != "alerts" or "began_at" not in fields:
        return {}
    names = {fact.name for fact in tx.facts}
    runs_on = "StepAccepted" in names and find_limit(fields) is not None
    if runs_on or not (names & (_PACE | {"StepAccepted"}) or tx.src.type == StepTo.wire_type()):
        return {}
    real = tx.src.appended_at
    floor = show_clock(fields, None, real)
    return {"clock_from": tx.at, "clock_real": real, "clock_floor": max(floor, tx.at)}
