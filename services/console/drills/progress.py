"""Measure the time to the first useful action of each role in an exercise. Rule D95. Pure.

The clock of a role starts with its first message that expects an answer, with the proposal of a
plan that it decides, or with the start of a plan where it has a card. A useful action is an
answer, a decision on a plan, or a card done.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas import continuity as c
from schemas.base import MINUTE_MS, Instant
from schemas.delivery import NotificationRow
from schemas.words import CardState

LEAST_RUNS: Final = 2
"""Fewest exercises of a role for a trend."""


@dataclass(frozen=True, slots=True)
class ExerciseRun:
    """First actions of the roles in one closed exercise."""

    realm: str
    title: str
    opened_at: datetime
    minutes: Mapping[str, float]
    """Role → minutes to its first useful action; a role that did nothing is missing."""


@dataclass(frozen=True, slots=True)
class RoleProgress:
    """Times of one role over exercises, the oldest first."""

    role: str
    runs: tuple[ExerciseRun, ...]

    @property
    def minutes(self) -> tuple[float, ...]:
        return tuple(run.minutes[self.role] for run in self.runs)

    @property
    def trend(self) -> float | None:
        """Minutes of the newest exercise less those of the first; None with one exercise."""
        times = self.minutes
        return round(times[-1] - times[0], 1) if len(times) >= LEAST_RUNS else None


class _Clocks:
    """First start and first action of each role."""

    def __init__(self) -> None:
        self.starts: dict[str, Instant] = {}
        self.actions: dict[str, list[Instant]] = {}

    def start(self, role: str, at: Instant | None) -> None:
        if at is not None:
            self.starts[role] = min(at, self.starts.get(role, at))

    def act(self, role: str, at: Instant | None) -> None:
        if at is not None:
            self.actions.setdefault(role, []).append(at)

    def measure(self) -> dict[str, float]:
        """Return role → minutes from its start to its first action after it."""
        minutes_by_role = {}
        for role, start in sorted(self.starts.items()):
            later = [at for at in self.actions.get(role, ()) if at >= start]
            if later:
                minutes_by_role[role] = round((min(later) - start) / MINUTE_MS, 1)
        return minutes_by_role


def measure_first_actions(
    plans: Iterable[c.PlanRow],
    site_cards: Iterable[c.SiteCardRow],
    messages: Iterable[NotificationRow],
) -> dict[str, float]:
    """Return role → minutes to its first useful action."""
    clocks = _Clocks()
    for message in messages:
        if message.answer_expected:
            clocks.start(message.role, message.planned_at)
            clocks.act(message.role, message.acknowledged_at)
    for plan in plans:
        clocks.start(plan.decides, plan.proposed_at)
        clocks.act(plan.decides, plan.decided_at)
        for card in plan.cards:
            clocks.start(card.role, plan.decided_at)
            if card.state is CardState.DONE and card.sites is None:
                clocks.act(card.role, card.at)
    for row in site_cards:
        clocks.start(row.role, row.opened_at)
        if row.state is CardState.DONE:
            clocks.act(row.role, row.at)
    return clocks.measure()


def follow_roles(runs: Iterable[ExerciseRun]) -> list[RoleProgress]:
    """Return the times of each role over exercises, by role."""
    ordered_runs = sorted(runs, key=lambda run: (run.opened_at, run.realm))
    roles = sorted({role for run in ordered_runs for role in run.minutes})
    return [
        RoleProgress(role, tuple(run for run in ordered_runs if role in run.minutes))
        for role in roles
    ]
