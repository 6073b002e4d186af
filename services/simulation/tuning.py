"""Look for escalations that call fewer people and answer as fast, by replays of recorded crises.

Pure. Each recording is replayed with the escalations in force and with one change of them, both
with the recorded answer times. Candidates are chosen on one half of the recordings and judged on
the other half. Rule D133.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from schemas.base import MINUTE_MS
from schemas.reference import DEPUTIES, Escalation, EscalationPolicy, SectionData, Wave
from services.runtime.log.transaction import FactRecord
from services.simulation.recording import Recording
from services.simulation.replay import replay_recording

DELAYS_MIN: Final = (-5, -2, 2, 5, 10)
"""Minutes by which a wave and those after it may move."""
EQUAL_MIN: Final = 0.5
"""Minutes by which answers may come later and still count as equally fast."""
RESAMPLES: Final = 2_000
TAILS: Final = (0.025, 0.975)
FINALISTS: Final = 5
"""Candidates of the first half that the second half judges."""
LEAST_RECORDINGS: Final = 4
"""Fewest recordings for a proposal: two to choose, two to judge."""
DEPUTY_PREFIX: Final = "suppleant_"
"""Begin of the name of a role that stands in for the role named after it."""


@dataclass(frozen=True, slots=True)
class LadderChange:
    """One change of one escalation, in words and as its steps."""

    ladder: str
    kind: str
    """`wait`, `order` or `parallel`."""
    text: str
    waves: tuple[Wave, ...]

    def apply(self, section: EscalationPolicy) -> EscalationPolicy:
        """Return the section with these steps."""
        ladders = {**section.policy.ladders, self.ladder: self.waves}
        policy = section.policy.model_copy(update={"ladders": ladders})
        return section.model_copy(update={"policy": policy})

    def write_patch(self) -> dict[str, Any]:
        """Return the change as a patch for `vigie whatif`."""
        waves = [wave.model_dump(mode="json") for wave in self.waves]
        return {"escalation": {"policy": {"ladders": {self.ladder: waves}}}}


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """Calls and answer times of one replay."""

    calls: int
    answers: Mapping[str, float | None]
    """Escalation → minutes until it had enough answers; None: never."""


@dataclass(frozen=True, slots=True)
class ConfidenceInterval:
    """Mean over crises with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ChangeEffect:
    """Effect of a change on some crises."""

    change: LadderChange
    crises: int
    calls: ConfidenceInterval
    """Calls per crisis, changed less present: negative saves calls."""
    minutes: ConfidenceInterval
    """Minutes to enough answers per escalation, changed less present."""
    unanswered: int
    """Escalations that had enough answers and have them no more."""

    @property
    def holds(self) -> bool:
        """Return whether it saves calls and answers as fast, by the whole interval."""
        return not self.unanswered and self.calls.high < 0 and self.minutes.high <= EQUAL_MIN


def list_changes(policy: Escalation, ladders: Iterable[str]) -> list[LadderChange]:
    """List the changes to try of these escalations: waits, order, parallel calls."""
    changes: list[LadderChange] = []
    for name in sorted(ladders):
        waves = policy.ladders.get(name, ())
        candidates = (
            *_list_waits(name, waves),
            *_list_orders(name, waves),
            *_list_parallels(name, waves),
        )
        changes += [
            change
            for change in candidates
            if change.waves != waves and _keeps_order(waves, change.waves, policy.never_skipped)
        ]
    return changes


def _keeps_order(
    before: Sequence[Wave], after: Sequence[Wave], unskippable_roles: Iterable[str]
) -> bool:
    """Check that no role that is never skipped goes to a later wave, and that deputies stay behind.

    `suppleants` are the deputies of the first wave: a role that leaves it would lose its own.
    """
    places_before, places = _map_places(before), _map_places(after)
    if any(places[role] > places_before[role] for role in unskippable_roles if role in places):
        return False
    if DEPUTIES in places and not set(before[0].who) <= set(after[0].who):
        return False
    pairs = [
        (role.removeprefix(DEPUTY_PREFIX), role)
        for role in places
        if role.startswith(DEPUTY_PREFIX)
    ]
    return not any(
        places_before[principal] < places_before[deputy] and places[principal] >= places[deputy]
        for principal, deputy in pairs
        if principal in places
    )


def _map_places(waves: Sequence[Wave]) -> dict[str, int]:
    """Map each role to the place of the first wave that calls it."""
    places: dict[str, int] = {}
    for place, wave in enumerate(waves):
        for role in wave.who:
            places.setdefault(role, place)
    return places


