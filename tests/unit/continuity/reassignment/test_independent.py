"""An independent model with another solver reaches the same optimum on small random territories."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.reference import ReassignmentRule, Staffing, Substitution
from services.continuity.reassignment.model.lexicographic import SolveChoice
from services.continuity.reassignment.model.moves import TELEWORK, LineKey, PreviousLine
from services.continuity.reassignment.model.plan import (
    SolvedProposal,
    SolveOptions,
    solve_situation_program,
)
from services.continuity.reassignment.model.situation import ModelSituation, SiteCapacityState
from services.continuity.reassignment.model.tables import ReferenceTables
from tests.model.reassignment import LEVELS, Case, Move, checked, optimum
from tests.shipped import territory
from tests.unit.continuity.reassignment.cases import EXPECTED, cell, site, situation, solved

KINDS = ("college", "gymnase", "site_central")
ACTIVITIES = ("EDU-01", "RHF-01", "SOL-02")
METIERS = ("agent_restauration", "cuisinier", "educateur")


@st.composite
def small_cases(draw: Any) -> Case:
    n = draw(st.integers(2, 4))
    sites = tuple(
        site(
            f"s{k}",
            draw(st.integers(0, 24_000)),
            kind=draw(st.sampled_from(KINDS)),
            desks=draw(st.integers(0, 12)),
            kitchen=draw(st.sampled_from((None, "sur-place", "cuisine"))),
        )
        for k in range(n)
    )
    kinds = st.lists(st.sampled_from(KINDS), min_size=2, max_size=3, unique=True).map(tuple)
    rules = tuple(
        ReassignmentRule(
            activity=a,
            pole=draw(st.sampled_from(("p", "q"))),
            criticality=draw(st.sampled_from((1, 2, 2, 3, 3, 4))),
            rto_h=draw(st.sampled_from((2, 12, 48))),
            site_bound=draw(st.sampled_from((False, False, True))),
            needs_desk=draw(st.sampled_from((True, True, False))),
            tele_pct=draw(st.sampled_from((0, 50, 100))),
            release_pct=draw(st.sampled_from((0, 40, 100))),
            home_kinds=draw(kinds),
            host_kinds=draw(kinds),
        )
        for a in ACTIVITIES
    )
    cells = []
    for s in sites:
        for a in draw(st.lists(st.sampled_from(ACTIVITIES), min_size=1, max_size=2, unique=True)):
            for m in draw(st.lists(st.sampled_from(METIERS), min_size=1, max_size=2, unique=True)):
                staff = draw(st.integers(1, 14))
                cells.append(cell(s.id, a, m, staff, draw(st.integers(0, staff))))
    pairs = [(m, by) for m in METIERS for by in METIERS if m != by]
    lines = tuple(
        Substitution(
            metier=m,
            by=by,
            tenths=draw(st.integers(0, 6)),
            condition=draw(st.sampled_from((None, "R2", "R3", "permis B"))),
        )
        for m, by in draw(st.lists(st.sampled_from(pairs), max_size=4, unique=True))
    )
    pct = st.sampled_from((0, 40, 100))
    touched = {
        s.id: (draw(pct), draw(pct), draw(st.booleans())) for s in sites[1:] if draw(st.booleans())
    }
    touched["s0"] = draw(
        st.sampled_from(((100, 0, False), (0, 100, True), (40, 40, False), (100, 40, False)))
    )
    return Case(
        sites,
        Staffing(cells=tuple(cells), rules=rules, substitutions=lines),
        touched,
        draw(st.sampled_from((0, 3, 30))),
        draw(st.booleans()),
        draw(st.booleans()),
    )


def _situation(case: Case) -> ModelSituation:
    return ModelSituation(
        {s: SiteCapacityState(*state) for s, state in case.touched.items()},
        case.elapsed_h,
        case.transit,
        case.tele,
    )


def _move(key: LineKey) -> Move:
    need = None if key.own_work else (key.need_site, key.need_activity, key.need_metier)
    return (
        (key.site, key.activity, key.metier),
        key.supply,
        need,
        "tele" if key.place == TELEWORK else key.place,
    )


def _lines(proposal: SolvedProposal) -> dict[Move, int]:
    return {_move(line.key): line.count for line in proposal.lines}


def _found(
    case: Case, previous: tuple[PreviousLine, ...] = (), *, tie_break: bool = False
) -> SolvedProposal:
    """Return the proposal after the other model counted and checked it line by line."""
    return _checked(
        case,
        solve_situation_program(
            ReferenceTables(case.sites, case.staffing),
            _situation(case),
            previous,
            SolveOptions(SolveChoice(tie_break=tie_break)),
        ),
    )


def _checked(case: Case, found: SolvedProposal) -> SolvedProposal:
    assert {level: found.objective[level] for level in LEVELS} == checked(case, _lines(found))
    return found


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(small_cases(), st.booleans(), st.booleans())
def test_the_other_model_finds_the_same_optimum(
    case: Case, transit_stops: bool, tie_break: bool
) -> None:
    proposal = _found(case, tie_break=tie_break)
    assert proposal.objective == optimum(case, tie_break=tie_break)
    if not transit_stops:
        return
    # a second event, with what people have seen of the first proposal
    later = Case(
        case.sites,
        case.staffing,
        case.touched | {"s0": (100, 0, False)},
        case.elapsed_h + 4,
        not case.transit,
        case.tele,
        _lines(proposal),
    )
    again = _found(
        later, tuple(PreviousLine(line.key, line.count, False) for line in proposal.lines)
    )
    assert again.objective == optimum(later)


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(small_cases())
def test_the_other_model_agrees_on_the_fewest_groups(case: Case) -> None:
    proposal = solve_situation_program(
        ReferenceTables(case.sites, case.staffing),
        _situation(case),
        (),
        SolveOptions(SolveChoice(cohesion=True)),
    )
    if proposal.open_level is None:
        assert proposal.objective == optimum(case, cohesion=True)


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(small_cases(), st.data())
def test_the_other_model_agrees_on_approved_and_seen_lines(case: Case, data: st.DataObject) -> None:
    """A line may be approved in part, then extended by a later proposal.

    Sites are hit again, and others return.
    """
    first = solve_situation_program(ReferenceTables(case.sites, case.staffing), _situation(case))
    previous, approved, proposed_counts = [], {}, {}
    for line in first.lines:
        approved_count = data.draw(st.integers(0, line.count))
        previous += [PreviousLine(line.key, approved_count, True)] * (approved_count > 0) + [
            PreviousLine(line.key, line.count - approved_count, False)
        ] * (approved_count < line.count)
        approved |= {_move(line.key): approved_count} if approved_count else {}
        proposed_counts |= (
            {_move(line.key): line.count - approved_count} if approved_count < line.count else {}
        )
    pct = st.sampled_from((0, 40, 100))
    touched = {
        s.id: (data.draw(pct), data.draw(pct), data.draw(st.booleans()))
        for s in case.sites
        if data.draw(st.booleans())
    }
    later = Case(
        case.sites,
        case.staffing,
        touched,
        case.elapsed_h + 4,
        data.draw(st.booleans()),
        data.draw(st.booleans()),
        proposed_counts,
        approved,
    )
    again = _found(later, tuple(data.draw(st.permutations(previous))))
    assert again.objective == optimum(later)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_other_model_finds_no_fault_in_a_proposal(name: str) -> None:
    """At full size it cannot search for the optimum.

    The proposal after a second event keeps the approved lines of the first.
    """
    data, now = territory(), situation(name)
    touched = {
        s: (state.staff_pct, state.seat_pct, state.host_ok) for s, state in now.sites.items()
    }
    case = Case(data.sites, data.staffing, touched, now.elapsed_h, now.transit, now.telework)
    proposal = _checked(case, solved(name))
    line = max(
        proposal.lines,
        key=lambda line: (line.key.place not in (TELEWORK, line.key.need_site), line.count),
    )
    previous = tuple(
        PreviousLine(line.key, line.count, n % 3 > 0) for n, line in enumerate(proposal.lines)
    )
    worse = (
        touched | {line.key.place: (100, 50, False)}
        if line.key.place in data_sites(case)
        else touched
    )
    _found(
        replace(
            case,
            touched=worse,
            approved={_move(p.key): p.count for p in previous if p.is_approved},
            seen={_move(p.key): p.count for p in previous if not p.is_approved},
        ),
        previous,
    )


def data_sites(case: Case) -> set[str]:
    return {s.id for s in case.sites}
