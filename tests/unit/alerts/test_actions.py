"""An action is requested from a role, person or site, escalates, and moves only forward."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import MINUTE_MS, Command, Fact
from schemas.calling import (
    AnswerReceived,
    NotificationPlanned,
    NotificationWithdrawn,
    RoleUncovered,
    Unreachable,
)
from schemas.commands import InstructSite, MergeIncidents, ResolveIncident
from schemas.crisis.actions import (
    ACTION_ARROWS,
    AcceptAction,
    ActionChanged,
    ActionRow,
    CancelAction,
    CompleteAction,
    DeclineAction,
    RequestAction,
)
from schemas.oncall import NoteReachability, OverrideDuty, ReachRow
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import ActionState, Answer, TaskState
from services.alerts.actions import PILOT_AFTER_MIN
from services.alerts.decider import AlertsDecider
from services.runtime.log.transaction import MAX_TRANSACTION_BYTES
from tests.unit.alerts.scene import START, Scene

COLLEGE = "clg-0921353W"
ROLE = "cellule_logistique"
BY: dict[str, Any] = {"author": "p-cell", "role": "cell"}
DUE = 60
"""Minutes until an action is due."""


@pytest.fixture
def scene() -> Scene:
    return Scene()


def _request(scene: Scene, minute: float = 0, due: float = DUE, **values: Any) -> ActionRow:
    request_fields: dict[str, Any] = {
        "text_id": "text-1",
        "assignee": ROLE,
        "due_at": scene.at(due),
    }
    answer = scene.command(RequestAction(**BY, **(request_fields | values)), minute)
    assert isinstance(answer, CommandApplied), answer
    return scene.state.actions[str(answer.result["action"])]


def _row(scene: Scene, action: ActionRow) -> ActionRow:
    return scene.state.actions[action.id]


def _changes(scene: Scene) -> list[str]:
    return [fact.change for fact in scene.named(ActionChanged)]


def _calls(facts: list[Fact]) -> list[tuple[str, str]]:
    """Return template and person of each planned notification."""
    return [(f.template, f.person) for f in facts if isinstance(f, NotificationPlanned)]


def _pair(scene: Scene, role: str, scope: str | None = None) -> tuple[str, str]:
    pair = scene.state.rota.pair(role, scope, scene.at(0))
    assert pair.holder is not None
    assert pair.deputy is not None
    return pair.holder, pair.deputy


def _last_call(scene: Scene, person: str) -> NotificationPlanned:
    calls = [n for n in scene.named(NotificationPlanned) if n.person == person]
    call = calls[-1]
    assert isinstance(call, NotificationPlanned)
    return call


def _answer(scene: Scene, person: str, answer: Answer, minute: float) -> list[Fact]:
    call = _last_call(scene, person)
    received = AnswerReceived(
        notification=call.notification,
        person=person,
        answer=answer,
        channel="sms",
        at=scene.at(minute),
    )
    return scene.feed(received, at=scene.at(minute))


def _refused(answer: CommandApplied | CommandRefused) -> tuple[int, str]:
    assert isinstance(answer, CommandRefused), answer
    return answer.status, answer.code


def test_a_request_calls_the_assignee_and_names_text_and_limit(scene: Scene) -> None:
    holder, _ = _pair(scene, ROLE)
    action = _request(scene)
    call = _last_call(scene, holder)
    assert action.state is ActionState.REQUESTED
    assert call.template == "action_request"
    assert call.answer_expected
    assert call.values["text"] == "text-1"
    assert call.values["limit_at"] == scene.at(DUE)
    assert call.ack_by == scene.at(DUE / 2)


def test_a_site_as_assignee_means_its_manager(scene: Scene) -> None:
    holder, _ = _pair(scene, "responsable_site", COLLEGE)
    action = _request(scene, assignee=COLLEGE)
    assert (action.role, action.scope) == ("responsable_site", COLLEGE)
    assert _last_call(scene, holder).values["site"] == COLLEGE


def test_a_person_as_assignee_is_called_in_their_role(scene: Scene) -> None:
    holder, deputy = _pair(scene, ROLE)
    action = _request(scene, assignee=deputy)
    assert (action.person, action.role) == (deputy, ROLE)
    assert _calls(scene.facts)[-1] == ("action_request", deputy)
    scene.step(DUE)
    assert _calls(scene.facts)[-1] == ("action_overdue", holder)


def test_without_an_answer_a_reminder_goes_out_at_half_of_the_delay(scene: Scene) -> None:
    holder, _ = _pair(scene, ROLE)
    action = _request(scene)
    assert _calls(scene.step(DUE / 2 - 0.1)) == []
    assert _calls(scene.step(DUE / 2)) == [("action_reminder", holder)]
    assert _row(scene, action).reminded_at == scene.at(DUE / 2)


def test_the_reminder_can_be_answered(scene: Scene) -> None:
    holder, _ = _pair(scene, ROLE)
    action = _request(scene)
    scene.step(DUE / 2)
    _answer(scene, holder, Answer.ACK, DUE / 2 + 1)
    row = _row(scene, action)
    assert (row.state, row.accepted_by) == (ActionState.ACCEPTED, holder)


def test_an_accepted_action_is_not_reminded(scene: Scene) -> None:
    holder, _ = _pair(scene, ROLE)
    _request(scene)
    _answer(scene, holder, Answer.ACK, 5)
    assert _calls(scene.step(DUE - 1)) == []
    assert _changes(scene) == ["requested", "accepted"]


def test_a_late_action_escalates_to_the_deputy_then_to_the_pilot(scene: Scene) -> None:
    _, deputy = _pair(scene, ROLE)
    pilot = scene.state.rota.pair("coordinateur_pca", None, scene.at(0)).holder
    _request(scene)
    scene.step(DUE - 1)
    assert _calls(scene.step(DUE)) == [("action_overdue", deputy)]
    assert _calls(scene.step(DUE + PILOT_AFTER_MIN)) == [("action_overdue", pilot)]
    assert _changes(scene) == ["requested", "reminded", "overdue"]


def test_a_late_accepted_action_asks_for_its_end_and_escalates(scene: Scene) -> None:
    holder, deputy = _pair(scene, ROLE)
    pilot = scene.state.rota.pair("coordinateur_pca", None, scene.at(0)).holder
    action = _request(scene)
    _answer(scene, holder, Answer.ACK, 5)
    assert _calls(scene.step(DUE)) == [("action_due", holder), ("action_overdue", deputy)]
    assert _calls(scene.step(DUE + PILOT_AFTER_MIN)) == [("action_overdue", pilot)]
    _answer(scene, holder, Answer.ACK, DUE + PILOT_AFTER_MIN + 1)
    row = _row(scene, action)
    assert (row.state, row.ended_by) == (ActionState.DONE, holder)


def test_an_assignee_without_any_channel_escalates_at_once(scene: Scene) -> None:
    holder, deputy = _pair(scene, ROLE)
    note = NoteReachability(author="admin", role="admin", people=(ReachRow(id=holder, points=()),))
    assert isinstance(scene.command(note, 0), CommandApplied)
    _request(scene, 1)
    assert _calls(scene.facts)[-1] == ("action_request", deputy)
    assert [f.role for f in scene.named(RoleUncovered)] == [ROLE]


def test_an_unreachable_assignee_and_deputy_escalate_to_the_pilot_before_the_limit(
    scene: Scene,
) -> None:
    """Every channel of a call failed, as an escalation hears it from delivery."""
    holder, deputy = _pair(scene, ROLE)
    pilot = scene.state.rota.pair("coordinateur_pca", None, scene.at(0)).holder
    _request(scene)
    for minute, person, called in ((2, holder, deputy), (4, deputy, pilot)):
        call = _last_call(scene, person)
        lost = Unreachable(notification=call.notification, person=person, at=scene.at(minute))
        facts = scene.feed(lost, at=scene.at(minute))
        assert [p for _, p in _calls(facts)] == [called]


def test_the_pilot_is_called_at_the_limit_when_the_role_has_no_deputy(scene: Scene) -> None:
    pair = scene.state.rota.pair("president", None, scene.at(0))
    action = _request(scene, assignee="president")
    called = _calls(scene.step(DUE))
    if pair.deputy is None:
        assert called, action
    else:
        assert called == [("action_reminder", pair.holder), ("action_overdue", pair.deputy)]


def _hand_over(scene: Scene, minute: float, person: str = "cel-si") -> None:
    """Put somebody else on call in the role from now on."""
    override = OverrideDuty(
        **BY,
        role_on_call=ROLE,
        person=person,
        start=scene.at(minute),
        end=scene.at(600),
        reason="text:relief",
    )
    assert isinstance(scene.command(override, minute), CommandApplied)


def test_an_action_of_a_role_goes_to_its_new_holder_at_half_of_the_delay(scene: Scene) -> None:
    """The former holder was reminded, and the new one never heard of the action."""
    holder, _ = _pair(scene, ROLE)
    action = _request(scene)
    _hand_over(scene, 10)
    assert _calls(scene.step(DUE / 2)) == [("action_request", "cel-si")]
    withdrawn = scene.named(NotificationWithdrawn)[-1]
    assert (scene.state.calls[withdrawn.notification].person, withdrawn.why) == (
        holder,
        "role_changed",
    )
    _answer(scene, holder, Answer.DECLINE, DUE / 2 + 1)
    assert _row(scene, action).state is ActionState.REQUESTED, "it is not theirs to decline"
    _answer(scene, "cel-si", Answer.DECLINE, DUE / 2 + 2)
    assert _row(scene, action).state is ActionState.DECLINED


def test_a_late_action_of_a_former_holder_goes_to_the_new_one(scene: Scene) -> None:
    holder, _ = _pair(scene, ROLE)
    _request(scene)
    _answer(scene, holder, Answer.ACK, 5)
    _hand_over(scene, 10)
    assert _calls(scene.step(DUE)) == [("action_due", holder), ("action_overdue", "cel-si")]


def test_an_action_of_a_named_person_stays_with_that_person(scene: Scene) -> None:
    holder, _ = _pair(scene, ROLE)
    _request(scene, assignee=holder)
    _hand_over(scene, 10)
    assert _calls(scene.step(DUE / 2)) == [("action_reminder", holder)]


def test_a_cancelled_action_stops_the_clock_and_its_calls(scene: Scene) -> None:
    holder, _ = _pair(scene, ROLE)
    action = _request(scene)
    call = _last_call(scene, holder)
    facts = scene.feed(CancelAction(**BY, action=action.id), at=scene.at(10))
    assert call.notification in {
        f.notification for f in facts if isinstance(f, NotificationWithdrawn)
    }
    assert ("action_cancelled", holder) in _calls(facts)
    assert _calls(scene.step(DUE * 10)) == []
    assert _row(scene, action).state is ActionState.CANCELLED


def test_a_decline_of_the_assignee_informs_the_pilot(scene: Scene) -> None:
    holder, _ = _pair(scene, ROLE)
    pilot = scene.state.rota.pair("coordinateur_pca", None, scene.at(0)).holder
    action = _request(scene)
    facts = _answer(scene, holder, Answer.DECLINE, 5)
    assert _row(scene, action).state is ActionState.DECLINED
    assert _calls(facts) == [("action_declined", pilot)]
    assert _calls(scene.step(DUE * 3)) == []


def test_a_decline_informs_the_deputy_of_a_pilot_without_a_channel(scene: Scene) -> None:
    holder, _ = _pair(scene, ROLE)
    pilots = scene.state.rota.pair("coordinateur_pca", None, scene.at(0))
    gone = (ReachRow(id=str(pilots.holder), points=()),)
    scene.command(NoteReachability(author="adm", role="admin", people=gone), 0)
    _request(scene)
    facts = _answer(scene, holder, Answer.DECLINE, 5)
    assert _calls(facts) == [("action_declined", pilots.deputy)]


def test_a_decline_of_the_deputy_passes_a_late_action_on(scene: Scene) -> None:
    holder, deputy = _pair(scene, ROLE)
    pilot = scene.state.rota.pair("coordinateur_pca", None, scene.at(0)).holder
    action = _request(scene)
    _answer(scene, holder, Answer.ACK, 5)
    scene.step(DUE)
    facts = _answer(scene, deputy, Answer.DECLINE, DUE + 1)
    assert _calls(facts) == [("action_overdue", pilot)]
    assert _row(scene, action).state is ActionState.ACCEPTED


def test_one_press_finishes_an_action_and_records_both_steps(scene: Scene) -> None:
    action = _request(scene)
    done = CompleteAction(author="p-x", role="cell", action=action.id)
    assert isinstance(scene.command(done, 3), CommandApplied)
    assert _changes(scene) == ["requested", "accepted", "done"]
    assert _calls(scene.step(DUE * 3)) == []


def test_a_decided_action_counts_as_work_on_its_incident(scene: Scene) -> None:
    scene.report(0, "gas_leak", COLLEGE, severity=4, id="rep-1")
    incident = scene.incident_of("rep-1").id
    action = _request(scene, 1, incident=incident)
    assert action.incident == incident
    escalation = scene.state.escalations[action.escalation or ""]
    assert escalation.level == scene.state.level()
    accepted = AcceptAction(author="p-cell", role="cell", action=action.id)
    assert isinstance(scene.command(accepted, 2), CommandApplied)
    assert scene.state.incidents[incident].acknowledged_by == ()


@pytest.mark.parametrize("sites", [1, 3])
def test_the_pilot_is_one_person_of_the_function_or_the_coordinator(
    scene: Scene, sites: int
) -> None:
    """An incident of many sites would otherwise call each of their managers."""
    site_ids = [s.id for s in scene.state.territory.sites.values() if s.kind == "college"][:sites]
    for n, site in enumerate(site_ids):
        scene.report(n / 10, "outage_power", site, severity=3, id=f"rep-{n}")
    incident = scene.incident_of("rep-0").id
    for n in range(1, sites):
        other = scene.incident_of(f"rep-{n}").id
        if other != incident:
            merge = MergeIncidents(author="c", role="cell", incident=other, into=incident)
            scene.command(merge, 1)
    _request(scene, 2, incident=incident)
    scene.step(DUE + PILOT_AFTER_MIN + 1)
    late = [f.role for f in scene.named(NotificationPlanned) if f.template == "action_overdue"]
    assert len(late) == 2, late
    assert late[1] != ROLE


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ({"assignee": "nobody-1"}, (404, "assignee_not_found")),
        ({"assignee": "directeur_pole"}, (409, "assignee_scope_missing")),
        ({"assignee": "directeur_pole:nowhere"}, (404, "assignee_not_found")),
        ({"incident": "x"}, (404, "incident_not_found")),
        ({"plan": "PT-NOWHERE"}, (404, "plan_not_found")),
        ({"due_at": 1}, (409, "until_past")),
    ],
)
def test_an_impossible_request_is_refused(
    scene: Scene, values: dict[str, Any], refusal: tuple[int, str]
) -> None:
    request_fields = {"text_id": "t", "assignee": ROLE, "due_at": scene.at(DUE)} | values
    assert _refused(scene.command(RequestAction(**BY, **request_fields), 0)) == refusal


ANSWERS: list[type[Command]] = [AcceptAction, DeclineAction, CompleteAction]


@pytest.mark.parametrize("kind", [*ANSWERS, CancelAction])
def test_an_unknown_or_ended_action_takes_no_answer(scene: Scene, kind: type[Any]) -> None:
    assert _refused(scene.command(kind(**BY, action="x"), 0)) == (404, "action_not_found")
    action = _request(scene)
    scene.command(CancelAction(**BY, action=action.id), 1)
    assert _refused(scene.command(kind(**BY, action=action.id), 2)) == (409, "action_not_open")


@pytest.mark.parametrize("kind", ANSWERS)
def test_only_concerned_people_answer(scene: Scene, kind: type[Any]) -> None:
    action = _request(scene)
    stranger = kind(author="p-1", role="site_manager", action=action.id)
    assert _refused(scene.command(stranger, 1)) == (403, "not_assignee")
    holder, _ = _pair(scene, ROLE)
    own = kind(author=holder, role="site_manager", action=action.id)
    assert isinstance(scene.command(own, 2), CommandApplied)


@pytest.mark.parametrize("role", ["coordinateur_pca", "dgs_directeur_de_crise", "main_courantier"])
def test_leaders_of_the_cell_answer_and_cancel_for_others(scene: Scene, role: str) -> None:
    """The same account could without its function, and was refused with it."""
    for minute, kind in enumerate([*ANSWERS, CancelAction]):
        action = _request(scene, minute)
        leader = kind(author="p-leader", role=role, action=action.id)
        assert isinstance(scene.command(leader, minute), CommandApplied), kind


def test_a_task_of_the_rules_is_accepted_and_done_as_an_action(scene: Scene) -> None:
    scene.command(InstructSite(**BY, site=COLLEGE, text_id="t"), 0)
    (task,) = scene.state.tasks
    for kind in (DeclineAction, CancelAction):
        assert _refused(scene.command(kind(**BY, action=task), 1)) == (409, "task_of_rules")
    assert isinstance(scene.command(AcceptAction(**BY, action=task), 2), CommandApplied)
    assert scene.state.tasks[task].state is TaskState.TAKEN
    done = CompleteAction(**BY, action=task, outcome="understood")
    assert isinstance(scene.command(done, 3), CommandApplied)
    assert scene.state.tasks[task].outcome == "understood"


def test_an_action_is_accepted_once_by_the_same_person(scene: Scene) -> None:
    action = _request(scene)
    again = AcceptAction(**BY, action=action.id)
    assert isinstance(scene.command(again, 1), CommandApplied)
    assert _refused(scene.command(again, 2)) == (409, "action_not_requested")


def test_a_snapshot_holds_actions_and_their_deadlines(scene: Scene) -> None:
    action = _request(scene)
    decider = AlertsDecider()
    loaded = decider.load(scene.realm, scene.state.lineage, decider.dump(scene.state))
    assert loaded.actions == scene.state.actions
    assert loaded.agenda.due[f"action:{action.id}"] == scene.at(DUE / 2)


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["accept", "decline", "complete", "cancel", "yes", "no", "lost", "wait"]),
        st.integers(0, 2),
        st.floats(0.1, 45),
    ),
    max_size=12,
)
_COMMANDS: dict[str, type[Any]] = {
    "accept": AcceptAction,
    "decline": DeclineAction,
    "complete": CompleteAction,
    "cancel": CancelAction,
}


def _move(scene: Scene, action: ActionRow, name: str, who: int, minute: float) -> None:
    calls = [n for n in scene.named(NotificationPlanned) if n.escalation == action.escalation]
    call = calls[min(who, len(calls) - 1)]
    if name in _COMMANDS:
        author = ("p-cell", call.person, "p-other")[who]
        command = _COMMANDS[name](author=author, role="cell", action=action.id)
        scene.feed(command, at=scene.at(minute))
    elif name == "lost":
        lost = Unreachable(notification=call.notification, person=call.person, at=scene.at(minute))
        scene.feed(lost, at=scene.at(minute))
    elif name == "wait":
        scene.step(minute)
    else:
        answer = AnswerReceived(
            notification=call.notification,
            person=call.person,
            answer=Answer.ACK if name == "yes" else Answer.DECLINE,
            channel="sms",
            at=scene.at(minute),
        )
        scene.feed(answer, at=scene.at(minute))


@settings(max_examples=25)
@given(moves=MOVES)
def test_states_follow_the_arrows_in_any_history(moves: list[tuple[str, int, float]]) -> None:
    scene = Scene()
    action = _request(scene)
    minute = 0.0
    for name, who, after in moves:
        minute += after
        _move(scene, action, name, who, minute)
    states = [fact.row.state for fact in scene.named(ActionChanged)]
    assert states[0] is ActionState.REQUESTED
    for before, after_state in pairwise(states):
        assert after_state is before or after_state in ACTION_ARROWS[before]
    row = _row(scene, action)
    if not ACTION_ARROWS[row.state]:
        count = len(scene.named(NotificationPlanned))
        scene.step(minute + 10 * DUE)
        assert len(scene.named(NotificationPlanned)) == count


# ── quiet hours (D36) ─────────────────────────────────────────────────────────────────────────────

EVENING = START + (13 * 60 + 20) * MINUTE_MS
"""Thursday, 23:00."""
MORNING = 8 * 60
"""Minute at which quiet hours end."""


@pytest.fixture
def night() -> Scene:
    """Return a scene at N1 at night: managers of sites are not on call."""
    scene = Scene(start=EVENING)
    scene.report(0, "closure", "pmi-04", severity=2)
    return scene


def _delays(scene: Scene, *templates: str) -> set[int | None]:
    calls = [n for n in scene.named(NotificationPlanned) if n.template in templates]
    assert calls, templates
    return {n.quiet_until for n in calls}


@pytest.mark.parametrize("priority", ["low", "normal", "high", "urgent"])
def test_quiet_hours_delay_no_request_beyond_its_due_time(night: Scene, priority: str) -> None:
    _request(night, 1, due=MORNING, assignee=COLLEGE, priority=priority)
    night.step(MORNING / 2 + 1)
    assert _delays(night, "action_request", "action_reminder") == {None}


def test_quiet_hours_delay_a_request_that_is_due_after_them(night: Scene) -> None:
    _request(night, 1, due=MORNING + 1, assignee=COLLEGE, priority="high")
    assert _delays(night, "action_request") == {night.at(MORNING)}


@pytest.mark.parametrize(("priority", "held"), [("normal", True), ("high", False)])
def test_quiet_hours_delay_the_calls_of_a_late_action_unless_it_is_of_high_priority(
    night: Scene, priority: str, held: bool
) -> None:
    _request(night, 1, due=DUE, assignee=COLLEGE, priority=priority)
    night.step(DUE)
    assert _delays(night, "action_overdue") == {night.at(MORNING) if held else None}


def test_a_cancellation_follows_its_request_at_night(night: Scene) -> None:
    action = _request(night, 1, due=DUE, assignee=COLLEGE)
    night.command(CancelAction(**BY, action=action.id, reason="text:over"), 2)
    assert _delays(night, "action_cancelled") == {None}


def test_an_instruction_reaches_its_site_at_night(night: Scene) -> None:
    night.command(InstructSite(**BY, site=COLLEGE, text_id="t"), 1)
    assert _delays(night, "instruction") == {None}


# ── the end of its incident ───────────────────────────────────────────────────────────────────────


def _close(scene: Scene, incident: str, minute: float) -> None:
    answer = scene.command(
        ResolveIncident(**BY, incident=incident, force=True, reason="text:over"), minute
    )
    assert isinstance(answer, CommandApplied), answer


def test_an_action_ends_with_its_incident_and_reminds_no_person(scene: Scene) -> None:
    holder, _ = _pair(scene, ROLE)
    report = scene.report(0, "closure", COLLEGE, severity=4)
    incident = scene.incident_of(report).id
    action, other = _request(scene, 1, incident=incident), _request(scene, 1)
    _close(scene, incident, 5)
    ended = _row(scene, action)
    assert (ended.state, ended.ended_by, ended.reason) == ("cancelled", "p-cell", "text:over")
    assert _calls(scene.facts)[-1] == ("action_cancelled", holder)
    number = len([c for c in _calls(scene.facts) if c[0].startswith("action")])
    scene.step(DUE / 2 + 1)
    assert _row(scene, other).reminded_at is not None, "it belongs to no incident"
    scene.step(DUE + 60)
    calls = [n for n in scene.named(NotificationPlanned) if n.template.startswith("action")]
    late = [n for n in calls[number:] if n.values["text"] == ended.text_id]
    assert {scene.state.escalations[str(n.escalation)].action for n in late} == {other.id}


def test_an_action_of_a_merged_incident_ends_with_the_one_it_was_merged_into(scene: Scene) -> None:
    first = scene.incident_of(scene.report(0, "closure", COLLEGE, severity=4)).id
    second = scene.incident_of(scene.report(0, "closure", "cen-1", severity=4)).id
    action = _request(scene, 1, incident=first)
    scene.command(MergeIncidents(**BY, incident=first, into=second, reason="text:same"), 2)
    assert _row(scene, action).state == "requested"
    _close(scene, second, 5)
    assert _row(scene, action).state == "cancelled"


def test_an_incident_with_very_many_actions_closes_in_records_of_bounded_size(
    scene: Scene,
) -> None:
    report = scene.report(0, "closure", COLLEGE, severity=4)
    incident = scene.incident_of(report).id
    actions = [_request(scene, 1, incident=incident) for _ in range(120)]
    _close(scene, incident, 5)
    while (due := scene.state.agenda.first()) is not None and due.due <= scene.at(6):
        scene.step(6)
    assert {_row(scene, action).state for action in actions} == {"cancelled"}
    sizes = [len(stored.raw) for stored in scene.service.log.of(scene.realm)]
    assert max(sizes) <= MAX_TRANSACTION_BYTES
