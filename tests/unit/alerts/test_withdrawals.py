"""Withdrawals speak for their sender alone, in any order of arrival (D3, D5, D7)."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from schemas.calling import AnswerReceived, NotificationPlanned
from schemas.commands import DenyReport
from schemas.reports import Window
from schemas.words import Answer, Certainty, EventType, MsgType
from tests.unit.alerts.scene import Scene

COLLEGE, PMI = "clg-0921353W", "pmi-04"
FIRE: dict[str, Any] = {"severity": 4}
CANCEL, UPDATE = MsgType.CANCEL, MsgType.UPDATE


@pytest.fixture
def scene() -> Scene:
    return Scene()


def templates(scene: Scene) -> set[str]:
    return {f.template for f in scene.facts if isinstance(f, NotificationPlanned)}


def tasks(scene: Scene) -> dict[str, str]:
    return {t.kind: t.state.value for t in scene.state.tasks.values()}


@pytest.mark.parametrize("type", ["fire", "evacuation", "gas_leak", "shelter_in_place"])
@pytest.mark.parametrize("order", list(permutations(range(3)))[:3])
def test_a_withdrawal_leaves_the_danger_that_others_saw(
    scene: Scene, type: str, order: tuple[int, ...]
) -> None:
    """The manager takes the own report back; the firefighters stand by theirs, early or late."""
    reports = (
        {"id": "first", "occurred": 0, **FIRE},
        {"id": "other", "occurred": 3, "source": "pompiers", **FIRE},
        {"id": "back", "occurred": 6, "msg_type": CANCEL, "references": ("first",), **FIRE},
    )
    for n, report in enumerate(order):
        scene.report(7 + n, type, COLLEGE, **reports[report])
    (cause,) = scene.site(COLLEGE).causes
    assert (cause.type.value, cause.sources, cause.contested) == (type, ("pompiers",), True)
    assert scene.incident_of("other").danger
    assert tasks(scene)["contested"] == "open"


def test_people_in_charge_do_not_turn_back_from_a_danger_of_others(scene: Scene) -> None:
    first = scene.report(0, "fire", COLLEGE, **FIRE)
    scene.report(3, "fire", COLLEGE, source="pompiers", **FIRE)
    call = next(f for f in scene.named(NotificationPlanned) if f.answer_expected)
    scene.feed(
        AnswerReceived(
            notification=call.notification,
            person=call.person,
            answer=Answer.ACK,
            channel="app",
            at=scene.at(4),
        ),
        at=scene.at(4),
    )
    scene.report(6, "fire", COLLEGE, msg_type=CANCEL, references=(first,), **FIRE)
    scene.step(8)
    assert "report_withdrawn" not in templates(scene)
    assert (scene.status(COLLEGE), scene.site(COLLEGE).confinement) == ("evacuated", "counting")
    assert tasks(scene)["headcount"] == "open"


def test_a_denial_leaves_the_older_danger_that_others_report_late(scene: Scene) -> None:
    wrong = scene.report(0, "fire", COLLEGE, **FIRE)
    scene.command(DenyReport(author="coord-pca", role="coordinator", report=wrong), 5)
    assert scene.status(COLLEGE) == "normal"
    late = scene.report(8, "fire", COLLEGE, occurred=3, source="pompiers", **FIRE)
    assert scene.status(COLLEGE) == "evacuated"
    assert scene.incident_of(late).danger


def test_a_denial_by_another_source_ends_the_danger_for_all(scene: Scene) -> None:
    """The firefighters deny the fire that two people of the site reported."""
    first = scene.report(0, "fire", COLLEGE, **FIRE)
    scene.report(1, "fire", COLLEGE, source="agent", **FIRE)
    scene.report(6, "fire", COLLEGE, source="pompiers", msg_type=CANCEL, references=(first,))
    assert scene.status(COLLEGE) == "normal"


@pytest.mark.parametrize("names", [("first",), ("first", "second")])
def test_a_third_source_cannot_withdraw_the_danger_that_two_others_reported(
    scene: Scene, names: tuple[str, ...]
) -> None:
    """D3, D5: the operator is no authority, and takes back its own word alone."""
    scene.report(0, "fire", COLLEGE, id="first", **FIRE)
    scene.report(1, "fire", COLLEGE, id="second", source="agent", **FIRE)
    scene.report(6, "fire", COLLEGE, source="operateur", msg_type=CANCEL, references=names)
    (cause,) = scene.site(COLLEGE).causes
    assert (scene.status(COLLEGE), cause.contested) == ("evacuated", True)
    assert set(cause.sources) == {"site_manager", "agent"}
    assert scene.incident_of("first").danger
    assert not any("cancelled" in scene.state.reports[name].flags for name in names)
    assert tasks(scene)["contested"] == "open"
    assert "report_withdrawn" not in templates(scene)


def test_a_withdrawal_takes_the_own_danger_and_contests_that_of_the_other(scene: Scene) -> None:
    scene.report(0, "fire", COLLEGE, id="own", **FIRE)
    scene.report(1, "fire", COLLEGE, id="other", source="agent", **FIRE)
    scene.report(6, "fire", COLLEGE, msg_type=CANCEL, references=("own", "other"), **FIRE)
    (cause,) = scene.site(COLLEGE).causes
    assert (cause.sources, cause.contested) == (("agent",), True)
    assert "cancelled" in scene.state.reports["own"].flags
    assert "cancelled" not in scene.state.reports["other"].flags


def test_a_relay_withdraws_its_danger_under_any_source(scene: Scene) -> None:
    """A coordinator typed the call of the firefighters; an agent saw the same fire."""
    relayed = {"source_key": "coord", **FIRE}
    scene.report(0, "fire", COLLEGE, id="call", source="pompiers", **relayed)
    scene.report(1, "fire", COLLEGE, id="other", source="agent", source_key="agent-1", **FIRE)
    scene.report(
        6, "fire", COLLEGE, source="cellule", msg_type=CANCEL, references=("call",), **relayed
    )
    (cause,) = scene.site(COLLEGE).causes
    assert (cause.sources, cause.contested) == (("agent",), True)
    assert "cancelled" in scene.state.reports["call"].flags


def test_a_third_source_leaves_the_question_about_an_unconfirmed_danger(scene: Scene) -> None:
    """D6: a person is asked whether it burns; somebody else's Cancel answers nothing."""
    scene.report(0, "fire", COLLEGE, id="seen", certainty=Certainty.UNCONFIRMED, **FIRE)
    scene.report(3, "fire", COLLEGE, source="operateur", msg_type=CANCEL, references=("seen",))
    assert tasks(scene)["verify_report"] == "open"
    assert scene.state.reports["seen"].confirmation == "unconfirmed"


