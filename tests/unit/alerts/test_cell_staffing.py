"""People fill the functions of the crisis cell until it is staffed (D90)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.base import MINUTE_MS
from schemas.calling import NotificationPlanned
from schemas.commands import ResolveIncident, SetLevel
from schemas.oncall import CellShift
from schemas.people.attendance import (
    AttendanceChanged,
    AttendanceMode,
    CellStaffingChanged,
    StateAttendance,
)
from schemas.people.replies import parse_attendance
from schemas.runtime import CommandApplied, CommandRefused
from tests.shipped import territory
from tests.unit.alerts.scene import Scene
from tests.unit.alerts.test_escalation import CRISIS, Calls, _answer

CELL: dict[str, Any] = {"author": "coord", "role": "coordinator"}
RULE = next(
    rule.staffing for rule in territory().policy.levels if rule.level == 3 and rule.staffing
)
WORKING_DAY = 1_802_335_200_000
"""Thursday 11 February 2027, 09:40 in Paris."""
SUNDAY = WORKING_DAY + 3 * 86_400_000


def crisis(start: int = WORKING_DAY) -> Scene:
    """Return a territory at N3 since T+0."""
    scene = Scene(start=start)
    scene.command(SetLevel(**CELL, scope="territory", level=3, force=True), 0)
    return scene


def state(
    scene: Scene, role: str, minute: float, mode: str = "on_site", **values: Any
) -> CommandApplied | CommandRefused:
    """State the attendance of the person in a role."""
    command = StateAttendance(
        author=f"p-{role}",
        role=role,
        person=f"p-{role}",
        mode=AttendanceMode(mode),
        function=role,
        **values,
    )
    return scene.command(command, minute)


def changes(scene: Scene) -> list[str]:
    return [f.change for f in scene.named(CellStaffingChanged)]


def test_a_crisis_calls_the_cell_with_the_objective_of_working_hours() -> None:
    scene = crisis()
    row = scene.state.staffing
    assert row is not None
    assert row.required == RULE.roles
    assert row.due_at == scene.at(RULE.working_min)


def test_outside_working_hours_the_objective_is_longer() -> None:
    row = crisis(SUNDAY).state.staffing
    assert row is not None
    assert row.objective_min == RULE.off_min > RULE.working_min


def test_the_cell_is_staffed_once_every_function_is_filled_on_site_or_at_a_distance() -> None:
    scene = crisis()
    first, *others = RULE.roles
    for n, role in enumerate(others):
        state(scene, role, 1 + n)
    state(scene, first, 20, "en_route", eta_min=5)
    assert changes(scene) == ["started"]
    state(scene, first, 26, "remote")
    row = scene.state.staffing
    assert changes(scene) == ["started", "armed"]
    assert row is not None
    assert row.armed_at == scene.at(26)


def test_a_missed_objective_is_recorded_once_and_the_cell_may_still_be_staffed() -> None:
    scene = crisis()
    scene.step(RULE.working_min + 1)
    scene.step(RULE.working_min + 30)
    assert changes(scene) == ["started", "late"]
    for role in RULE.roles:
        state(scene, role, RULE.working_min + 40)
    assert changes(scene) == ["started", "late", "armed"]


def test_a_person_on_the_way_has_the_time_of_arrival() -> None:
    scene = crisis()
    state(scene, "cellule_rh", 5, "en_route", eta_min=25)
    assert scene.state.attendance["p-cellule_rh"].expected_at == scene.at(30)
    state(scene, "cellule_rh", 20, "en_route", eta_min=40)
    assert scene.state.attendance["p-cellule_rh"].expected_at == scene.at(60)


def test_the_same_statement_again_changes_nothing() -> None:
    scene = crisis()
    state(scene, "cellule_rh", 5)
    state(scene, "cellule_rh", 9)
    assert len(scene.named(AttendanceChanged)) == 1


def test_a_higher_level_asks_for_its_functions_and_keeps_the_people() -> None:
    scene = crisis()
    for role in RULE.roles:
        state(scene, role, 1)
    scene.command(SetLevel(**CELL, scope="territory", level=4, force=True), 10)
    row = scene.state.staffing
    assert row is not None
    assert row.armed_at is None
    assert changes(scene) == ["started", "armed", "raised"]
    state(scene, "liaison_cod", 12)
    assert changes(scene)[-1] == "armed"


def test_a_staffed_cell_has_the_time_of_the_higher_level_for_its_further_functions() -> None:
    """D90: the objective of three hours ago was written down as missed at once."""
    scene = crisis()
    for role in RULE.roles:
        state(scene, role, 1)
    scene.command(SetLevel(**CELL, scope="territory", level=4, force=True), 180)
    scene.step(181)
    row = scene.state.staffing
    assert row is not None
    assert row.due_at == scene.at(180 + RULE.working_min)
    assert changes(scene) == ["started", "armed", "raised"]
    scene.step(180 + RULE.working_min)
    assert changes(scene)[-1] == "late"


def test_a_lower_crisis_level_asks_for_its_own_functions() -> None:
    """D90: after N4 the cell of N3 lacked a liaison officer that N3 does not ask for."""
    scene = crisis()
    for role in RULE.roles:
        state(scene, role, 1)
    scene.command(SetLevel(**CELL, scope="territory", level=4, force=True), 10)
    pilot = {"author": "president", "role": "president", "reason": "text:r"}
    lowered = scene.command(SetLevel(**pilot, scope="territory", level=3, force=True), 30)
    assert isinstance(lowered, CommandApplied)
    row = scene.state.staffing
    assert row is not None
    assert (row.level, row.required) == (3, RULE.roles)
    assert changes(scene) == ["started", "armed", "raised", "lowered", "armed"]


def test_a_cell_that_is_not_staffed_keeps_its_objective_at_a_higher_level() -> None:
    scene = crisis()
    scene.command(SetLevel(**CELL, scope="territory", level=4, force=True), 30)
    scene.step(RULE.working_min)
    scene.command(SetLevel(**CELL, scope="territory", level=4, force=True), 60)
    scene.step(180)
    assert changes(scene) == ["started", "raised", "late"]


def test_a_person_coming_from_home_gets_a_shift_and_loses_it_on_leaving() -> None:
    scene = crisis()
    state(scene, "dgs_directeur_de_crise", 5)
    (shift,) = scene.named(CellShift)
    assert shift.since == scene.at(5)
    state(scene, "dgs_directeur_de_crise", 9, "left")
    assert "p-dgs_directeur_de_crise" not in scene.state.shifts
    assert "p-dgs_directeur_de_crise" not in scene.state.attendance


def test_staying_beyond_the_limit_starts_no_new_shift() -> None:
    """D39: one more statement after ten hours counted the next ten from zero, without a warning."""
    scene, role = crisis(), "cellule_rh"

    def come_back(minute: float) -> None:
        state(scene, role, minute, "remote")
        state(scene, role, minute + 1, "on_site")

    state(scene, role, 5)
    come_back(5 + 10 * 60 + 30)
    assert scene.state.shifts[f"p-{role}"].since == scene.at(5)
    come_back(5 + 21 * 60)
    assert scene.state.shifts[f"p-{role}"].since == scene.at(5 + 21 * 60 + 1)


def test_a_short_absence_starts_no_new_shift() -> None:
    """D39: twenty minutes outside gave ten new hours, and the warning came after nineteen."""
    scene, role = crisis(), "cellule_rh"
    state(scene, role, 5)
    state(scene, role, 5 + 8 * 60, "left")
    state(scene, role, 25 + 8 * 60)
    shift = scene.state.shifts[f"p-{role}"]
    assert (shift.since, shift.warn_at) == (scene.at(25), scene.at(25 + 9 * 60))
    state(scene, role, 25 + 10 * 60, "left")
    state(scene, role, 35 + 10 * 60)
    assert scene.state.shifts[f"p-{role}"].warn_at == scene.at(35 + 10 * 60), "warned at once"


def test_the_daily_rest_after_leaving_ends_a_shift_for_good() -> None:
    scene, role = crisis(), "cellule_rh"
    state(scene, role, 5)
    state(scene, role, 65, "left")
    state(scene, role, 65 + 11 * 60)
    assert scene.state.shifts[f"p-{role}"].since == scene.at(65 + 11 * 60)


def test_the_end_of_the_crisis_dismisses_the_cell() -> None:
    scene = crisis()
    state(scene, "cellule_rh", 5)
    pilot = {"author": "dgs", "role": "dgs_directeur_de_crise", "reason": "text:r"}
    scene.command(SetLevel(**pilot, scope="territory", level=1, force=True), 60)
    assert changes(scene)[-1] == "ended"
    assert not scene.state.attendance
    answer = state(scene, "cellule_rh", 61)
    assert isinstance(answer, CommandRefused)
    assert answer.code == "no_cell"


@pytest.mark.parametrize("is_closed", [False, True])
def test_the_dismissed_cell_hears_that_it_is_dismissed(is_closed: bool) -> None:
    """A person on the way, after a word on the screen, came to an empty room."""
    scene = crisis()
    scene.report(1, "closure", "cen-2")
    coming = {"function": "cellule_rh", "mode": AttendanceMode.EN_ROUTE}
    scene.command(StateAttendance(author="cel-rh", role="cell", person="cel-rh", **coming), 5)
    pilot = {"author": "dgs", "role": "dgs_directeur_de_crise", "reason": "text:r"}
    if is_closed:
        close = ResolveIncident(**pilot, incident=scene.incidents()[0].id, force=True)
        assert isinstance(scene.command(close, 50), CommandApplied)
    number = len(scene.named(NotificationPlanned))
    scene.command(SetLevel(**pilot, scope="territory", level=1, force=True), 60)
    messages = [f for f in scene.named(NotificationPlanned)[number:] if f.person == "cel-rh"]
    news = [f.template for f in messages if not f.answer_expected]
    assert news == ["crisis_end" if is_closed else "information"]


def test_a_person_without_a_function_is_asked_for_it() -> None:
    scene = crisis()
    command = StateAttendance(
        author="account-1", role="cell", person="account-1", mode=AttendanceMode.ON_SITE
    )
    answer = scene.command(command, 5)
    assert isinstance(answer, CommandRefused)
    assert answer.code == "no_function"


def test_attendance_without_a_crisis_is_refused() -> None:
    answer = state(Scene(start=WORKING_DAY), "cellule_rh", 5)
    assert isinstance(answer, CommandRefused)
    assert answer.status == 409


@pytest.mark.parametrize(
    ("reply", "stated"),
    [
        ("1", None),
        ("1 25", (AttendanceMode.EN_ROUTE, 25)),
        ("Oui, j’arrive, 40 min", (AttendanceMode.EN_ROUTE, 40)),
        ("1 sur place", (AttendanceMode.ON_SITE, None)),
        ("OK à distance", (AttendanceMode.REMOTE, None)),
        ("1 25min", (AttendanceMode.EN_ROUTE, 25)),
        ("1 dans 1 h", (AttendanceMode.EN_ROUTE, 60)),
        ("oui, sur la route, 1h30", (AttendanceMode.EN_ROUTE, 90)),
        ("1 1 h 15 min", (AttendanceMode.EN_ROUTE, 75)),
        ("1 je suis là", (AttendanceMode.ON_SITE, None)),
        ("1 là", (AttendanceMode.ON_SITE, None)),
        ("1 par tél.", (AttendanceMode.REMOTE, None)),
        ("1 mais pas sur place", None),
        ("oui je préviens la direction", None),
        ("ok, la route est coupée", None),
        ("1 à 8 h 30", None),
        ("1 j’arrive vers 22h", None),
        ("1 sur place dans 20 min", (AttendanceMode.EN_ROUTE, 20)),
        ("1 sur place à 9 h", None),
        ("1 9999", None),
        ("1 1020", None),
        ("1 rappelez-moi au 06 12 34 56 78", None),
        ("1 j’arrive, mon numéro : 06 12 34 56 78", (AttendanceMode.EN_ROUTE, None)),
        ("2 25", None),
        ("", None),
    ],
)
def test_a_reply_states_how_the_person_takes_part(
    reply: str, stated: tuple[AttendanceMode, int | None] | None
) -> None:
    assert parse_attendance(reply) == stated


def test_folding_the_records_again_gives_the_same_staffing() -> None:
    scene = Scene(start=WORKING_DAY, check=True)
    scene.command(SetLevel(**CELL, scope="territory", level=3, force=True), 0)
    state(scene, "cellule_rh", 5, "en_route", eta_min=10)
    scene.step(RULE.working_min + 1)
    assert changes(scene) == ["started", "late"]
    assert scene.state.attendance["p-cellule_rh"].expected_at == scene.at(5) + 10 * MINUTE_MS


def test_information_goes_to_those_present_after_a_relief() -> None:
    """A crisis lasts for days: people in charge are those of this hour, not of the first (D32)."""
    scene, role = Scene(), "coordinateur_pca"
    calls = Calls(scene)
    scene.report(0, "closure", "cen-2")
    for minute, person in enumerate(CRISIS[:8], 1):
        _answer(scene, calls, person, minute)

    def attend(person: str, minute: float, mode: AttendanceMode) -> None:
        command = StateAttendance(
            author=person, role=role, person=person, mode=mode, function=role, reason="text:1"
        )
        assert isinstance(scene.command(command, minute), CommandApplied)

    attend("coord-pca", 30, AttendanceMode.ON_SITE)
    attend("coord-pca-s", 50, AttendanceMode.ON_SITE)
    attend("coord-pca", 55, AttendanceMode.LEFT)
    calls.new()
    scene.report(58, "closure", "cen-1")
    people = {call.person for call in calls.new()}
    assert people == {*CRISIS[:8]} - {"coord-pca"} | {"coord-pca-s"}
    lower = SetLevel(
        author="dgs",
        role="dgs_directeur_de_crise",
        scope="territory",
        level=2,
        force=True,
        reason="text:2",
    )
    assert isinstance(scene.command(lower, 59), CommandApplied)
    assert {call.person for call in calls.new()} == people
