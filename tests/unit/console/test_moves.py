"""Screens show orders of reassignment by count, with the one next step (D58)."""

from __future__ import annotations

from datetime import UTC, datetime

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
    build_reassignment_view,
    group_lines,
    list_quality_figures,
    list_site_orders,
)
from services.console.resources import ReassignmentLine
from tests.unit.console.held import browsing, outlines, reference
from tests.unit.console.test_every_screen import crisis, realm, shown

_ = get_translator("fr")
NOW = datetime(2027, 2, 11, 10, tzinfo=UTC)
SHAPER = Shaper("92", reference(), outlines(), "fr")


def line(
    id: str,
    count: int,
    needed: int,
    state: LineState = LineState.DISPATCHED,
    metier: str = "agent_accueil",
) -> ReassignmentLine:
    return SHAPER.reassignment(
        ReassignmentRow(
            id=id,
            site="cen-1",
            activity="RHF-01",
            metier=metier,
            supply="displaced",
            need_site="sst-01",
            need_activity="SOL-01",
            need_metier=metier,
            place="sst-01",
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
    assert (group.state_text, group.next) == ("refusée par le site", "")


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
        [f["value"] for f in list_quality_figures(proposal, _) if str(f["name"]).startswith("CO₂")]
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
    assert [
        f["value"]
        for f in list_quality_figures(proposal, _)
        if str(f["name"]).startswith("Trajets")
    ] == [5428]
    before = proposal.model_copy(update={"objective": {"D": 5848}})
    assert not [
        f for f in list_quality_figures(before, _) if str(f["name"]).startswith("Trajets")
    ], "of an older proposal nobody knows them"


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
