"""Messages to one person about one incident within a minute are one, the gravest first (D71)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.calling import NotificationUrged, NotificationWithdrawn
from schemas.commands import ReleaseSending
from schemas.delivery import NotificationRow
from schemas.words import Channel, Level, NotificationState
from services.delivery.notifications.bundling import (
    bundle_minute,
    choose_newest_call,
    list_covered_information,
)
from tests.unit.delivery.desk import Desk, desk
from tests.unit.delivery.test_pacing import declared


def call(d: Desk, id: str, **changes: Any) -> NotificationRow:
    """Plan a call about the incident."""
    return d.plan(
        id, channels=(Channel.SMS,), **{"incident": "i", "escalation": "e", "wave": 1, **changes}
    )


def told(d: Desk, id: str, **changes: Any) -> NotificationRow:
    """Plan information about the incident."""
    return d.plan(
        id,
        channels=(Channel.SMS,),
        **{
            "incident": "i",
            "answer_expected": False,
            "template": "merged",
            "values": {"plan": id},
            **changes,
        },
    )


def begun(d: Desk, *ids: str) -> list[int]:
    """Return the seconds from the first message to each message."""
    started = [d.row(id).attempts[0].planned_at for id in ids]
    return [(at - started[0]) // 1000 for at in started]


def test_the_first_message_goes_at_once_and_the_rest_of_the_minute_together() -> None:
    d = desk()
    assert told(d, "a").attempts
    d.wait(10)
    assert told(d, "b").why == "same_minute"
    d.wait(5)
    assert told(d, "c").why == "same_minute"
    d.wait(45)
    assert begun(d, "a", "c") == [0, 60]
    assert (d.row("b").bundled_into, d.row("b").state) == ("c", NotificationState.SUPERSEDED)
    assert [item.values["plan"] for item in d.row("c").bundle] == ["b"]


def test_a_call_precedes_information_and_contains_it() -> None:
    d = desk()
    told(d, "a")
    d.wait(1)
    told(d, "b", level=Level.N4)
    call(d, "c", level=Level.N2)
    d.wait(59)
    assert begun(d, "a", "c") == [0, 60]
    assert d.row("b").bundled_into == "c"
    assert d.row("c").answer_expected


@pytest.mark.parametrize("why", ["ack", "superseded"])
def test_information_outlives_a_call_that_ends_before_it_is_heard(why: str) -> None:
    """A person answered another call, and the information in this one was lost."""
    d = desk()
    told(d, "a")
    told(d, "b", level=Level.N4)
    told(d, "c")
    call(d, "earlier", level=Level.N2)
    call(d, "d", level=Level.N3)
    d.wait(60)
    assert {d.row(id).bundled_into for id in ("b", "c", "earlier")} == {"d"}
    d.tell(NotificationWithdrawn(notification="d", why=why))
    d.wait(60)
    assert d.row("b").attempts
    assert [item.values["plan"] for item in d.row("b").bundle] == ["c"]
    assert d.row("earlier").bundled_into == "d", "its escalation has the answer"


@pytest.mark.parametrize("bundle", [bundle_minute, choose_newest_call])
def test_a_newer_call_keeps_the_information_of_the_call_that_it_replaces(bundle: Any) -> None:
    d = desk()
    told(d, "a")
    told(d, "b")
    call(d, "c", level=Level.N2)
    d.wait(60)
    newer = d.row("c").model_copy(
        update={"id": "newer", "level": Level.N3, "bundle": (), "bundle_count": 0}
    )
    carrier, replaced = bundle((d.row("c"), newer.model_copy(update={"planned_at": d.now})))
    assert (carrier.id, replaced.bundled_into) == ("newer", "newer")
    assert [item.values["plan"] for item in carrier.bundle] == ["b"]
    assert list_covered_information((d.row("b"), replaced), "newer") == [d.row("b")]


def test_information_in_a_heard_call_is_not_repeated() -> None:
    d = desk()
    told(d, "a")
    told(d, "b")
    call(d, "c")
    d.wait(60)
    d.claim(id="c")
    d.outcome("accepted", id="c")
    d.answer(id="c")
    d.wait(120)
    assert (d.row("b").bundled_into, d.row("b").attempts) == ("c", ())


def test_the_graver_call_stands_for_the_one_before_it() -> None:
    d = desk()
    told(d, "a")
    call(d, "b", level=Level.N2)
    call(d, "c", level=Level.N3)
    d.wait(60)
    assert len(d.row("c").attempts) == 1
    assert d.row("b").bundled_into == "c"


def test_a_call_of_another_escalation_can_be_answered_on_its_own() -> None:
    d = desk()
    told(d, "a")
    call(d, "b", level=Level.N2, escalation="e1")
    call(d, "c", level=Level.N3, escalation="e2")
    d.wait(121)
    assert begun(d, "a", "c", "b") == [0, 60, 120]
    assert d.row("b").bundled_into is None


@pytest.mark.parametrize("first", [told, call])
def test_danger_is_never_delayed(first: Any) -> None:
    d = desk()
    first(d, "a")
    told(d, "b")
    danger = call(d, "c", danger=True)
    assert danger.attempts
    assert danger.bundled_into is None
    assert danger.bundle == ()


def test_a_message_that_becomes_danger_stops_waiting() -> None:
    d = desk()
    told(d, "a")
    call(d, "b")
    assert not d.row("b").attempts
    d.tell(NotificationUrged(notification="b"))
    assert d.row("b").attempts


def test_waiting_messages_go_a_minute_after_danger() -> None:
    d = desk()
    told(d, "a")
    told(d, "b")
    d.wait(50)
    call(d, "c", danger=True)
    d.wait(30)
    assert not d.row("b").attempts
    d.wait(30)
    assert begun(d, "a", "c", "b") == [0, 50, 110]


def test_another_incident_and_another_person_do_not_wait() -> None:
    d = desk()
    d.roster(dgs=("sms",), rh=("sms",))
    told(d, "a")
    assert told(d, "b", incident="other").attempts
    assert told(d, "c", person="rh").attempts
    assert told(d, "e", incident=None).attempts


def test_after_a_hold_a_person_gets_one_message_per_minute_and_incident() -> None:
    d = desk()
    d.hold(3600)
    call(d, "a")
    call(d, "b", escalation="other")
    d.tell(ReleaseSending(author="coord-pca", role="coordinator"))
    d.wait(0)
    assert sorted(bool(d.row(id).attempts) for id in ("a", "b")) == [False, True]
    d.wait(60)
    assert all(d.row(id).attempts for id in ("a", "b"))


def test_recalled_messages_stop_waiting() -> None:
    d = desk()
    told(d, "a")
    call(d, "b")
    d.withdraw("b")
    d.wait(120)
    assert (d.row("b").state, d.row("b").attempts) == (NotificationState.WITHDRAWN, ())


def test_a_snapshot_keeps_waiting_messages() -> None:
    d = desk()
    told(d, "a")
    told(d, "b")
    dumped = d.decider.dump(d.state)
    d.state = d.decider.load("92", "92", dumped)
    d.wait(60)
    assert begun(d, "a", "b") == [0, 60]


# ── a provider's pace ──────────────────────────────────────────────────────────────────────────────────────────────


def busy(free_in_s: int) -> Desk:
    """Build a desk with an SMS provider at its rate limit."""
    d = declared(desk(), per_minute=60 / free_in_s, burst=1)
    d.roster(dgs=("app", "sms"), rh=("sms",))
    call(d, "other", person="rh", wave=2)
    return d


@pytest.mark.parametrize("free_in_s", [20, 90])
def test_information_does_not_overtake_a_call_that_waits_for_its_provider(free_in_s: int) -> None:
    d = busy(free_in_s)
    assert call(d, "a", wave=2).why == "paced"
    assert not d.plan(
        "b", channels=(Channel.APP,), incident="i", answer_expected=False, template="merged"
    ).attempts
    d.wait(free_in_s)
    assert d.row("a").attempts, "the call does not wait for information"
    d.wait(120)
    assert begun(d, "a", "b")[1] >= 60


def test_information_about_another_incident_passes_a_call_that_waits_for_its_provider() -> None:
    d = busy(20)
    call(d, "a", wave=2)
    assert d.plan(
        "b", channels=(Channel.APP,), incident="other", answer_expected=False, template="merged"
    ).attempts


def test_danger_passes_a_call_that_waits_for_its_provider_and_the_call_comes_a_minute_later() -> (
    None
):
    d = busy(20)
    call(d, "a", wave=2)
    assert d.plan("b", channels=(Channel.APP,), incident="i", danger=True).attempts
    d.wait(180)
    assert begun(d, "b", "a") == [0, 60]


def test_the_second_of_two_released_messages_waits_for_the_end_of_the_minute() -> None:
    d = busy(20)
    told(d, "a")
    told(d, "b")
    assert {d.row("a").why, d.row("b").why} == {"paced"}
    d.wait(180)
    assert begun(d, "a", "b") == [0, 60]


def test_information_no_longer_waits_for_a_call_that_was_taken_back() -> None:
    d = busy(300)
    call(d, "a", wave=2)
    d.plan("b", channels=(Channel.APP,), incident="i", answer_expected=False, template="merged")
    d.withdraw("a")
    d.wait(60)
    assert d.row("b").attempts


def test_a_snapshot_knows_which_calls_wait_for_their_provider() -> None:
    d = busy(20)
    call(d, "a", wave=2)
    d.state = d.decider.load("92", "92", d.decider.dump(d.state))
    assert not d.plan(
        "b", channels=(Channel.APP,), incident="i", answer_expected=False, template="merged"
    ).attempts
