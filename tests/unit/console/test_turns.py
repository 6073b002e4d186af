"""Pages date a state by its last change, not by its last update."""

from __future__ import annotations

from typing import Any

from services.console.logbook.lines import LineRecord
from services.console.read_model.changes import compare_states, find_change_times
from services.console.resources import Change, to_datetime


def line(at: int, type: str, change: str, incident: str | None = None, **values: Any) -> LineRecord:
    return LineRecord(
        key=f"{at:05d}",
        id=str(at),
        type=type,
        kind="fact",
        occurred_at=at,
        recorded_at=at,
        author="system",
        place=f"alerts/0/{at}/0",
        change=change,
        incident=incident,
        values=values,
    )


def test_a_joining_report_and_a_second_acknowledgement_do_not_change_the_incident() -> None:
    lines = [
        line(1, "IncidentChanged", "opened", "i", level=1),
        line(2, "IncidentChanged", "level", "i", level=3),
        line(3, "IncidentChanged", "acknowledged", "i", level=3, state="acknowledged"),
        line(4, "ReportChanged", "applied", "i"),
        line(5, "IncidentChanged", "acknowledged", "i", level=3, state="acknowledged"),
        line(6, "IncidentChanged", "zone", "i", level=3),
    ]
    assert find_change_times(lines, {}) == {("incidents", "i"): 3}
    assert find_change_times(lines[3:], {("incidents", "i"): "acknowledged N3"}) == {}
    assert find_change_times([*lines, line(7, "IncidentChanged", "closed", "i", level=3)], {}) == {
        ("incidents", "i"): 7
    }


def test_escalations_and_tasks_are_answered_since_their_answer() -> None:
    lines = [
        line(1, "EscalationChanged", "started", escalation="e", ladder="N2"),
        line(2, "TaskChanged", "open", task="t", kind="call"),
        line(3, "EscalationChanged", "answered", escalation="e", ladder="N2"),
        line(4, "TaskChanged", "taken", task="t", kind="call"),
        line(5, "EscalationChanged", "joined", escalation="e", ladder="N2"),
    ]
    assert find_change_times(lines, {("tasks", "t"): "open"}) == {
        ("escalations", "e"): 3,
        ("tasks", "t"): 4,
    }


def test_work_on_a_card_does_not_change_the_plan() -> None:
    lines = [
        line(1, "PlanChanged", "activated", plan="PT-ELEC", state="active"),
        line(2, "PlanChanged", "card", plan="PT-ELEC", state="active"),
        line(3, "PlanChanged", "recovering", plan="PT-ELEC", state="recovering"),
    ]
    assert find_change_times(lines[:2], {("plans", "PT-ELEC"): "proposed"}) == {
        ("plans", "PT-ELEC"): 1
    }
    assert find_change_times(lines, {}) == {("plans", "PT-ELEC"): 3}


def test_a_comparison_of_times_shows_the_change_and_not_the_last_touch() -> None:
    """The hand-over wrote beside an incident when a report had joined it last."""
    after = {
        id: Change(
            collection="incidents",
            id=id,
            title=id,
            before=None,
            after="acknowledged N3",
            at=to_datetime(9),
        )
        for id in ("i", "j")
    }
    changes = compare_states("incidents", {}, after, {("incidents", "i"): 3})
    assert [(c.id, c.at) for c in changes] == [("i", to_datetime(3)), ("j", to_datetime(9))]


def test_a_check_opened_and_withdrawn_between_is_left_out() -> None:
    """The hand-over of a power cut listed every doubt that a site had lifted by itself."""
    after = {
        state: Change(
            collection="tasks", id=state, title=state, before=None, after=state, at=to_datetime(9)
        )
        for state in ("open", "taken", "done", "void")
    }
    assert [c.after for c in compare_states("tasks", {}, after, {})] == ["open", "taken"]
    before = {"void": after["open"]}
    assert [
        (c.before, c.after) for c in compare_states("tasks", before, {"void": after["void"]}, {})
    ] == [("open", "void")]


def test_initial_states_of_a_realm_are_no_changes() -> None:
    """The first hand-over of the live realm listed 253 sites as « rien → Normal »."""
    initial = {"levels": "N0", "sites": "normal", "activities": "nominal", "plans": "valid"}
    for collection, state in initial.items():
        after = {
            id: Change(
                collection=collection, id=id, title=id, before=None, after=now, at=to_datetime(9)
            )
            for id, now in (("first", state), ("second", "closed"))
        }
        assert [c.id for c in compare_states(collection, {}, after, {})] == ["second"]
