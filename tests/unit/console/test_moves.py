"""Screens show orders of reassignment by count, with the one next step (D58)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.reassignment import (
    TRAVEL_MINUTES_KEY,
    LineState,
    ProposalRow,
    ProposalState,
    ReassignmentRow,
)
from services.console.i18n import get_translator
from services.console.read_model.shapes import Shaper
from services.console.reassignment.page import (
    ReassignmentView,
    build_reassignment_view,
    group_lines,
    list_quality_figures,
    list_site_orders,
)
from services.console.resources import Proposal, ReassignmentLine
from tests.unit.console.held import browsing, outlines, reference
from tests.unit.console.test_every_screen import REALM, START, crisis, realm, shown, site

_ = get_translator("fr")
NOW = datetime(2027, 2, 11, 10, tzinfo=UTC)
SHAPER = Shaper("92", reference(), outlines(), "fr")


def line(
    id: str,
    count: int,
    needed: int,
    state: LineState = LineState.DISPATCHED,
    metier: str = "agent_accueil",
    place: str = "sst-01",
    **changes: Any,
) -> ReassignmentLine:
    shown_line = SHAPER.reassignment(
        ReassignmentRow(
            id=id,
            site="cen-1",
            activity="RHF-01",
            metier=metier,
            supply="displaced",
            need_site="sst-01",
            need_activity="SOL-01",
            need_metier=metier,
            place=place,
            count=count,
            criticality=1,
            proposal="p",
            decision="d",
            state=state,
            needed=needed,
            approved_by="x",
            approved_role="director",
            approved_at=0,
            rules=(),
        )
    )
    return shown_line.model_copy(update=changes)


def proposal_of(lines: list[ReassignmentLine], at: datetime, **changes: Any) -> Proposal:
    """Return the open proposal `q` of this time with these lines."""
    row = ProposalRow(
        id="q",
        number=2,
        state=ProposalState.OPEN,
        reference="r",
        requested_at=0,
        computed_at=int(at.timestamp() * 1000),
        sites_hit=1,
        elapsed_h=1,
        transit=True,
        telework=True,
        demand=9,
        lines=len(lines),
        agents=9,
    )
    return SHAPER.proposal(row.model_copy(update=changes)).model_copy(update={"lines": lines})


def view_of(proposal: Proposal | None, lines: list[ReassignmentLine]) -> ReassignmentView:
    proposals = [proposal] if proposal is not None else []
    return build_reassignment_view(proposals, proposal, lines, [], NOW, reference().names, _)


REFUSED_AT = NOW - timedelta(minutes=20)
LATER = NOW - timedelta(minutes=10)


def refused_line(**changes: Any) -> ReassignmentLine:
    refusal = {"ended_at": REFUSED_AT, "changed_by": "x", "reason": "plus de place"}
    return line("l-1", 4, 4, LineState.REFUSED, **(refusal | changes))


@pytest.mark.parametrize("state", [LineState.DISPATCHED, LineState.ACCEPTED, LineState.ARRIVED])
def test_unneeded_agents_go_back_without_arriving_first(state: LineState) -> None:
    moved_lines = [line("l-1", 4, 0, state), line("l-2", 6, 6, state)]
    usual = {
        LineState.DISPATCHED: "accept",
        LineState.ACCEPTED: "arrive",
        LineState.ARRIVED: "release",
    }[state]
    groups = group_lines(moved_lines, _)
    assert {(tuple(g.ids), g.still, g.next) for g in groups} == {
        (("l-1",), "plus nécessaires", "release"),
        (("l-2",), "", usual),
    }
    orders = list_site_orders("cen-1", moved_lines, _)
    assert {(tuple(o.ids), o.still, o.next) for o in orders} == {
        (("l-1",), "plus nécessaires", "release"),
        (("l-2",), "", usual),
    }
    assert len({g.key for g in groups}) == len({o.key for o in orders}) == 2


def test_a_refused_order_says_so() -> None:
    refused = line("l-1", 4, 4, LineState.REFUSED)
    (group,) = group_lines([refused], _)
    assert (group.state_text, group.next) == ("ordre refusé", "")


def test_a_refused_order_names_its_reason_and_its_replacement() -> None:
    instead = line("l-2", 5, 5, LineState.PROPOSED, place="cen-2", proposal="q", approved_at=None)
    view = view_of(proposal_of([instead], LATER), [refused_line()])
    (refusal,) = view.refusals
    assert (refusal.at, refusal.by, refusal.reason) == (REFUSED_AT, "x", "plus de place")
    assert refusal.replacement.startswith("À la place\u00a0: agent d’accueil (5), ")
    assert refusal.replacement.endswith(", à décider")
    assert view.void == view.blocked == []


def test_help_for_another_need_replaces_no_refused_order() -> None:
    other = line("l-2", 5, 5, LineState.PROPOSED, need_site="sst-02", approved_at=None)
    (refusal,) = view_of(proposal_of([other], LATER), [refused_line()]).refusals
    assert refusal.replacement == "La proposition n° 2 ne donne rien à la place."


def test_a_refused_order_waits_for_the_next_proposal() -> None:
    before = REFUSED_AT - timedelta(minutes=5)
    (refusal,) = view_of(proposal_of([], before), [refused_line()]).refusals
    assert refusal.replacement == "Une autre proposition suit."
    (refusal,) = view_of(None, [refused_line()]).refusals
    assert refusal.replacement == ""
    (refusal,) = view_of(proposal_of([], LATER, demand=0), [refused_line()]).refusals
    assert refusal.replacement == "", "nobody misses these agents any more"


def test_a_refusal_of_another_day_is_not_shown() -> None:
    assert view_of(None, [refused_line(ended_at=NOW - timedelta(days=2))]).refusals == []


def test_a_move_refused_after_its_proposal_cannot_be_chosen() -> None:
    """One such line among those that are ticked refused the approval of all."""
    same = line("l-2", 5, 5, LineState.PROPOSED, approved_at=None)
    other = line("l-3", 6, 6, LineState.PROPOSED, place="cen-2", approved_at=None)
    before = REFUSED_AT - timedelta(minutes=5)
    view = view_of(proposal_of([same, other], before), [refused_line()])
    assert [group.ids for group in view.vital] == [["l-3"]]
    assert [(group.ids, group.state_text) for group in view.blocked] == [(["l-2"], "ordre refusé")]
    assert view.undecided == 1
    again = line("l-4", 3, 3, LineState.ARRIVED)
    assert view_of(proposal_of([same], before), [refused_line(), again]).blocked == [], (
        "another order still makes this move"
    )


def test_an_order_lists_its_moves_so_that_one_can_be_refused() -> None:
    lines = [line("l-1", 4, 4), line("l-2", 1, 1, metier="cuisinier")]
    (group,) = group_lines(lines, _)
    (order,) = list_site_orders("cen-1", lines, _)
    assert group.moves == order.moves
    assert [move.id for move in group.moves] == ["l-1", "l-2"]
    assert group.moves[0].text.startswith("agent d’accueil (4), ")
    assert "(< 3)" in group.moves[1].text


def test_an_unneeded_order_has_no_period_and_asks_for_the_return() -> None:
    times = {"starts_at": NOW, "dispatched_at": NOW}
    needed, unneeded = line("l-1", 4, 4, **times), line("l-2", 4, 0, **times)
    assert [bool(group.period) for group in group_lines([needed], _)] == [True]
    assert [group.period for group in group_lines([unneeded], _)] == [""]
    (order,) = list_site_orders("cen-1", [unneeded], _)
    assert (order.period, order.is_over, order.next) == ("", True, "release")
    assert view_of(None, [needed, unneeded]).unneeded == 4


def test_returned_agents_stay_on_the_page_for_a_day() -> None:
    returned = line("l-1", 4, 0, LineState.RELEASED, ended_at=LATER)
    (group,) = view_of(None, [returned]).returned
    assert (group.state_text, group.agents) == ("de retour", 4)


async def test_the_page_shows_orders_without_a_proposal_and_refuses_one_move() -> None:
    """After the end of a crisis the orders that were still open stood nowhere."""
    realm_state = crisis()
    for n, state in enumerate(("dispatched", "dispatched", "refused"), start=1):
        realm_state.put("reassignments", _row(n, state))
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/reaffectation?realm={REALM}")).text
    assert page.count('formaction="/api/v1/reassignments/l-') == 2
    assert "Refuser cet ordre" in page
    assert "Ordres refusés" in page
    reader = (await browser.get(f"/reaffectation?realm={REALM}", role="observer")).text
    assert "Ordres refusés" in reader
    assert "/refuse" not in reader


async def test_the_report_counts_the_agents_without_a_place_as_the_page_does() -> None:
    """The report counted 97, the page 101 and nothing said that these are two things."""
    realm_state = crisis()
    absent = site("clg-0921353W", type="staff_shortage", effect="degraded", loss_pct=50)
    realm_state.put("sites", absent | {"status": "degraded"})
    row = {
        "id": "p-1",
        "number": 3,
        "state": "open",
        "reference": "r",
        "requested_at": START,
        "computed_at": START,
        "sites_hit": 1,
        "elapsed_h": 1,
        "transit": True,
        "telework": True,
        "displaced": 101,
    }
    realm_state.put("proposals", row)
    browser, _ = browsing(realm_state)
    assert "101 agents sans place de travail" in await shown(browser, "/reaffectation")
    report = await shown(browser, "/sitrep")
    assert "Agents sans place de travail, d’après la proposition n° 3 101" in report
    assert "Agents des sites fermés, évacués ou confinés 11" in report
    assert "Postes de bureau perdus 14" in report
    staff = reference().sites["clg-0921353W"].staff
    assert f"Agents absents, d’après les signalements des sites {round(staff / 2)}" in report


async def test_a_director_reads_the_own_lines_first_and_the_number_of_others() -> None:
    """After the approval of the own lines the page said «941 agents à décider», with its button."""
    realm_state = crisis()
    row = {
        "id": "p-1",
        "number": 1,
        "state": "open",
        "reference": "r",
        "requested_at": START,
        "computed_at": START,
        "sites_hit": 1,
        "elapsed_h": 1,
        "transit": True,
        "telework": True,
        "demand": 9,
        "lines": 2,
        "agents": 9,
    }
    realm_state.put("proposals", row)
    lines = [
        {
            "id": f"l-{activity}",
            "site": "cen-1",
            "activity": activity,
            "metier": "agent_accueil",
            "supply": "releasable",
            "need_site": place,
            "need_activity": activity,
            "need_metier": "agent_accueil",
            "place": place,
            "count": count,
            "criticality": 1,
        }
        for activity, place, count in (("EDU-01", "clg-0921353W", 5), ("SOL-01", "sst-01", 4))
    ]
    realm_state.put(
        "proposal_lines", {"id": "p-1/0", "proposal": "p-1", "part": 0, "lines": tuple(lines)}
    )
    browser, _ = browsing(realm_state)

    async def read(role: str) -> str:
        return (await browser.get(f"/reaffectation?realm={REALM}", role=role)).text

    page = await read("director@pole:solidarites")
    assert "4 agents à décider" in page.replace("\u00a0", " ")
    assert "5 autres attendent" in page.replace("\u00a0", " ")
    assert "(R6)" not in page, "the code of a rule tells a director nothing"
    assert page.index('data-key="v-') < page.index('name="lines"'), "the first row is the own one"
    page = await read("director@pole:communication")
    assert "Rien à décider pour vous." in page
    assert "Approuver la sélection" not in page


def _row(n: int, state: str) -> dict[str, Any]:
    return {
        "id": f"l-{n}",
        "site": "pmi-01",
        "activity": "SOL-01",
        "metier": ("agent_accueil", "cuisinier", "puericultrice")[n - 1],
        "supply": "releasable",
        "need_site": "sst-01",
        "need_activity": "SOL-01",
        "need_metier": "agent_accueil",
        "place": "sst-01",
        "count": 4,
        "criticality": 1,
        "proposal": "p-1",
        "decision": "d-1",
        "state": state,
        "needed": 4,
        "approved_by": "dgs",
        "approved_role": "director",
        "approved_at": START,
        "dispatched_at": START,
        "ended_at": START if state == "refused" else None,
        "by": "dgs",
        "rules": ["D49"],
    }


def test_fewer_than_three_agents_are_not_itemised_even_across_metiers() -> None:
    """Two lines of one agent each: « 2 » would say that each is one."""
    moved_lines = [
        line("l-1", 1, 1),
        line("l-2", 1, 0, metier="cadre"),
        line("l-3", 1, 1, metier="cuisinier"),
    ]
    assert (
        {g.agents_text for g in group_lines(moved_lines, _)}
        == {o.agents_text for o in list_site_orders("cen-1", moved_lines, _)}
        == {"< 3"}
    )
    (partly,) = group_lines([line("l-1", 6, 1)], _)
    assert partly.still == "< 3 encore nécessaires"


def test_the_co2_of_a_partly_approved_proposal_is_one_figure() -> None:
    """The head showed the new lines, the list of qualities all: « 40 kg » beside « 1 415 kg »."""
    row = ProposalRow(
        id="p",
        number=2,
        state=ProposalState.OPEN,
        reference="r",
        requested_at=0,
        computed_at=0,
        sites_hit=1,
        elapsed_h=1,
        transit=True,
        telework=True,
        objective={"C": 1_415_385},
        lines=1,
        agents=4,
        kept=97,
    )
    proposal = SHAPER.proposal(row).model_copy(update={"lines": [line("l-1", 4, 4)]})
    view = build_reassignment_view([proposal], proposal, [], [], NOW, reference().names, _)
    assert (
        [f.value for f in list_quality_figures(proposal, _) if f.name.startswith("CO₂")]
        == [view.kg]
        == [1415]
    )


def test_the_minutes_of_travel_count_travelling_people_only() -> None:
    """Level D holds 60 minutes for each agent beyond a pôle's share, without a journey."""
    row = ProposalRow(
        id="p",
        number=2,
        state=ProposalState.OPEN,
        reference="r",
        requested_at=0,
        computed_at=0,
        sites_hit=1,
        elapsed_h=1,
        transit=True,
        telework=True,
        objective={"D": 5428 + 7 * 60, TRAVEL_MINUTES_KEY: 5428},
        lines=1,
        agents=4,
    )
    proposal = SHAPER.proposal(row)
    assert [f.value for f in list_quality_figures(proposal, _) if f.name.startswith("Trajets")] == [
        5428
    ]
    before = proposal.model_copy(update={"objective": {"D": 5848}})
    assert not [f for f in list_quality_figures(before, _) if f.name.startswith("Trajets")], (
        "of an older proposal nobody knows them"
    )


