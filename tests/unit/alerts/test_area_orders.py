"""Orders for communes or an area: the manager of each site inside is asked (D102)."""

from typing import Any

import pytest

from schemas.alerts import SiteStatusChanged, TaskRow
from schemas.calling import AnswerReceived, NotificationPlanned, NotificationWithdrawn, Unreachable
from schemas.commands import CompleteTask, ReopenIncident, ResolveIncident
from schemas.crisis.area_orders import AreaOrderRow
from schemas.oncall import NoteReachability, OverrideDuty, ReachRow
from schemas.reference import Roster, RosterSection, Sites
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import Answer, EventType, MsgType
from services.runtime.log.transaction import MAX_TRANSACTION_BYTES
from services.territory.publish import build_reference_commands
from tests.shipped import territory
from tests.unit.alerts.scene import Scene

COMMUNE = "92036"
"""Gennevilliers."""
DRAWN = ("cen-1", "par-12")
"""Sites of an area drawn in Nanterre."""
CELL: dict[str, Any] = {"author": "coord", "role": "coordinateur_pca"}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def order(scene: Scene, minute: float, type: str = "evacuation", **fields: Any) -> str:
    place = {} if {"zone", "sites"} & fields.keys() else {"zone": (COMMUNE,)}
    return scene.report(
        minute, type, None, **{"severity": 5, "source": "prefecture"} | place | fields
    )


def inside(scene: Scene, commune: str = COMMUNE) -> list[str]:
    return sorted(scene.state.territory.by_commune[commune])


def calls(scene: Scene, *sites: str) -> list[NotificationPlanned]:
    planned = [f for f in scene.named(NotificationPlanned) if f.template == "area_order"]
    return [f for f in planned if not sites or f.values["site"] in sites]


def task(scene: Scene, site: str) -> TaskRow:
    """Return the newest question about a site."""
    tasks = [t for t in scene.state.tasks.values() if (t.kind, t.site) == ("area_order", site)]
    return max(tasks, key=lambda t: (t.opened_at, t.done_at is None, t.id))


def row(scene: Scene) -> AreaOrderRow:
    """Return the only order for an area."""
    (one,) = scene.state.area_orders.values()
    return one


def answer(scene: Scene, minute: float, call: NotificationPlanned, answer: Answer) -> None:
    message = AnswerReceived(
        notification=call.notification,
        person=call.person,
        answer=answer,
        channel="sms",
        at=scene.at(minute),
    )
    scene.feed(message, at=scene.at(minute))


def settle(scene: Scene, minute: float) -> None:
    """Move the clock until no deadline is due: one record holds a part of them."""
    while (due := scene.state.agenda.first()) is not None and due.due <= scene.at(minute):
        scene.step(minute)


def complete(
    scene: Scene, minute: float, site: str, outcome: str | None
) -> CommandApplied | CommandRefused:
    command = CompleteTask(
        author=f"rs-{site}",
        role="site_manager",
        task=task(scene, site).id,
        outcome=outcome,
    )
    return scene.command(command, minute)


def site_orders(scene: Scene, site: str) -> list[Any]:
    planned = [f for f in scene.named(NotificationPlanned) if f.template == "site_order"]
    return [f.values["order"] for f in planned if f.values["site"] == site]


def withdrawn(scene: Scene) -> set[str]:
    return {f.notification for f in scene.named(NotificationWithdrawn)}


# ── who is asked ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("type", "status"), [("evacuation", "evacuated"), ("shelter_in_place", "sheltering")]
)
def test_the_manager_of_each_site_of_the_commune_is_asked_at_once(
    scene: Scene, type: str, status: str
) -> None:
    report = order(scene, 1, type)
    assert sorted(str(f.scope) for f in calls(scene)) == inside(scene) != []
    for call in calls(scene):
        assert call.person == f"rs-{call.scope}"
        assert (call.danger, call.answer_expected, call.quiet_until) == (True, True, None)
        assert call.values["order"] == status
        assert call.values["giver"] == "prefecture"
        assert call.values["ordered_at"] == scene.at(1)
        assert call.values["places"] == COMMUNE
    question = task(scene, inside(scene)[0])
    assert question.state == "open"
    assert question.due_at == scene.at(11)
    assert question.owner == f"responsable_site:{question.site}"
    assert (row(scene).report, list(row(scene).sites)) == (report, inside(scene))


