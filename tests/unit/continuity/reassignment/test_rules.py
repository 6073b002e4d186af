"""Each hard rule holds even against a better answer (reassignment-model.md, §2 and §3)."""

from __future__ import annotations

from hashlib import sha256

import pytest

from schemas.reference import ReassignmentRule, Substitution
from services.continuity.reassignment.model.explain import StaffGap
from services.continuity.reassignment.model.lexicographic import SolveChoice
from services.continuity.reassignment.model.moves import PreviousLine
from services.continuity.reassignment.model.plan import (
    SolvedProposal,
    SolveOptions,
    solve_situation_program,
)
from services.continuity.reassignment.model.situation import ModelSituation, SiteCapacityState
from services.continuity.reassignment.model.tables import ReferenceTables
from tests.unit.continuity.reassignment.cases import cell, rule, site, small

CLOSED = SiteCapacityState(100, 0, False)
NOBODY = SiteCapacityState(0, 100, True)


def _codes(gap: StaffGap) -> list[str]:
    return [reason.code for reason in gap.why]


def _unmet(proposal: SolvedProposal) -> list[tuple[str, int]]:
    return [(gap.metier, gap.count) for gap in proposal.unmet]


def _short(
    helper: str,
    line: Substitution | None,
    *,
    activity: str = "RHF-01",
    kitchen: str | None = None,
    wanted: str = "infirmier",
) -> SolvedProposal:
    """Return a need for one agent of `wanted` at A; B has an idle colleague of another métier."""
    tables = small(
        [site("a"), site("b", 500, kitchen=kitchen)],
        [rule("SOL-04", 2), rule(activity, 3, release_pct=100)]
        if activity != "SOL-04"
        else [rule("SOL-04", 2, release_pct=100)],
        [cell("a", "SOL-04", wanted, 1, 1), cell("b", activity, helper, 5, 1)],
        [line] if line else [],
    )
    return solve_situation_program(tables, ModelSituation({"a": NOBODY}))


def test_r1_r4_no_line_no_substitution() -> None:
    proposal = _short("electricien", None, wanted="medecin_pmi")
    assert _unmet(proposal) == [("medecin_pmi", 1)]
    assert "R1" in _codes(proposal.unmet[0])
    allowed = _short(
        "puericultrice", Substitution(metier="infirmier", by="puericultrice", tenths=1)
    )
    assert _unmet(allowed) == []


def test_r2_minors_only_with_a_checked_honorability() -> None:
    line = Substitution(metier="educateur", by="travailleur_social", tenths=3, condition="R2")
    refused = _short("travailleur_social", line, activity="RHF-01", wanted="educateur")
    assert _unmet(refused) == [("educateur", 1)]
    assert "R2" in _codes(refused.unmet[0])
    assert _unmet(_short("travailleur_social", line, activity="SOL-06", wanted="educateur")) == []


def test_r3_kitchens_only_by_people_from_a_kitchen() -> None:
    serve = Substitution(
        metier="agent_restauration", by="agent_entretien", tenths=2, condition="R3"
    )
    refused = _short("agent_entretien", serve, wanted="agent_restauration")
    assert _unmet(refused) == [("agent_restauration", 1)]
    assert "R3" in _codes(refused.unmet[0])
    assert (
        _unmet(
            _short(
                "agent_entretien",
                serve,
                wanted="agent_restauration",
                kitchen="cuisine-centrale-sud",
            )
        )
        == []
    )
    cook = Substitution(metier="cuisinier", by="agent_restauration", tenths=4, condition="R3")
    assert _unmet(
        _short("agent_restauration", cook, wanted="cuisinier", kitchen="cuisine-centrale-sud")
    ) == [("cuisinier", 1)]
    assert _unmet(_short("agent_restauration", cook, wanted="cuisinier", kitchen="sur-place")) == []


def test_r5_no_agent_travels_more_than_75_minutes_one_way() -> None:
    def far(metres: int) -> SolvedProposal:
        tables = small(
            [site("a"), site("b", metres)],
            [rule("SOL-04", 2), rule("RHF-01", 3, release_pct=100)],
            [cell("a", "SOL-04", "infirmier", 1, 1), cell("b", "RHF-01", "infirmier", 5)],
        )
        return solve_situation_program(
            tables, ModelSituation({"a": NOBODY, "b": SiteCapacityState(100, 100, False)})
        )

    assert _unmet(far(22_000)) == []
    assert far(22_000).lines[0].minutes <= 75
    refused = far(23_000)
    assert _unmet(refused) == [("infirmier", 1)]
    assert "R5" in _codes(refused.unmet[0])