def _list_waits(name: str, waves: Sequence[Wave]) -> Iterator[LadderChange]:
    for place, wave in enumerate(waves):
        if place == 0:
            continue
        for delay in DELAYS_MIN:
            if wave.after_min + delay <= waves[place - 1].after_min:
                continue
            moved_waves = [
                one.model_copy(update={"after_min": one.after_min + delay}) for one in waves[place:]
            ]
            text = f"{name}, vague {wave.wave} : {wave.after_min + delay} min, pas {wave.after_min}"
            yield LadderChange(name, "wait", text, (*waves[:place], *moved_waves))


def _list_orders(name: str, waves: Sequence[Wave]) -> Iterator[LadderChange]:
    """Yield the exchanges of two waves in a row; deputies stay behind those they stand in for."""
    for place in range(len(waves) - 1):
        first, second = waves[place], waves[place + 1]
        if DEPUTIES in (*first.who, *second.who):
            continue
        new_order = list(waves)
        new_order[place], new_order[place + 1] = _renumber(second, first), _renumber(first, second)
        text = f"{name} : vague {second.wave} avant vague {first.wave}"
        yield LadderChange(name, "order", text, tuple(new_order))


def _renumber(wave: Wave, to: Wave) -> Wave:
    """Return a wave with the number and the time of another."""
    return wave.model_copy(update={"wave": to.wave, "after_min": to.after_min})


def _list_parallels(name: str, waves: Sequence[Wave]) -> Iterator[LadderChange]:
    """Yield the moves of one role to the next wave, and of a whole wave into the one before."""
    for place in range(len(waves) - 1):
        first, second = waves[place], waves[place + 1]
        for role in first.who:
            others = tuple(one for one in first.who if one != role)
            if role == DEPUTIES or len(others) < max(first.expected, 1):
                continue
            later = _call_roles(second, (*second.who, role), first.only_if)
            text = f"{name} : {role} en vague {second.wave}, pas {first.wave}"
            steps = (*waves[:place], _call_roles(first, others, {}), later, *waves[place + 2 :])
            yield LadderChange(name, "parallel", text, steps)
        if DEPUTIES not in second.who:
            together = _call_roles(first, (*first.who, *second.who), second.only_if)
            rest = [wave.model_copy(update={"wave": wave.wave - 1}) for wave in waves[place + 2 :]]
            text = f"{name} : vague {second.wave} en même temps que la vague {first.wave}"
            yield LadderChange(name, "parallel", text, (*waves[:place], together, *rest))


def _call_roles(wave: Wave, who: tuple[str, ...], also: Mapping[str, str]) -> Wave:
    roles = tuple(dict.fromkeys(who))
    conditions = {role: flag for role, flag in (wave.only_if | dict(also)).items() if role in roles}
    return wave.model_copy(update={"who": roles, "only_if": conditions})


def measure_calls(facts: Iterable[FactRecord]) -> CallOutcome:
    """Count the calls of escalations, and the minutes until each had enough answers."""
    calls: set[str] = set()
    numbers: dict[str, str] = {}
    starts: dict[str, tuple[str, int]] = {}
    answer_counts: dict[str, int] = {}
    for fact in facts:
        row = fact.data.get("row", {})
        match fact.name:
            case "IncidentChanged":
                numbers[row["id"]] = row["number"]
            case "NotificationChanged" if row["escalation"] is not None:
                calls.add(row["id"])
            case "EscalationChanged":
                scope = numbers.get(row["scope"], row["scope"])
                starts.setdefault(row["id"], (f"{row['ladder']} {scope}", row["started_at"]))
                if row["state"] == "answered":
                    answer_counts.setdefault(row["id"], fact.at)
            case _:
                pass
    answers: dict[str, float | None] = {}
    for id, (key, start) in starts.items():
        at = answer_counts.get(id)
        answers.setdefault(key, None if at is None else (at - start) / MINUTE_MS)
    return CallOutcome(len(calls), answers)


@dataclass(frozen=True, slots=True)
class CrisisDifference:
    """Difference that a change makes in one crisis."""

    calls: int
    minutes: float
    """Mean over the escalations with enough answers in both replays; 0 without any."""
    unanswered: int


def compare_outcomes(before: CallOutcome, after: CallOutcome) -> CrisisDifference:
    """Return the difference of two replays of one crisis."""
    delays, unanswered_count = [], 0
    for key, minutes_before in before.answers.items():
        minutes_after = after.answers.get(key)
        if minutes_before is None:
            continue
        if minutes_after is None:
            unanswered_count += 1
        else:
            delays.append(minutes_after - minutes_before)
    minutes = sum(delays) / len(delays) if delays else 0.0
    return CrisisDifference(after.calls - before.calls, minutes, unanswered_count)