def test_an_order_for_a_commune_closes_no_site_and_opens_no_headcount(scene: Scene) -> None:
    order(scene, 1)
    assert calls(scene)
    assert not scene.named(SiteStatusChanged)
    assert not [t for t in scene.state.tasks.values() if t.kind == "headcount"]


def test_a_drawn_area_asks_its_own_sites_and_not_all_of_the_commune(scene: Scene) -> None:
    order(scene, 1, zone=("92050",), sites=DRAWN)
    assert sorted(str(f.scope) for f in calls(scene)) == sorted(DRAWN)
    assert row(scene).communes == ("92050",)


def test_rumours_and_unconfirmed_orders_cause_no_call(scene: Scene) -> None:
    order(scene, 1, certainty="rumour", source="rumour")
    order(scene, 2, certainty="unconfirmed", source="commune")
    assert not calls(scene)


def test_other_dangers_in_a_commune_are_no_orders(scene: Scene) -> None:
    order(scene, 1, "fire", source="pompiers")
    order(scene, 2, "security_incident", source="police")
    assert not calls(scene)
    assert not scene.state.area_orders


def test_a_site_with_the_same_order_of_its_own_is_not_asked(scene: Scene) -> None:
    first, *others = inside(scene)
    scene.report(0, "evacuation", first, severity=4, source="pompiers")
    order(scene, 1)
    assert sorted(str(f.scope) for f in calls(scene)) == others


def test_the_whole_departement_is_asked_in_records_of_bounded_size(scene: Scene) -> None:
    communes = tuple(sorted(scene.state.territory.by_commune))
    order(scene, 1, zone=communes)
    settle(scene, 1.01)
    sites = set(scene.state.territory.sites)
    assert {f.scope for f in calls(scene)} == sites
    assert len(calls(scene)) == len(sites) > 250
    assert max(f.planned_at for f in calls(scene)) - scene.at(1) < 1000
    order_id = row(scene).id
    cancel = {"msg_type": MsgType.CANCEL, "references": (row(scene).report,)}
    for site in sorted(sites)[::5]:
        complete(scene, 3, site, "concerned")
    order(scene, 5, zone=communes, **cancel)
    settle(scene, 6)
    assert not scene.state.area_orders[order_id].leaving
    assert {s.status for s in scene.state.sites.values()} == {"normal"}
    sizes = [len(stored.raw) for stored in scene.service.log.of(scene.realm)]
    assert max(sizes) < MAX_TRANSACTION_BYTES


# ── answers ───────────────────────────────────────────────────────────────────────────────────────


def test_yes_by_telephone_opens_the_order_at_the_site_with_a_headcount(scene: Scene) -> None:
    order(scene, 1)
    call = calls(scene)[0]
    site = str(call.scope)
    answer(scene, 4, call, Answer.ACK)
    assert scene.status(site) == "evacuated"
    assert scene.site(site).causes[0].since == scene.at(1)
    assert site in scene.incidents()[0].members
    assert [t.kind for t in scene.state.tasks.values() if (t.site, t.state) == (site, "open")] == [
        "headcount"
    ]
    assert site_orders(scene, site) == ["evacuated"]
    assert (task(scene, site).state, task(scene, site).outcome) == ("done", "concerned")
    assert {scene.status(other) for other in inside(scene) if other != site} == {"normal"}


def test_no_is_recorded_and_changes_nothing_at_the_site(scene: Scene) -> None:
    order(scene, 1)
    call = calls(scene)[0]
    answer(scene, 4, call, Answer.DECLINE)
    assert scene.status(str(call.scope)) == "normal"
    assert task(scene, str(call.scope)).outcome == "not_concerned"
    assert row(scene).outside == (call.scope,)
    assert call.scope not in row(scene).barred


@pytest.mark.parametrize("outcome", ["concerned", "not_concerned"])
def test_an_answer_on_the_screen_counts_the_same_and_ends_the_call(
    scene: Scene, outcome: str
) -> None:
    order(scene, 1)
    call = calls(scene)[0]
    assert isinstance(complete(scene, 4, str(call.scope), outcome), CommandApplied)
    expected = "evacuated" if outcome == "concerned" else "normal"
    assert scene.status(str(call.scope)) == expected
    assert withdrawn(scene) == {call.notification}


def test_a_question_about_people_is_not_ticked_off_without_an_answer(scene: Scene) -> None:
    order(scene, 1)
    refusal = complete(scene, 4, inside(scene)[0], None)
    assert isinstance(refusal, CommandRefused)
    assert refusal.code == "answer_needed"
    assert task(scene, inside(scene)[0]).state == "open"


