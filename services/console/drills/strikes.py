"""Choose the moment of a drill with cards that count from the day of a strike. Rules D50 and D95.

Such a card is due on a day before the strike, or on its morning. The drill ends when it is due, and
the notice names the day that makes it so.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from schemas import reference as ref
from schemas.plans import Card, CardOrigin
from services.console.drills.stimuli import DAY_MIN, STRIKE_STARTS_MIN
from services.console.drills.weakness import PlanWeakness

OFFICE_MIN: Final = (7 * 60, 18 * 60)
"""Minutes of a day between which a due time is preferred."""


@dataclass(frozen=True, slots=True)
class StrikeMoment:
    """Time when cards of a strike are due."""

    days_before: int
    """Days from the drill to the strike."""
    due_min: int
    """Minutes from midnight of the day of the drill."""


def find_moment(card: Card) -> StrikeMoment:
    """Return when a card is due: it counts from the start of the strike day."""
    days, minute = divmod(STRIKE_STARTS_MIN + card.t_min, DAY_MIN)
    return StrikeMoment(-days, minute)


def choose_strike_cards(
    plan: ref.Plan, weakness: PlanWeakness, random: Random
) -> tuple[list[Card], StrikeMoment | None]:
    """Choose cards never exercised that are due at one moment, in office hours if possible."""
    by_moment: dict[StrikeMoment, list[Card]] = {}
    for card in plan.cards:
        is_open = card.id in weakness.cards and not card.depends_on
        if is_open and card.origin is CardOrigin.STRIKE_DAY:
            by_moment.setdefault(find_moment(card), []).append(card)
    in_office = [one for one in by_moment if OFFICE_MIN[0] <= one.due_min <= OFFICE_MIN[1]]
    moments = sorted(in_office or by_moment, key=lambda one: (one.days_before, one.due_min))
    if not moments:
        return [], None
    moment = random.choice(moments)
    return by_moment[moment], moment
