"""Escalations as runbooks: a report arrives, a device gets a message, time moves (D32–D36, D39)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import reference as ref
from schemas.base import HOUR_MS
from schemas.commands import (
    AddNote,
    DeclareActivity,
    EscalateIncident,
    HoldSending,
    MergeIncidents,
    ReapplyPolicy,
    ReleaseSending,
    ResolveIncident,
    SetLevel,
)
from schemas.crisis.maintenance import Coverage, PlanMaintenance
from schemas.crisis.resource_requests import RequestResource
from schemas.delivery import ReceiptReceived
from schemas.oncall import Place, Rotation, SwapDuties, WithdrawDuty
from schemas.runtime import CommandApplied, CommandRefused, OpenRealm
from services.runtime.testing import MemorySystem
from services.territory.publish import build_reference_commands
from tests.scenarios.runbook import (
    ACK,
    DECLINE,
    NIGHT_OF_MARCH,
    NIGHT_OF_OCTOBER,
    Runbook,
    _deciders,
    paris,
)
from tests.shipped import territory

N1_FIRST = ("rs-pmi-04:app", "ast-technique:app")
N1_NIGHT = ("ast-technique:app",)
"""The manager is not on call and gets the message at seven (D36)."""
N2_FIRST = ("ast-direction:app", "dir-solidarites:app", "coord-pca:app", "ast-technique:app")
N2_SECOND = ("dir-solidarites-s:voice",)


@pytest.fixture
def book() -> Runbook:
    return Runbook()


def n2(book: Runbook) -> None:
    """Return a grave report on a site, after the first wave of its N2 escalation."""
    book.report("closure", severity=4)
    book.expect(*N2_FIRST, level=2, wave=1, template="incident_wave")
    book.nothing_else()


def n2_answered(book: Runbook) -> None:
    """Return the same, acknowledged by two."""
    n2(book)
    book.answers("coord-pca")
    book.answers("ast-technique")
    assert book.ladder().state == "answered"


# ── the plain course ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_site_incident_informs_manager_and_technician_then_the_director_on_call(
    book: Runbook,
) -> None:
    book.report("closure")
    book.expect(*N1_FIRST, level=1, wave=1)
    book.time_passes(14.9)
    book.nothing_else()
    book.time_passes(0.1)
    book.expect("ast-direction:sms", level=1, wave=2)
    book.time_passes(14)
    book.nothing_else()


def test_one_answer_ends_the_calls_of_a_site_incident(book: Runbook) -> None:
    book.report("closure")
    book.expect(*N1_FIRST)
    book.time_passes(5)
    book.answers("ast-technique")
    book.time_passes(300)
    book.nothing_else()


def test_a_major_incident_escalates_at_ten_and_twenty_minutes(book: Runbook) -> None:
    n2(book)
    book.time_passes(10)
    book.expect(*N2_SECOND, wave=2)
    book.time_passes(10)
    book.expect("dgs:voice", wave=3)
    book.time_passes(14)
    book.nothing_else()


def test_an_escalation_restarts_three_times_after_the_last_wave_then_stands(book: Runbook) -> None:
    n2(book)
    for cycle in range(3):
        book.time_passes(10)
        book.expect(*N2_SECOND)
        book.time_passes(10)
        book.expect("dgs:voice")
        book.time_passes(15)
        book.expect(*N2_FIRST)
        assert book.ladder().cycle == cycle + 2
    book.time_passes(10)
    book.expect(*N2_SECOND)
    book.time_passes(10)
    book.expect("dgs:voice")
    book.time_passes(300)
    book.nothing_else()
    assert book.ladder().state == "exhausted"


def test_a_second_report_of_the_same_trouble_sends_no_message(book: Runbook) -> None:
    n2(book)
    book.report("closure", severity=4, source="police")
    book.nothing_else()


def test_a_rumour_and_an_unconfirmed_report_call_no_person(book: Runbook) -> None:
    book.report("closure", "pmi-05", certainty="unconfirmed")
    book.report("closure", certainty="rumour")
    book.time_passes(120)
    book.nothing_else()


def test_two_incidents_have_two_escalations(book: Runbook) -> None:
    book.report("closure")
    book.expect(*N1_FIRST)
    book.time_passes(5)
    book.report("closure", "gym-01" if "gym-01" in {s.id for s in territory().sites} else "par-01")
    site = book.incident(1).members[0]
    book.expect(f"rs-{site}:app", "ast-technique:app")
    book.answers("ast-technique")
    book.time_passes(10)
    book.expect("ast-direction:sms")
    assert book.ladder().state == "running"
    assert book.ladder(book.incident(1).id).state == "answered"


# ── answers ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_persons_of_the_first_wave_end_it(book: Runbook) -> None:
    n2_answered(book)
    book.time_passes(60)
    book.nothing_else()


def test_a_double_acknowledgement_counts_once_and_the_escalation_continues(book: Runbook) -> None:
    n2(book)
    book.answers("coord-pca")
    book.answers("coord-pca")
    book.time_passes(10)
    book.expect(*N2_SECOND)
    assert book.ladder().waves[0].positive == 1


def test_a_late_acknowledgement_stops_the_steps_not_yet_fired(book: Runbook) -> None:
    n2(book)
    book.answers("coord-pca")
    book.time_passes(10)
    book.expect(*N2_SECOND)
    book.time_passes(2)
    book.answers("ast-technique")
    book.time_passes(60)
    book.nothing_else()


def test_an_answer_from_an_earlier_cycle_adds_up(book: Runbook) -> None:
    n2(book)
    book.answers("coord-pca")
    book.time_passes(10)
    book.expect(*N2_SECOND)
    book.time_passes(10)
    book.expect("dgs:voice")
    book.time_passes(15)
    book.expect("ast-direction:app", "dir-solidarites:app", "ast-technique:app")
    book.nothing_else()
    book.answers("ast-technique")
    assert book.ladder().state == "answered"


def test_one_answer_to_the_second_wave_is_enough(book: Runbook) -> None:
    n2(book)
    book.time_passes(10)
    book.expect(*N2_SECOND)
    book.answers("dir-solidarites-s", channel="voice")
    book.time_passes(60)
    book.nothing_else()


def test_a_decline_calls_the_deputy_at_once(book: Runbook) -> None:
    n2(book)
    book.answers("dir-solidarites", DECLINE)
    book.expect("dir-solidarites-s:app", wave=1)
    book.nothing_else()


def test_a_wave_of_declines_fires_the_next_one_at_once(book: Runbook) -> None:
    n2(book)
    for person in ("ast-direction", "dir-solidarites", "coord-pca", "ast-technique"):
        book.answers(person, DECLINE)
        book.expect(f"{person}-s:app", wave=1)
    book.nothing_else()
    book.answers("coord-pca-s", DECLINE)
    assert book.ladder().wave == 2
    book.time_passes(1)  # of one incident a person is told once a minute (D71)
    book.expect(*N2_SECOND, wave=2)
    book.answers("dir-solidarites-s", DECLINE)
    book.expect("dir-solidarites-s2:voice", wave=2)
    book.answers("dir-solidarites-s2", DECLINE)
    book.expect("dgs:voice", wave=3)
    book.nothing_else()


def test_an_escalation_declined_by_all_is_a_standing_alert(book: Runbook) -> None:
    book.devices({"answer": "decline", "after_s": 30})
    book.report("closure", severity=4)
    book.sent()
    for _ in range(20):
        book.time_passes(10)
        book.sent()
    assert book.ladder().state == "exhausted"
    assert book.facts("RoleUncovered")


def test_an_uncalled_person_may_acknowledge(book: Runbook) -> None:
    book.report("closure")
    book.expect(*N1_FIRST)
    book.takes_in_charge("cel-rh", book.incident().id)
    book.time_passes(120)
    book.nothing_else()


def test_escalating_by_hand_calls_the_next_wave_now(book: Runbook) -> None:
    n2(book)
    book.time_passes(2)
    book.decides(EscalateIncident, incident=book.incident().id)
    book.expect(*N2_SECOND)
    book.nothing_else()


def test_escalating_by_hand_calls_the_next_wave_of_an_answered_one(book: Runbook) -> None:
    """The person in charge needs more help.

    The waves that their answer had cancelled are called, at the delays of the policy.
    """
    n2_answered(book)
    book.answers("dir-solidarites")
    book.time_passes(30)
    book.decides(EscalateIncident, incident=book.incident().id)
    book.expect(*N2_SECOND, wave=2)
    book.time_passes(9.9)
    book.nothing_else()
    book.time_passes(0.1)
    book.expect("dgs:voice", wave=3)
    book.answers("dgs")
    book.nothing_else()
    assert book.ladder().state == "answered"


def test_danger_in_an_acknowledged_incident_calls_again(book: Runbook) -> None:
    """They acknowledged a closed room, and now it burns.

    A second report of danger calls no person again.
    """
    book.report("closure")
    book.expect(*N1_FIRST)
    book.answers("ast-technique")
    book.report("fire", severity=3)
    book.expect(*N1_FIRST, level=1, wave=1)
    assert book.incident().acknowledged_by == ()
    book.report("evacuation", severity=3)
    book.nothing_else()
    book.answers("ast-technique")
    book.time_passes(60)
    book.nothing_else()


@pytest.mark.parametrize("level", [0, 1])
def test_danger_in_an_incident_of_lowered_level_calls(book: Runbook, level: int) -> None:
    """Its level stays where the pilot put it (D31), and people hear of it."""
    n2(book)
    book.decides(
        SetLevel,
        author="dgs",
        role="dgs_directeur_de_crise",
        scope=book.incident().id,
        level=level,
        force=True,
    )
    book.nothing_else()
    book.report("fire", severity=4)
    book.expect(*N1_FIRST, level=1, wave=1)
    assert book.incident().level == level


def test_danger_in_an_unanswered_incident_calls_once_more(book: Runbook) -> None:
    book.report("closure")
    book.expect(*N1_FIRST)
    book.time_passes(300)
    assert book.ladder().state == "exhausted"
    book.sent()
    book.report("shelter_in_place", severity=3)
    book.expect(*N1_FIRST, level=1, wave=1)
    assert book.ladder().state == "running"


def test_a_closed_incident_is_quiet(book: Runbook) -> None:
    """Called people without an answer get one message about the end."""
    n2(book)
    book.time_passes(5)
    book.decides(ResolveIncident, incident=book.incident().id, force=True)
    book.expect(*N2_FIRST, template="withdrawn")
    book.time_passes(300)
    book.nothing_else()


# ── devices and providers ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_failed_app_message_is_followed_by_an_sms(book: Runbook) -> None:
    book.devices({"person": "ast-technique", "channel": "app", "outcome": "failed"})
    book.report("closure")
    book.expect(*N1_FIRST, "ast-technique:sms")
    book.time_passes(5)
    book.nothing_else()


def test_an_app_without_a_receipt_is_followed_by_an_sms_after_a_minute(book: Runbook) -> None:
    book.devices({"person": "ast-technique", "channel": "app", "outcome": "accepted"})
    book.report("closure")
    book.expect(*N1_FIRST)
    book.time_passes(0.9)
    book.nothing_else()
    book.time_passes(0.2)
    book.expect("ast-technique:sms")
    book.time_passes(5)
    book.nothing_else()


def receipt(book: Runbook, person: str, channel: str, state: str) -> None:
    """Send the provider's receipt for the newest call of this person by this channel."""
    row = max(book.notifications(person), key=lambda r: r.planned_at)
    attempt = next(a for a in row.attempts if a.channel.value == channel)
    book.feed(
        "delivery",
        ReceiptReceived.model_validate(
            {"notification": row.id, "attempt": attempt.id, "state": state}
        ),
    )