def test_a_person_may_change_the_answer(scene: Scene) -> None:
    order(scene, 1)
    call = calls(scene)[0]
    site = str(call.scope)
    answer(scene, 4, call, Answer.DECLINE)
    answer(scene, 5, call, Answer.ACK)
    assert scene.status(site) == "evacuated"
    assert row(scene).outside == ()
    answer(scene, 6, call, Answer.DECLINE)
    assert scene.status(site) == "normal"
    assert row(scene).outside == (site,)


def test_an_answer_on_the_screen_may_be_changed(scene: Scene) -> None:
    """The screens offer «Finalement concerné» and «Finalement non concerné»."""
    order(scene, 1)
    site = inside(scene)[0]
    for minute, outcome in enumerate(("not_concerned", "concerned", "not_concerned"), 2):
        assert isinstance(complete(scene, minute, site, outcome), CommandApplied)
        is_concerned = outcome == "concerned"
        assert scene.status(site) == ("evacuated" if is_concerned else "normal")
        assert row(scene).outside == (() if is_concerned else (site,))


@pytest.mark.parametrize("outcome", [None, "not_concerned"])
def test_an_answer_on_the_screen_about_an_order_that_is_over_is_refused(
    scene: Scene, outcome: str | None
) -> None:
    report = order(scene, 1)
    site = inside(scene)[0]
    if outcome is not None:
        complete(scene, 2, site, outcome)
    scene.report(
        3, "evacuation", msg_type=MsgType.CANCEL, references=(report,), source="prefecture"
    )
    assert isinstance(complete(scene, 4, site, "concerned"), CommandRefused)
    assert scene.status(site) == "normal"


def test_without_an_answer_the_deputy_is_called_once(scene: Scene) -> None:
    order(scene, 1)
    answered, silent = inside(scene)[:2]
    answer(scene, 4, calls(scene, answered)[0], Answer.DECLINE)
    scene.step(10)
    assert len(calls(scene, silent)) == 1
    scene.step(12)
    assert [f.person for f in calls(scene, silent)] == [f"rs-{silent}", f"rs-{silent}-s"]
    assert len(calls(scene, answered)) == 1
    scene.step(90)
    assert len(calls(scene, silent)) == 2
    answer(scene, 91, calls(scene, silent)[1], Answer.ACK)
    assert scene.status(silent) == "evacuated"
    assert withdrawn(scene) == {calls(scene, silent)[0].notification}


def test_an_unreachable_manager_is_passed_over_at_once(scene: Scene) -> None:
    order(scene, 1)
    site = inside(scene)[0]
    for number, minute in enumerate((2, 3, 4), start=1):
        call = calls(scene, site)[-1]
        message = Unreachable(
            notification=call.notification, person=call.person, at=scene.at(minute)
        )
        scene.feed(message, at=scene.at(minute))
        assert len(calls(scene, site)) == number + 1
    pole = scene.state.territory.sites[site].pole
    assert [f.role for f in calls(scene, site)] == [
        "responsable_site",
        "responsable_site",
        "directeur_pole",
        "directeur_pole",
    ]
    assert calls(scene, site)[-1].scope == pole


def test_a_director_gets_one_message_for_several_managers(scene: Scene) -> None:
    sites = [s for s in inside(scene) if scene.state.territory.sites[s].pole == "education"][:2]
    people = tuple(
        ReachRow(id=person, points=())
        for site in sites
        for person in (f"rs-{site}", f"rs-{site}-s")
    )
    scene.command(NoteReachability(author="adm", role="admin", people=people), 0)
    order(scene, 1)
    (call,) = [f for f in calls(scene) if f.role == "directeur_pole"]
    assert call.values["site"] == ",".join(sites)
    assert (call.danger, call.answer_expected) == (True, False)
    assert {task(scene, site).owner for site in sites} == {"directeur_pole:education"}
    complete(scene, 2, sites[0], "not_concerned")
    assert call.notification not in withdrawn(scene), "it is about another site, too"


def test_a_report_of_the_site_answers_the_question(scene: Scene) -> None:
    order(scene, 1)
    call = calls(scene)[0]
    scene.report(3, "evacuation", str(call.scope), severity=4, source="site_manager")
    assert task(scene, str(call.scope)).outcome == "ordered"
    assert withdrawn(scene) == {call.notification}
    scene.report(5, "info", inside(scene)[1], severity=1, source="site_manager")
    assert task(scene, inside(scene)[1]).state == "open", "all is well says nothing of the order"