def test_r9_one_displaced_agent_in_ten_is_not_moved_to_other_work() -> None:
    tables = small(
        [site("a"), site("b", 500)],
        [rule("SOL-04", 2), rule("RHF-07", 4)],
        [cell("a", "RHF-07", "infirmier", 20), cell("b", "SOL-04", "infirmier", 20, 20)],
    )
    proposal = solve_situation_program(tables, ModelSituation({"a": CLOSED, "b": NOBODY}))
    assert _unmet(proposal) == [("infirmier", 2)]
    assert "R9" in _codes(proposal.unmet[0])


def test_no_activity_is_drained_below_the_minimum() -> None:
    proposal = solve_situation_program(
        small(
            [site("a"), site("b", 500)],
            [rule("SOL-04", 2), rule("RHF-01", 3, release_pct=100)],
            [cell("a", "SOL-04", "infirmier", 5, 5), cell("b", "RHF-01", "infirmier", 5, 3)],
        ),
        ModelSituation({"a": NOBODY}),
    )
    assert _unmet(proposal) == [("infirmier", 3)]
    assert [line.count for line in proposal.lines] == [2]


def test_no_agent_is_released_beyond_the_share_of_the_activity() -> None:
    proposal = solve_situation_program(
        small(
            [site("a"), site("b", 500)],
            [rule("SOL-04", 2), rule("RHF-01", 3, release_pct=20)],
            [cell("a", "SOL-04", "infirmier", 5, 5), cell("b", "RHF-01", "infirmier", 10)],
        ),
        ModelSituation({"a": NOBODY}),
    )
    assert _unmet(proposal) == [("infirmier", 3)]


def _moved_desks(
    desks: int, host: SiteCapacityState | None = None, rules: list[ReassignmentRule] | None = None
) -> SolvedProposal:
    """Return ten agents of a closed site in need of a desk at the other one."""
    tables = small(
        [site("a"), site("b", 500, desks=desks)],
        rules or [rule("SOL-04", 2), rule("RHF-01", 3)],
        [cell("a", "SOL-04", "infirmier", 10, 8), cell("b", "RHF-01", "comptable", 3)],
    )
    return solve_situation_program(
        tables, ModelSituation({"a": CLOSED} | ({"b": host} if host else {}))
    )


def test_a_host_never_gives_more_desks_than_it_has_free() -> None:
    proposal = _moved_desks(9)
    assert sum(line.count for line in proposal.lines) == 6
    assert _unmet(proposal) == [("infirmier", 2)]
    assert proposal.unmet[0].missing == "seats"
    assert "no_desk" in _codes(proposal.unmet[0])
    assert [gap.count for gap in proposal.idle] == [4]


def test_a_hit_or_doubtful_site_hosts_no_agent() -> None:
    assert _moved_desks(50).lines
    for host in (SiteCapacityState(100, 90, True), SiteCapacityState(100, 100, False)):
        assert _moved_desks(50, host).lines == ()
        assert "no_host" in _codes(_moved_desks(50, host).unmet[0])


def test_only_kinds_of_site_that_may_host_the_activity_do() -> None:
    proposal = _moved_desks(50, rules=[rule("SOL-04", 2, host_kinds=("parc",)), rule("RHF-01", 3)])
    assert proposal.lines == ()


def test_a_service_bound_to_its_site_is_suspended_with_it() -> None:
    proposal = _moved_desks(50, rules=[rule("SOL-04", 2, site_bound=True), rule("RHF-01", 3)])
    assert proposal.lines == ()
    assert proposal.unmet == ()
    assert [(gap.activity, gap.count) for gap in proposal.staff_gaps] == [("SOL-04", 8)]


@pytest.mark.parametrize(("staff", "seats", "missing"), [(100, 0, 8), (0, 100, 8), (50, 100, 3)])
def test_a_bound_service_in_the_area_of_an_order_is_suspended(
    staff: int, seats: int, missing: int
) -> None:
    """An order keeps agents away (D102); the proposal still shows the missing work."""
    tables = small(
        [site("a"), site("b", 500)],
        [rule("SOL-04", 2, site_bound=True, release_pct=100)],
        [cell("a", "SOL-04", "infirmier", 10, 8), cell("b", "SOL-04", "infirmier", 10)],
    )
    ordered = SiteCapacityState(staff, seats, False, admits=False)
    proposal = solve_situation_program(tables, ModelSituation({"a": ordered}))
    assert (proposal.lines, proposal.unmet) == ((), ())
    assert [(gap.site, gap.count) for gap in proposal.staff_gaps] == [("a", missing)]


def _at_home(tele: int, *, on: bool = True, needs_desk: bool = True) -> SolvedProposal:
    tables = small(
        [site("a")],
        [rule("SOL-04", 2, tele_pct=tele, needs_desk=needs_desk)],
        [cell("a", "SOL-04", "infirmier", 10, 6)],
    )
    return solve_situation_program(tables, ModelSituation({"a": CLOSED}, telework=on))


