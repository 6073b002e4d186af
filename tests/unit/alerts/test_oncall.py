"""On-call decisions, the directory and the readiness proof of a live realm (D34, D38, D39)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import reference as ref
from schemas.alerts import TaskChanged
from schemas.base import DAY_MS, HOUR_MS, MINUTE_MS
from schemas.calling import (
    AnswerReceived,
    NotificationPlanned,
    NotificationWithdrawn,
    RoleUncovered,
    Unreachable,
)
from schemas.oncall import (
    DrillLadders,
    DutyChanged,
    ImportDuties,
    LaddersDrilled,
    NoteReachability,
    OverrideDuty,
    Place,
    Reach,
    ReachabilityChanged,
    ReachRow,
    ReadinessProved,
    Shift,
    SwapDuties,
    WithdrawDuty,
)
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import Answer, Channel
from tests.unit.alerts.scene import START, Scene

AUTHOR = {"author": "coord-pca", "role": "coordinator"}
TECHNIQUE = "astreinte_technique"


def override(
    person: str | None = "cel-si", start: float = 0, end: float = 60, **values: Any
) -> OverrideDuty:
    command_fields = {"role_on_call": TECHNIQUE, "reason": "text:r", **AUTHOR} | values
    return OverrideDuty(
        person=person,
        start=START + round(start * MINUTE_MS),
        end=START + round(end * MINUTE_MS),
        **command_fields,
    )


def shifts(*persons: str, hours: float = 12) -> tuple[Shift, ...]:
    step = round(hours * HOUR_MS)
    return tuple(
        Shift(start=START + n * step, end=START + (n + 1) * step, person=p)
        for n, p in enumerate(persons)
    )


def imported(*persons: str, name: str = "cal", **values: Any) -> ImportDuties:
    made = shifts(*persons)
    command_fields = {
        "role_on_call": TECHNIQUE,
        "calendar": name,
        "start": made[0].start,
        "end": made[-1].end,
        "shifts": made,
        **AUTHOR,
    } | values
    return ImportDuties(**command_fields)


def holder(scene: Scene, minute: float = 1, role: str = TECHNIQUE) -> str | None:
    return scene.state.rota.pair(role, None, scene.at(minute)).holder


def test_an_override_stands_at_once_and_its_withdrawal_too() -> None:
    scene = Scene(check=True)
    done = scene.command(override(), 0)
    assert isinstance(done, CommandApplied)
    assert holder(scene) == "cel-si"
    assert scene.named(DutyChanged)[0].row.by == "coord-pca"
    scene.command(WithdrawDuty(duty=str(done.result["duty"]), **AUTHOR), 1)
    assert holder(scene) == "ast-technique"


def test_on_call_planners_may_plan_but_not_replace_the_directory() -> None:
    scene = Scene()
    assert isinstance(scene.command(override(role="coordinateur_pca"), 0), CommandApplied)
    no = scene.command(NoteReachability(people=(), author="coord-pca", role="coordinateur_pca"), 0)
    assert isinstance(no, CommandRefused)
    assert no.code == "role_not_allowed"


def test_the_author_of_a_second_override_learns_that_it_covers_another() -> None:
    scene = Scene()
    scene.command(override("cel-si", 0, 60), 0)
    done = scene.command(override("cel-rh", 30, 90), 0)
    assert isinstance(done, CommandApplied)
    assert done.result["overlaps"] == 1
    assert (holder(scene, 10), holder(scene, 45), holder(scene, 75)) == (
        "cel-si",
        "cel-rh",
        "cel-rh",
    )


@pytest.mark.parametrize(
    ("command", "status", "code"),
    [
        (override("inconnu"), 404, "person_not_found"),
        (override(role_on_call="plombier"), 404, "post_not_found"),
        (override(scope="nulle-part"), 404, "post_not_found"),
        (override(role_on_call="directeur_pole"), 404, "post_not_found"),
        (override(reason=None), 409, "reason_required"),
        (override(start=60, end=0), 409, "span_invalid"),
        (override(start=-120, end=-60), 409, "span_over"),
        (override(role="observer"), 403, "role_not_allowed"),
        (WithdrawDuty(duty="rien", **AUTHOR), 404, "duty_not_found"),
        (imported("ast-technique", end=START), 409, "span_invalid"),
        (imported("inconnu"), 404, "person_not_found"),
    ],
)
def test_an_impossible_decision_is_refused_by_name(command: Any, status: int, code: str) -> None:
    scene = Scene()
    no = scene.command(command, 0)
    assert isinstance(no, CommandRefused)
    assert (no.status, no.code) == (status, code)
    assert not scene.state.duties


def test_a_swap_exchanges_two_persons() -> None:
    scene = Scene()
    scene.command(imported("ast-technique", "ast-technique-s"), 0)
    first, second = shifts("a", "b")
    swap = {"role_on_call": TECHNIQUE, "reason": "text:r", **AUTHOR}
    spans = {
        "start": first.start,
        "end": first.end,
        "other_start": second.start,
        "other_end": second.end,
    }
    assert isinstance(scene.command(SwapDuties(**swap, **spans), 0), CommandApplied)
    assert (holder(scene, 1), holder(scene, 12 * 60 + 1)) == ("ast-technique-s", "ast-technique")
    half = SwapDuties(
        **swap, **spans | {"end": first.end + HOUR_MS, "other_start": second.start + 2 * HOUR_MS}
    )
    assert scene.command(half, 0).code == "not_one_person"  # type: ignore[union-attr]
    assert (
        scene.command(
            SwapDuties(**swap, **spans | {"other_start": first.start, "other_end": first.end}), 0
        ).code
        == "spans_overlap"
    )  # type: ignore[union-attr]


def test_importing_a_calendar_again_replaces_it() -> None:
    scene = Scene(check=True)
    scene.command(imported("ast-technique", "cel-si"), 0)
    done = scene.command(imported("cel-rh"), 0)
    assert isinstance(done, CommandApplied)
    assert done.result["replaced"] == 1
    assert (holder(scene, 1), holder(scene, 13 * 60)) == ("cel-rh", "ast-technique")
    assert sorted(d.state for d in scene.state.duties.values()) == ["in_force", "replaced"]


def test_a_call_goes_to_the_person_on_call_at_the_wave_and_stays_theirs() -> None:
    scene = Scene()
    scene.command(override("cel-si", -1, 5), 0)
    scene.report(1, "closure", "pmi-04", severity=2)
    assert {c.person for c in scene.named(NotificationPlanned)} == {"rs-pmi-04", "cel-si"}
    scene.step(14)
    assert len(scene.named(NotificationPlanned)) == 2, "a hand-off during a wave calls nobody"


def test_a_gap_calls_the_deputy_and_is_recorded() -> None:
    scene = Scene()
    scene.command(override(None, -1, 60), 0)
    scene.report(1, "closure", "pmi-04", severity=2)
    assert [(u.role, u.scope) for u in scene.named(RoleUncovered)] == [(TECHNIQUE, None)]
    assert {"ast-technique-s", "ast-direction"} <= {
        c.person for c in scene.named(NotificationPlanned)
    }, "deputy at once, next wave at once"


def test_quiet_channels_are_tried_last() -> None:
    scene = Scene(start=START + 13 * HOUR_MS)
    points = tuple(
        Reach(channel=c, verified_at=START, quiet=(22 * 60, 7 * 60) if c is Channel.APP else None)
        for c in (Channel.APP, Channel.SMS)
    )
    scene.command(
        NoteReachability(people=(ReachRow(id="ast-technique", points=points),), **AUTHOR), 0
    )
    scene.report(1, "closure", "pmi-04", severity=2)
    call = next(c for c in scene.named(NotificationPlanned) if c.person == "ast-technique")
    assert call.channels == ("sms", "app")


@pytest.mark.parametrize("make", [override, imported])
def test_erased_people_and_people_without_a_channel_go_on_call_no_more(make: Any) -> None:
    """An erased person took an on-call post: its calls reached nobody."""
    scene = Scene()
    assert isinstance(scene.command(make("ast-technique"), 0), CommandApplied)
    erasure = NoteReachability(people=(ReachRow(id="ast-technique", points=()),), **AUTHOR)
    scene.command(erasure, 1)
    no = scene.command(make("ast-technique"), 2)
    assert isinstance(no, CommandRefused)
    assert no.code == "person_not_found"


def test_quiet_hours_until_midnight_may_be_written_as_24_00_without_losing_calls() -> None:
    scene = Scene()
    quiet = Reach(channel=Channel.APP, verified_at=1, quiet=(540, 1440))
    open_point = Reach(channel=Channel.SMS, verified_at=1)
    reachability_note = NoteReachability(
        people=(ReachRow(id="ast-technique", points=(quiet, open_point)),),
        author="system:directory",
        role="admin",
    )
    scene.command(reachability_note, 0)
    scene.report(1, "closure", "pmi-04", severity=2)
    (call,) = [c for c in scene.named(NotificationPlanned) if c.person == "ast-technique"]
    assert call.channels == ("sms", "app")


def test_an_unverified_channel_is_tried_last() -> None:
    scene = Scene()
    points = (Reach(channel=Channel.APP), Reach(channel=Channel.SMS, verified_at=START))
    scene.command(
        NoteReachability(people=(ReachRow(id="ast-technique", points=points),), **AUTHOR), 0
    )
    scene.report(1, "closure", "pmi-04", severity=2)
    assert next(
        c for c in scene.named(NotificationPlanned) if c.person == "ast-technique"
    ).channels == ("sms", "app")


def test_former_directory_entries_leave_no_trace() -> None:
    scene = Scene()
    reachability_note = NoteReachability(
        people=(ReachRow(id="cel-si", points=(Reach(channel=Channel.SMS, verified_at=START),)),),
        **AUTHOR,
    )
    first, second = scene.command(reachability_note, 0), scene.command(reachability_note, 1)
    assert (first.result["changed"], second.result["changed"]) == (1, 0)  # type: ignore[union-attr]


# ── the proof ──────────────────────────────────────────────────────────────────────────────────────────────────────


def live(**values: Any) -> Scene:
    return Scene(realm="92", **values)


def proofs(scene: Scene) -> list[Any]:
    return [f.row for f in scene.named(ReadinessProved)]


def test_the_proof_is_made_after_publication_then_every_morning_at_eight() -> None:
    scene = live()
    for hour in range(72):
        scene.step(60 * hour + 20)
    at_ = [(p.at - START) / HOUR_MS for p in proofs(scene)]
    assert at_ == pytest.approx([1 / 3, 22 + 1 / 3, 46 + 1 / 3, 70 + 1 / 3], abs=0.01), (
        "from Thursday 09:40 on, 08:00 of the next days"
    )
    assert all(p.ready == p.hours and not p.holes for p in proofs(scene))
    assert scene.named(NotificationPlanned) == []


def drills(scene: Scene) -> list[Any]:
    return [f.row for f in scene.named(LaddersDrilled)]


def test_the_drill_runs_once_a_month_from_its_day_on_without_calls() -> None:
    scene = live()
    for day in range(34):
        scene.step(day * 24 * 60 + 30)
    assert [(d.id, round((d.at - START) / DAY_MS, 1)) for d in drills(scene)] == [
        ("2027-02", 0.0),
        ("2027-03", 20.0),
    ], "at once when the day is past, then on 3 March"
    assert all(r.reached == r.posts for d in drills(scene) for r in d.rungs)
    assert scene.named(NotificationPlanned) == []


def test_a_drill_by_hand_runs_at_once_without_calls_and_counts_for_the_month() -> None:
    scene = live()
    scene.step(1)
    answer = scene.command(DrillLadders(**AUTHOR), 7)
    assert isinstance(answer, CommandApplied)
    *_, by_hand = drills(scene)
    assert (answer.result["drill"], by_hand.at) == (by_hand.id, scene.at(7))
    assert answer.result["rungs"] == len(by_hand.rungs) > 0
    assert scene.named(NotificationPlanned) == []
    made = len(drills(scene))
    scene.step(3 * 24 * 60)
    assert len(drills(scene)) == made, "the month has had its test"


def test_a_missed_month_has_no_drill_and_the_next_one_does() -> None:
    scene = live()
    scene.step(30)
    scene.step(61 * 24 * 60)
    assert [d.id for d in drills(scene)] == ["2027-02", "2027-04"]


def test_a_simulated_realm_proves_nothing_by_itself() -> None:
    scene = Scene()
    scene.step(3 * 24 * 60)
    assert proofs(scene) == []
    assert drills(scene) == []
    assert scene.service.next_due(scene.realm) is None


def test_a_gap_within_48_hours_is_sent_once_and_becomes_a_task_of_its_owner() -> None:
    scene = live()
    scene.command(override(None, 24 * 60, 36 * 60), 1)
    scene.step(2)
    notifications = scene.named(NotificationPlanned)
    assert {(c.person, c.template, c.answer_expected) for c in notifications} == {
        ("coord-pca", "readiness_hole", False),
        ("dgs", "readiness_hole", False),
    }
    assert (
        notifications[0].values["hole"],
        notifications[0].values["hole_role"],
        notifications[0].values["fix"],
    ) == (
        "no_holder",
        TECHNIQUE,
        "find_holder",
    )
    (task,) = [t.row for t in scene.named(TaskChanged)]
    assert (task.kind, task.post, task.owner, task.state) == (
        "readiness_hole",
        TECHNIQUE,
        "coordinateur_pca",
        "open",
    )
    scene.step(24 * 60)
    assert len(scene.named(NotificationPlanned)) == 2, "the next morning says nothing new"


def test_a_filled_gap_ends_its_task() -> None:
    scene = live()
    gap = scene.command(override(None, 24 * 60, 36 * 60), 1)
    scene.step(2)
    scene.command(WithdrawDuty(duty=str(gap.result["duty"]), **AUTHOR), 3)  # type: ignore[union-attr]
    scene.step(4)
    assert [(t.row.state, t.row.outcome) for t in scene.named(TaskChanged)] == [
        ("open", None),
        ("void", "filled"),
    ]
    assert proofs(scene)[-1].holes == ()


def test_a_gap_of_a_site_goes_to_the_director_of_its_pole() -> None:
    scene = live()
    scene.command(override(None, 10, 600, role_on_call="responsable_site", scope="pmi-04"), 1)
    scene.step(2)
    assert {c.person for c in scene.named(NotificationPlanned)} == {"coord-pca", "dir-solidarites"}
    (task,) = [t.row for t in scene.named(TaskChanged)]
    assert (task.owner, task.site, task.post) == (
        "directeur_pole:solidarites",
        "pmi-04",
        "responsable_site:pmi-04",
    )


@pytest.mark.parametrize(("minutes", "is_urgent"), [(-30, True), (30, False)])
def test_a_gap_is_urgent_less_than_48_hours_before(minutes: int, is_urgent: bool) -> None:
    """D38: the proof is made at the change of the roster, a minute after the start."""
    scene = live()
    begin = 48 * 60 + minutes
    scene.command(override(None, begin, begin + 12 * 60), 1)
    scene.step(2)
    assert [h.kind for h in proofs(scene)[-1].holes] == ["no_holder"]
    assert bool(scene.named(NotificationPlanned)) is is_urgent


def test_a_distant_gap_waits_until_48_hours_before() -> None:
    scene = live()
    scene.command(override(None, 5 * 24 * 60, 6 * 24 * 60), 1)
    scene.step(2)
    assert [h.kind for h in proofs(scene)[-1].holes] == ["no_holder"]
    assert scene.named(NotificationPlanned) == []
    for day in range(1, 5):
        scene.step(day * 24 * 60)
    assert {c.template for c in scene.named(NotificationPlanned)} == {
        "readiness_digest",
        "readiness_hole",
    }, "Monday's digest, then the alert"


def test_ninety_days_without_an_answer_unprove_all_people_in_one_message() -> None:
    scene = live()
    scene.step(1)
    scene.step(91 * 24 * 60)
    assert len(proofs(scene)) == 2, "one proof stands for the mornings that were missed"
    last = proofs(scene)[-1]
    assert last.more > 0
    assert (
        len(
            [
                c
                for c in scene.named(NotificationPlanned)
                if c.template == "readiness_hole" and c.person == "coord-pca"
            ]
        )
        <= 9
    )
    assert len([t for t in scene.state.tasks.values() if t.done_at is None]) <= 50


def test_the_directory_restores_the_proof_of_a_person() -> None:
    scene = live()
    old = Reach(channel=Channel.SMS, verified_at=START - 91 * DAY_MS)
    scene.command(NoteReachability(people=(ReachRow(id="dgs", points=(old,)),), **AUTHOR), 1)
    scene.step(2)
    assert [(h.kind, h.person) for h in proofs(scene)[-1].holes] == [
        ("late", "dgs-s"),
        ("unverified", "dgs"),
    ]
    fresh = tuple(Reach(channel=c, verified_at=START) for c in (Channel.SMS, Channel.VOICE))
    scene.command(NoteReachability(people=(ReachRow(id="dgs", points=fresh),), **AUTHOR), 3)
    scene.step(4)
    assert proofs(scene)[-1].holes == ()


def test_a_territory_without_rules_about_readiness_proves_nothing() -> None:
    from services.territory.publish import build_reference_commands
    from tests.shipped import territory

    scene = live()
    for id, command in build_reference_commands(territory(), "92", "system:t", "admin"):
        data = command.data
        if isinstance(data, ref.EscalationPolicy):
            data = data.model_copy(
                update={"policy": data.policy.model_copy(update={"readiness": None})}
            )
        scene.feed(
            command.model_copy(update={"data": data, "reference": "bare"}),
            id=f"bare-{id}",
            at=scene.at(0),
        )
    before = len(proofs(scene))
    scene.step(3 * 24 * 60)
    assert len(proofs(scene)) == before


def test_a_deputy_role_can_be_overridden_too() -> None:
    scene = Scene()
    scene.command(override("cel-rh", place=Place.DEPUTY), 0)
    assert scene.state.rota.pair(TECHNIQUE, None, scene.at(1)).deputy == "cel-rh"


# ── proofs that answers renew, people who are gone ─────────────────────────────────────────────────────────────────


def ladder(*people: ReachRow, realm: str = "92") -> tuple[Scene, str]:
    """Return an escalation that calls the manager and the technician."""
    scene = Scene(realm=realm, check=True)
    scene.command(NoteReachability(people=people, author="system:directory", role="admin"), 0)
    scene.report(1, "closure", "pmi-04", severity=2)
    (scope,) = (i.id for i in scene.incidents())
    return scene, scene.state.ladders[scope]


def reach(person: str, *channels: str, verified_at: int | None = START) -> ReachRow:
    return ReachRow(
        id=person,
        points=tuple(Reach(channel=Channel(c), verified_at=verified_at) for c in channels),
    )


def answered(scene: Scene, person: str, minute: float, proved: Channel | None) -> None:
    call = next(c for c in scene.named(NotificationPlanned) if c.person == person)
    at = scene.at(minute)
    scene.feed(
        AnswerReceived(
            notification=call.notification,
            person=person,
            answer=Answer.ACK,
            channel="sms",
            at=at,
            proved=proved,
        ),
        at=at,
    )


def test_an_answer_renews_the_proof_of_the_channel_it_came_by_once_a_day() -> None:
    scene, _ = ladder(reach("ast-technique", "app", "sms", verified_at=START - 80 * DAY_MS))
    due = scene.state.prove_at
    for minute in (5, 6):
        answered(scene, "ast-technique", minute, Channel.SMS)
    verification_times = {
        r.channel: r.verified_at for r in scene.state.reach["ast-technique"].points
    }
    assert verification_times == {Channel.APP: START - 80 * DAY_MS, Channel.SMS: scene.at(5)}
    assert len(scene.named(ReachabilityChanged)) == 2, "the directory's word, then one renewal"
    assert scene.state.prove_at == due, (
        "a renewed proof opens no hole: nothing is proved again for it"
    )


def test_an_answer_renews_a_channel_known_only_from_the_reference_data() -> None:
    scene, _ = ladder()
    answered(scene, "ast-technique", 60 * 30, Channel.SMS)
    verification_times = {
        r.channel: r.verified_at for r in scene.state.reach["ast-technique"].points
    }
    assert verification_times[Channel.SMS] == scene.at(60 * 30)
    assert set(verification_times) > {Channel.SMS}, "its other channels stay"


def test_an_answer_in_an_exercise_or_by_no_channel_proves_nothing() -> None:
    scene, _ = ladder(reach("ast-technique", "sms", verified_at=1), realm="92~test-proof")
    answered(scene, "ast-technique", 5, Channel.SMS)
    assert scene.state.reach["ast-technique"].points[0].verified_at == 1
    scene, _ = ladder(reach("ast-technique", "sms", verified_at=1))
    answered(scene, "ast-technique", 5, None)
    assert scene.state.reach["ast-technique"].points[0].verified_at == 1


def test_erasing_an_awaited_person_continues_the_escalation_at_once() -> None:
    scene, id = ladder(
        reach("rs-pmi-04", "sms"), reach("ast-technique", "sms"), reach("ast-technique-s", "sms")
    )
    erased = NoteReachability(
        people=(ReachRow(id="ast-technique", points=()),), author="system:directory", role="admin"
    )
    scene.command(erased, 2)
    planned = scene.named(NotificationPlanned)
    assert [(c.person, c.planned_at) for c in planned if c.person.startswith("ast-technique")] == [
        ("ast-technique", scene.at(1)),
        ("ast-technique-s", scene.at(2)),
    ]
    gone = next(c for c in planned if c.person == "ast-technique")
    assert [(w.notification, w.why) for w in scene.named(NotificationWithdrawn)] == [
        (gone.notification, "person_gone")
    ]
    before = len(scene.facts)
    scene.feed(
        Unreachable(notification=gone.notification, person="ast-technique", at=scene.at(3)),
        at=scene.at(3),
    )
    scene.command(
        erased.model_copy(update={"people": (ReachRow(id="ast-technique", points=()),)}), 4
    )
    assert not [
        f for f in scene.facts[before:] if isinstance(f, NotificationPlanned | RoleUncovered)
    ], "once is enough"
    assert scene.state.escalations[id].state == "running"


def test_erasing_without_a_deputy_calls_the_next_step_and_keeps_given_answers() -> None:
    scene, _ = ladder(reach("rs-pmi-04", "sms"))
    scene.command(
        NoteReachability(
            people=(ReachRow(id="rs-pmi-04", points=()),), author="system:directory", role="admin"
        ),
        2,
    )
    assert [
        c.planned_at
        for c in scene.named(NotificationPlanned)
        if c.person in ("ast-direction", "rs-pmi-04-s")
    ] == [scene.at(2)]
    scene, _ = ladder(reach("ast-technique", "sms"))
    answered(scene, "ast-technique", 2, None)
    calls = len(scene.named(NotificationPlanned))
    scene.command(
        NoteReachability(
            people=(ReachRow(id="ast-technique", points=()),),
            author="system:directory",
            role="admin",
        ),
        3,
    )
    assert len(scene.named(NotificationPlanned)) == calls
