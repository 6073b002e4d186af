"""Orders for an area that change: withdrawn, denied, announced, opposed, late or merged (D102)."""

from itertools import permutations
from typing import Any

import pytest

from schemas.commands import ConfirmReport, DenyReport, MergeIncidents, ResolveIncident
from schemas.reports import Window
from schemas.runtime import CommandApplied
from schemas.words import Answer, Certainty, EventType, MsgType
from tests.unit.alerts.scene import Scene
from tests.unit.alerts.test_area_orders import (
    CELL,
    COMMUNE,
    answer,
    calls,
    complete,
    inside,
    order,
    row,
    settle,
    site_orders,
    task,
)

OTHER_COMMUNE = "92004"
"""Asnières-sur-Seine."""
OPPOSITE = [("evacuation", "shelter_in_place"), ("shelter_in_place", "evacuation")]
STATUS = {"evacuation": "evacuated", "shelter_in_place": "sheltering"}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def asked(scene: Scene, site: str) -> list[str]:
    return [str(call.values["order"]) for call in calls(scene, site)]


def update_by_other(scene: Scene, minute: float, first: str, **fields: Any) -> str:
    """Report another area for an order of the prefecture, from another source."""
    return order(
        scene,
        minute,
        zone=(OTHER_COMMUNE,),
        source="commune",
        msg_type=MsgType.UPDATE,
        references=(first,),
        **fields,
    )


# ── versions of an order ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["withdrawn", "denied"])
def test_the_area_before_a_withdrawn_update_of_another_source_is_asked_again(
    scene: Scene, how: str
) -> None:
    """The commune took its own word back; the sites that the prefecture named heard «fin»."""
    here, there = inside(scene)[0], inside(scene, OTHER_COMMUNE)[0]
    first = order(scene, 1)
    wrong = update_by_other(scene, 5, first)
    assert asked(scene, here) == ["evacuated", "lifted"]
    if how == "withdrawn":
        order(scene, 9, source="commune", msg_type=MsgType.CANCEL, references=(wrong,))
    else:
        scene.command(DenyReport(**CELL, report=wrong), 9)
    settle(scene, 9.1)
    assert (row(scene).report, row(scene).communes) == (first, (COMMUNE,))
    assert asked(scene, here) == ["evacuated", "lifted", "evacuated"]
    assert task(scene, here).state == "open"
    assert asked(scene, there) == ["evacuated", "lifted"]
    (cause,) = [c for c in scene.state.causes.values() if c.site is None]
    assert (cause.reports, cause.contested) == ((first,), True)


def test_a_yes_to_a_withdrawn_update_ends_and_the_yes_before_it_holds_again(scene: Scene) -> None:
    here, there = inside(scene)[0], inside(scene, OTHER_COMMUNE)[0]
    first = order(scene, 1)
    complete(scene, 2, here, "concerned")
    wrong = update_by_other(scene, 5, first)
    complete(scene, 6, there, "concerned")
    assert (scene.status(here), scene.status(there)) == ("normal", "evacuated")
    order(scene, 9, source="commune", msg_type=MsgType.CANCEL, references=(wrong,))
    settle(scene, 9.1)
    assert (scene.status(here), scene.status(there)) == ("evacuated", "normal")
    assert site_orders(scene, there) == ["evacuated", "lifted"]
    assert asked(scene, there) == ["evacuated"]


def test_an_update_of_an_update_moves_the_same_order(scene: Scene) -> None:
    """Each version named the one before it, and the second area was never released."""
    first = order(scene, 1)
    second = order(scene, 5, zone=(OTHER_COMMUNE,), msg_type=MsgType.UPDATE, references=(first,))
    order(scene, 9, zone=("92025",), msg_type=MsgType.UPDATE, references=(second,))
    settle(scene, 9.1)
    assert row(scene).communes == ("92025",)
    assert asked(scene, inside(scene, OTHER_COMMUNE)[0]) == ["evacuated", "lifted"]
    assert asked(scene, inside(scene, "92025")[0]) == ["evacuated"]