def test_a_withdrawn_reopening_restores_a_danger_that_came_late(scene: Scene) -> None:
    reopening = scene.report(3, "reopening", PMI, severity=1, lifts=(EventType.FIRE,))
    late = scene.report(4, "fire", PMI, occurred=0, source="pompiers", **FIRE)
    assert scene.status(PMI) == "normal"
    scene.report(6, "reopening", PMI, severity=1, msg_type=CANCEL, references=(reopening,))
    assert scene.status(PMI) == "evacuated"
    assert scene.incident_of(late).over_since is None


def test_an_update_of_a_reopening_ends_nothing_else(scene: Scene) -> None:
    """The power is back; then a fire breaks out, and the word on the power is corrected."""
    scene.report(0, "outage_power", PMI)
    reopening = scene.report(3, "reopening", PMI, severity=1, lifts=(EventType.OUTAGE_POWER,))
    scene.report(5, "fire", PMI, source="pompiers", **FIRE)
    scene.report(9, "reopening", PMI, severity=1, msg_type=UPDATE, references=(reopening,))
    assert scene.status(PMI) == "evacuated"


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_newest_of_two_updates_counts_in_any_order(
    scene: Scene, order: tuple[int, ...]
) -> None:
    """Both Updates name the first report, which may come last."""
    reports = (
        {"id": "first", "occurred": 0, "severity": 2},
        {"id": "worse", "occurred": 3, "severity": 4, "msg_type": UPDATE, "references": ("first",)},
        {"id": "less", "occurred": 6, "severity": 2, "msg_type": UPDATE, "references": ("first",)},
    )
    for n, report in enumerate(order):
        scene.report(7 + n, "outage_power", PMI, **reports[report])
    assert [c.severity for c in scene.site(PMI).causes] == [2]


def test_an_update_of_an_unknown_reopening_lifts_nothing_by_itself(scene: Scene) -> None:
    """The reopening itself comes later: it may be about another trouble than the only open one."""
    scene.report(0, "gas_leak", PMI, source="pompiers", **FIRE)
    update = {"msg_type": UPDATE, "references": ("later",)}
    scene.report(5, "reopening", PMI, severity=1, **update)
    assert [c.type.value for c in scene.site(PMI).causes] == ["gas_leak"]
    assert tasks(scene)["lift_which"] == "open"