def test_receipts_in_reversed_order_send_nothing_twice(book: Runbook) -> None:
    book.devices({"person": "ast-technique", "channel": "app", "outcome": "accepted"})
    book.report("closure")
    book.expect(*N1_FIRST)
    receipt(book, "ast-technique", "app", "received")
    receipt(book, "ast-technique", "app", "failed")
    book.time_passes(14)
    book.nothing_else()


def test_a_receipt_after_the_failover_changes_no_call(book: Runbook) -> None:
    book.devices({"person": "ast-technique", "channel": "app", "outcome": "accepted"})
    book.report("closure")
    book.expect(*N1_FIRST)
    book.time_passes(2)
    book.expect("ast-technique:sms")
    receipt(book, "ast-technique", "app", "received")
    book.time_passes(12)
    book.nothing_else()


def test_a_reported_failure_is_followed_by_an_sms_at_once(book: Runbook) -> None:
    book.devices({"person": "ast-technique", "channel": "app", "outcome": "accepted"})
    book.report("closure")
    book.expect(*N1_FIRST)
    receipt(book, "ast-technique", "app", "failed")
    book.expect("ast-technique:sms")
    book.time_passes(14)
    book.nothing_else()


def test_an_answer_ends_the_failover(book: Runbook) -> None:
    book.devices({"person": "ast-technique", "channel": "app", "outcome": "accepted"})
    book.report("closure")
    book.expect(*N1_FIRST)
    book.answers("ast-technique")
    book.time_passes(30)
    book.nothing_else()