def judge_change(
    change: LadderChange, differences: Sequence[CrisisDifference], seed: int
) -> ChangeEffect:
    """Judge a change by its differences, with bootstrap intervals over the crises."""
    calls = [float(one.calls) for one in differences]
    minutes = [one.minutes for one in differences]
    lost_count = sum(one.unanswered for one in differences)
    return ChangeEffect(
        change,
        len(differences),
        estimate_interval(calls, seed),
        estimate_interval(minutes, seed),
        lost_count,
    )


def estimate_interval(values: Sequence[float], seed: int) -> ConfidenceInterval:
    """Return the mean with its percentile bootstrap interval; values must not be empty."""
    random = Random(seed)  # noqa: S311  repeatable resampling, no secret
    size = len(values)
    means = sorted(sum(random.choices(values, k=size)) / size for _ in range(RESAMPLES))
    low, high = (means[min(int(tail * RESAMPLES), RESAMPLES - 1)] for tail in TAILS)
    return ConfidenceInterval(sum(values) / size, low, high)


@dataclass(frozen=True, slots=True)
class TuningResult:
    """Finalists, judged on crises that did not choose them; those that hold come first."""

    chosen_on: int
    judged_on: int
    change_count: int
    finalists: tuple[ChangeEffect, ...]

    @property
    def best(self) -> ChangeEffect | None:
        """Return the change that saves most calls and holds."""
        return next((one for one in self.finalists if one.holds), None)


def tune_ladders(
    recordings: Sequence[Recording],
    section: EscalationPolicy,
    changes: Sequence[LadderChange],
    *,
    seed: int = 1,
    report: Callable[[], None] = lambda: None,
) -> TuningResult:
    """Try changes of the escalations; `report` is called after each replay.

    Raises ValueError with too few recordings.
    """
    if len(recordings) < LEAST_RECORDINGS:
        raise ValueError(
            f"{LEAST_RECORDINGS} crises enregistrées au moins sont nécessaires, "
            f"{len(recordings)} trouvées"
        )
    ordered_recordings = sorted(recordings, key=lambda one: one.realm)
    Random(seed).shuffle(ordered_recordings)  # noqa: S311  repeatable halves, no secret
    middle = len(ordered_recordings) // 2
    replays = _Replays(section, report)
    judgements = [replays.judge(change, ordered_recordings[:middle], seed) for change in changes]
    hopeful = [
        one
        for one in sorted(judgements, key=_get_rank)
        if one.calls.mean < 0 and one.minutes.mean <= EQUAL_MIN and not one.unanswered
    ][:FINALISTS]
    final_judgements = [
        replays.judge(one.change, ordered_recordings[middle:], seed) for one in hopeful
    ]
    finalists = sorted(final_judgements, key=lambda one: (not one.holds, *_get_rank(one)))
    return TuningResult(middle, len(ordered_recordings) - middle, len(changes), tuple(finalists))


def _get_rank(one: ChangeEffect) -> tuple[float, float, str]:
    return one.calls.mean, one.minutes.mean, one.change.text


class _Replays:
    """Replays of recordings; those with the present escalations are made once."""

    def __init__(self, section: EscalationPolicy, report: Callable[[], None]) -> None:
        self._section, self._report = section, report
        self._present: dict[str, CallOutcome] = {}

    def judge(
        self, change: LadderChange, recordings: Sequence[Recording], seed: int
    ) -> ChangeEffect:
        new_section = change.apply(self._section)
        comparisons = [
            compare_outcomes(self._replay_present(one), self._replay(one, new_section))
            for one in recordings
        ]
        return judge_change(change, comparisons, seed)

    def _replay_present(self, recording: Recording) -> CallOutcome:
        if recording.realm not in self._present:
            self._present[recording.realm] = self._replay(recording, self._section)
        return self._present[recording.realm]

    def _replay(self, recording: Recording, section: SectionData) -> CallOutcome:
        call_outcome = measure_calls(replay_recording(recording, (section,)))
        self._report()
        return call_outcome


def list_used_ladders(recordings: Iterable[Recording]) -> set[str]:
    """Return the escalations that started in these recordings."""
    return {
        fact.data["row"]["ladder"]
        for recording in recordings
        for fact in recording.facts
        if fact.name == "EscalationChanged"
    }