@pytest.mark.parametrize("arrival", list(permutations((1, 2, 3))))
def test_a_chain_of_updates_is_one_order_in_any_order_of_arrival(
    scene: Scene, arrival: tuple[int, ...]
) -> None:
    """The version between two others came last, and its old area was asked beside the newest."""
    communes = {1: COMMUNE, 2: OTHER_COMMUNE, 3: "92025"}
    for minute, version in enumerate(arrival, start=10):
        follows: dict[str, Any] = {}
        if version > 1:
            follows = {"msg_type": MsgType.UPDATE, "references": (f"version-{version - 1}",)}
        place = (communes[version],)
        id = f"version-{version}"
        order(scene, minute, id=id, occurred=version, zone=place, **follows)
        settle(scene, minute + 0.1)
    (standing,) = [o for o in scene.state.area_orders.values() if o.ended_at is None]
    assert standing.communes == ("92025",)
    for version in (1, 2):
        assert asked(scene, inside(scene, communes[version])[0]) in ([], ["evacuated", "lifted"])
    (cause,) = [c for c in scene.state.causes.values() if c.lifted_at is None]
    assert cause.since == scene.at(1)
    order(scene, 20, msg_type=MsgType.CANCEL, references=("version-1",))
    settle(scene, 20.1)
    assert not [c for c in scene.state.causes.values() if c.lifted_at is None]


@pytest.mark.parametrize("arrival", list(permutations((1, 2, 3))))
def test_a_confirmed_update_answers_for_all_versions_before_it(
    scene: Scene, arrival: tuple[int, ...]
) -> None:
    for minute, version in enumerate(arrival, start=10):
        follows: dict[str, Any] = {}
        if version > 1:
            follows = {"msg_type": MsgType.UPDATE, "references": (f"version-{version - 1}",)}
        certainty = Certainty.CONFIRMED if version == 3 else Certainty.UNCONFIRMED
        id = f"version-{version}"
        order(scene, minute, id=id, occurred=version, certainty=certainty, **follows)
    verifications = [t for t in scene.state.tasks.values() if t.kind == "verify_report"]
    assert not [t for t in verifications if t.state == "open"]


def test_an_update_of_another_sender_does_not_answer_for_a_version_before(scene: Scene) -> None:
    """The commune replaced the word of an agent that nobody had verified; the agent still waits."""
    doubtful = {"certainty": Certainty.UNCONFIRMED}
    order(scene, 1, id="first", source="agent", **doubtful)
    follows = {"msg_type": MsgType.UPDATE, "references": ("first",)}
    order(scene, 2, id="second", source="commune", **follows, **doubtful)
    follows = {"msg_type": MsgType.UPDATE, "references": ("second",)}
    order(scene, 3, source="commune", **follows)
    asked_reports = [
        t.report
        for t in scene.state.tasks.values()
        if (t.kind, t.state) == ("verify_report", "open")
    ]
    assert asked_reports == ["first"]


def test_an_unconfirmed_update_moves_the_order_once_it_is_confirmed(scene: Scene) -> None:
    there = inside(scene, OTHER_COMMUNE)[0]
    doubtful = update_by_other(scene, 5, order(scene, 1), certainty=Certainty.UNCONFIRMED)
    assert (row(scene).communes, asked(scene, there)) == ((COMMUNE,), [])
    scene.command(ConfirmReport(**CELL, report=doubtful), 7)
    settle(scene, 7.1)
    assert (row(scene).communes, asked(scene, there)) == ((OTHER_COMMUNE,), ["evacuated"])


@pytest.mark.parametrize("withdrawn", ["first", "update"])
def test_an_order_that_comes_after_its_update_asks_no_site_and_ends_with_it(
    scene: Scene, withdrawn: str
) -> None:
    """D3: the older version gives the begin alone. It asked the streets of before, for good."""
    here, there = inside(scene)[0], inside(scene, OTHER_COMMUNE)[0]
    order(
        scene,
        5,
        id="update",
        zone=(OTHER_COMMUNE,),
        msg_type=MsgType.UPDATE,
        references=("first",),
    )
    order(scene, 9, id="first", occurred=1)
    settle(scene, 9.1)
    assert (asked(scene, here), asked(scene, there)) == ([], ["evacuated"])
    assert len(scene.incidents()) == 1
    order(scene, 12, msg_type=MsgType.CANCEL, references=(withdrawn,))
    settle(scene, 12.1)
    assert row(scene).ended_at == scene.at(12)
    assert asked(scene, there) == ["evacuated", "lifted"]