def test_an_unreachable_person_is_replaced_by_the_deputy(book: Runbook) -> None:
    book.devices({"person": "ast-technique", "outcome": "failed"})
    book.report("closure")
    book.expect(*N1_FIRST, "ast-technique:sms", "ast-technique:email", "ast-technique-s:app")
    book.time_passes(5)
    book.nothing_else()


def test_a_provider_down_for_all_leaves_a_standing_alert(book: Runbook) -> None:
    book.devices({"outcome": "failed"})
    book.report("closure")
    for _ in range(12):
        book.sent()
        book.time_passes(10)
    book.sent()
    assert book.ladder().state in ("running", "exhausted")
    assert {u.role for u in book.facts("RoleUncovered")} >= {
        "responsable_site",
        "astreinte_technique",
    }


def test_an_sms_of_unknown_outcome_is_repeated_and_marked(book: Runbook) -> None:
    book.reaches("ast-technique", "sms")
    book.devices({"person": "ast-technique", "channel": "sms", "outcome": "ambiguous"})
    book.report("closure")
    book.expect("rs-pmi-04:app", "ast-technique:sms")
    book.time_passes(3)
    again = [m for m in book.sent() if m.person == "ast-technique"]
    assert again
    assert all(m.channel == "sms" and m.row.attempts[-1].possible_duplicate for m in again)


def test_the_directory_wins_over_the_reference_data(book: Runbook) -> None:
    book.reaches("ast-technique", "sms")
    book.report("closure")
    book.expect("rs-pmi-04:app", "ast-technique:sms")
    book.nothing_else()


def test_a_quiet_app_comes_after_the_sms(book: Runbook) -> None:
    night = Runbook("2027-02-11T23:00")
    night.reaches("ast-technique", "app", quiet=(22 * 60, 7 * 60))
    night.report("closure", severity=4)
    night.expect(*N2_FIRST)
    night.nothing_else()


def test_held_sending_resumes_once(book: Runbook) -> None:
    book.asks(HoldSending, service="delivery", until=book.now + 20 * 60_000)
    book.report("closure")
    book.time_passes(5)
    book.nothing_else()
    book.asks(ReleaseSending, service="delivery")
    book.expect(*N1_FIRST)
    book.time_passes(1)
    book.nothing_else()


