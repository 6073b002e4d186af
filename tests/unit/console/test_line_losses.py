"""Losses of transport lines: communes with fewer lines or none, their sites and agents. D130."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import alerts as a
from schemas import reference as ref
from schemas.words import Certainty, EventType, MsgType, ReportState
from services.console.dependencies.access import (
    BELIEVED_FOR_MS,
    find_interrupted_lines,
    find_served_communes,
    list_activity_access,
)
from services.console.dependencies.drawing import CascadeNode, draw_list
from services.console.dependencies.losses import EvaluatedLoss, LossEvaluator
from services.console.dependencies.network import (
    DependencyNetwork,
    LostResource,
    PresentState,
    ResourceKind,
)
from services.console.dependencies.page import build_cascade
from services.console.dependencies.resources import DependencyLoss
from services.console.i18n import get_translator
from services.console.texts.names import TerritoryNames
from tests.shipped import territory
from tests.unit.console.held import browsing
from tests.unit.console.test_dependency_pages import flag, read
from tests.unit.console.test_every_screen import START, realm, shown

RER_A, RER_E, LINE_L, LINE_U = "C01742", "C01729", "C01740", "C01741"
RUEIL, NANTERRE, AVRAY = "92063", "92050", "92077"


@cache
def network() -> DependencyNetwork:
    return DependencyNetwork.of(territory().sections)


def lose(*lines: str, present: PresentState | None = None) -> EvaluatedLoss:
    lost = [LostResource(ResourceKind.LINE, line) for line in lines]
    return LossEvaluator(network(), present or PresentState()).evaluate(*lost)


def list_lines() -> list[LostResource]:
    return [one for one in network().list_resources() if one.kind is ResourceKind.LINE]


def test_a_lost_line_leaves_a_commune_without_a_line_and_others_with_fewer() -> None:
    loss = lose(RER_A)
    (rueil,) = [one for one in loss.communes if one.is_cut_off]
    assert (rueil.insee, rueil.lost, rueil.left) == (RUEIL, (RER_A,), ())
    assert set(rueil.sites) == {s.id for s in territory().sites if s.commune == RUEIL}
    assert rueil.staff == sum(s.staff for s in territory().sites if s.commune == RUEIL)
    nanterre = next(one for one in loss.communes if one.insee == NANTERRE)
    assert RER_A not in nanterre.left
    assert RER_E in nanterre.left
    assert loss.communes[0] == rueil


def test_a_lost_line_stops_no_activity_and_calls_for_no_plan() -> None:
    loss = lose(RER_A, RER_E)
    assert (loss.hit, loss.roles, loss.plans) == ((), (), ())
    assert loss.counts


def test_two_lines_cut_off_a_commune_together() -> None:
    evaluator = LossEvaluator(network())
    pairs = evaluator.rank_pairs(list_lines(), 50, together=True)
    losses_by_pair = {
        tuple(one.id for one in loss.resources): loss.together for loss in pairs.worst
    }
    assert losses_by_pair[LINE_L, LINE_U] == (AVRAY,)
    for lines, together in losses_by_pair.items():
        alone = {c.insee for line in lines for c in lose(line).communes if c.is_cut_off}
        assert alone.isdisjoint(together)


def test_a_pair_is_never_better_than_each_of_its_lines() -> None:
    for loss in LossEvaluator(network()).rank_pairs(list_lines(), 500).worst:
        for one in loss.resources:
            alone = lose(one.id)
            assert loss.rank < alone.rank
            assert {c.insee for c in alone.communes} <= {c.insee for c in loss.communes}


def test_lines_are_ranked_by_agents_without_a_line_then_with_fewer() -> None:
    ranked = LossEvaluator(network()).rank_single(list_lines(), 100).worst
    keys = [
        (
            sum(c.staff for c in loss.communes if c.is_cut_off),
            sum(len(c.sites) for c in loss.communes if c.is_cut_off),
            sum(c.staff for c in loss.communes),
        )
        for loss in ranked
    ]
    assert keys == sorted(keys, reverse=True)
    assert len(ranked) == len(network().lines)
    assert [one.id for one in ranked[0].resources] == [RER_A]


def test_a_loss_that_stops_an_activity_ranks_before_every_line() -> None:
    resources = network().list_resources()
    ranked = LossEvaluator(network()).rank_single(resources, len(resources)).worst
    kinds = [loss.resources[0].kind is ResourceKind.LINE for loss in ranked if loss.stops]
    assert not any(kinds)
    first = next(n for n, loss in enumerate(ranked) if loss.communes)
    assert all(loss.communes for loss in ranked[first:])


def test_a_line_adds_nothing_to_a_resource_of_another_kind() -> None:
    """All lines beside every eighth other resource: all pairs take ten times as long."""
    resources = list(network().list_resources())
    lines = [one for one in resources if one.kind is ResourceKind.LINE]
    others = [one for one in resources if one.kind is not ResourceKind.LINE]
    pairs = LossEvaluator(network()).rank_pairs([*lines, *others[::8]], 20_000)
    mixed = [
        loss
        for loss in pairs.worst
        if len({one.kind is ResourceKind.LINE for one in loss.resources}) == 2
    ]
    assert (mixed, pairs.total > 0) == ([], True)


@settings(max_examples=60)
@given(st.data())
def test_every_commune_is_counted_once_and_its_lines_add_up(data: st.DataObject) -> None:
    lines = sorted(network().lines)
    lost = set(data.draw(st.lists(st.sampled_from(lines), max_size=4)))
    out = set(data.draw(st.lists(st.sampled_from(lines), max_size=4)))
    communes = find_served_communes(network(), lost, out)
    assert len({one.insee for one in communes}) == len(communes)
    for one in communes:
        serving = {id for id, line in network().lines.items() if one.insee in line.communes} - out
        assert set(one.lost) == serving & lost != set()
        assert set(one.left) == serving - lost
    larger = find_served_communes(network(), set(lines), out)
    assert {one.insee for one in communes} <= {one.insee for one in larger}
    access = list_activity_access(network(), communes)
    assert all(0 <= x.cut_staff <= x.staff and x.cut_sites <= x.sites for x in access)
    agents = {site: sum(by.values()) for site, by in network().agents.items()}
    assert sum(x.staff for x in access) == sum(
        agents.get(site, 0) for one in communes for site in one.sites
    )


def make_report(**changes: object) -> a.ReportRow:
    values: dict[str, object] = {
        "id": "r1",
        "state": ReportState.APPLIED,
        "confirmation": "confirmed",
        "source": "idfm-disruptions",
        "type": EventType.INFO,
        "severity": 3,
        "certainty": Certainty.CONFIRMED,
        "msg_type": MsgType.ALERT,
        "occurred_at": START,
        "recorded_at": START,
        "measure": {"object": f"line:IDFM:{RER_A}|line:IDFM:C09999"},
    }
    return a.ReportRow.model_validate(values | changes)


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, {RER_A}),
        ({"type": EventType.TRANSPORT_DISRUPTION}, {RER_A}),
        ({"severity": 2}, set()),
        ({"confirmation": "unconfirmed"}, set()),
        ({"msg_type": MsgType.CANCEL}, set()),
        ({"flags": ("cancelled",)}, set()),
        ({"flags": ("superseded",)}, set()),
        ({"occurred_at": START - BELIEVED_FOR_MS - 60_000}, set()),
        ({"expected_end": START + 30_000}, set()),
        ({"expected_end": START + 120_000}, {RER_A}),
        ({"effective": ({"start": START + 120_000},)}, set()),
        ({"effective": ({"start": START, "end": START + 60_000},)}, set()),
        ({"effective": ({"start": START, "end": START + 120_000},)}, {RER_A}),
        ({"measure": None}, set()),
        ({"measure": {"object": "line:SNCF:A"}}, set()),
        ({"type": EventType.FIRE}, set()),
    ],
)
def test_only_a_standing_confirmed_report_interrupts_a_line(
    changes: dict[str, object], lines: set[str]
) -> None:
    report = make_report(**changes)
    assert find_interrupted_lines(network(), {}, [report], START + 60_000) == lines


def test_no_line_runs_while_the_network_is_down() -> None:
    row = a.FlagRow.model_validate(flag("network:transit", "down"))
    down = find_interrupted_lines(network(), {row.id: row}, [], START)
    assert down == network().lines.keys()


def test_a_line_that_is_interrupted_already_is_no_next_loss() -> None:
    present = PresentState(lines=frozenset({LINE_L}))
    evaluator = LossEvaluator(network(), present)
    ranked = evaluator.rank_single(list_lines(), 100).worst
    assert LINE_L not in {loss.resources[0].id for loss in ranked}
    assert AVRAY in {c.insee for c in lose(LINE_U, present=present).communes if c.is_cut_off}
    assert lose(LINE_L, present=present).communes == ()


def test_a_territory_without_lines_says_that_they_are_not_modelled() -> None:
    sections = [s for s in territory().sections if not isinstance(s, ref.TransportLines)]
    without = DependencyNetwork.of(sections)
    assert all(one.kind is not ResourceKind.LINE for one in without.list_resources())
    assert not without.knows(LostResource(ResourceKind.LINE, RER_A))


async def test_the_api_gives_communes_agents_and_activities_of_a_line() -> None:
    loss = await read(realm(), f"/cascade?lost=line:{RER_A}")
    assert loss["resources"][0]["name"] == "RER A"
    first = loss["communes"][0]
    assert (first["name"], first["lost"], first["left"]) == ("Rueil-Malmaison", ["RER A"], [])
    assert first["cut_off"]
    assert first["activities"]
    cut = [one["id"] for one in loss["access"] if one["cut_agents"]]
    assert sorted(cut) == sorted(first["activities"])
    assert (loss["stopped"], loss["activities"]) == (0, [])


async def test_the_api_starts_from_the_lines_that_reports_interrupt() -> None:
    realm_state = realm()
    realm_state.put("reports", make_report(measure={"object": f"line:IDFM:{LINE_L}"}).model_dump())
    loss = await read(realm_state, f"/cascade?lost=line:{LINE_U}")
    assert "Ville-d'Avray" in {one["name"] for one in loss["communes"] if one["cut_off"]}
    assert (await read(realm_state, f"/cascade?lost=line:{LINE_L}"))["resources"][0]["down"]


async def test_the_api_ranks_lines_and_pairs_of_lines() -> None:
    ranking = await read(realm(), "?kind=line&limit=5")
    assert ranking["items"][0]["resources"][0]["id"] == f"line:{RER_A}"
    assert ranking["not_modelled"] == []
    pairs = await read(realm(), "?kind=line&n=2&together=true&limit=50")
    together = {one for loss in pairs["items"] for one in loss["together"]}
    assert "Boulogne-Billancourt sans ligne" in together


async def test_the_page_names_the_communes_of_a_lost_line() -> None:
    browser, _ = browsing(realm())
    text = await shown(browser, f"/dependances?ressource=line:{RER_A}&avec=line:{RER_E}")
    assert "Perte : RER E et RER A" in text
    assert "Plus aucune ligne : Rueil-Malmaison (13 sites, 141 agents)" in text
    assert "une ligne interrompue ne ferme aucun site" in text.lower()
    assert "Lignes restantes" in text
    english = await shown(browser, f"/dependances?ressource=line:{RER_A}", lang="en")
    assert "No line left: Rueil-Malmaison (13 sites, 141 agents)" in english


def find_node(nodes: tuple[CascadeNode, ...], text: str) -> CascadeNode:
    return next(node for node in nodes if node.texts[0] == text)


async def test_the_drawing_joins_a_commune_to_its_own_lines_and_to_all_its_poles() -> None:
    answer = await read(realm(), f"/cascade?lost=line:{RER_A}&lost=line:{RER_E}")
    names = TerritoryNames.of(territory().sections)
    loss = DependencyLoss.model_validate(answer)
    cascade = build_cascade(loss, names, get_translator("fr"))
    assert find_node(cascade.failures, "Rueil-Malmaison").causes == (f"line:{RER_A}",)
    assert len(find_node(cascade.failures, "Nanterre").causes) == 2
    assert len(cascade.poles) > 1
    box = next(b for b in draw_list(cascade).boxes if b.lines[0].text == "Rueil-Malmaison")
    assert box.lines[-1].text.count(",") >= 1