def test_an_order_that_comes_after_its_update_raises_no_value_of_it(scene: Scene) -> None:
    zone = (OTHER_COMMUNE,)
    values: dict[str, Any] = {
        "msg_type": MsgType.UPDATE,
        "references": ("first",),
        "persons_concerned": 200,
    }
    order(scene, 5, zone=zone, **values)
    order(scene, 9, id="first", occurred=1, persons_concerned=500)
    (cause,) = scene.state.causes.values()
    assert (cause.persons, cause.since) == (200, scene.at(1))


def test_an_update_of_a_danger_that_is_denied_leaves_the_word_of_the_other(scene: Scene) -> None:
    """D3: the fire of the firefighters ended with the mistaken Update of an agent."""
    site = inside(scene)[0]
    first = scene.report(1, "fire", site, severity=4, source="pompiers")
    wrong = scene.report(
        5,
        "fire",
        site,
        severity=4,
        source="agent",
        msg_type=MsgType.UPDATE,
        references=(first,),
    )
    scene.command(DenyReport(**CELL, report=wrong), 9)
    (cause,) = scene.site(site).causes
    assert (scene.status(site), cause.contested, cause.sources) == (
        "evacuated",
        True,
        ("pompiers",),
    )


def test_an_update_without_a_place_leaves_the_communes_of_the_order(scene: Scene) -> None:
    first = order(scene, 1)
    scene.report(
        5,
        "evacuation",
        None,
        severity=5,
        source="prefecture",
        msg_type=MsgType.UPDATE,
        references=(first,),
    )
    assert row(scene).communes == (COMMUNE,)
    order(scene, 9, "reopening", severity=1, lifts=(EventType.EVACUATION,))
    assert row(scene).ended_at == scene.at(9)


def test_a_reopening_that_names_the_order_and_no_commune_ends_it(scene: Scene) -> None:
    first = order(scene, 1)
    lifts = (EventType.EVACUATION,)
    scene.report(9, "reopening", source="prefecture", lifts=lifts, references=(first,))
    assert row(scene).ended_at == scene.at(9)


# ── time ──────────────────────────────────────────────────────────────────────────────────────────


def test_an_announced_order_asks_in_its_windows_alone(scene: Scene) -> None:
    yes, silent = inside(scene)[:2]
    windows = tuple(
        Window(start=scene.at(start), end=scene.at(end)) for start, end in ((10, 20), (40, 60))
    )
    order(scene, 1, effective=windows)
    settle(scene, 9)
    assert not calls(scene)
    settle(scene, 11)
    complete(scene, 12, yes, "concerned")
    assert (scene.status(yes), asked(scene, silent)) == ("evacuated", ["evacuated"])
    settle(scene, 21)
    assert (scene.status(yes), task(scene, silent).outcome) == ("normal", "over")
    assert not row(scene).barred
    settle(scene, 41)
    assert {task(scene, site).state for site in (yes, silent)} == {"open"}
    settle(scene, 61)
    assert row(scene).ended_at == scene.at(60)


@pytest.mark.parametrize("type", ["evacuation", "shelter_in_place"])
def test_an_order_announced_at_the_site_itself_does_not_answer_for_it_yet(
    scene: Scene, type: str
) -> None:
    site = inside(scene)[0]
    later = (Window(start=scene.at(60), end=scene.at(120)),)
    scene.report(0, type, site, severity=4, source="pompiers", effective=later)
    order(scene, 1)
    assert asked(scene, site) == ["evacuated"]
    assert task(scene, site).state == "open"


# ── opposite orders ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("type", "opposite"), OPPOSITE)
def test_a_later_opposite_order_at_the_site_answers_until_it_ends(
    scene: Scene, type: str, opposite: str
) -> None:
    site = inside(scene)[0]
    order(scene, 1, type)
    scene.report(5, opposite, site, severity=4, source="pompiers")
    assert task(scene, site).outcome == "ordered"
    assert scene.status(site) == STATUS[opposite]
    settle(scene, 6)
    assert asked(scene, site) == [STATUS[type]]
    scene.report(9, "reopening", site, lifts=(EventType(opposite),), source="pompiers")
    settle(scene, 9.1)
    assert asked(scene, site) == [STATUS[type], STATUS[type]]


@pytest.mark.parametrize(("type", "opposite"), OPPOSITE)
@pytest.mark.parametrize("occurred", [1, 5])
def test_an_opposite_order_at_the_site_that_is_not_later_answers_for_nothing(
    scene: Scene, type: str, opposite: str, occurred: float
) -> None:
    """D5: of two of the very same time, the one heard of last stands."""
    site = inside(scene)[0]
    scene.report(1, opposite, site, severity=4, source="pompiers")
    order(scene, 5, type, occurred=occurred)
    assert asked(scene, site) == [STATUS[type]]