def test_danger_passes_a_hold(book: Runbook) -> None:
    book.asks(HoldSending, service="delivery", until=book.now + 60 * 60_000)
    book.report("fire", severity=3)
    assert {m.person for m in book.sent()} >= {"ast-technique"}


# ── levels and merges ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rise_during_wave_two_opens_the_higher_escalation_at_its_first_wave(
    book: Runbook,
) -> None:
    book.report("closure")
    book.expect(*N1_FIRST)
    book.time_passes(15)
    book.expect("ast-direction:sms", wave=2)
    book.time_passes(2)
    book.report("damage_report", severity=4)
    book.expect(*N2_FIRST, level=2, wave=1, template="level_raised")
    book.time_passes(9)
    book.nothing_else()
    book.time_passes(1)
    book.expect(*N2_SECOND, level=2)


def test_answers_to_the_lower_escalation_do_not_count_for_the_higher(book: Runbook) -> None:
    book.report("closure")
    book.expect(*N1_FIRST)
    book.answers("ast-technique")
    book.time_passes(1)
    book.report("damage_report", severity=4)
    book.expect(*N2_FIRST, template="level_raised")
    assert book.ladder().acknowledged_by == ()


def test_a_merge_during_wave_two_repeats_no_message(book: Runbook) -> None:
    n2(book)
    book.time_passes(5)
    book.report("closure", "par-01", severity=2)
    site = book.incident(1).members[0]
    book.expect(f"rs-{site}:app", "ast-technique:app")
    book.time_passes(5)
    book.expect(*N2_SECOND, wave=2)
    book.decides(MergeIncidents, incident=book.incident(1).id, into=book.incident(0).id)
    book.expect(f"rs-{site}:app", template="withdrawn")  # the other incident did not call them
    book.nothing_else()
    book.time_passes(9.9)
    book.nothing_else()
    book.time_passes(0.1)
    book.expect("dgs:voice", wave=3)
    book.time_passes(5)
    book.nothing_else()


def test_merging_a_graver_incident_raises_the_target_and_calls_its_escalation(
    book: Runbook,
) -> None:
    n2(book)
    book.time_passes(1)
    book.report("closure", "par-01", severity=2)
    book.sent()
    book.decides(MergeIncidents, incident=book.incident(0).id, into=book.incident(1).id)
    assert {m.row.level for m in book.sent()} == {2}
    assert len([e for e in book.alerts.escalations.values() if e.state == "running"]) == 1


def test_an_incident_joining_a_running_crisis_is_an_information(book: Runbook) -> None:
    book.report("closure", "cen-2", severity=3)
    book.sent()
    book.time_passes(1)
    book.sent()
    book.report("closure", "cen-3", severity=3)
    messages = [
        m
        for m in book.sent()
        if m.row.template
        not in ("plan_proposed", "alarm_rto", "alarm_dmia", "forecast_rto", "forecast_dmia")
    ]
    assert {(m.row.template, m.row.answer_expected) for m in messages} <= {("information", False)}
    assert len(book.alerts.open_incidents) == len(book.ladder("territory").incidents)


def test_a_lowered_level_is_an_information(book: Runbook) -> None:
    n2_answered(book)
    book.decides(
        SetLevel,
        author="dir-solidarites",
        role="directeur_pole",
        scope=book.incident().id,
        level=1,
        force=True,
    )
    assert {(m.row.template, m.row.answer_expected) for m in book.sent()} <= {
        ("information", False)
    }


# ── who is on call ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_person_of_an_override_is_called(book: Runbook) -> None:
    book.replaces("cel-si", "2027-02-11T08:00", "2027-02-11T20:00")
    book.report("closure")
    book.expect("rs-pmi-04:app", "cel-si:app")
    book.nothing_else()


def test_the_later_of_two_conflicting_overrides_is_called(book: Runbook) -> None:
    book.replaces("cel-si", "2027-02-11T08:00", "2027-02-11T20:00")
    assert book.replaces("cel-rh", "2027-02-11T09:00", "2027-02-11T12:00").result["overlaps"] == 1
    book.report("closure")
    book.expect("rs-pmi-04:app", "cel-rh:app")
    book.nothing_else()


def test_a_withdrawn_override_calls_the_roster_again(book: Runbook) -> None:
    done = book.replaces("cel-si", "2027-02-11T08:00", "2027-02-11T20:00")
    book.decides(WithdrawDuty, duty=done.result["duty"])
    book.report("closure")
    book.expect(*N1_FIRST)
    book.nothing_else()


def test_a_swap_calls_the_other_one(book: Runbook) -> None:
    book.calendar(
        ("ast-technique", "2027-02-11T08:00", "2027-02-12T08:00"),
        ("ast-technique-s", "2027-02-12T08:00", "2027-02-13T08:00"),
    )
    spans = {"start": paris("2027-02-11T08:00"), "end": paris("2027-02-12T08:00")}
    other = {"other_start": paris("2027-02-12T08:00"), "other_end": paris("2027-02-13T08:00")}
    book.decides(SwapDuties, role_on_call="astreinte_technique", **spans, **other)
    book.report("closure")
    book.expect("rs-pmi-04:app", "ast-technique-s:app")
    book.nothing_else()