def test_telework_only_as_far_as_the_work_allows() -> None:
    assert _at_home(100).unmet == ()
    half = _at_home(50)
    assert sum(line.count for line in half.lines) == 5, (
        "half of the displaced agents, whatever they do"
    )
    assert sum(line.count for line in half.lines if not line.key.own_work) == 3, "half of the need"
    assert _codes(half.unmet[0]) == ["R1", "no_host", "telework_limited"]
    assert "no_telework" in _codes(_at_home(0).unmet[0])
    assert "telework_off" in _codes(_at_home(100, on=False).unmet[0])
    assert "no_telework" in _codes(_at_home(100, needs_desk=False).unmet[0])


def test_a_teleworking_need_lacks_people_and_not_desks() -> None:
    tables = small(
        [site("a")], [rule("SOL-04", 2, tele_pct=100)], [cell("a", "SOL-04", "infirmier", 10, 6)]
    )
    proposal = solve_situation_program(
        tables, ModelSituation({"a": SiteCapacityState(50, 0, False)})
    )
    assert [(gap.count, gap.missing, _codes(gap)) for gap in proposal.unmet] == [
        (1, "people", ["R1", "taken"])
    ]


def test_idle_agents_learn_that_every_host_is_too_far() -> None:
    tables = small(
        [site("a"), site("b", 23_000)],
        [rule("SOL-04", 2)],
        [cell("a", "SOL-04", "infirmier", 4), cell("b", "SOL-04", "comptable", 1)],
    )
    proposal = solve_situation_program(tables, ModelSituation({"a": CLOSED}))
    assert [(gap.count, _codes(gap)) for gap in proposal.idle] == [(4, ["R5", "no_telework"])]


def test_only_people_of_desk_work_telework_for_others() -> None:
    def helped(needs_desk: bool) -> SolvedProposal:
        tables = small(
            [site("a"), site("b", 500)],
            [
                rule("SOL-04", 2, tele_pct=100),
                rule("RHF-01", 3, release_pct=100, needs_desk=needs_desk),
            ],
            [cell("a", "SOL-04", "infirmier", 1, 1), cell("b", "RHF-01", "infirmier", 5)],
        )
        return solve_situation_program(
            tables,
            ModelSituation(
                {"a": SiteCapacityState(0, 0, False), "b": SiteCapacityState(100, 100, False)}
            ),
        )

    assert _unmet(helped(True)) == []
    assert _unmet(helped(False)) == [("infirmier", 1)]


def test_a_pole_gives_one_in_twenty_before_another_is_asked_from_farther_away() -> None:
    tables = small(
        [site("a"), site("b", 200), site("c", 4_000)],
        [rule("SOL-04", 2), rule("RHF-01", 3, release_pct=100), rule("LOG-01", 3, release_pct=100)],
        [
            cell("a", "SOL-04", "infirmier", 3, 3),
            cell("b", "RHF-01", "infirmier", 40),
            cell("c", "LOG-01", "infirmier", 40),
        ],
    )
    proposal = solve_situation_program(tables, ModelSituation({"a": NOBODY}))
    assert {line.key.activity: line.count for line in proposal.lines} == {"RHF-01": 2, "LOG-01": 1}


def test_the_graver_need_comes_first() -> None:
    tables = small(
        [site("a"), site("b", 500)],
        [rule("SOL-04", 1), rule("SOL-08", 3), rule("RHF-01", 3, release_pct=100)],
        [
            cell("a", "SOL-04", "infirmier", 2, 2),
            cell("a", "SOL-08", "infirmier", 2, 2),
            cell("b", "RHF-01", "infirmier", 2),
        ],
    )
    proposal = solve_situation_program(tables, ModelSituation({"a": NOBODY}))
    assert [line.key.need_activity for line in proposal.lines] == ["SOL-04"]
    assert [(g.activity, g.count) for g in proposal.unmet] == [("SOL-08", 2)]
    assert "taken" in _codes(proposal.unmet[0])


# ── what was approved ──────────────────────────────────────────────────────────────────────────────────────────────


def _two_hosts() -> ReferenceTables:
    return small(
        [site("a"), site("b", 500), site("c", 3_000)],
        [rule("SOL-04", 2)],
        [
            cell("a", "SOL-04", "infirmier", 4, 4),
            cell("b", "SOL-04", "comptable", 1),
            cell("c", "SOL-04", "comptable", 1),
        ],
    )


def _line(place: str, count: int, *, approved: bool = True) -> PreviousLine:
    first = solve_situation_program(_two_hosts(), ModelSituation({"a": CLOSED})).lines[0].key
    return PreviousLine(
        type(first)(*(*[getattr(first, f) for f in first.__slots__][:-1], place)), count, approved
    )