@pytest.mark.parametrize(("type", "opposite"), OPPOSITE)
def test_an_earlier_opposite_order_that_comes_late_leaves_the_question(
    scene: Scene, type: str, opposite: str
) -> None:
    site = inside(scene)[0]
    order(scene, 5, type)
    scene.report(9, opposite, site, occurred=2, severity=4, source="pompiers")
    assert task(scene, site).state == "open"


@pytest.mark.parametrize(("type", "opposite"), OPPOSITE)
def test_overlapping_opposite_orders_ask_each_site_about_the_later_one(
    scene: Scene, type: str, opposite: str
) -> None:
    yes, no = inside(scene)[:2]
    there = inside(scene, OTHER_COMMUNE)[0]
    order(scene, 1, type)
    complete(scene, 2, yes, "concerned")
    complete(scene, 2, no, "not_concerned")
    order(scene, 5, opposite, zone=(COMMUNE, OTHER_COMMUNE), source="commune")
    settle(scene, 5.1)
    assert [asked(scene, site)[-1] for site in (yes, no, there)] == [STATUS[opposite]] * 3
    complete(scene, 6, yes, "concerned")
    complete(scene, 6, no, "concerned")
    assert {scene.status(site) for site in (yes, no)} == {STATUS[opposite]}
    order(
        scene,
        10,
        "reopening",
        severity=1,
        lifts=(EventType(opposite),),
        zone=(COMMUNE, OTHER_COMMUNE),
    )
    settle(scene, 10.1)
    assert scene.status(no) == "normal"
    assert asked(scene, there) == [STATUS[opposite], "lifted"]
    is_back = scene.status(yes) == STATUS[type] or task(scene, yes).state == "open"
    assert is_back, "the first order still holds there"


@pytest.mark.parametrize("type", ["evacuation", "shelter_in_place"])
def test_an_order_that_ends_for_one_of_its_communes_holds_until_the_last_ends(
    scene: Scene, type: str
) -> None:
    here, there = inside(scene)[0], inside(scene, OTHER_COMMUNE)[0]
    order(scene, 1, type, zone=(COMMUNE, OTHER_COMMUNE))
    complete(scene, 2, here, "concerned")
    for minute, commune in ((5, COMMUNE), (8, OTHER_COMMUNE)):
        assert scene.status(here) == STATUS[type]
        assert task(scene, there).state == "open"
        lifts = (EventType(type),)
        order(scene, minute, "reopening", severity=1, lifts=lifts, zone=(commune,))
        settle(scene, minute + 0.1)
    assert scene.status(here) == "normal"
    assert task(scene, there).outcome == "over"


# ── the end of a part ─────────────────────────────────────────────────────────────────────────────

DRAWN = ("cen-1", "par-12", "par-13")
"""Two sites of Nanterre and one of Rueil-Malmaison."""


def reopen(scene: Scene, minute: float, first: str, **place: Any) -> None:
    lifts = (EventType.EVACUATION,)
    order(scene, minute, "reopening", severity=1, lifts=lifts, references=(first,), **place)
    settle(scene, minute + 0.1)


def lift_questions(scene: Scene) -> list[str]:
    return [t.state.value for t in scene.state.tasks.values() if t.kind == "lift_which"]


@pytest.mark.parametrize("zone", [(), ("92050", "92064")])
def test_a_reopening_of_one_commune_leaves_a_drawn_order_in_force(
    scene: Scene, zone: tuple[str, ...]
) -> None:
    """People in the rest of the area heard «fin»."""
    first = order(scene, 1, zone=zone, sites=DRAWN)
    reopen(scene, 9, first, zone=("92050",))
    assert row(scene).ended_at is None
    assert asked(scene, "par-13") == ["evacuated"]
    assert lift_questions(scene) == ["open"]
    reopen(scene, 15, first, zone=("92064",))
    assert row(scene).ended_at == scene.at(15)
    assert lift_questions(scene) == ["void"]


