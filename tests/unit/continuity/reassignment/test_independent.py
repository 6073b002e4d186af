"""A model written apart, with another solver, reaches the same optimum on small territories drawn at random."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.reference import ReassignmentRule, Staffing, Substitution
from services.continuity.reassignment import LineKey, PreviousLine, SiteState, Situation, Tables, solve
from services.continuity.reassignment.previous import TELEWORK
from tests.model.reassignment import Case, Move, optimum
from tests.unit.continuity.reassignment.cases import cell, site

KINDS = ("college", "gymnase", "site_central")
ACTIVITIES = ("EDU-01", "RHF-01", "SOL-02")
METIERS = ("agent_restauration", "cuisinier", "educateur")


@st.composite
def small_cases(draw: Any) -> Case:
    n = draw(st.integers(2, 4))
    sites = tuple(
        site(
            f"s{k}", draw(st.integers(0, 24_000)), kind=draw(st.sampled_from(KINDS)), desks=draw(st.integers(0, 12)),
            kitchen=draw(st.sampled_from((None, "sur-place", "cuisine"))),
        )
        for k in range(n)
    )  # fmt: skip
    kinds = st.lists(st.sampled_from(KINDS), min_size=1, max_size=3, unique=True).map(tuple)
    rules = tuple(
        ReassignmentRule(
            activity=a, pole=draw(st.sampled_from(("p", "q"))), criticality=draw(st.integers(1, 4)), rto_h=draw(st.sampled_from((2, 12, 48))),
            site_bound=draw(st.booleans()), needs_desk=draw(st.booleans()), tele_pct=draw(st.sampled_from((0, 50, 100))),
            release_pct=draw(st.sampled_from((0, 40, 100))), home_kinds=draw(kinds), host_kinds=draw(kinds),
        )
        for a in ACTIVITIES
    )  # fmt: skip
    cells = []
    for s in sites:
        for a in draw(st.lists(st.sampled_from(ACTIVITIES), max_size=2, unique=True)):
            for m in draw(st.lists(st.sampled_from(METIERS), min_size=1, max_size=2, unique=True)):
                staff = draw(st.integers(1, 14))
                cells.append(cell(s.id, a, m, staff, draw(st.integers(0, staff))))
    pairs = [(m, by) for m in METIERS for by in METIERS if m != by]
    lines = tuple(
        Substitution(metier=m, by=by, tenths=draw(st.integers(0, 6)), condition=draw(st.sampled_from((None, "R2", "R3", "permis B"))))
        for m, by in draw(st.lists(st.sampled_from(pairs), max_size=4, unique=True))
    )
    pct = st.sampled_from((0, 40, 100))
    touched = {s.id: (draw(pct), draw(pct), draw(st.booleans())) for s in sites if draw(st.booleans())}
    return Case(
        sites, Staffing(cells=tuple(cells), rules=rules, substitutions=lines), touched, draw(st.sampled_from((0, 3, 30))),
        draw(st.booleans()), draw(st.booleans()),
    )  # fmt: skip


def _situation(case: Case) -> Situation:
    return Situation({s: SiteState(*state) for s, state in case.touched.items()}, case.elapsed_h, case.transit, case.tele)


def _move(key: LineKey) -> Move:
    need = None if key.own_work else (key.need_site, key.need_activity, key.need_metier)
    return (key.site, key.activity, key.metier), key.supply, need, "tele" if key.place == TELEWORK else key.place


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(small_cases(), st.booleans())
def test_the_other_model_agrees(case: Case, transit_stops: bool) -> None:
    tables = Tables(case.sites, case.staffing)
    found = solve(tables, _situation(case))
    assert found.objective == optimum(case)
    if not transit_stops:
        return
    # a second event, with what people have seen of the first proposal
    seen = {_move(line.key): line.count for line in found.lines}
    later = Case(case.sites, case.staffing, case.touched | {"s0": (100, 0, False)}, case.elapsed_h + 4, not case.transit, case.tele, seen)
    again = solve(tables, _situation(later), tuple(PreviousLine(line.key, line.count, False) for line in found.lines))
    assert again.objective == optimum(later)