def test_an_approved_line_stays_although_a_nearer_host_is_free() -> None:
    proposal = solve_situation_program(
        _two_hosts(), ModelSituation({"a": CLOSED}), (_line("c", 3),)
    )
    assert {line.key.place: (line.count, line.approved_count) for line in proposal.lines} == {
        "b": (1, 0),
        "c": (3, 3),
    }


def test_an_approved_line_stays_where_new_ones_would_not_go() -> None:
    proposal = solve_situation_program(
        _two_hosts(),
        ModelSituation({"a": CLOSED, "c": SiteCapacityState(100, 100, False)}),
        (_line("c", 3),),
    )
    assert {line.key.place: line.count for line in proposal.lines} == {"b": 1, "c": 3}
    assert proposal.unmet == ()


def test_an_approved_line_is_void_when_its_host_loses_seats() -> None:
    proposal = solve_situation_program(
        _two_hosts(),
        ModelSituation({"a": CLOSED, "c": SiteCapacityState(100, 50, False)}),
        (_line("c", 3),),
    )
    assert [(k.before, k.count) for k in proposal.kept_lines] == [(3, 0)]
    assert {line.key.place for line in proposal.lines} == {"b"}


def test_an_approved_line_shrinks_to_the_agents_that_remain() -> None:
    proposal = solve_situation_program(
        _two_hosts(), ModelSituation({"a": SiteCapacityState(50, 0, False)}), (_line("c", 3),)
    )
    assert [(k.before, k.count) for k in proposal.kept_lines] == [(3, 2)]


def test_a_seen_line_weighs_but_does_not_bind() -> None:
    stays = solve_situation_program(
        _two_hosts(), ModelSituation({"a": CLOSED}), (_line("c", 3, approved=False),)
    )
    assert {line.key.place: line.count for line in stays.lines} == {"b": 1, "c": 3}
    assert stays.objective["K"] == 0
    gone = solve_situation_program(
        _two_hosts(),
        ModelSituation({"a": CLOSED, "c": SiteCapacityState(100, 100, False)}),
        (_line("c", 3, approved=False),),
    )
    assert {line.key.place for line in gone.lines} == {"b"}
    assert gone.objective["K"] == 0, "a line that is no longer admissible is no loss"


def test_a_seen_line_beside_an_approved_one_weighs_beyond_it() -> None:
    stays = solve_situation_program(
        _two_hosts(), ModelSituation({"a": CLOSED}), (_line("c", 1), _line("c", 2, approved=False))
    )
    assert {line.key.place: (line.count, line.approved_count) for line in stays.lines} == {
        "b": (1, 0),
        "c": (3, 1),
    }
    assert stays.objective["K"] == 0
    proposal = solve_situation_program(
        _two_hosts(),
        ModelSituation({"a": CLOSED, "c": SiteCapacityState(100, 100, False)}),
        (_line("c", 1), _line("c", 2, approved=False)),
    )
    assert {line.key.place: line.count for line in proposal.lines} == {"b": 3, "c": 1}
    assert proposal.objective["K"] == 0, (
        "no new line may go there: the two are no longer admissible"
    )


def test_the_tie_break_hashes_the_keys_of_the_model() -> None:
    tables = small(
        [site("a")], [rule("SOL-04", 2, tele_pct=100)], [cell("a", "SOL-04", "infirmier", 10, 6)]
    )
    proposal = solve_situation_program(
        tables, ModelSituation({"a": CLOSED}), (), SolveOptions(SolveChoice(tie_break=True))
    )
    keys = {"a|SOL-04|infirmier|d|a|SOL-04|infirmier|tele": 6, "a|SOL-04|infirmier|own|tele": 4}
    assert proposal.objective["H"] == sum(
        n * (1 + int.from_bytes(sha256(key.encode()).digest()[:2], "big"))
        for key, n in keys.items()
    )


def test_spare_agents_of_a_closing_site_keep_their_approved_line() -> None:
    tables = small(
        [site("a"), site("b", 500), site("c", 1_000)],
        [rule("SOL-04", 2), rule("RHF-01", 3, release_pct=100)],
        [cell("a", "SOL-04", "infirmier", 2, 2), cell("b", "RHF-01", "infirmier", 4)],
    )
    first = solve_situation_program(
        tables, ModelSituation({"a": NOBODY, "b": SiteCapacityState(100, 100, False)})
    )
    assert [line.key.supply for line in first.lines] == ["r"]
    later = solve_situation_program(
        tables,
        ModelSituation({"a": NOBODY, "b": CLOSED}),
        tuple(PreviousLine(line.key, line.count, True) for line in first.lines),
    )
    assert [(k.before, k.count) for k in later.kept_lines] == [(2, 2)]
    assert [line.key.supply for line in later.lines if not line.key.own_work] == ["d"]
