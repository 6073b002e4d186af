"""A decline is final in its cycle: the next one is called, and no role waits (D33, D34)."""

from __future__ import annotations

import pytest

from schemas.calling import RoleUncovered, Unreachable
from schemas.oncall import OverrideDuty
from schemas.reference import Roster
from schemas.runtime import CommandApplied
from schemas.words import Answer
from tests.unit.alerts.scene import Scene
from tests.unit.alerts.test_calling_again import _gone
from tests.unit.alerts.test_escalation import PMI, Calls, _answer, _ladder, _without

SECOND_STEP = "dir-solidarites-s"


@pytest.fixture
def scene() -> Scene:
    return Scene(check=True)


def _deputized(role: str, deputy: str) -> Roster:
    """Return the territory's roster with another deputy of a role."""
    roster = _without()
    holders = tuple(
        h.model_copy(update={"deputy": deputy}) if h.role == role else h for h in roster.holders
    )
    return roster.model_copy(update={"holders": holders})


def test_the_next_step_calls_the_deputy_of_a_decliner(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    _answer(scene, calls, "dir-solidarites", 1, Answer.DECLINE)
    calls.new()
    _answer(scene, calls, "dir-solidarites-s", 2, Answer.DECLINE)
    (call,) = calls.expect("dir-solidarites-s2")
    assert (call.wave, call.role) == (2, "suppleant_directeur_pole")


def test_the_step_of_deputies_leaves_out_decliners(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2")
    _answer(scene, calls, "cel-rh", 1, Answer.DECLINE)
    calls.new()
    _answer(scene, calls, "cel-rh-s", 2, Answer.DECLINE)
    people = {call.person for call in calls.new()}
    assert "cel-si-s" in people
    assert people.isdisjoint({"cel-rh-s", "elu-astreinte"})


@pytest.mark.parametrize("deputy_first", [True, False])
def test_no_role_waits_for_a_deputy_after_a_decline(deputy_first: bool) -> None:
    """A deputy with a function of their own is asked once for both; the order does not matter."""
    scene = Scene(roster=_deputized("coordinateur_pca", "ast-direction"), check=True)
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    people = ["ast-direction", "coord-pca"] if deputy_first else ["coord-pca", "ast-direction"]
    for minute, person in enumerate(people, 1):
        calls.new()
        _answer(scene, calls, person, minute, Answer.DECLINE)
    assert SECOND_STEP in [call.person for call in calls.new()]
    assert [(u.role, u.scope) for u in scene.named(RoleUncovered)] == [("coordinateur_pca", None)]


@pytest.mark.parametrize("how", ["unreachable", "gone"])
def test_no_role_waits_for_an_unreachable_deputy(how: str) -> None:
    scene = Scene(roster=_deputized("coordinateur_pca", "ast-direction"), check=True)
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    if how == "gone":
        _gone(scene, "ast-direction", 1)
    else:
        call = calls.of("ast-direction")
        lost = Unreachable(notification=call.notification, person=call.person, at=scene.at(1))
        scene.feed(lost, at=scene.at(1))
    calls.new()
    _answer(scene, calls, "coord-pca", 2, Answer.DECLINE)
    assert SECOND_STEP in [call.person for call in calls.new()]


def test_a_decline_counts_once(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    _answer(scene, calls, "dir-solidarites", 1, Answer.DECLINE)
    deputy = calls.of("dir-solidarites-s")
    _answer(scene, calls, "dir-solidarites-s", 2, Answer.DECLINE)
    calls.new()
    assert calls.of("dir-solidarites-s") == deputy
    _answer(scene, calls, "dir-solidarites-s", 3, Answer.DECLINE)
    _answer(scene, calls, "dir-solidarites", 4, Answer.DECLINE)
    calls.expect_nobody()


def test_a_yes_after_a_no_counts(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    incident = scene.incidents()[0].id
    _answer(scene, calls, "coord-pca", 1, Answer.DECLINE)
    _answer(scene, calls, "coord-pca", 2)
    _answer(scene, calls, "coord-pca", 3, Answer.DECLINE)
    assert _ladder(scene, incident).acknowledged_by == ()


def test_an_answer_taken_back_revives_the_steps_of_its_own_cycle_alone(scene: Scene) -> None:
    """The steps that an earlier cycle skipped stay skipped: their answers have gone stale."""
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    incident = scene.incidents()[0].id
    _answer(scene, calls, "coord-pca", 1)
    _answer(scene, calls, "ast-technique", 2)
    scene.step(95)
    assert _ladder(scene, incident).stale_times == 1
    calls.new()
    _answer(scene, calls, "coord-pca", 96)
    _answer(scene, calls, "ast-technique", 97)
    _answer(scene, calls, "ast-technique", 98, Answer.DECLINE)
    calls.expect("ast-technique-s")
    waiting = [(w.cycle, w.wave) for w in _ladder(scene, incident).waves if w.state == "waiting"]
    assert waiting == [(2, 2), (2, 3)]
    scene.step(102)
    calls.expect(SECOND_STEP)


def test_an_answer_taken_back_late_leaves_out_no_step(scene: Scene) -> None:
    """The steps follow in their order and with their delays, after the time of the deputy."""
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    _answer(scene, calls, "coord-pca", 1)
    _answer(scene, calls, "ast-technique", 2)
    calls.new()
    _answer(scene, calls, "ast-technique", 60, Answer.DECLINE)
    calls.expect("ast-technique-s")
    scene.step(70)
    calls.expect(SECOND_STEP)
    scene.step(79.9)
    calls.expect_nobody()
    scene.step(80)
    calls.expect("dgs")


def test_a_new_cycle_replaces_a_person_gone_in_a_role_uncovered_before(scene: Scene) -> None:
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    _answer(scene, calls, "coord-pca", 1, Answer.DECLINE)
    _answer(scene, calls, "coord-pca-s", 2, Answer.DECLINE)
    scene.step(35)
    calls.new()
    _gone(scene, "coord-pca", 36)
    (call,) = calls.expect("coord-pca-s")
    assert (call.cycle, call.wave, call.role) == (2, 1, "coordinateur_pca")


def test_a_decline_calls_the_deputy_if_nothing_reaches_the_holder_of_now(scene: Scene) -> None:
    """The shift changed hands during the call, and the new holder has lost every channel."""
    calls = Calls(scene)
    scene.report(0, "closure", PMI, severity=4)
    override = OverrideDuty(
        author="coord-pca",
        role="coordinator",
        reason="text:1",
        role_on_call="coordinateur_pca",
        person="cel-rh",
        start=scene.at(1),
        end=scene.at(600),
    )
    assert isinstance(scene.command(override, 1), CommandApplied)
    _gone(scene, "cel-rh", 2)
    calls.new()
    _answer(scene, calls, "coord-pca", 3, Answer.DECLINE)
    calls.expect("coord-pca-s")