def test_a_gap_in_the_calendar_calls_the_deputy_and_the_next_wave_at_once(book: Runbook) -> None:
    book.calendar(
        ("ast-technique", "2027-02-11T00:00", "2027-02-11T09:00"),
        ("ast-technique", "2027-02-11T11:00", "2027-02-11T20:00"),
    )
    book.report("closure")
    book.expect("rs-pmi-04:app", "ast-technique-s:app", wave=1)
    book.expect("ast-direction:sms", wave=2)
    book.nothing_else()
    assert [u.role for u in book.facts("RoleUncovered")] == ["astreinte_technique"]


def test_an_unheld_role_fires_the_next_wave_now(book: Runbook) -> None:
    book.replaces(None, "2027-02-11T08:00", "2027-02-11T20:00")
    book.replaces(None, "2027-02-11T08:00", "2027-02-11T20:00", place=Place.DEPUTY)
    book.report("closure")
    book.expect("rs-pmi-04:app")
    book.expect("ast-direction:sms", wave=2)
    book.nothing_else()


def test_a_hand_off_during_a_wave_repeats_no_call(book: Runbook) -> None:
    book.calendar(
        ("ast-technique", "2027-02-11T08:00", "2027-02-11T09:45"),
        ("cel-si", "2027-02-11T09:45", "2027-02-11T20:00"),
    )
    book.report("closure")
    book.expect(*N1_FIRST)
    book.time_passes(10)
    book.nothing_else()
    book.answers("ast-technique")
    book.time_passes(60)
    book.nothing_else()


def test_a_decline_after_the_hand_off_calls_the_current_person_on_call(book: Runbook) -> None:
    book.calendar(
        ("ast-technique", "2027-02-11T08:00", "2027-02-11T09:45"),
        ("cel-si", "2027-02-11T09:45", "2027-02-11T20:00"),
    )
    book.report("closure")
    book.expect(*N1_FIRST)
    book.time_passes(10)
    book.answers("ast-technique", DECLINE)
    book.expect("cel-si:app")
    book.nothing_else()


def test_the_next_cycle_calls_the_people_on_call_then(book: Runbook) -> None:
    book.calendar(
        ("ast-technique", "2027-02-11T08:00", "2027-02-11T10:00"),
        ("cel-si", "2027-02-11T10:00", "2027-02-11T20:00"),
    )
    book.report("closure")
    book.expect(*N1_FIRST)
    book.time_passes(15)
    book.expect("ast-direction:sms")
    book.time_passes(15)
    book.expect("rs-pmi-04:app", "cel-si:app")
    book.nothing_else()


def test_the_rested_of_two_equal_people_is_called() -> None:
    book = Runbook("2027-02-11T03:00")
    both = [(p, "2027-02-10T20:00", "2027-02-12T20:00") for p in ("ast-technique", "cel-si")]
    book.calendar(*both)
    book.report("outage_heating")
    book.expect("ast-technique:app")
    book.answers("ast-technique")
    book.until("2027-02-11T09:00")
    book.expect(
        "rs-pmi-04:app"
    )  # at 07:00: not on call, and N1 waits for the end of the quiet hours (D36)
    book.report("partial_closure", "par-01")
    book.expect("rs-par-01:app", "cel-si:app")
    book.nothing_else()
    book.answers("cel-si")
    book.until("2027-02-11T20:30")
    book.report("closure", "sst-01")
    book.expect("rs-sst-01:app", "ast-technique:app")
    book.nothing_else()


def test_one_person_in_two_roles_gets_one_message(book: Runbook) -> None:
    book.replaces("coord-pca", "2027-02-11T08:00", "2027-02-11T20:00")
    book.report("closure", severity=4)
    book.expect("ast-direction:app", "dir-solidarites:app", "coord-pca:app")
    book.nothing_else()


# ── both nights ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_hand_off_at_0230_happens_in_the_night_without_0230() -> None:
    book = Runbook(NIGHT_OF_MARCH)
    book.calendar(
        ("ast-technique", "2027-03-27T02:30", "2027-03-28T02:30"),
        ("cel-si", "2027-03-28T02:30", "2027-03-29T02:30"),
    )
    book.until("2027-03-28T01:59")
    book.report("closure")
    book.expect(*N1_NIGHT)
    book.answers("ast-technique")
    book.until("2027-03-28T03:29")
    book.report("closure", "par-01")
    book.expect("ast-technique:app")
    book.answers("ast-technique")
    book.until("2027-03-28T03:30")
    book.report("closure", "sst-01")
    book.expect("cel-si:app")
    book.nothing_else()


def test_a_hand_off_at_0230_happens_once_in_the_night_with_two() -> None:
    book = Runbook(NIGHT_OF_OCTOBER)
    book.calendar(
        ("ast-technique", "2027-10-30T02:30", "2027-10-31T02:30"),
        ("cel-si", "2027-10-31T02:30", "2027-11-01T02:30"),
    )
    book.until("2027-10-31T02:29")
    book.report("closure")
    book.expect(*N1_NIGHT)
    book.answers("ast-technique")
    book.until("2027-10-31T02:31")
    book.report("closure", "par-01")
    book.expect("cel-si:app")
    book.answers("cel-si")
    book.until("2027-10-31T02:15", fold=1)
    book.report("closure", "sst-01")
    book.expect("cel-si:app")
    book.nothing_else()