# ── change and end ────────────────────────────────────────────────────────────────────────────────


def test_a_yes_to_an_order_to_leave_ends_an_earlier_order_to_shelter_there(scene: Scene) -> None:
    """D5 and D102: as if the order had named the site."""
    site = inside(scene)[0]
    scene.report(0, "shelter_in_place", site, severity=5, source="prefecture")
    order(scene, 5)
    answer(scene, 6, calls(scene, site)[0], Answer.ACK)
    assert scene.status(site) == "evacuated"
    order(scene, 30, "reopening", severity=1, lifts=("evacuation",))
    assert scene.status(site) == "normal"


@pytest.mark.parametrize("how", ["cancel", "reopening"])
def test_the_end_of_the_order_reaches_every_asked_site(scene: Scene, how: str) -> None:
    report = order(scene, 1)
    yes, no, *silent = inside(scene)
    answer(scene, 2, calls(scene, yes)[0], Answer.ACK)
    answer(scene, 2, calls(scene, no)[0], Answer.DECLINE)
    if how == "cancel":
        order(scene, 30, msg_type=MsgType.CANCEL, references=(report,))
    else:
        order(scene, 30, "reopening", severity=1, lifts=("evacuation",))
    ends = [f for f in calls(scene) if f.values["order"] == "lifted"]
    assert sorted(str(f.scope) for f in ends) == sorted([no, *silent, *silent]), (
        "where nobody answered, the deputy was asked, too"
    )
    assert {(f.danger, f.answer_expected) for f in ends} == {(False, False)}
    assert {f.values["ended"] for f in ends} == {"evacuated"}
    assert site_orders(scene, yes) == ["evacuated", "lifted"]
    assert scene.status(yes) == "normal"
    assert {task(scene, site).outcome for site in silent} == {"over"}
    assert row(scene).ended_at is not None
    assert not row(scene).barred
    scene.step(60)
    assert len([f for f in calls(scene) if f.values["order"] == "lifted"]) == len(ends)


OTHER_COMMUNE = "92050"
"""Nanterre."""


def test_a_reopening_of_some_communes_ends_the_order_in_no_other(scene: Scene) -> None:
    """It named the order, and everybody in the other commune was told that it was over."""
    first = order(scene, 1, zone=(COMMUNE, OTHER_COMMUNE))
    opening = {"severity": 1, "lifts": ("evacuation",), "references": (first,)}
    order(scene, 30, "reopening", zone=(COMMUNE,), **opening)
    assert row(scene).ended_at is None
    assert {*inside(scene, OTHER_COMMUNE)} <= row(scene).barred
    assert not [f for f in calls(scene) if f.values["order"] == "lifted"]
    (question,) = (t for t in scene.state.tasks.values() if t.kind == "lift_which")
    assert question.done_at is None
    order(scene, 40, "reopening", zone=(OTHER_COMMUNE,), **opening)
    assert row(scene).ended_at == scene.at(40), "both parts together"
    assert not row(scene).barred


@pytest.mark.parametrize("names_order", [True, False])
def test_the_communes_of_an_update_are_all_that_a_reopening_must_name(
    scene: Scene, names_order: bool
) -> None:
    """The order stood on, because an earlier version of it named more communes."""
    first = order(scene, 1, zone=(COMMUNE, OTHER_COMMUNE))
    second = order(scene, 10, zone=(OTHER_COMMUNE,), msg_type=MsgType.UPDATE, references=(first,))
    reference = {"references": (second,)} if names_order else {}
    order(
        scene,
        30,
        "reopening",
        severity=1,
        zone=(OTHER_COMMUNE,),
        lifts=("evacuation",),
        **reference,
    )
    assert row(scene).ended_at == scene.at(30)


def test_the_word_of_another_keeps_the_order_at_a_site(scene: Scene) -> None:
    report = order(scene, 1)
    site = inside(scene)[0]
    answer(scene, 2, calls(scene, site)[0], Answer.ACK)
    scene.report(5, "evacuation", site, severity=4, source="pompiers")
    order(scene, 30, msg_type=MsgType.CANCEL, references=(report,))
    assert scene.status(site) == "evacuated"