@pytest.mark.parametrize("zone", [(), ("92050",)])
def test_a_drawn_reopening_ends_an_order_only_with_all_its_sites(
    scene: Scene, zone: tuple[str, ...]
) -> None:
    """The commune of one street that reopened ended the order for the other streets."""
    first = order(scene, 1, zone=("92050",), sites=DRAWN[:2])
    reopen(scene, 9, first, zone=zone, sites=DRAWN[:1])
    assert row(scene).ended_at is None
    assert lift_questions(scene) == ["open"]
    reopen(scene, 15, first, zone=zone, sites=DRAWN[:2])
    assert row(scene).ended_at == scene.at(15)


def test_a_drawn_reopening_ends_no_order_for_the_whole_commune(scene: Scene) -> None:
    first = order(scene, 1, zone=("92050",))
    reopen(scene, 9, first, zone=("92050",), sites=DRAWN[:2])
    assert row(scene).ended_at is None


# ── incidents ─────────────────────────────────────────────────────────────────────────────────────


def test_questions_of_a_merged_incident_go_on_and_end_with_the_other(scene: Scene) -> None:
    yes, silent = inside(scene)[:2]
    first = scene.incident_of(order(scene, 1)).id
    other = scene.incident_of(scene.report(2, "fire", "cen-1", severity=4, source="pompiers")).id
    merge = MergeIncidents(**CELL, reason="text:x", incident=first, into=other)
    assert isinstance(scene.command(merge, 3), CommandApplied)
    complete(scene, 4, yes, "concerned")
    assert scene.status(yes) == "evacuated"
    assert yes in scene.state.incidents[other].members
    settle(scene, 12)
    assert len(calls(scene, silent)) == 2, "the deputy is called all the same"
    close = ResolveIncident(**CELL, reason="text:x", incident=other, force=True)
    assert isinstance(scene.command(close, 20), CommandApplied)
    assert task(scene, silent).outcome == "closed"


# ── times ─────────────────────────────────────────────────────────────────────────────────────────

ONE_SITE: dict[str, Any] = {"zone": ("92050",), "sites": ("par-12",)}


@pytest.mark.parametrize(
    ("type", "site", "lifted"),
    [("closure", "par-12", 8), ("fire", "cen-1", 8), ("shelter_in_place", "par-12", 3)],
    ids=["closure", "other_site", "ended_before"],
)
def test_a_yes_counts_from_the_order(scene: Scene, type: str, site: str, lifted: int) -> None:
    """Only a later order at the site itself had taken its place."""
    scene.report(0, type, site, severity=4, source="pompiers")
    end = {"severity": 1, "lifts": (EventType(type),), "source": "pompiers"}
    if lifted < 5:
        scene.report(lifted, "reopening", site, **end)
    order(scene, 5, **ONE_SITE)
    if lifted > 5:
        scene.report(lifted, "reopening", site, **end)
    answer(scene, 10, calls(scene, "par-12")[0], Answer.ACK)
    assert [cause.since for cause in scene.site("par-12").causes] == [scene.at(5)]


def test_a_yes_after_a_no_counts_from_the_order_too(scene: Scene) -> None:
    order(scene, 1, **ONE_SITE)
    (call,) = calls(scene, "par-12")
    for minute, word in enumerate((Answer.ACK, Answer.DECLINE, Answer.ACK), 2):
        answer(scene, minute, call, word)
    assert [cause.since for cause in scene.site("par-12").causes] == [scene.at(1)]


def test_the_order_at_a_site_ends_with_the_time_of_its_end(scene: Scene) -> None:
    report = order(scene, 1, **ONE_SITE)
    answer(scene, 2, calls(scene, "par-12")[0], Answer.ACK)
    end = {"severity": 1, "lifts": (EventType.EVACUATION,), "references": (report,), **ONE_SITE}
    scene.report(20, "reopening", occurred=15, source="prefecture", **end)
    settle(scene, 25)
    causes = [cause for cause in scene.state.causes.values() if cause.site == "par-12"]
    assert [cause.lifted_at for cause in causes] == [scene.at(15)]


def test_the_end_of_an_earlier_order_leaves_the_question_about_the_later_one(scene: Scene) -> None:
    first = order(scene, 1, **ONE_SITE)
    order(scene, 5, "shelter_in_place", **ONE_SITE)
    question = task(scene, "par-12")
    cancel = {"msg_type": MsgType.CANCEL, "references": (first,), **ONE_SITE}
    scene.report(8, "evacuation", severity=5, source="prefecture", **cancel)
    settle(scene, 9)
    assert task(scene, "par-12") == question, "nobody is asked again"
    assert question.state == "open"