def test_a_wave_over_the_missing_hour_waits_its_full_minutes() -> None:
    book = Runbook(NIGHT_OF_MARCH)
    book.until("2027-03-28T01:50")
    book.report("closure")
    book.expect(*N1_NIGHT)
    book.until("2027-03-28T03:04")
    book.nothing_else()
    book.until("2027-03-28T03:05")
    book.expect("ast-direction:sms")


def test_a_wave_over_the_repeated_hour_waits_its_minutes_only() -> None:
    book = Runbook(NIGHT_OF_OCTOBER)
    book.until("2027-10-31T02:50")
    book.report("closure")
    book.expect(*N1_NIGHT)
    book.until("2027-10-31T02:04", fold=1)
    book.nothing_else()
    book.until("2027-10-31T02:05", fold=1)
    book.expect("ast-direction:sms")


# ── policy ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def publish(book: Runbook, version: str, **policy: Any) -> None:
    """Publish a version with a changed policy; roster keys begin with `roster_`."""
    for id, command in build_reference_commands(
        territory(), book.realm, "system:reference", "admin"
    ):
        data = command.data
        if isinstance(data, ref.EscalationPolicy):
            data = data.model_copy(
                update={
                    "policy": data.policy.model_copy(
                        update={k: v for k, v in policy.items() if k != "rotations"}
                    )
                }
            )
        if isinstance(data, ref.RosterSection) and "rotations" in policy:
            data = data.model_copy(
                update={"roster": data.roster.model_copy(update={"rotations": policy["rotations"]})}
            )
        book.feed(
            "alerts",
            command.model_copy(update={"data": data, "reference": version}),
            id=f"{version}-{id}",
        )


def publish_another_second_wave(book: Runbook) -> None:
    """Publish N1 with a second wave after 45 minutes that calls the crisis director."""
    waves = territory().policy.ladders["N1"]
    second = waves[1].model_copy(update={"after_min": 45, "who": ("dgs_directeur_de_crise",)})
    publish(book, "edited", ladders={**territory().policy.ladders, "N1": (waves[0], second)})


def test_an_edited_policy_applies_to_the_next_escalation_only(book: Runbook) -> None:
    book.report("closure")
    book.expect(*N1_FIRST)
    publish_another_second_wave(book)
    book.time_passes(15)
    book.expect("ast-direction:sms", wave=2)
    book.answers("ast-direction")
    book.report("closure", "par-01")
    book.expect("rs-par-01:app", "ast-technique:app")
    book.time_passes(44)
    book.nothing_else()
    book.time_passes(1)
    book.expect("dgs:sms", wave=2)


def test_a_decision_applies_the_edited_policy_to_a_running_escalation(book: Runbook) -> None:
    book.report("closure")
    book.expect(*N1_FIRST)
    publish_another_second_wave(book)
    book.time_passes(10)
    book.decides(ReapplyPolicy, incident=book.incident().id)
    book.time_passes(34)
    book.nothing_else()
    book.time_passes(1)
    book.expect("dgs:sms", wave=2)
    book.answers("dgs")


def test_a_new_rotation_is_called_from_its_first_hand_off_on(book: Runbook) -> None:
    turn = Rotation(
        role="astreinte_technique",
        persons=("cel-si", "cel-rh"),
        every_days=1,
        hand_off_min=600,
        since=paris_day("2027-02-11"),
    )
    publish(book, "rotating", rotations=(turn,))
    book.report("outage_heating")
    book.expect(*N1_FIRST)
    book.answers("ast-technique")
    book.until("2027-02-11T10:00")
    book.report("partial_closure", "par-01")
    book.expect("rs-par-01:app", "cel-si:app")
    book.answers("cel-si")
    book.until("2027-02-12T10:00")
    book.report("closure", "sst-01")
    book.expect("rs-sst-01:app", "cel-rh:app")
    book.nothing_else()


def paris_day(text: str) -> Any:
    from datetime import date

    return date.fromisoformat(text)


# ── taken in charge, then nothing ──────────────────────────────────────────────────────────────────────────────────


def test_an_acknowledgement_without_work_goes_stale_and_all_are_called_again(book: Runbook) -> None:
    n2_answered(book)
    book.time_passes(89)
    book.nothing_else()
    book.time_passes(1)
    book.expect(*N2_FIRST, template="answer_stale", wave=1)
    book.nothing_else()
    assert (book.ladder().state, book.incident().state.value) == ("running", "open")


def test_a_stale_answer_escalates_like_a_new_incident(book: Runbook) -> None:
    n2_answered(book)
    book.time_passes(90)
    book.expect(*N2_FIRST, template="answer_stale")
    book.time_passes(10)
    book.expect(*N2_SECOND, template="answer_stale")
    book.time_passes(10)
    book.expect("dgs:voice", template="answer_stale")
    book.answers("dgs")
    assert book.ladder().state == "answered"
    book.decides(AddNote, text_id="t1", incident=book.incident().id)
    book.time_passes(300)
    book.nothing_else()