def test_another_area_asks_the_new_sites_and_releases_the_others(scene: Scene) -> None:
    """A site that answered is asked again, if it is still inside: the streets are others."""
    first = order(scene, 1, zone=("92050",), sites=("cen-1", "par-12"))
    answer(scene, 2, calls(scene, "par-12")[0], Answer.DECLINE)
    order(
        scene,
        10,
        zone=("92050",),
        sites=("par-12", "par-13"),
        msg_type=MsgType.UPDATE,
        references=(first,),
    )
    assert [f.values["order"] for f in calls(scene, "cen-1")] == ["evacuated", "lifted"]
    assert [f.values["order"] for f in calls(scene, "par-12")] == ["evacuated", "evacuated"]
    assert [f.values["order"] for f in calls(scene, "par-13")] == ["evacuated"]
    assert row(scene).sites == ("par-12", "par-13")


def test_an_update_of_the_same_area_repeats_no_question(scene: Scene) -> None:
    first = order(scene, 1)
    number = len(calls(scene))
    order(scene, 5, msg_type=MsgType.UPDATE, references=(first,), persons_concerned=500)
    scene.report(
        6,
        "evacuation",
        None,
        severity=5,
        source="prefecture",
        msg_type=MsgType.UPDATE,
        references=(first,),
    )
    assert len(calls(scene)) == number


def test_a_later_opposite_order_takes_the_question_over(scene: Scene) -> None:
    order(scene, 1, "shelter_in_place")
    order(scene, 5, "evacuation", source="commune")
    site = inside(scene)[0]
    before, after = calls(scene, site)
    assert (before.values["order"], after.values["order"]) == ("sheltering", "evacuated")
    assert before.notification in withdrawn(scene)
    answer(scene, 6, before, Answer.ACK)
    assert scene.status(site) == "normal", "the question was another one"
    answer(scene, 7, after, Answer.ACK)
    assert scene.status(site) == "evacuated"


def test_an_order_that_comes_late_does_not_oppose_a_later_one(scene: Scene) -> None:
    order(scene, 5, "evacuation")
    order(scene, 8, "shelter_in_place", occurred=2, source="commune")
    assert {f.values["order"] for f in calls(scene)} == {"evacuated"}


def test_an_earlier_order_asks_again_when_the_later_one_is_withdrawn(scene: Scene) -> None:
    order(scene, 1, "shelter_in_place")
    later = order(scene, 5, "evacuation", source="commune")
    order(scene, 9, "evacuation", source="commune", msg_type=MsgType.CANCEL, references=(later,))
    scene.step(10)
    site = inside(scene)[0]
    assert [f.values["order"] for f in calls(scene, site)] == [
        "sheltering",
        "evacuated",
        "sheltering",
    ]


@pytest.mark.parametrize("sheltered", [False, True], ids=["asked", "sheltered before"])
@pytest.mark.parametrize("later", ["area", "site"])
def test_yes_to_an_earlier_order_counts_after_the_end_of_the_later_one(
    scene: Scene, later: str, sheltered: bool
) -> None:
    """D102: the yes had no effect, and nobody was asked after a fire at the site itself."""
    site = inside(scene)[0]
    order(scene, 1, "shelter_in_place")
    if sheltered:
        complete(scene, 2, site, "concerned")
    if later == "area":
        order(scene, 3, "evacuation")
        complete(scene, 4, site, "concerned")
        order(scene, 10, "reopening", severity=1, lifts=(EventType.EVACUATION,))
    else:
        scene.report(3, "fire", site, severity=4, source="pompiers")
        scene.report(10, "reopening", site, source="pompiers", lifts=(EventType.FIRE,))
    settle(scene, 11)
    assert scene.status(site) == "normal"
    assert task(scene, site).state == "open"
    complete(scene, 12, site, "concerned")
    assert scene.status(site) == "sheltering"
    assert scene.site(site).since == scene.at(10)
    order(scene, 20, "reopening", severity=1, lifts=(EventType.SHELTER_IN_PLACE,))
    assert scene.status(site) == "normal"


def test_the_deputy_hears_of_the_end_like_the_manager(scene: Scene) -> None:
    """D102: otherwise a deputy takes the order for standing."""
    report = order(scene, 1)
    scene.step(12)
    site = inside(scene)[0]
    people = {f.person for f in calls(scene, site)}
    assert len(people) == 2, "the manager, and the deputy after ten minutes"
    number = len(calls(scene))
    order(scene, 15, msg_type=MsgType.CANCEL, references=(report,))
    ends = [f for f in calls(scene)[number:] if f.values["site"] == site]
    assert {(f.person, f.answer_expected) for f in ends} == {(p, False) for p in people}


