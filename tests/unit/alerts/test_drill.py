"""The monthly drill: every rung of every ladder on paper (D38)."""

from __future__ import annotations

import time

from schemas.base import MINUTE_MS
from schemas.oncall import Place, RungRow
from services.alerts.escalation.readiness import MAX_NAMED_ROLES, prove_steps
from tests.unit.oncall.rotas import override
from tests.unit.oncall.test_readiness import NOW, ROSTER, TERRITORY, prover, reach

TECHNIQUE = "astreinte_technique"


def of(made: tuple[RungRow, ...], ladder: str, wave: int) -> RungRow:
    return next(r for r in made if (r.ladder, r.wave) == (ladder, wave))


def calling(role: str) -> list[tuple[str, int]]:
    """List (ladder, wave) of the waves that call a role by name."""
    return [
        (n, w.wave) for n, waves in TERRITORY.policy.ladders.items() for w in waves if role in w.who
    ]


def test_a_drill_of_every_escalation_of_the_shipped_territory_is_fast() -> None:
    began = time.process_time()
    made = prove_steps(prover(), NOW)
    assert time.process_time() - began < 1
    assert [(r.ladder, r.wave) for r in made] == [
        (n, w.wave) for n, waves in sorted(TERRITORY.policy.ladders.items()) for w in waves
    ]
    assert all(r.posts and r.reached == r.posts and not r.late and not r.silent for r in made), made


def test_an_unheld_role_is_silent_in_each_of_its_waves() -> None:
    gaps = (
        override(None, "2027-02-11T08:00", "2027-02-11T20:00"),
        override(None, "2027-02-11T08:00", "2027-02-11T20:00", number=2, place=Place.DEPUTY),
    )
    made = prove_steps(prover(*gaps), NOW)
    holder_calls = calling(TECHNIQUE)
    of_deputies = [
        (ladder, wave) for ladder, wave in calling("suppleants") if (ladder, 1) in holder_calls
    ]
    silent = [(r.ladder, r.wave) for r in made if TECHNIQUE in r.silent]
    assert silent == sorted(holder_calls + of_deputies)
    assert all(r.reached == r.posts - 1 for r in made if TECHNIQUE in r.silent)


def test_the_wave_of_deputies_calls_deputies_only() -> None:
    """Without his deputy a holder is heard in wave 1 and missing where the deputies are called."""
    deputies = calling("suppleants")
    assert deputies, "the shipped ladders call them"
    gap = override(None, "2027-02-11T08:00", "2027-02-11T20:00", place=Place.DEPUTY)
    made = prove_steps(prover(gap), NOW)
    first = {ladder: waves[0] for ladder, waves in TERRITORY.policy.ladders.items()}
    expected = [(ladder, wave) for ladder, wave in deputies if TECHNIQUE in first[ladder].who]
    assert [(r.ladder, r.wave) for r in made if TECHNIQUE in r.silent] == sorted(expected)


def test_a_person_reached_after_the_answer_time_is_late() -> None:
    ladder, wave = calling(TECHNIQUE)[0]
    rule = next(w for w in TERRITORY.policy.ladders[ladder] if w.wave == wave)
    slow = reach(channels="email")
    made = of(
        prove_steps(prover(told={"ast-technique": slow, "ast-technique-s": slow}), NOW),
        ladder,
        wave,
    )
    late = (
        rule.after_min + TERRITORY.policy.readiness.answer_min["email"]
        > rule.after_min + rule.ack_min
    )  # type: ignore[union-attr]
    assert (made.late, made.reached) == (int(late), made.posts)
    assert late, "thirty minutes for a mail are too long for this wave"
    assert made.slowest_min is not None
    assert made.slowest_min * MINUTE_MS > rule.ack_min * MINUTE_MS


def test_all_silent_people_are_counted_and_some_are_named() -> None:
    made = prove_steps(prover(told=dict.fromkeys(ROSTER.channels, ())), NOW)
    assert all(r.reached == 0 and r.posts for r in made)
    assert max(len(r.silent) for r in made) <= MAX_NAMED_ROLES
    assert {r.slowest_min for r in made} == {None}