def test_stale_answers_do_not_count(book: Runbook) -> None:
    n2_answered(book)
    book.time_passes(90)
    book.expect(*N2_FIRST)
    book.answers("coord-pca")
    assert book.ladder().state == "running", "two of the first wave are expected, as before"
    book.answers("dir-solidarites")
    assert book.ladder().state == "answered"


def test_stale_answers_of_a_later_wave_are_called_again_too(book: Runbook) -> None:
    n2(book)
    book.time_passes(10)
    book.expect(*N2_SECOND)
    book.answers("dir-solidarites-s", channel="voice")
    book.time_passes(90)
    book.expect(*N2_FIRST, "dir-solidarites-s:app", template="answer_stale")
    book.nothing_else()


@pytest.mark.parametrize("deed", ["note", "verification", "level", "climb"])
def test_one_action_on_the_incident_ends_the_wait(book: Runbook, deed: str) -> None:
    n2_answered(book)
    book.time_passes(30)
    incident = book.incident().id
    match deed:
        case "note":
            book.decides(AddNote, text_id="t1", incident=incident)
        case "verification":
            book.report("closure", "pmi-05", certainty="unconfirmed")
            task = next(t for t in book.alerts.tasks.values() if t.kind == "verify_report")
            from schemas.commands import CompleteTask

            book.decides(CompleteTask, task=task.id, outcome="denied")
            book.decides(AddNote, text_id="t2", incident=incident)
        case "level":
            book.decides(
                SetLevel,
                author="dir-solidarites",
                role="directeur_pole",
                scope=incident,
                level=1,
                force=True,
            )
            book.sent()
        case "climb":
            book.decides(EscalateIncident, incident=incident)
            book.expect(*N2_SECOND)
            book.answers("dir-solidarites-s")
            book.decides(AddNote, text_id="t3", incident=incident)
    book.time_passes(200)
    book.nothing_else()


def test_work_on_an_activity_counts_as_work_on_the_crisis(book: Runbook) -> None:
    book.report("closure", "cen-2", severity=3)
    book.sent()
    cell = ("main-courante", "cel-situation", "cel-rh", "cel-logistique", "cel-si")
    for person in ("ast-direction", "dgs", "coord-pca", *cell):
        book.answers(person)
    assert book.ladder("territory").stale_at is not None
    book.asks(DeclareActivity, service="continuity", activity="EDU-01", state="nominal")
    assert book.ladder("territory").stale_at is None


def test_a_site_incident_never_goes_stale(book: Runbook) -> None:
    book.report("closure")
    book.expect(*N1_FIRST)
    book.answers("ast-technique")
    book.time_passes(600)
    book.nothing_else()


def test_a_closed_incident_does_not_go_stale(book: Runbook) -> None:
    n2_answered(book)
    book.decides(ResolveIncident, incident=book.incident().id, force=True)
    book.time_passes(1)
    book.expect("ast-direction", "dir-solidarites", template="withdrawn")
    book.time_passes(300)
    book.nothing_else()


# ── an exercise beside a real crisis ───────────────────────────────────────────────────────────────────────────────


def test_an_exercise_leaves_a_real_crisis_untouched() -> None:
    """Both run in the same deciders.

    The live realm has its own order, clock and people; the exercise reaches simulated devices
    only.
    """
    world = MemorySystem(_deciders(), check=False)
    start = paris("2027-02-11T09:40")
    for realm in ("92", "92~test-beside"):
        world.feed(
            "alerts",
            realm,
            OpenRealm(author="system:test", role="admin", territory="92", started_at=start),
            id=f"open-{realm}",
            at=start,
        )
        for id, command in build_reference_commands(
            territory(), realm, "system:reference", "admin"
        ):
            world.feed("alerts", realm, command, id=id, at=start)
    real, exercise = Runbook(realm="92", world=world), Runbook(realm="92~test-beside", world=world)
    from schemas.reports import ReportReceived
    from schemas.words import EventType

    def live(site: str, severity: int) -> None:
        message = ReportReceived(
            report_id=f"live-{site}",
            site_id=site,
            type=EventType.CLOSURE,
            severity=severity,
            source="site_manager",
            occurred_at=start,
            recorded_at=start,
        )
        world.feed("alerts", "92", message, id=f"live-{site}", at=start)

    live("pmi-04", 4)
    before = [f.id for f in world.facts("92")]
    calls = {r.person for r in world.services["delivery"].state("92").notifications.values()}
    assert calls == {"ast-direction", "dir-solidarites", "coord-pca", "ast-technique"}
    exercise.report("closure", severity=4)
    exercise.expect(*N2_FIRST)
    exercise.time_passes(10)
    exercise.expect(*N2_SECOND)
    exercise.nothing_else()
    assert [f.id for f in world.facts("92")] == before
    assert real.alerts.open_incidents
    assert not any(
        a.state == "accepted"
        for r in world.services["delivery"].state("92").notifications.values()
        for a in r.attempts
    )