def test_a_former_manager_hears_of_the_end_like_the_present_one(scene: Scene) -> None:
    """D102: after a handover the former manager kept everybody out all night."""
    site = inside(scene)[0]
    report = order(scene, 1)
    override = OverrideDuty(
        author="coord",
        role="coordinator",
        person="rs-pmi-02",
        start=scene.at(8),
        end=scene.at(600),
        role_on_call="responsable_site",
        scope=site,
        reason="text:leave",
    )
    assert isinstance(scene.command(override, 2), CommandApplied)
    number = len(calls(scene, site))
    order(scene, 9, msg_type=MsgType.CANCEL, references=(report,))
    ends = [(f.person, f.values["order"]) for f in calls(scene, site)[number:]]
    assert ends == [("rs-pmi-02", "lifted"), (f"rs-{site}", "lifted")]


def test_a_yes_of_the_deputy_ends_for_the_deputy_and_the_manager(scene: Scene) -> None:
    """The deputy had sent everybody out, and the manager alone heard of the end."""
    order(scene, 1)
    scene.step(12)
    site = inside(scene)[0]
    answer(scene, 13, calls(scene, site)[1], Answer.ACK)
    assert scene.status(site) == "evacuated"
    order(scene, 30, "reopening", severity=1, lifts=(EventType.EVACUATION,))
    settle(scene, 31)
    assert scene.status(site) == "normal"
    planned = [f for f in scene.named(NotificationPlanned) if f.values.get("order") == "lifted"]
    people = [f.person for f in planned if f.values["site"] == site]
    assert people == [f"rs-{site}", f"rs-{site}-s"]


def test_an_end_that_does_not_reach_the_manager_goes_to_the_deputy_once(scene: Scene) -> None:
    report = order(scene, 1)
    site = inside(scene)[0]
    order(scene, 5, msg_type=MsgType.CANCEL, references=(report,))
    end = calls(scene, site)[-1]
    for minute in (6, 7):
        message = Unreachable(notification=end.notification, person=end.person, at=scene.at(minute))
        scene.feed(message, at=scene.at(minute))
    ends = [f.person for f in calls(scene, site) if f.values["order"] == "lifted"]
    assert ends == [f"rs-{site}", f"rs-{site}-s"]


@pytest.mark.parametrize("type", ["evacuation", "shelter_in_place"])
def test_a_call_for_an_order_without_a_site_names_the_order(scene: Scene, type: str) -> None:
    """D70: the direction heard of «un incident sur un site»."""
    order(scene, 1, type)
    waves = [f for f in scene.named(NotificationPlanned) if f.template == "incident_wave"]
    assert {f.values["event"] for f in waves} == {type}


def test_a_call_for_a_report_without_a_cause_names_its_event(scene: Scene) -> None:
    scene.report(1, "transport_disruption", severity=4, commune="92072")
    waves = [f for f in scene.named(NotificationPlanned) if f.template == "incident_wave"]
    assert {f.values["event"] for f in waves} == {"transport_disruption"}


def test_closing_the_incident_ends_the_questions(scene: Scene) -> None:
    report = order(scene, 1)
    close = ResolveIncident(
        **CELL, reason="text:x", incident=scene.incident_of(report).id, force=True
    )
    scene.command(close, 5)
    assert {t.state for t in scene.state.tasks.values() if t.kind == "area_order"} == {"void"}
    number = len(calls(scene))
    scene.step(60)
    assert len(calls(scene)) == number


def _close(scene: Scene, report: str, minute: float) -> str:
    incident = scene.incident_of(report).id
    close = ResolveIncident(**CELL, reason="text:x", incident=incident, force=True)
    assert isinstance(scene.command(close, minute), CommandApplied)
    return str(incident)


def test_a_reopened_incident_asks_the_sites_again_that_gave_no_answer(scene: Scene) -> None:
    report = order(scene, 1)
    yes, no, *silent = inside(scene)
    answer(scene, 2, calls(scene, yes)[0], Answer.ACK)
    answer(scene, 2, calls(scene, no)[0], Answer.DECLINE)
    incident = _close(scene, report, 5)
    number = len(calls(scene))
    scene.command(ReopenIncident(**CELL, reason="text:x", incident=incident), 20)
    settle(scene, 21)
    assert sorted(str(f.scope) for f in calls(scene)[number:]) == sorted(silent)
    assert {task(scene, site).state for site in silent} == {"open"}
    assert {task(scene, site).due_at for site in silent} == {scene.at(30)}


