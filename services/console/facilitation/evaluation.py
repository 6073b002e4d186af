"""Judge stimuli and the participation of roles from the rows of an exercise. Rule D94. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from schemas import alerts as a
from schemas import continuity as c
from schemas.base import MINUTE_MS, Instant
from schemas.crisis.stimuli import StimulusRow
from schemas.delivery import NotificationRow
from schemas.words import CardState
from services.console.drills.progress import measure_first_actions
from services.console.facilitation.resources import Stimulus, StimulusState
from services.runtime.identity.permissions import Permission, Role
from services.runtime.identity.principals import Principal

REPEAT_SIGN = "~"
"""Sign between a stimulus and the number of its repetition in the alias of a report."""


@dataclass(frozen=True, slots=True)
class PlayedStimulus:
    """Times when a stimulus was played, and when somebody took charge after it."""

    at: tuple[Instant, ...] = ()
    reacted_at: Instant | None = None

    @property
    def reacted_min(self) -> float | None:
        if self.reacted_at is None or not self.at:
            return None
        return round((self.reacted_at - self.at[0]) / MINUTE_MS, 1)


NOT_PLAYED = PlayedStimulus()


def find_played(
    reports: Iterable[a.ReportRow],
    messages: Iterable[NotificationRow],
    stimuli: Mapping[str, StimulusRow],
) -> dict[str, PlayedStimulus]:
    """Return stimulus → its plays, by the aliases of reports."""
    plays: dict[str, list[a.ReportRow]] = {}
    for report in reports:
        id = (report.alias or "").partition(REPEAT_SIGN)[0]
        if id in stimuli:
            plays.setdefault(id, []).append(report)
    answers: dict[str, list[Instant]] = {}
    for message in messages:
        if message.incident is not None and message.acknowledged_at is not None:
            answers.setdefault(message.incident, []).append(message.acknowledged_at)
    return {id: _sum_up(stimulus_plays, answers) for id, stimulus_plays in plays.items()}


def _sum_up(
    reports: Sequence[a.ReportRow], answers: Mapping[str, Sequence[Instant]]
) -> PlayedStimulus:
    times = sorted(report.recorded_at for report in reports)
    incidents = {report.incident for report in reports if report.incident is not None}
    later = [at for id in incidents for at in answers.get(id, ()) if at >= times[0]]
    return PlayedStimulus(tuple(times), min(later, default=None))


def judge_state(row: StimulusRow, play: PlayedStimulus, now: Instant) -> StimulusState:
    """Return the state of a stimulus at a time."""
    if play.at:
        return StimulusState.PLAYED
    if row.skipped:
        return StimulusState.SKIPPED
    return StimulusState.DUE if row.at <= now else StimulusState.PLANNED


def average_marks(row: StimulusRow) -> float | None:
    """Return the mean mark of a stimulus; None without a mark."""
    marks = [note.mark for note in row.notes if note.mark is not None]
    return round(sum(marks) / len(marks), 1) if marks else None


@dataclass(frozen=True, slots=True)
class Participation:
    """Deeds of one role."""

    role: str
    called: int
    answered: int
    decided: int
    cards: int
    first_action_min: float | None

    @property
    def credit(self) -> bool:
        return bool(self.answered or self.decided or self.cards)


def list_participation(
    plans: Sequence[c.PlanRow],
    site_cards: Sequence[c.SiteCardRow],
    messages: Sequence[NotificationRow],
) -> list[Participation]:
    """Return the deeds of each role that was asked for something, by role."""
    calls_by_role: dict[str, int] = {}
    answers_by_role: dict[str, int] = {}
    decisions_by_role: dict[str, int] = {}
    cards: dict[str, int] = {}
    for message in messages:
        if message.answer_expected:
            _count(calls_by_role, message.role)
            _count(answers_by_role, message.role, message.acknowledged_at is not None)
    for plan in plans:
        _count(decisions_by_role, plan.decides, plan.decided_at is not None)
        for card in plan.cards:
            _count(cards, card.role, card.state is CardState.DONE and card.sites is None)
    for row in site_cards:
        _count(cards, row.role, row.state is CardState.DONE)
    first = measure_first_actions(plans, site_cards, messages)
    roles = sorted({*calls_by_role, *answers_by_role, *decisions_by_role, *cards})
    return [
        Participation(
            role,
            calls_by_role.get(role, 0),
            answers_by_role.get(role, 0),
            decisions_by_role.get(role, 0),
            cards.get(role, 0),
            first.get(role),
        )
        for role in roles
    ]


def _count(numbers: dict[str, int], role: str, counts: bool = True) -> None:
    numbers[role] = numbers.get(role, 0) + counts


def hide_script(stimuli: Sequence[Stimulus], principal: Principal) -> list[Stimulus]:
    """Return the stimuli that a reader may see: organisers all, others those played.

    Players do not see the reaction that is expected of them.
    """
    if principal.may(Permission.REALM_RUN):
        return list(stimuli)
    hidden_fields: dict[str, None] = {"body": None}
    if principal.role is not Role.OBSERVER:
        hidden_fields["expected"] = None
    played_stimuli = [one for one in stimuli if one.state is StimulusState.PLAYED]
    return [one.model_copy(update=hidden_fields) for one in played_stimuli]