def test_an_on_call_decision_in_an_exercise_stays_there() -> None:
    book, other = Runbook(), Runbook(realm="92~test-other")
    book.replaces("cel-si", "2027-02-11T08:00", "2027-02-11T20:00")
    other.report("closure")
    other.expect(*N1_FIRST)
    other.nothing_else()


def test_an_override_by_an_unknown_person_is_refused(book: Runbook) -> None:
    from schemas.oncall import OverrideDuty

    no = book.asks(
        OverrideDuty,
        role_on_call="astreinte_technique",
        person="inconnu",
        start=book.now,
        end=book.now + 3_600_000,
    )
    assert isinstance(no, CommandRefused)
    assert no.code == "person_not_found"
    book.report("closure")
    book.expect(*N1_FIRST)


def test_an_unexpected_message_fails_the_test(book: Runbook) -> None:
    """The harness itself: a message that no line expects cannot be overlooked."""
    book.report("closure")
    book.expect("ast-technique:app")
    with pytest.raises(AssertionError, match="rs-pmi-04: app"):
        book.time_passes(1)
    with pytest.raises(AssertionError, match="dgs:voice got nothing"):
        book.expect("dgs:voice")
    assert ACK is not DECLINE


# ── quiet hours (D36) ──────────────────────────────────────────────────────────────────────────────────────────────


def test_at_night_a_site_incident_calls_people_on_call_and_the_manager_at_seven() -> None:
    book = Runbook("2027-02-11T23:30")
    book.report("closure")
    book.expect("ast-technique:app", level=1, wave=1)
    book.time_passes(15)
    book.expect("ast-direction:sms", level=1, wave=2)
    book.time_passes(15)
    book.expect("ast-technique:app", level=1, wave=1)
    book.answers("ast-technique")
    book.until("2027-02-12T06:59")
    book.nothing_else()
    book.until("2027-02-12T07:01")
    book.expect("rs-pmi-04:app", level=1, wave=1)
    book.nothing_else()


def test_at_night_a_rise_to_n2_calls_all_roles() -> None:
    book = Runbook("2027-02-11T23:30")
    book.report("closure")
    book.expect("ast-technique:app")
    book.time_passes(1)
    book.report("closure", severity=4, source="supervision")
    book.expect(*N2_FIRST, level=2, template="level_raised")
    book.until("2027-02-12T00:00")
    book.sent()
    book.until("2027-02-12T08:00")
    assert "rs-pmi-04" not in {m.person for m in book.sent()}, "its ladder was superseded"


# ── planned works and the messages of continuity (D64) ─────────────────────────────────────────────────────────────


def _plan_works(book: Runbook, hours: float, **covers: Any) -> None:
    book.decides(
        PlanMaintenance,
        covers=Coverage(**covers),
        starts_at=book.now,
        ends_at=book.now + round(hours * HOUR_MS),
    )


def _close_social_centres(book: Runbook) -> None:
    for site in territory().sites:
        if site.kind == "pole_social_sst":
            book.report("closure", site.id, severity=3, capacity_lost_pct=100)


def _alarms(book: Runbook) -> set[tuple[str, str, str | None, int]]:
    """List (template, activity, site, percentage) of the alarms that people got."""
    planned = [n for n in book.facts("NotificationPlanned") if n.template.startswith("alarm_")]
    return {
        (n.template, n.values["activity"], n.values.get("site"), n.values["pct"]) for n in planned
    }


def test_withheld_alarms_are_sent_when_the_works_last_too_long(book: Runbook) -> None:
    """The RTO and the DMIA of a vital activity passed during the works: nobody heard of it."""
    _plan_works(book, 10, kinds=("pole_social_sst",))
    _close_social_centres(book)
    book.time_passes(599)
    assert not _alarms(book)
    book.time_passes(1)
    book.sent()
    alarms = _alarms(book)
    assert ("alarm_dmia", "SOL-01", None, 100) in alarms
    assert ("alarm_rto", "SOL-06", None, 80) in alarms
    assert ("alarm_rto", "SOL-06", "sst-06", 80) in alarms, "the manager of the site"
    assert len([a for a in alarms if a[1:3] == ("SOL-01", None)]) == 1, "the gravest only"


def test_alarms_of_works_that_end_in_time_are_never_sent(book: Runbook) -> None:
    _plan_works(book, 10, kinds=("pole_social_sst",))
    _close_social_centres(book)
    book.time_passes(300)
    for site in territory().sites:
        if site.kind == "pole_social_sst":
            book.report("reopening", site.id, severity=1)
    book.time_passes(400)
    assert not _alarms(book)


def test_works_withhold_no_request_for_life(book: Runbook) -> None:
    """Water was cut by works, a person asked for water: the cell did not hear of it, ever."""
    _plan_works(book, 10, sites=("pmi-04",))
    book.report("outage_water", severity=3)
    answer = book.asks(
        RequestResource,
        author="rs-pmi-04",
        role="site_manager",
        service="continuity",
        resource="water",
        quantity=100,
        site="pmi-04",
        priority="life",
        incident=book.incident().id,
    )
    assert isinstance(answer, CommandApplied)
    book.expect(
        "cel-logistique:app", "ast-direction:app", "coord-pca:app", template="resource_unanswered"
    )
    book.nothing_else()