def test_a_reopened_incident_asks_nothing_about_an_order_that_is_over(scene: Scene) -> None:
    report = order(scene, 1)
    incident = _close(scene, report, 5)
    order(scene, 10, msg_type=MsgType.CANCEL, references=(report,))
    number = len(calls(scene))
    scene.command(ReopenIncident(**CELL, reason="text:x", incident=incident), 20)
    settle(scene, 21)
    assert [f for f in calls(scene)[number:] if f.answer_expected] == []


def test_an_order_that_is_declared_again_asks_every_site_again(scene: Scene) -> None:
    first = order(scene, 1)
    yes = inside(scene)[0]
    answer(scene, 2, calls(scene, yes)[0], Answer.ACK)
    order(scene, 10, msg_type=MsgType.CANCEL, references=(first,))
    assert scene.status(yes) == "normal"
    number = len(calls(scene))
    order(scene, 20)
    assert sorted(str(f.scope) for f in calls(scene)[number:]) == inside(scene)


def test_a_second_order_for_more_communes_asks_the_new_sites_and_leaves_the_first(
    scene: Scene,
) -> None:
    order(scene, 1)
    yes, no, *_silent = inside(scene)
    answer(scene, 2, calls(scene, yes)[0], Answer.ACK)
    answer(scene, 2, calls(scene, no)[0], Answer.DECLINE)
    number = len(calls(scene))
    order(scene, 9, zone=("92004",), source="commune")
    settle(scene, 10)
    more = calls(scene)[number:]
    assert sorted(str(f.scope) for f in more) == inside(scene, "92004")
    assert {f.values["order"] for f in more} == {"evacuated"}
    assert scene.status(yes) == "evacuated"


def test_the_site_that_reports_its_own_end_is_not_asked_again(scene: Scene) -> None:
    order(scene, 1)
    site = inside(scene)[0]
    answer(scene, 2, calls(scene, site)[0], Answer.ACK)
    scene.report(5, "reopening", site, severity=1, lifts=("evacuation",), source="site_manager")
    assert scene.status(site) == "normal"
    settle(scene, 40)
    assert len(calls(scene, site)) == 1


# ── other sites ───────────────────────────────────────────────────────────────────────────────────


def publish_sites(scene: Scene, minute: float, change: Any) -> None:
    """Load the reference data again with other sites."""
    commands = build_reference_commands(territory(), scene.realm, "system:test", "admin")
    for id, command in commands:
        data = command.data
        if isinstance(data, Sites):
            data = data.model_copy(update={"sites": tuple(change(data.sites))})
        other = command.model_copy(update={"reference": "other", "data": data})
        scene.feed(other, id=f"{id}-{minute}", at=scene.at(minute))


def test_a_site_that_is_added_inside_is_asked(scene: Scene) -> None:
    order(scene, 1)
    new = scene.state.territory.sites[inside(scene)[0]].model_copy(update={"id": "new-1"})
    number = len(calls(scene))
    publish_sites(scene, 5, lambda sites: (*sites, new))
    settle(scene, 6)
    assert "new-1" in row(scene).sites
    assert [f.values["site"] for f in calls(scene)[number:]] == ["new-1"]
    assert task(scene, "new-1").state == "open"


def test_a_site_that_is_dropped_waits_for_no_answer_and_hears_of_no_end(scene: Scene) -> None:
    order(scene, 1)
    site, number = inside(scene)[0], len(calls(scene))
    publish_sites(scene, 5, lambda sites: [one for one in sites if one.id != site])
    settle(scene, 6)
    assert site not in row(scene).sites
    assert task(scene, site).outcome == "over"
    assert calls(scene)[number:] == []


# ── one person, several sites ─────────────────────────────────────────────────────────────────────


def hold_by(person: str, *sites: str) -> Roster:
    """Return the roster with one manager for several sites."""
    (roster,) = [s.roster for s in territory().sections if isinstance(s, RosterSection)]
    holders = [
        holder.model_copy(update={"holder": person}) if holder.scope in sites else holder
        for holder in roster.holders
    ]
    return roster.model_copy(update={"holders": tuple(holders)})


