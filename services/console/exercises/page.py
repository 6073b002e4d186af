"""Page `/exercice`: clock of a simulated realm, next deadlines, and progress of the players.

Rules D33 and D50.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.console.continuity.clocks import RunningClock
from services.console.i18n import N_, Translator
from services.console.incidents.escalation_page import EscalationStep, EscalationView
from services.console.incidents.page import PlanCards, PlanLine
from services.console.resources import Incident, Task
from services.console.web import times

SPEEDS: Final = (1, 10, 60, 600)
"""Speeds with a button, in simulated seconds per real second; beyond them, time runs unlimited."""
JUMPS_MIN: Final = (5, 15, 60)
NEXT_SHOWN: Final = 10
SCORE_LABELS: Final = {
    "taken": N_("Incidents pris en charge"),
    "answered": N_("Réponses reçues sur celles attendues"),
    "decided": N_("Plans décidés sur ceux proposés"),
    "cards": N_("Fiches faites, ou non échues"),
    "tasks": N_("Vérifications faites"),
}


@dataclass(frozen=True, slots=True)
class ComingDeadline:
    """A deadline that will pass if nobody acts."""

    at: datetime
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class ScoreLine:
    """One line of the score: `done` of `of`."""

    label: str
    done: int
    of: int
    result_text: str

    @property
    def share(self) -> float:
        return 100.0 * self.done / self.of if self.of else 0.0


def list_coming_deadlines(
    ladder: EscalationView | None,
    clocks: Iterable[RunningClock],
    cards: Iterable[PlanCards],
    tasks: Iterable[Task],
    now: datetime,
    _: Translator,
) -> list[ComingDeadline]:
    """List the next known deadlines, soonest first.

    Events that the script still holds are left out, because players must not see them.
    """
    deadlines: list[ComingDeadline] = []
    if ladder is not None and ladder.next_at is not None and ladder.next is not None:
        answers = _.plural(
            "{n} réponse sur {of}", "{n} réponses sur {of}", ladder.positive, of=ladder.expected
        )
        deadlines.append(
            ComingDeadline(ladder.next_at, _describe_step(ladder.next, ladder.name, _), answers)
        )
    deadlines += [
        ComingDeadline(c.next_at, f"{c.activity} {c.name}", _(c.next_base))
        for c in clocks
        if c.next_at is not None
    ]
    deadlines += [
        ComingDeadline(card.due_at, card.task, card.role)
        for plan in cards
        for card in plan.cards
        if card.due_at is not None and card.state in ("to_do", "doing")
    ]
    deadlines += [
        ComingDeadline(t.due_at, t.title, _("tâche")) for t in tasks if t.due_at is not None
    ]
    return sorted((c for c in deadlines if c.at > now), key=lambda c: (c.at, c.what))[:NEXT_SHOWN]


def _describe_step(rung: EscalationStep, ladder: str, _: Translator) -> str:
    if rung.cycle > 1:
        return _(
            "cycle {cycle}, vague {wave} de l’échelle {name}",
            cycle=rung.cycle,
            wave=rung.wave,
            name=ladder,
        )
    return _("vague {wave} de l’échelle {name}", wave=rung.wave, name=ladder)


def compute_score(
    incidents: Sequence[Incident],
    ladder: EscalationView | None,
    plans: Sequence[PlanLine],
    cards: Iterable[PlanCards],
    tasks: Sequence[Task],
    now: datetime,
    _: Translator,
) -> list[ScoreLine]:
    """Score the players from the log alone; leave out lines without anything to do."""
    every = [card for plan in cards for card in plan.cards]
    late = [card.late for card in every if card.late]
    waiting = [p.waiting for p in plans if p.to_decide and p.waiting]
    open_times = [now - t.opened_at for t in tasks if t.done_at is None]
    lines = {
        "taken": (sum(bool(i.acknowledged_by) for i in incidents), len(incidents), ""),
        "answered": (min(ladder.positive, ladder.expected), ladder.expected, "")
        if ladder
        else (0, 0, ""),
        "decided": (
            sum(not p.to_decide for p in plans),
            len(plans),
            _describe_longest_wait(waiting, _),
        ),
        "cards": (
            sum(card.state in ("done", "not_applicable") or not card.late for card in every),
            len(every),
            _describe_longest_wait(late, _),
        ),
        "tasks": (
            sum(t.done_at is not None for t in tasks),
            len(tasks),
            _describe_longest_wait(open_times, _),
        ),
    }
    return [
        ScoreLine(_(SCORE_LABELS[key]), done_count, of, wait_text)
        for key, (done_count, of, wait_text) in lines.items()
        if of
    ]


def _describe_longest_wait(spans: Sequence[timedelta], _: Translator) -> str:
    return (
        _("la plus ancienne attend depuis {span}", span=times.format_duration(max(spans), _.lang))
        if spans
        else ""
    )
