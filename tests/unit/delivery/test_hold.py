"""Hold: all sending stops until a named time, never for danger to people."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.calling import NotificationUrged
from schemas.callouts import CHUNK_PEOPLE
from schemas.commands import HoldSending, ReleaseSending
from schemas.delivery import AttemptGranted, HoldChanged, NotificationChanged
from schemas.runtime import CommandRefused
from schemas.words import Channel, NotificationState
from tests.unit.delivery.desk import T0, desk
from tests.unit.delivery.test_callouts import draft, start, take


def test_a_hold_keeps_messages_from_the_sender_until_its_end() -> None:
    d = desk()
    d.hold(600)
    row = d.plan()
    assert (row.state, row.why, row.attempts) == (NotificationState.PLANNED, "held", ())
    d.wait(599)
    assert d.row().attempts == ()
    d.wait(1)
    assert (d.row().state, d.attempt().state, d.row().why) == (
        NotificationState.PLANNED,
        "planned",
        None,
    )
    assert d.claim() is not None


def test_danger_to_people_is_never_held() -> None:
    d = desk()
    d.plan("early", danger=True)
    d.hold(600)
    assert d.claim(id="early") is not None
    d.plan("late", danger=True)
    assert d.claim(id="late") is not None


def test_a_message_that_became_danger_is_no_longer_held() -> None:
    d = desk()
    d.hold(600)
    d.plan("held")
    d.plan("quiet", quiet_until=T0 + 3_600_000)
    for id in ("held", "quiet"):
        assert d.row(id).attempts == ()
        d.tell(NotificationUrged(notification=id))
        assert d.row(id).danger
        assert d.claim(id=id) is not None
    assert d.tell(NotificationUrged(notification="held")) == []


def test_a_message_sent_before_it_became_danger_is_sent_once() -> None:
    d = desk()
    d.plan("told")
    d.claim(id="told")
    d.outcome("accepted", id="told")
    d.plan("dead")
    d.claim(id="dead")
    d.outcome("failed", id="dead")
    d.plan("over")
    d.withdraw("over")
    before = [len(d.row(id).attempts) for id in ("told", "dead", "over")]
    for id in ("told", "dead", "over", "unknown"):
        d.tell(NotificationUrged(notification=id))
    assert [len(d.row(id).attempts) for id in ("told", "dead", "over")] == before
    assert d.row("over").state is NotificationState.WITHDRAWN


def test_an_attempt_planned_before_the_hold_is_not_granted_in_it() -> None:
    d = desk()
    d.plan()
    d.hold(600)
    assert d.claim() is None
    assert d.row().why == "held"
    d.wait(600)
    granted = d.claim()
    assert isinstance(granted, AttemptGranted)
    assert granted.channel is Channel.SMS


def test_failover_waits_for_the_end_of_the_hold() -> None:
    d = desk(channels=("sms", "voice"))
    d.plan(channels=(Channel.SMS, Channel.VOICE))
    d.claim()
    d.hold(600)
    d.outcome("failed")
    assert (d.row().state, d.row().why) == (NotificationState.ATTEMPTED, "held")
    d.wait(600)
    assert d.attempt().channel is Channel.VOICE


def test_a_next_try_that_is_later_than_the_end_of_the_hold_is_no_longer_held() -> None:
    d = desk(channels=("sms",))
    d.plan()
    d.claim()
    d.hold(1)
    d.outcome("failed", retry=True)
    d.wait(1)
    assert (d.row().state, d.row().why, dict(d.state.held)) == (
        NotificationState.ATTEMPTED,
        None,
        {},
    )
    d.wait(30)
    assert d.attempt().state == "planned"


def test_a_release_ends_it_early() -> None:
    d = desk()
    d.hold(600)
    d.plan()
    d.tell(ReleaseSending(author="coord-pca", role="coordinator"))
    d.wait(0)
    assert d.attempt().state == "planned"
    assert d.state.hold is not None
    assert not d.state.hold.held


def test_a_second_hold_moves_the_end() -> None:
    d = desk()
    d.hold(60)
    d.hold(600)
    d.plan()
    d.wait(60)
    assert d.row().attempts == ()
    d.wait(540)
    assert len(d.row().attempts) == 1
    assert [f.row.held for f in d.facts if isinstance(f, HoldChanged)] == [True, True, False]


def test_recalls_and_answers_during_a_hold_stay_valid() -> None:
    d = desk()
    d.hold(600)
    d.plan("a")
    d.plan("b")
    d.withdraw("a")
    d.answer(id="b")
    d.wait(601)
    assert (d.row("a").state, d.row("b").state) == (
        NotificationState.WITHDRAWN,
        NotificationState.ANSWERED,
    )
    assert not d.row("a").attempts
    assert not d.row("b").attempts


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"role": "observer"}, "role_not_allowed"),
        ({"reason": None}, "reason_required"),
        ({"until": T0}, "until_past"),
    ],
)
def test_a_hold_needs_the_right_a_reason_and_an_end(changes: dict[str, Any], code: str) -> None:
    d = desk()
    command = {
        "author": "a",
        "role": "coordinator",
        "reason": "text:1",
        "until": d.now + 1000,
        **changes,
    }
    (refused,) = d.tell(HoldSending(**command))
    assert isinstance(refused, CommandRefused)
    assert refused.code == code
    assert not d.state.sending_held


def test_releasing_nothing_is_refused() -> None:
    (refused,) = desk().tell(ReleaseSending(author="a", role="coordinator"))
    assert isinstance(refused, CommandRefused)
    assert refused.code == "not_held"


def test_a_call_out_about_danger_goes_on_during_a_hold_and_others_wait() -> None:
    d = desk()
    draft(d, 60)
    start(d)
    d.wait(0.1)
    d.hold(3600)
    draft(d, 100, callout="c2", danger=True, kind="headcount", answer_expected=True)
    start(d, "c2")
    d.wait(60)
    handed = [r.campaign for r in d.state.notifications.values() if r.attempts]
    assert handed.count("c2") == 100
    assert handed.count("c1") == 20, "as many as were handed over before it"
    d.wait(3600)
    assert len([r for r in d.state.notifications.values() if r.attempts]) == 160


def test_reminders_of_a_headcount_come_to_an_end_during_a_hold() -> None:
    d = desk()
    draft(d, 2 * CHUNK_PEOPLE + 20, kind="headcount", answer_expected=True)
    start(d)
    for _ in range(60):
        d.wait(1)
        take(d)
    d.wait(500)
    d.hold(3600)
    before = len(d.facts)
    d.wait(60)
    assert (
        len([f for f in d.facts[before:] if isinstance(f, NotificationChanged)])
        == 2 * CHUNK_PEOPLE + 20
    ), "each is looked at once"
    d.wait(3600)
    take(d)
    assert all(len(r.attempts) >= 2 for r in d.state.notifications.values())


def test_people_with_a_running_call_get_no_reminder() -> None:
    d = desk()
    both = (Channel.SMS, Channel.VOICE)
    draft(
        d,
        2 * CHUNK_PEOPLE + 20,
        kind="headcount",
        danger=True,
        answer_expected=True,
        channels=both,
        has=both,
    )
    start(d)
    d.wait(400)
    take(d)
    d.wait(199)  # no receipt came: the phones ring one after the other
    ringing = [
        id
        for id, row in d.state.notifications.items()
        if row.attempts[-1].state == "planned" and d.claim(id=id)
    ]
    assert len(ringing) > CHUNK_PEOPLE
    before = len(d.facts)
    d.wait(5)
    looked_at = [f.row.id for f in d.facts[before:] if isinstance(f, NotificationChanged)]
    assert not set(looked_at) & set(ringing)
    assert len(looked_at) <= 2 * CHUNK_PEOPLE