AREA: dict[str, Any] = {"type": "evacuation", "zone": ("92050",), "severity": 4}


@pytest.mark.parametrize(
    ("first", "updates"),
    [
        ({"source": "prefecture"}, {"source": "pompiers"}),
        ({"source": "prefecture", "site": PMI}, {"source": "prefecture"}),
        ({"source": "prefecture", "type": "outage_water"}, {"source": "prefecture"}),
    ],
    ids=["sender", "site", "type"],
)
def test_a_late_update_ends_no_report_that_it_does_not_replace(
    scene: Scene, first: dict[str, Any], updates: dict[str, Any]
) -> None:
    """The newest Update came before it: only earlier versions of the same trouble join."""
    scene.report(10, id="first", occurred=0, **AREA | first)
    chain = AREA | updates | {"msg_type": UPDATE}
    scene.report(11, id="newest", occurred=6, references=("late",), **chain)
    scene.report(12, id="late", occurred=3, references=("first",), **chain)
    causes = {cause.reports[0]: cause.lifted_at for cause in scene.state.causes.values()}
    assert causes == {"first": None, "newest": None}


def test_a_report_withdrawn_before_it_came_takes_no_later_update_with_it(scene: Scene) -> None:
    """D3: the withdrawal of one version takes all, except Updates of a later time."""
    cancel = {"msg_type": CANCEL, "references": ("report",)}
    scene.report(10, "outage_power", PMI, occurred=5, **cancel)
    update = {"msg_type": UPDATE, "references": ("report",)}
    scene.report(11, "outage_power", PMI, occurred=7, id="later", **update)
    scene.report(12, "outage_power", PMI, occurred=0, id="report")
    assert [cause.reports for cause in scene.site(PMI).causes] == [("later",)]


# ── what a withdrawn reopening restores (D3) ──────────────────────────────────────────────────────


def _reopen_in_error(scene: Scene, minute: float, type: str, until: float) -> None:
    """Reopen the college, and withdraw the reopening at `until`."""
    lifts = (EventType(type),)
    id = scene.report(minute, "reopening", COLLEGE, severity=1, lifts=lifts)
    scene.step(until)
    back = {"msg_type": CANCEL, "references": (id,), "lifts": lifts}
    scene.report(until, "reopening", COLLEGE, severity=1, **back)


def _open_types(scene: Scene) -> list[str]:
    return [cause.type.value for cause in scene.site(COLLEGE).causes]


def test_a_withdrawn_reopening_restores_no_absence_of_the_day_before(scene: Scene) -> None:
    scene.report(0, "staff_shortage", COLLEGE, capacity_lost_pct=40)
    _reopen_in_error(scene, 60, "staff_shortage", 24 * 60)
    assert _open_types(scene) == []


def test_a_withdrawn_reopening_restores_no_closure_after_its_window(scene: Scene) -> None:
    window = Window(start=scene.at(0), end=scene.at(100))
    scene.report(0, "closure", COLLEGE, effective=(window,))
    _reopen_in_error(scene, 50, "closure", 200)
    assert _open_types(scene) == []


def test_a_withdrawn_reopening_restores_nothing_beside_a_newer_closure(scene: Scene) -> None:
    scene.report(0, "closure", COLLEGE)
    reopening = scene.report(10, "reopening", COLLEGE, severity=1, lifts=(EventType.CLOSURE,))
    scene.report(20, "closure", COLLEGE)
    back = {"msg_type": CANCEL, "references": (reopening,)}
    scene.report(30, "reopening", COLLEGE, severity=1, **back)
    assert _open_types(scene) == ["closure"]


@pytest.mark.parametrize(("other_end", "restored"), [(5, True), (25, False)])
def test_another_end_counts_against_a_restored_closure_if_it_is_later(
    scene: Scene, other_end: int, restored: bool
) -> None:
    """The first end is of an earlier closure; the second one repeats the error, and stands."""
    scene.report(0, "closure", COLLEGE)
    scene.report(5, "reopening", COLLEGE, severity=1, lifts=(EventType.CLOSURE,))
    scene.report(10, "closure", COLLEGE)
    reopening = scene.report(20, "reopening", COLLEGE, severity=1, lifts=(EventType.CLOSURE,))
    if other_end > 20:
        lifts = (EventType.CLOSURE,)
        scene.report(other_end, "reopening", COLLEGE, severity=1, source="agent", lifts=lifts)
    back = {"msg_type": CANCEL, "references": (reopening,)}
    scene.report(30, "reopening", COLLEGE, severity=1, **back)
    assert _open_types(scene) == (["closure"] if restored else [])
