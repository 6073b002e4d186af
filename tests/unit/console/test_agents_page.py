"""«Où je travaille demain ?» tells groups of decisions, and never tells one person apart (D97)."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.alerts import SiteRow
from schemas.continuity import PlanRow
from schemas.reassignment import ACTIVE_LINE_STATES, LineState, ReassignmentRow
from schemas.reference import Staffing
from schemas.words import PlanState, SiteStatus
from services.console.public.agents import (
    SMALLEST_GROUP,
    AgentsDocument,
    build_agents_document,
    lets_agents_leave_shelter,
    list_changed_sites,
    render_agents_page,
    render_answered_page,
    render_answers,
    sends_to_barred_site,
)
from tests.shipped import territory
from tests.unit.console.held import reference
from tests.unit.console.test_public import AT, cause, row

NAMES = reference().names
SECTIONS = territory().sections
CELLS = next(one for one in SECTIONS if isinstance(one, Staffing)).cells
STAFF: dict[tuple[str, str], int] = {}
for cell in CELLS:
    STAFF[cell.site, cell.metier] = STAFF.get((cell.site, cell.metier), 0) + cell.staff
GROUPS = sorted(key for key, count in STAFF.items() if count)
BIG = next(key for key in GROUPS if STAFF[key] >= 8 and NAMES.sites[key[0]].vulnerable_public < 3)
SMALL = next(key for key in GROUPS if STAFF[key] < SMALLEST_GROUP)
PLACES = [id for id in sorted(NAMES.sites) if NAMES.sites[id].vulnerable_public < 3]
HOST, OTHER = [id for id in PLACES if id != BIG[0]][:2]


def line(group: tuple[str, str], count: int, place: str = HOST, **values: Any) -> ReassignmentRow:
    return ReassignmentRow(
        **{
            "id": f"l-{place}",
            "site": group[0],
            "activity": "SOL-01",
            "metier": group[1],
            "supply": "displaced",
            "place": place,
            "count": count,
            "criticality": 1,
            "minutes": 25,
            "proposal": "p",
            "decision": "d",
            "state": LineState.DISPATCHED,
            "needed": count,
            "approved_by": "person-1",
            "approved_role": "directeur_pole",
            "approved_at": AT,
            "rules": (),
            "starts_at": AT + 3_600_000,
        }
        | values
    )


def document(
    *lines: ReassignmentRow,
    rows: tuple[SiteRow, ...] = (),
    plans: tuple[PlanRow, ...] = (),
    barred: frozenset[str] = frozenset(),
    **about: Any,
) -> AgentsDocument:
    values = {"territory": "Hauts-de-Seine", "exercise": False, "as_of": AT} | about
    by_site = {one.id: one for one in rows}
    return build_agents_document(NAMES, SECTIONS, by_site, lines, plans, barred, **values)


def read(one: AgentsDocument, group: tuple[str, str]) -> str:
    page = unescape(render_answered_page(one, "fr", *group)).replace("\u00a0", " ")
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.partition("<form")[0]))


def test_a_whole_group_reads_where_from_when_and_how_long() -> None:
    text = read(document(line(BIG, STAFF[BIG])), BIG)
    assert "Vous êtes concerné : vous travaillez ailleurs." in text
    assert f"Lieu : {NAMES.site(HOST)}, {NAMES.sites[HOST].commune_name}." in text
    assert re.search(r"À partir du \w+ \d+ \w+ \d{4} à \d\d:\d\d\.", text)
    assert "Trajet : environ 25 min." in text
    assert "appelez votre responsable de site" in text


def test_a_part_of_a_group_asks_its_manager() -> None:
    text = read(document(line(BIG, 4)), BIG)
    assert "Une partie des agents est concernée." in text
    assert "Sans message de votre responsable, rien ne change pour vous." in text


def test_a_group_at_home_has_no_way() -> None:
    text = read(document(line(BIG, STAFF[BIG], "telework")), BIG)
    assert "Lieu : à domicile." in text
    assert "Trajet" not in text


@pytest.mark.parametrize("state", [state for state in LineState if state not in ACTIVE_LINE_STATES])
def test_lines_without_an_order_have_no_effect(state: LineState) -> None:
    one = document(line(BIG, STAFF[BIG], state=state))
    assert one.concerned == ()
    assert "Rien n’est annoncé pour vous" in read(one, BIG)


def test_a_place_of_fewer_than_three_is_not_named() -> None:
    text = read(document(line(BIG, 5), line(BIG, 2, OTHER)), BIG)
    assert NAMES.site(HOST) in text
    assert NAMES.site(OTHER) not in text
    assert "Un autre lieu est possible" in text


def test_a_place_of_children_in_care_is_named_neither_as_a_host_nor_as_a_way_out() -> None:
    home = next(site.id for site in NAMES.sites.values() if site.kind == "protection_enfance")
    text = read(document(line(BIG, STAFF[BIG], home)), BIG)
    assert NAMES.site(home) not in text
    assert "Un autre lieu est possible" in text
    group = next(key for key in GROUPS if key[0] == home and STAFF[key] >= SMALLEST_GROUP)
    assert NAMES.site(HOST) not in read(document(line(group, STAFF[group])), group)


def test_agents_do_not_go_to_a_place_under_an_order() -> None:
    text = read(document(line(BIG, STAFF[BIG]), barred=frozenset({HOST})), BIG)
    assert f"Lieu : {NAMES.site(HOST)}" in text
    assert "N’y allez pas. Attendez l’appel de votre responsable de site." in text
    assert "À partir d" not in text


@pytest.mark.parametrize("moved", [0, 4])
def test_agents_of_a_site_in_the_area_of_an_order_do_not_work_as_usual(moved: int) -> None:
    lines = [line(BIG, moved)] if moved else []
    text = read(document(*lines, barred=frozenset({BIG[0]})), BIG)
    assert "N’allez pas à votre site. Attendez l’appel de votre responsable de site." in text
    assert "Rien n’est annoncé" not in text
    assert "rien ne change pour vous" not in text


def test_agents_of_a_sheltering_site_are_not_sent_away_from_it() -> None:
    """They read «vous travaillez ailleurs, dès maintenant» in the shelter."""
    moves = line(BIG, STAFF[BIG])
    before = document(moves)
    inside = frozenset({BIG[0]})
    after = document(moves, barred=inside, sheltering_sites=inside)
    assert "restez à l’abri, ne partez pas avant la fin du confinement" in read(after, BIG)
    assert "restez à l’abri" not in read(before, BIG)
    assert lets_agents_leave_shelter(before, inside)
    assert not lets_agents_leave_shelter(after, inside)


def test_a_published_page_that_lets_agents_go_to_a_place_under_an_order_is_found() -> None:
    before = document(line(BIG, STAFF[BIG]))
    assert not sends_to_barred_site(before, frozenset(), NAMES)
    for barred in (frozenset({HOST}), frozenset({OTHER})):
        assert sends_to_barred_site(before, barred, NAMES)
        after = document(line(BIG, STAFF[BIG]), barred=barred)
        assert not sends_to_barred_site(after, barred, NAMES)


def test_a_closed_site_under_an_order_stays_closed() -> None:
    closed = row(BIG[0], SiteStatus.EVACUATED, cause(SiteStatus.EVACUATED))
    text = read(document(rows=(closed,), barred=frozenset({BIG[0]})), BIG)
    assert "Votre site est fermé." in text


def test_a_closed_site_never_says_that_nothing_changes() -> None:
    closed = row(BIG[0], SiteStatus.CLOSED, cause(SiteStatus.CLOSED))
    assert "rien ne change" not in read(document(line(BIG, 4), rows=(closed,)), BIG)


def test_a_small_group_reads_the_answer_of_its_site_under_any_order() -> None:
    quiet = read(document(), SMALL)
    assert read(document(line(SMALL, STAFF[SMALL])), SMALL) == quiet
    big_here = next(key for key in GROUPS if key[0] != SMALL[0] and STAFF[key] >= 8)
    neighbour = next(k for k in GROUPS if k[0] == big_here[0] and k != big_here)
    both = document(line(big_here, 5), line(neighbour, min(2, STAFF[neighbour])))
    without = document(line(big_here, 5))
    assert read(both, neighbour) == read(without, neighbour)


def test_a_confirmed_closure_and_a_plan_of_the_pole_count() -> None:
    closed = document(rows=(row(BIG[0], SiteStatus.CLOSED, cause(SiteStatus.CLOSED)),))
    assert "Ce site est fermé : n’y allez pas." in read(closed, BIG)
    doubtful = row(BIG[0], SiteStatus.CLOSED, cause(SiteStatus.CLOSED, contested=True))
    assert document(rows=(doubtful,)).concerned == ()
    pole = NAMES.sites[BIG[0]].pole
    values = {"id": "PCA", "pole": pole, "decides": "directeur_pole"}
    active = document(plans=(PlanRow(state=PlanState.ACTIVE, **values),))
    assert "plan de continuité de votre pôle est activé" in read(active, BIG)
    assert document(plans=(PlanRow(state=PlanState.PROPOSED, **values),)).concerned == ()


LINES = st.builds(
    lambda group, part, place, state: line(
        group, max(1, round(STAFF[group] * part)), place, state=state
    ),
    st.sampled_from(GROUPS),
    st.sampled_from((0.1, 0.5, 1.0)),
    st.sampled_from([HOST, OTHER, "telework"]),
    st.sampled_from(LineState),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(LINES, max_size=30))
def test_no_answer_depends_on_fewer_than_three_agents(lines: list[ReassignmentRow]) -> None:
    """A group with an answer of its own has three moving agents, and each of its places three."""
    one = document(*lines)
    active = [x for x in lines if x.state in ACTIVE_LINE_STATES and x.place != x.site]
    for site in one.concerned:
        moved = sum(x.count for x in active if x.site == site.id)
        assert not site.is_moved or moved >= SMALLEST_GROUP
        for group in site.groups:
            own = [x for x in active if (x.site, x.metier) == (site.id, group.metier)]
            assert sum(x.count for x in own) >= SMALLEST_GROUP
            assert STAFF[site.id, group.metier] >= SMALLEST_GROUP
            by_place = {
                place: sum(x.count for x in own if x.place == place) for place in (HOST, OTHER)
            }
            destinations = {d.place for d in group.destinations if d.place}
            small = {place for place, count in by_place.items() if count < SMALLEST_GROUP}
            assert not destinations & {
                f"{NAMES.site(id)}, {NAMES.sites[id].commune_name}" for id in small
            }
    text = " ".join(render_answers(one, "fr").values())
    assert "agents" not in re.sub(r"des agents|les agents", "", text), "no count"
    assert "person-1" not in text


def test_the_form_offers_all_sites_and_job_families_without_a_name() -> None:
    page = render_agents_page(document(exercise=True), "fr")
    assert page.count("<option") == len(NAMES.sites) + len(NAMES.metiers) + 2
    assert "EXERCICE" in page
    assert "<script" not in page
    assert 'type="text"' not in page


def test_changed_answers_wait_for_a_publication() -> None:
    before, now = document(), document(line(BIG, 4))
    assert list_changed_sites(before, now) == [BIG[0]]
    assert list_changed_sites(now, now) == []
    assert list_changed_sites(None, now) == [BIG[0]]
