"""Replays find escalations that call fewer people and answer as fast. Rule D133."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from random import Random

import pytest

from schemas.base import MINUTE_MS
from schemas.reference import Escalation, EscalationPolicy, Wave
from services.runtime.log.transaction import FactRecord
from services.simulation import tuning
from services.simulation.recording import Recording
from services.simulation.replay import get_initial_reference, replay_recording
from services.simulation.tuning import (
    CallOutcome,
    CrisisDifference,
    LadderChange,
    compare_outcomes,
    estimate_interval,
    judge_change,
    list_changes,
    list_used_ladders,
    measure_calls,
    tune_ladders,
)
from tests.scenarios.test_whatif import recorded

ACKNOWLEDGE = {"answer": "ack", "after_s": 690}
"""Everybody answers half a minute before 12 minutes: a second wave after 10 calls in vain."""
UNTIL_MIN = 16


@cache
def present() -> EscalationPolicy:
    return next(s for s in get_initial_reference(recorded()) if isinstance(s, EscalationPolicy))


@cache
def answered() -> Recording:
    end = recorded().opening.started_at + UNTIL_MIN * MINUTE_MS
    outside = tuple(one for one in recorded().outside if one.at <= end)
    return replace(recorded(), responders=(ACKNOWLEDGE,), outside=outside, end=end)


def change_wait(ladder: str, wave: int, minutes: int) -> LadderChange:
    policy = present().policy
    return next(
        one
        for one in list_changes(policy, [ladder])
        if one.kind == "wait" and one.waves[wave - 1].after_min == minutes
    )


def replay_calls(section: EscalationPolicy) -> CallOutcome:
    return measure_calls(replay_recording(answered(), (section,)))


def test_a_later_second_wave_saves_its_calls_and_the_answers_come_at_the_same_time() -> None:
    before = replay_calls(present())
    after = replay_calls(change_wait("N3", 2, 15).apply(present()))
    difference = compare_outcomes(before, after)
    assert difference.calls < 0
    assert (difference.minutes, difference.unanswered) == (0, 0)
    assert any(minutes is not None for minutes in before.answers.values())


def list_policy() -> Escalation:
    return present().policy


def test_changes_are_waits_orders_and_parallel_calls_that_keep_every_role() -> None:
    changes = list_changes(list_policy(), ["N1", "N2", "N3"])
    assert {one.kind for one in changes} == {"wait", "order", "parallel"}
    for change in changes:
        waits = [wave.after_min for wave in change.waves]
        assert waits == sorted(set(waits))
        assert [wave.wave for wave in change.waves] == list(range(1, len(change.waves) + 1))
        called = {role for wave in change.waves for role in wave.who}
        assert called == {r for w in list_policy().ladders[change.ladder] for r in w.who}
    assert change_wait("N2", 2, 12).waves[2].after_min == 22
    delays = {one.waves[1].after_min - 15 for one in changes if "N1, vague 2" in one.text}
    assert delays == {-5, -2, 2, 5, 10}


def find_place(waves: Sequence[Wave], role: str) -> int:
    return next(n for n, wave in enumerate(waves) if role in wave.who)


def test_no_change_calls_a_role_that_is_never_skipped_later() -> None:
    """An exchange of waves put the coordinator behind the deputy of a director."""
    for change in list_changes(list_policy(), list_policy().ladders):
        before = list_policy().ladders[change.ladder]
        for role in list_policy().never_skipped:
            if any(role in wave.who for wave in before):
                assert find_place(change.waves, role) <= find_place(before, role), change.text


def wave(n: int, *who: str, expected: int = 1, **given: object) -> Wave:
    fields = {"wave": n, "after_min": 10 * (n - 1), "who": who, "expected": expected}
    return present().policy.ladders["N1"][0].model_copy(update=fields | given)


def list_texts(*waves: Wave) -> set[str]:
    policy = list_policy().model_copy(update={"ladders": {"N": waves}, "never_skipped": ("dgs",)})
    return {one.text.removeprefix("N : ") for one in list_changes(policy, ["N"])} - {
        one.text for one in list_changes(policy, ["N"]) if one.kind == "wait"
    }


def test_a_role_stays_in_the_first_wave_if_a_later_one_calls_its_deputy() -> None:
    """`suppleants` are the deputies of the first wave: a role that left it lost its own."""
    assert list_texts(wave(1, "a", "b"), wave(2, "c"), wave(3, "suppleants")) == {
        "vague 2 en même temps que la vague 1"
    }
    assert list_texts(wave(1, "a"), wave(2, "suppleants"), wave(3, "c")) == {
        "vague 3 en même temps que la vague 2"
    }


def test_a_named_deputy_stays_behind_the_role_it_stands_in_for() -> None:
    """A change called the deputy of a director with the director, or alone before."""
    assert list_texts(wave(1, "chef", "a"), wave(2, "suppleant_chef")) == {"a en vague 2, pas 1"}
    assert list_texts(wave(1, "suppleant_chef"), wave(2, "chef")) == {
        "vague 2 avant vague 1",
        "vague 2 en même temps que la vague 1",
    }


def test_a_wave_keeps_as_many_roles_as_answers_that_it_expects() -> None:
    assert "a en vague 2, pas 1" in list_texts(wave(1, "a", "b"), wave(2, "c"))
    assert "a en vague 2, pas 1" not in list_texts(wave(1, "a", "b", expected=2), wave(2, "c"))


def test_a_role_that_moves_keeps_its_condition() -> None:
    """A role that is called only with the COD open would be called in every crisis."""
    flag = {"b": "cod_active"}
    policy = list_policy().model_copy(
        update={"ladders": {"N": (wave(1, "a", "b", only_if=flag), wave(2, "c"))}}
    )
    for change in list_changes(policy, ["N"]):
        (conditional,) = [one for one in change.waves if "b" in one.who]
        assert conditional.only_if == flag, change.text


def test_a_section_with_a_change_passes_the_check_of_its_publication() -> None:
    for change in list_changes(list_policy(), list_policy().ladders):
        section = EscalationPolicy.model_validate(change.apply(present()).model_dump())
        assert section.policy.ladders[change.ladder] == change.waves


def test_an_escalation_that_loses_its_answers_is_counted_and_never_holds() -> None:
    before = CallOutcome(9, {"N2 INC-1": 4.0, "N1 INC-2": None, "N3 territory": 6.0})
    after = CallOutcome(5, {"N2 INC-1": None, "N1 INC-2": 3.0, "N3 territory": 7.0})
    difference = compare_outcomes(before, after)
    assert difference == CrisisDifference(-4, 1.0, 1)
    change = change_wait("N2", 2, 12)
    assert not judge_change(change, [replace(difference, minutes=0.0)] * 5, 1).holds
    assert judge_change(change, [CrisisDifference(-4, 0.0, 0)] * 5, 1).holds


def test_an_escalation_that_no_longer_starts_has_lost_its_answers() -> None:
    lost = compare_outcomes(CallOutcome(9, {"N2 INC-1": 4.0}), CallOutcome(0, {}))
    assert lost == CrisisDifference(-9, 0.0, 1)


@pytest.mark.parametrize(
    "differences",
    [
        [CrisisDifference(-3, 0.0, 0)] * 2 + [CrisisDifference(1, 0.0, 0)],
        [CrisisDifference(-3, 0.0, 0)] * 7 + [CrisisDifference(-3, 2.0, 0)],
        [CrisisDifference(-3, 0.6, 0)] * 8,
        [CrisisDifference(-1, 0.0, 0), CrisisDifference(1, 0.0, 0)] * 4,
        [CrisisDifference(-9, 0.0, 0)] * 7 + [CrisisDifference(-9, 20.0, 0)],
        [CrisisDifference(0, 0.0, 0)] * 8,
    ],
)
def test_a_saving_that_may_be_chance_or_a_delay_does_not_hold(
    differences: Sequence[CrisisDifference],
) -> None:
    assert not judge_change(change_wait("N2", 2, 12), differences, 1).holds


def test_the_interval_covers_the_mean_and_narrows_with_more_crises() -> None:
    few = estimate_interval([0.0, 4.0], 1)
    many = estimate_interval([0.0, 4.0] * 20, 1)
    assert few.low <= few.mean == many.mean == 2 <= few.high
    assert many.high - many.low < few.high - few.low
    assert estimate_interval([0.0, 4.0], 1) == few


def test_changes_chosen_on_one_half_are_judged_on_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The best of the first half costs answers in the second, so that the next one is proposed."""
    tempting, sound = change_wait("N3", 2, 20), change_wait("N3", 2, 15)
    crises = [replace(recorded(), realm=f"92~ex-{n}") for n in range(8)]
    names = {str(tempting.waves): "tempting", str(sound.waves): "sound"}
    realm_order: dict[str, None] = {}

    def replay(recording: Recording, changed: Sequence[EscalationPolicy]) -> list[FactRecord]:
        realm_order.setdefault(recording.realm)
        ladder = names.get(str(changed[0].policy.ladders["N3"]), "present")
        return [FactRecord(ladder, recording.realm, 0, {})]

    def measure(facts: Sequence[FactRecord]) -> CallOutcome:
        ladder, second_half = facts[0].type, facts[0].id not in list(realm_order)[:4]
        calls = {"present": 20, "tempting": 5, "sound": 12}[ladder]
        lost = ladder == "tempting" and second_half
        return CallOutcome(calls, {"N3 territory": None if lost else 4.0})

    monkeypatch.setattr(tuning, "replay_recording", replay)
    monkeypatch.setattr(tuning, "measure_calls", measure)
    tuning_result = tune_ladders(crises, present(), [tempting, sound])
    assert (tuning_result.chosen_on, tuning_result.judged_on, tuning_result.change_count) == (
        4,
        4,
        2,
    )
    assert tuning_result.best is not None
    assert tuning_result.best.change is sound
    assert {one.change.text for one in tuning_result.finalists} == {tempting.text, sound.text}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_seed_draws_the_half_that_chooses_five_changes(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    crises = [replace(recorded(), realm=f"92~ex-{n}") for n in range(8)]
    base = str(present().policy.ladders)
    judged: list[tuple[str, bool]] = []

    def replay(recording: Recording, changed: Sequence[EscalationPolicy]) -> list[FactRecord]:
        is_present = str(changed[0].policy.ladders) == base
        judged.append((recording.realm, is_present))
        return [FactRecord("present" if is_present else "changed", recording.realm, 0, {})]

    def measure(facts: Sequence[FactRecord]) -> CallOutcome:
        return CallOutcome(20 if facts[0].type == "present" else 5, {"N3 territory": 4.0})

    monkeypatch.setattr(tuning, "replay_recording", replay)
    monkeypatch.setattr(tuning, "measure_calls", measure)
    changes = list_changes(list_policy(), ["N1", "N2", "N3"])[:9]
    assert len(tune_ladders(crises, present(), changes, seed=seed).finalists) == 5
    choosing = list(dict.fromkeys(realm for realm, _ in judged))[:4]
    order = [one.realm for one in crises]
    Random(seed).shuffle(order)
    assert choosing == order[:4]


def test_too_few_crises_give_no_result() -> None:
    with pytest.raises(ValueError, match="4 crises"):
        tune_ladders([recorded()] * 3, present(), [])


def test_only_escalations_that_started_are_tried() -> None:
    assert "N3" in list_used_ladders([recorded()])
    assert "N4" not in list_used_ladders([recorded()])
