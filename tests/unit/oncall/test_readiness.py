"""The readiness proof finds gaps and minutes, and equals a check of every moment (D38)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import reference as ref
from schemas.base import DAY_MS, HOUR_MS, MINUTE_MS
from schemas.oncall import DutyRow, Place, Reach, ReachRow, Rotation
from schemas.words import Channel
from services.oncall.readiness import ReadinessProver, add_channel_rates, build_gap_key, merge_reach
from services.oncall.schedule import Schedule
from tests.shipped import territory
from tests.unit.oncall.rotas import at, calendar, override, rotation

TERRITORY = territory()
ROSTER = next(s.roster for s in TERRITORY.sections if isinstance(s, ref.RosterSection))
POLES = [p.id for s in TERRITORY.sections if isinstance(s, ref.Activities) for p in s.poles]
assert TERRITORY.policy.readiness is not None
RULE = TERRITORY.policy.readiness.model_copy(update={"rate_per_min": {"sms": 120, "voice": 20}})
NOW = at("2027-02-11T09:00")
TECHNIQUE, DGS = ("astreinte_technique", None), ("dgs_directeur_de_crise", None)


def reach(
    *, age_days: float = 1, quiet: tuple[int, int] | None = None, channels: str = "app sms voice"
) -> tuple[Reach, ...]:
    return tuple(
        Reach(channel=Channel(c), verified_at=NOW - round(age_days * DAY_MS), quiet=quiet)
        for c in channels.split()
    )


def prover(
    *duties: DutyRow,
    told: Mapping[str, tuple[Reach, ...]] | None = None,
    roster: ref.Roster = ROSTER,
) -> ReadinessProver:
    rows = {person: ReachRow(id=person, points=points) for person, points in (told or {}).items()}
    return ReadinessProver(
        Schedule(roster, duties),
        TERRITORY.policy,
        RULE,
        TERRITORY.sites,
        POLES,
        merge_reach(roster, NOW - DAY_MS, rows),
    )


def holes(made: ReadinessProver, at_: int = NOW) -> list[tuple[Any, ...]]:
    return [
        (h.kind, h.role, h.person, (h.start - at_) / HOUR_MS, (h.end - at_) / HOUR_MS)
        for h in made.prove(at_).holes
    ]


def test_the_shipped_territory_is_ready_and_proved_fast() -> None:
    began = time.process_time()
    proof = prover().prove(NOW)
    assert time.process_time() - began < 2
    assert (proof.holes, proof.ready) == ((), proof.hours)
    sites, poled = len(TERRITORY.sites), sum(s.pole != "multi" for s in TERRITORY.sites)
    assert proof.hours == 336 * (6 * sites + 2 * poled + sites), (
        "six roles of the territory, a director and a deputy per pôle, a manager per site"
    )


def test_worst_case_253_sites_336_hours_stay_under_two_seconds() -> None:
    """Everybody rotates daily, has quiet hours and proofs that run out one after the other."""
    turns = tuple(
        Rotation(
            role=h.role,
            scope=h.scope,
            persons=tuple(p for p in (h.holder, h.deputy) if p),
            every_days=1,
            since=date(2027, 2, 1),
            hand_off_min=150,
        )
        for h in ROSTER.holders
    )
    reach_by_person = {
        p: reach(age_days=80 + n % 10, quiet=(22 * 60 + n % 60, 7 * 60))
        for n, p in enumerate(ROSTER.channels)
    }
    made = prover(told=reach_by_person, roster=ROSTER.model_copy(update={"rotations": turns}))

    def seconds() -> float:
        began = time.process_time()
        assert made.prove(NOW).holes
        return time.process_time() - began

    assert any(seconds() < 2 for _ in range(3)), (
        "a machine that others use takes up to three times as long"
    )


def test_an_unheld_role_is_the_gravest_gap_with_start_and_end() -> None:
    gap = override(None, "2027-02-12T08:00", "2027-02-12T20:00", role=TECHNIQUE[0])
    gap2 = override(
        None,
        "2027-02-12T10:00",
        "2027-02-12T12:00",
        role=TECHNIQUE[0],
        place=Place.DEPUTY,
        number=2,
    )
    gaps = holes(prover(gap, gap2))
    assert gaps == [
        ("nobody", TECHNIQUE[0], None, 25, 27),
        ("no_holder", TECHNIQUE[0], None, 23, 25),
        ("no_holder", TECHNIQUE[0], None, 27, 35),
    ]


def test_a_gap_of_ten_minutes_spoils_its_hour() -> None:
    gap = override(None, "2027-02-12T08:50", "2027-02-12T09:10", role=TECHNIQUE[0])
    proof = prover(gap).prove(NOW)
    assert sorted(proof.bad_hours(TECHNIQUE)) == [23, 24]
    assert proof.ready == proof.hours - 2 * len(TERRITORY.sites)


def test_a_proof_expiring_within_the_horizon_is_a_gap_from_then_on() -> None:
    assert holes(prover(told={"dgs": reach(age_days=88)})) == [
        ("unverified", DGS[0], "dgs", 48, 336)
    ]


def test_a_single_verified_channel_asks_for_a_second_one() -> None:
    (hole,) = prover(told={"dgs": reach(channels="voice")}).prove(NOW).holes
    assert (hole.kind, hole.fix, hole.sites) == ("unverified", "second_channel", 253)


def test_quiet_hours_on_every_channel_are_a_gap_each_night() -> None:
    nights = [
        h
        for h in prover(told={"dgs": reach(quiet=(22 * 60, 6 * 60))}).prove(NOW).holes
        if h.kind == "quiet"
    ]
    assert len(nights) == 14
    assert {(h.end - h.start) / HOUR_MS for h in nights} == {8.0}
    assert {h.person for h in nights} == {"dgs"}


def test_quiet_hours_on_one_channel_are_no_gap() -> None:
    points = (*reach(channels="voice"), *reach(channels="app sms", quiet=(22 * 60, 6 * 60)))
    made = prover(told={"dgs": points})
    assert made.prove(NOW).holes == ()
    assert made.judge(DGS, at("2027-02-11T23:00")).channel is Channel.VOICE


def test_an_unreachable_holder_and_deputy_are_a_gap() -> None:
    gaps = prover(told={"dgs": reach(age_days=91), "dgs-s": reach(age_days=91)}).prove(NOW).holes
    assert [h.kind for h in gaps] == ["unreachable", "unverified", "unverified"]


def test_one_person_in_two_roles_of_one_wave_is_a_single_point() -> None:
    one = override("coord-pca", "2027-02-12T00:00", "2027-02-13T00:00", role="astreinte_technique")
    assert {(k, r, p) for k, r, p, _, _ in holes(prover(one))} == set(), (
        "N1 calls the technician, N2 the coordinator: not the same wave"
    )
    both = override(
        "ast-direction",
        "2027-02-12T00:00",
        "2027-02-13T00:00",
        role="astreinte_direction",
        place=Place.DEPUTY,
    )
    assert [(k, r, p) for k, r, p, _, _ in holes(prover(both))] == [
        ("single_point", "astreinte_direction", "ast-direction")
    ]


def test_an_unproved_channel_costs_its_time_before_the_next() -> None:
    points = (
        Reach(channel=Channel.VOICE, verified_at=None),
        Reach(channel=Channel.SMS, verified_at=NOW),
        Reach(channel=Channel.EMAIL, verified_at=NOW),
    )
    verdict = prover(told={"ast-technique": points}).judge(TECHNIQUE, NOW)
    assert (verdict.person, verdict.channel) == ("ast-technique", Channel.SMS)
    assert verdict.minutes == pytest.approx(3 + 2 / 120)
    stale = prover(told={"ast-technique": reach(age_days=100)}).judge(TECHNIQUE, NOW)
    assert (stale.person, stale.channel) == ("ast-technique-s", Channel.APP)
    assert stale.minutes == pytest.approx(1 + 3 + 2 / 120 + 1), (
        "app and SMS of the holder are given up, then the deputy's app"
    )


def test_a_slow_provider_makes_a_call_late() -> None:
    slow = RULE.model_copy(update={"rate_per_min": {"app": 0.1}})
    made = ReadinessProver(
        Schedule(ROSTER),
        TERRITORY.policy,
        slow,
        TERRITORY.sites,
        POLES,
        merge_reach(ROSTER, NOW, {}),
    )
    late = [h for h in made.prove(NOW).holes if h.kind == "late"]
    assert {h.fix for h in late} == {"spread_calls"}
    assert ("astreinte_technique", "ast-technique") in {(h.role, h.person) for h in late}


def test_a_channel_verified_without_a_day_counts_from_its_publication() -> None:
    old = merge_reach(ROSTER, NOW - 91 * DAY_MS, {})
    made = ReadinessProver(Schedule(ROSTER), TERRITORY.policy, RULE, TERRITORY.sites, POLES, old)
    assert {h.kind for h in made.prove(NOW).holes} == {"unreachable", "unverified"}


def test_the_verdict_of_a_site_names_person_channel_and_minutes() -> None:
    made = prover()
    site = next(s for s in TERRITORY.sites if s.id == "pmi-04")
    proof = made.prove(NOW)
    verdict = proof.at("responsable_site", "pmi-04", NOW + 5 * HOUR_MS)
    assert (verdict.person, verdict.channel, verdict.minutes) == ("rs-pmi-04", Channel.APP, 1.0)
    assert ("directeur_pole", site.pole) in made.posts_of(site)


# ── the oracle ─────────────────────────────────────────────────────────────────────────────────────────────────────

PERSONS = ("dgs", "dgs-s", "ast-technique", "ast-technique-s", "x")
POINTS = st.lists(
    st.builds(
        Reach,
        channel=st.sampled_from([Channel.APP, Channel.SMS, Channel.VOICE]),
        verified_at=st.none()
        | st.integers(80, 95).map(lambda days: NOW - days * DAY_MS + 30 * MINUTE_MS),
        quiet=st.none()
        | st.tuples(st.sampled_from([60, 150, 1290, 1320]), st.sampled_from([90, 180, 420])),
    ),
    max_size=3,
    unique_by=lambda r: r.channel,
).map(tuple)
MOMENTS = st.integers(0, 3 * 24 * 2).map(lambda n: NOW + n * 30 * MINUTE_MS)


@st.composite
def duties(draw: st.DrawFn) -> DutyRow:
    start, length, number = draw(MOMENTS), draw(st.integers(1, 40)), draw(st.integers(1, 1000))
    made = override(
        draw(st.sampled_from([*PERSONS, None])),
        "2027-02-12T00:00",
        "2027-02-13T00:00",
        number=number,
    )
    shift = made.shifts[0].model_copy(
        update={"start": start, "end": start + length * 30 * MINUTE_MS}
    )
    role = draw(st.sampled_from([TECHNIQUE[0], DGS[0]]))
    return made.model_copy(
        update={
            "role": role,
            "place": draw(st.sampled_from(Place)),
            "shifts": (shift,),
            "start": shift.start,
            "end": shift.end,
        }
    )


@settings(max_examples=25)
@given(
    st.dictionaries(st.sampled_from(PERSONS), POINTS),
    st.lists(duties(), max_size=4),
    st.sampled_from([NOW, at("2027-03-26T09:00"), at("2027-10-29T09:00")]),
)
def test_the_proof_equals_a_check_every_ten_minutes(
    told: dict[str, tuple[Reach, ...]], made: list[DutyRow], start: int
) -> None:
    """Brute force on ordinary days and both nights: each role at each moment of each hour."""
    shift = start - NOW
    moved = [
        d.model_copy(
            update={
                "start": d.start + shift,
                "end": d.end + shift,
                "shifts": tuple(
                    s.model_copy(update={"start": s.start + shift, "end": s.end + shift})
                    for s in d.shifts
                ),
            }
        )
        for d in made
    ]
    shifted_reach = {
        p: tuple(
            r.model_copy(update={"verified_at": r.verified_at + shift if r.verified_at else None})
            for r in points
        )
        for p, points in told.items()
    }
    turns = rotation("ast-technique", "x", since="2027-01-04", every_days=1, hand_off_min=150)
    one = prover(
        *moved, told=shifted_reach, roster=ROSTER.model_copy(update={"rotations": (turns,)})
    )
    proof = one.prove(start, 3)
    for post in (TECHNIQUE, DGS, ("responsable_site", "pmi-04")):
        bad, expected_problems = set(), set()
        for moment in range(start, start + 72 * HOUR_MS, 10 * MINUTE_MS):
            verdict = one.judge(post, moment)
            assert proof.at(*post, moment) == verdict
            expected_problems.update((p.kind, p.person) for p in verdict.problems)
            if verdict.problems:
                bad.add((moment - start) // HOUR_MS)
        assert proof.bad_hours(post) == bad
        assert {
            (h.kind, h.person) for h in proof.holes if (h.role, h.scope) == post
        } == expected_problems


def test_gaps_keep_their_names_between_proofs() -> None:
    gap = override(None, "2027-02-12T08:00", "2027-02-12T20:00", role=TECHNIQUE[0])
    first, second = (prover(gap).prove(NOW + n * HOUR_MS).holes for n in (0, 5))
    assert (
        [build_gap_key(h) for h in first]
        == [build_gap_key(h) for h in second]
        == ["no_holder|astreinte_technique||"]
    )


def test_a_calendar_gap_in_the_night_of_the_clock_change_is_reported() -> None:
    night = calendar(
        ("ast-technique", "2027-03-27T08:00", "2027-03-28T02:00"),
        ("ast-technique-s", "2027-03-28T03:30", "2027-03-29T08:00"),
        role=TECHNIQUE[0],
    )
    start = at("2027-03-27T12:00")
    (hole,) = [
        h
        for h in prover(night, told={p: reach(age_days=-40) for p in ROSTER.channels})
        .prove(start)
        .holes
        if h.kind == "no_holder"
    ]
    assert (hole.end - hole.start) / MINUTE_MS == 30, (
        "02:00 to 03:30 on the clock is half an hour that night"
    )


def test_rates_come_from_the_rule_or_else_from_the_providers() -> None:
    bare = RULE.model_copy(update={"rate_per_min": {}})
    declared = add_channel_rates(bare, TERRITORY.sections).rate_per_min
    assert declared["sms"] > declared["voice"] > 0
    assert add_channel_rates(RULE, TERRITORY.sections) == RULE
