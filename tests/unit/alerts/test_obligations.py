"""Clocks of legal deadlines start once, remind, end with proof, and are never lost (D92)."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.alerts import HistoryForgotten
from schemas.base import HOUR_MS, MINUTE_MS, Command, Instant
from schemas.calling import NotificationPlanned
from schemas.commands import MergeIncidents
from schemas.crisis.obligations import (
    OBLIGATION_MOVES,
    DismissObligation,
    FulfilObligation,
    LimitUnit,
    ObligationChanged,
    ObligationLimit,
    ObligationRow,
    ObligationState,
    StartObligation,
)
from schemas.oncall import NoteReachability, ReachRow
from schemas.reports import Measure
from schemas.runtime import CommandApplied, CommandRefused
from services.alerts.decider import AlertsDecider
from services.alerts.evolve import evolve_forgotten_history
from services.alerts.obligations import compute_limit
from tests.unit.alerts.scene import Scene

BY: dict[str, Any] = {"author": "p-cell", "role": "cell"}
PROGRAM: dict[str, Any] = {"author": "system:robot", "role": "admin"}
WHY: dict[str, Any] = {"reason": "text:why"}
HOUR = 60
"""Minutes of an hour."""
PARIS = ZoneInfo("Europe/Paris")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def local(text: str) -> Instant:
    return int(datetime.fromisoformat(text).replace(tzinfo=PARIS).timestamp() * 1000)


def apply(scene: Scene, command: Command, minute: float | None = None) -> dict[str, Any]:
    answer = scene.command(command, minute)
    assert isinstance(answer, CommandApplied), answer
    return dict(answer.result)


def refusal(scene: Scene, command: Command, minute: float | None = None) -> tuple[int, str]:
    answer = scene.command(command, minute)
    assert isinstance(answer, CommandRefused), answer
    return answer.status, answer.code


def attack(scene: Scene, minute: float = 0) -> str:
    """Report a critical alert of the workstation defence; return the incident."""
    report = scene.report(minute, "outage_it", "cen-1", severity=4)
    scene.report(
        minute, "info", measure=Measure(name="edr_critical", value=True, unit="bool"), source="edr"
    )
    return str(scene.incident_of(report).id)


def clock_of(scene: Scene, obligation: str) -> ObligationRow:
    clocks = [row for row in scene.state.obligations.values() if row.obligation == obligation]
    assert len(clocks) == 1, clocks
    return clocks[0]


def start(scene: Scene, obligation: str, minute: float = 0, known: float = 0, **values: Any) -> str:
    incident = values.pop("incident", None) or scene.incidents()[0].id
    command = StartObligation(
        obligation=obligation, incident=incident, known_at=scene.at(known), **BY
    )
    return str(apply(scene, command, minute)["clock"])


def told(scene: Scene, template: str) -> list[NotificationPlanned]:
    return [n for n in scene.named(NotificationPlanned) if n.template == template]


def test_the_trigger_of_a_plan_starts_its_clocks_once(scene: Scene) -> None:
    attack(scene)
    started = {row.obligation for row in scene.state.obligations.values()}
    assert started == {
        "rgpd-cnil",
        "nis2-alerte",
        "nis2-notification",
        "plainte-cyber",
        "assureur-cyber",
    }
    clock = clock_of(scene, "nis2-alerte")
    assert (clock.plan, clock.started, clock.known_at) == ("PT-CYBER", None, scene.at(0))
    assert clock.due_at == scene.at(24 * HOUR)
    scene.report(5, "outage_it", "cen-1", severity=5)
    attack(scene, 10)
    assert len(scene.state.obligations) == 5


def test_an_incident_of_a_family_starts_a_clock(scene: Scene) -> None:
    report = scene.report(0, "fire", "pmi-04", severity=4, occurred=-20)
    clock = clock_of(scene, "assureur-sinistre")
    assert clock.incident == scene.incident_of(report).id
    assert clock.known_at == scene.at(0)


def test_a_person_starts_a_clock_and_says_since_when_the_matter_is_known(scene: Scene) -> None:
    scene.report(0, "outage_power", "pmi-04", severity=4)
    id = start(scene, "assureur-vol", minute=30, known=-60)
    row = scene.state.obligations[id]
    assert row.started is not None
    assert (row.started.by, row.known_at, row.started_at) == ("p-cell", scene.at(-60), scene.at(30))
    again = StartObligation(
        obligation="assureur-vol", incident=row.incident or "", known_at=scene.at(0), **BY
    )
    assert refusal(scene, again) == (409, "obligation_started")
    apply(scene, DismissObligation(clock=id, **BY, **WHY))
    assert refusal(scene, again) == (409, "obligation_started")


def test_a_clock_of_a_merged_incident_counts_for_the_other_one(scene: Scene) -> None:
    a = scene.incident_of(scene.report(0, "fire", "pmi-04", severity=4)).id
    b = scene.incident_of(scene.report(1, "outage_power", "clg-0921353W", severity=4)).id
    assert a != b
    apply(scene, MergeIncidents(incident=a, into=b, **BY, **WHY))
    command = StartObligation(
        obligation="assureur-sinistre", incident=b, known_at=scene.at(0), **BY
    )
    assert refusal(scene, command) == (409, "obligation_started")


def test_the_role_is_reminded_at_half_and_at_four_fifths_and_the_pilot_at_the_limit(
    scene: Scene,
) -> None:
    attack(scene)
    declarer = scene.state.rota.pair("cellule_si", None, scene.at(0)).holder

    def alerts_of_warning(template: str) -> list[NotificationPlanned]:
        return [n for n in told(scene, template) if n.values["obligation"] == "nis2-alerte"]

    scene.step(12 * HOUR - 1)
    assert alerts_of_warning("obligation_reminder") == []
    scene.step(12 * HOUR)
    assert [n.person for n in alerts_of_warning("obligation_reminder")] == [declarer]
    scene.step(19 * HOUR + 11)
    assert len(alerts_of_warning("obligation_reminder")) == 1
    scene.step(19 * HOUR + 12)
    assert len(alerts_of_warning("obligation_reminder")) == 2
    assert alerts_of_warning("obligation_overdue") == []
    scene.step(24 * HOUR)
    late = alerts_of_warning("obligation_overdue")
    assert late
    assert declarer not in {n.person for n in late}
    clock = clock_of(scene, "nis2-alerte")
    assert (clock.state, clock.overdue_at) == (ObligationState.RUNNING, clock.due_at)
    assert clock.next_at is None


def test_the_deputy_of_a_pilot_without_a_channel_hears_of_a_passed_limit(scene: Scene) -> None:
    pilots = scene.state.rota.pair("coordinateur_pca", None, scene.at(0))
    gone = (ReachRow(id=str(pilots.holder), points=()),)
    scene.command(NoteReachability(author="adm", role="admin", people=gone), 0)
    attack(scene)
    scene.step(24 * HOUR)
    people = {n.person for n in told(scene, "obligation_overdue")}
    assert pilots.deputy in people
    assert pilots.holder not in people


def test_an_ended_clock_sends_no_reminder(scene: Scene) -> None:
    attack(scene)
    for row in list(scene.state.obligations.values()):
        apply(scene, FulfilObligation(clock=row.id, text_id="t-1", **BY), 10)
    scene.step(23 * HOUR)
    assert told(scene, "obligation_reminder") == []


def test_a_declaration_has_a_time_and_a_proof(scene: Scene) -> None:
    attack(scene)
    id = clock_of(scene, "nis2-alerte").id
    early = FulfilObligation(clock=id, text_id="t", declared_at=scene.at(-1), **BY)
    assert refusal(scene, early, 60) == (409, "obligation_early")
    future = FulfilObligation(clock=id, text_id="t", declared_at=scene.at(61), **BY)
    assert refusal(scene, future) == (409, "obligation_future")
    assert refusal(scene, FulfilObligation(clock=id, text_id="t", **PROGRAM)) == (
        403,
        "person_needed",
    )
    other = FulfilObligation(clock=id, text_id="t", expected=3, **BY)
    assert refusal(scene, other) == (412, "version_conflict")
    apply(scene, FulfilObligation(clock=id, text_id="t", declared_at=scene.at(50), **BY))
    row = scene.state.obligations[id]
    assert row.done is not None
    assert (row.state, row.declared_at, row.text_id) == (ObligationState.DONE, scene.at(50), "t")
    assert (row.done.by, row.done.at) == ("p-cell", scene.at(60))
    assert refusal(scene, DismissObligation(clock=id, **BY, **WHY)) == (409, "clock_over")


def test_a_person_dismisses_a_clock_with_a_reason(scene: Scene) -> None:
    attack(scene)
    id = clock_of(scene, "rgpd-cnil").id
    assert refusal(scene, DismissObligation(clock=id, **BY)) == (409, "reason_required")
    program = DismissObligation(clock=id, **PROGRAM, **WHY)
    assert refusal(scene, program) == (403, "person_needed")
    apply(scene, DismissObligation(clock=id, **BY, **WHY))
    row = scene.state.obligations[id]
    assert (row.state, row.text_id) == (ObligationState.DISMISSED, "why")
    attack(scene, 120)
    assert clock_of(scene, "rgpd-cnil").state is ObligationState.DISMISSED


def test_the_declaration_of_the_incident_starts_the_month_of_the_final_report(scene: Scene) -> None:
    attack(scene)
    first = clock_of(scene, "nis2-notification")
    apply(scene, FulfilObligation(clock=first.id, text_id="t", **BY), 48 * HOUR)
    report = clock_of(scene, "nis2-rapport")
    assert (report.follows, report.known_at) == (first.id, scene.at(48 * HOUR))
    assert report.due_at == local("2027-03-13T23:59")


def test_a_clock_that_begins_late_is_late_at_once(scene: Scene) -> None:
    """A person may say that the matter is known for longer than the law gives."""
    scene.report(0, "outage_power", "pmi-04", severity=4)
    id = start(scene, "nis2-alerte", minute=1, known=-25 * HOUR)
    scene.step(2)
    row = scene.state.obligations[id]
    assert row.overdue_at == row.due_at
    assert told(scene, "obligation_reminder") == []
    assert told(scene, "obligation_overdue")


def test_unknown_things_are_refused(scene: Scene) -> None:
    scene.report(0, "outage_power", "pmi-04", severity=4)
    incident = scene.incidents()[0].id
    at = scene.at(0)
    for command, code in (
        (StartObligation(obligation="x", incident=incident, known_at=at, **BY), "obligation_"),
        (StartObligation(obligation="rgpd-cnil", incident="x", known_at=at, **BY), "incident_"),
        (FulfilObligation(clock="x", text_id="t", **BY), "clock_"),
        (DismissObligation(clock="x", **BY, **WHY), "clock_"),
    ):
        assert refusal(scene, command) == (404, f"{code}not_found")
    future = StartObligation(obligation="rgpd-cnil", incident=incident, known_at=scene.at(5), **BY)
    assert refusal(scene, future) == (409, "obligation_future")
    field = {"author": "m", "role": "site_manager"}
    by_site = StartObligation(obligation="rgpd-cnil", incident=incident, known_at=at, **field)
    assert refusal(scene, by_site) == (403, "role_not_allowed")


def test_old_history_keeps_running_clocks_and_those_of_known_incidents(scene: Scene) -> None:
    attack(scene)
    ended = clock_of(scene, "nis2-alerte")
    apply(scene, DismissObligation(clock=ended.id, **BY, **WHY))
    later = scene.at(60 * 24 * HOUR)
    fact = HistoryForgotten(reported_before=later, closed_before=0, next_at=None)
    assert len(evolve_forgotten_history(scene.state, fact).obligations) == 5
    forgotten = scene.state.put(
        obligations=scene.state.obligations.set(
            ended.id, scene.state.obligations[ended.id].model_copy(update={"incident": "gone"})
        )
    )
    obligations = evolve_forgotten_history(forgotten, fact).obligations
    assert ended.id not in obligations
    assert len(obligations) == 4


@pytest.mark.parametrize(
    ("limit", "begin", "end"),
    [
        ((72, LimitUnit.HOURS), "2027-03-26T12:00", "2027-03-29T13:00"),
        ((5, LimitUnit.WORKING_DAYS), "2027-02-11T09:40", "2027-02-18T23:59"),
        ((5, LimitUnit.WORKING_DAYS), "2027-05-05T23:59", "2027-05-13T23:59"),
        ((2, LimitUnit.WORKING_DAYS), "2027-02-13T10:00", "2027-02-16T23:59"),
        ((30, LimitUnit.DAYS), "2027-02-11T09:40", "2027-03-13T23:59"),
        ((1, LimitUnit.MONTHS), "2027-01-31T08:00", "2027-02-28T23:59"),
        ((1, LimitUnit.MONTHS), "2027-03-31T08:00", "2027-04-30T23:59"),
        ((1, LimitUnit.MONTHS), "2028-01-30T08:00", "2028-02-29T23:59"),
        ((24, LimitUnit.MONTHS), "2027-12-15T08:00", "2029-12-15T23:59"),
    ],
)
def test_limits_follow_the_calendar(limit: tuple[int, LimitUnit], begin: str, end: str) -> None:
    """72 h run through the night of 28 March; Ascension (6 May) and weekends do not count."""
    amount, unit = limit
    holidays = ("2027-05-06",)
    instant = compute_limit(ObligationLimit(amount=amount, unit=unit), local(begin), holidays)
    assert instant == local(end)


STEPS = ("attack", "fire", "start", "done", "dismiss", "wait", "long")
OBLIGATIONS = ("rgpd-cnil", "nis2-notification", "assureur-sinistre", "tiac-ars", "catnat-assure")


def _act(scene: Scene, step: str, which: int, minute: float) -> None:
    clocks = sorted(scene.state.obligations)
    clock = clocks[which % len(clocks)] if clocks else "none"
    match step:
        case "attack":
            attack(scene, minute)
        case "fire":
            scene.report(minute, "fire", ("pmi-04", "pmi-05")[which % 2], severity=4)
        case "start" if scene.incidents():
            incidents = scene.incidents()
            scene.command(
                StartObligation(
                    obligation=OBLIGATIONS[which % len(OBLIGATIONS)],
                    incident=incidents[which % len(incidents)].id,
                    known_at=scene.at(minute - which * HOUR),
                    **BY,
                ),
                minute,
            )
        case "done":
            scene.command(FulfilObligation(clock=clock, text_id="t", **BY), minute)
        case "dismiss":
            scene.command(DismissObligation(clock=clock, **BY, **WHY), minute)
        case _:
            scene.step(minute)


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9)), min_size=1, max_size=12))
def test_states_only_move_along_the_arrows(history: list[tuple[str, int]]) -> None:
    """Random histories: one start per clock, one clock per obligation and incident, none lost."""
    scene, minute = Scene(), 0.0
    for step, which in history:
        minute += 20 * HOUR if step == "long" else 1 + which * 17
        _act(scene, step, which, minute)
    scene.step(minute + 1)
    before: dict[str, ObligationRow] = {}
    for fact in scene.named(ObligationChanged):
        row, old = fact.row, before.get(fact.row.id)
        if old is None:
            assert (fact.change, row.state, row.version) == ("started", ObligationState.RUNNING, 0)
        else:
            assert OBLIGATION_MOVES[fact.change][old.state] is row.state
            assert (row.due_at, row.known_at) == (old.due_at, old.known_at)
            assert row.reminders >= old.reminders
        assert (row.text_id is None) is (row.state is ObligationState.RUNNING)
        before[row.id] = row
    assert before == dict(scene.state.obligations)
    pairs = Counter((row.obligation, row.incident) for row in before.values())
    assert not pairs or max(pairs.values()) == 1
    for row in before.values():
        armed = scene.state.agenda.due.get(f"obligation:{row.id}")
        assert armed == row.next_at
        if row.state is ObligationState.RUNNING and row.due_at <= scene.at(minute) - MINUTE_MS:
            assert row.overdue_at == row.due_at
        if row.state is not ObligationState.RUNNING:
            assert row.next_at is None
        assert row.due_at - row.known_at >= HOUR_MS
    decider = AlertsDecider()
    loaded = decider.load(scene.state.realm, scene.state.lineage, decider.dump(scene.state))
    assert loaded == scene.state
    assert loaded.agenda == scene.state.agenda