def test_a_manager_of_several_sites_gets_one_message_for_all_of_them(scene: Scene) -> None:
    first, second, *others = inside(scene)
    scene = Scene(roster=hold_by(f"rs-{first}", first, second))
    order(scene, 1)
    (call,) = [f for f in calls(scene) if f.person == f"rs-{first}"]
    assert call.values["site"] == f"{first},{second}"
    assert (call.danger, call.answer_expected) == (True, False)
    assert {task(scene, site).calls for site in (first, second)} == {(call.notification,)}
    assert len(calls(scene)) == len(others) + 1
    complete(scene, 3, first, "concerned")
    assert (scene.status(first), scene.status(second)) == ("evacuated", "normal")


def test_an_unreachable_stand_in_for_several_sites_is_passed_over_at_once(scene: Scene) -> None:
    first, second, *_others = inside(scene)
    scene = Scene(roster=hold_by(f"rs-{first}", first, second))
    order(scene, 1)
    (call,) = [f for f in calls(scene) if f.person == f"rs-{first}"]
    number = len(calls(scene))
    scene.feed(
        Unreachable(notification=call.notification, person=call.person, at=scene.at(2)),
        at=scene.at(2),
    )
    more = calls(scene)[number:]
    assert {site for f in more for site in str(f.values["site"]).split(",")} == {first, second}
    assert all(len(task(scene, site).calls) == 2 for site in (first, second))


def test_channels_that_fail_one_after_the_other_give_their_stand_in_two_messages(
    scene: Scene,
) -> None:
    """The coordinator got a call for each of eight sites, and «1» answered any of them."""
    sites = [s for s in inside(scene) if scene.state.territory.sites[s].pole == "education"]
    assert len(sites) > 2
    people = tuple(ReachRow(id=f"rs-{site}-s", points=()) for site in sites)
    scene.command(NoteReachability(author="adm", role="admin", people=people), 0)
    order(scene, 1)
    for number, site in enumerate(sites):
        (call,) = calls(scene, site)
        message = Unreachable(notification=call.notification, person=call.person, at=scene.at(2))
        scene.feed(message, at=scene.at(2) + number * 100)
    director_calls = [f for f in calls(scene) if f.role == "directeur_pole"]
    assert [f.values["site"] for f in director_calls] == [sites[0]]
    scene.step(2.2)
    first, several = [f for f in calls(scene) if f.role == "directeur_pole"]
    assert (first.answer_expected, several.answer_expected) == (True, False)
    assert str(several.values["site"]).split(",") == sites[1:]
    assert {task(scene, site).due_at for site in sites} == {scene.at(11)}
    number = len(calls(scene))
    scene.step(9)
    assert len(calls(scene)) == number


def test_calls_name_the_communes_of_the_order_after_the_first_yes(scene: Scene) -> None:
    """They named the one site that had answered, and the officer sent help there alone."""
    order(scene, 1)
    site = inside(scene)[0]
    complete(scene, 2, site, "concerned")
    settle(scene, 30)
    waves = [f for f in scene.named(NotificationPlanned) if f.template == "incident_wave"]
    later = [f for f in waves if f.planned_at > scene.at(2)]
    assert later
    assert {f.values.get("only_site") for f in later} == {None}
    assert {f.values["places"] for f in later} == {COMMUNE}


@pytest.mark.parametrize(
    ("type", "event"), [("evacuation", "evacuated"), ("shelter_in_place", "sheltering")]
)
def test_calls_for_an_order_say_that_it_is_for_an_area(scene: Scene, type: str, event: str) -> None:
    """They spoke of an incident at a site, and the officer asked which one."""
    order(scene, 1, type)
    waves = [f for f in scene.named(NotificationPlanned) if f.template == "incident_wave"]
    assert waves
    assert {f.values.get("area_order") for f in (*waves, *calls(scene))} == {event}


def test_a_call_for_an_order_at_a_site_is_for_no_area(scene: Scene) -> None:
    scene.report(1, "evacuation", "cen-1", severity=5, source="pompiers")
    waves = [f for f in scene.named(NotificationPlanned) if f.template == "incident_wave"]
    assert waves
    assert {f.values.get("area_order") for f in waves} == {None}


def test_an_answer_of_more_than_a_week_may_change() -> None:
    """The river rises for days; a live realm forgets other tasks and calls after 7 days."""
    scene, day, site = Scene(realm="92"), 24 * 60, "par-12"
    order(scene, 1, zone=("92050",), sites=(site,))
    (call,) = calls(scene, site)
    answer(scene, 2, call, Answer.DECLINE)
    for number in range(1, 10):
        settle(scene, number * day)
    answer(scene, 9 * day + 1, call, Answer.ACK)
    assert (scene.status(site), row(scene).outside) == ("evacuated", ())