async def test_before_the_first_proposal_the_page_makes_no_claim_about_places() -> None:
    """The planner may be at work, away, or have failed: sites are hit all the same."""
    browser, _ = browsing(crisis())
    page = await shown(browser, "/reaffectation")
    assert (
        "1 site a perdu des postes ou des agents. Aucune proposition n’est encore arrivée" in page
    )
    assert "Recalculer" in page
    assert "Aucun site ne manque" not in page
    quiet, _ = browsing(realm())
    assert "Aucun site ne manque" in await shown(quiet, "/reaffectation")


def test_an_undecided_line_counts_its_unneeded_agents_elsewhere() -> None:
    moved_lines = [
        line("l-1", 6, 6, LineState.PROPOSED).model_copy(update={"recalled": 4, "held": 0}),
        line("l-2", 5, 5, LineState.PROPOSED, metier="cadre").model_copy(
            update={"recalled": 1, "held": 3}
        ),
    ]
    (group,) = group_lines(moved_lines, _)
    assert (
        group.idle_text
        == "5 rappelés d’où ils ne servent plus, 3 encore ailleurs, à libérer d’abord"
    )
    assert group_lines([line("l-1", 6, 6, LineState.PROPOSED)], _)[0].idle_text == "", (
        "of a proposal that does not say nobody knows"
    )
    assert (
        group_lines([moved_lines[0].model_copy(update={"state": LineState.DISPATCHED})], _)[
            0
        ].idle_text
        == ""
    ), "it is decided"
