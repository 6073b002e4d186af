"""Hold: all sending stops until a named time, never for danger to people."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.commands import HoldSending, ReleaseSending
from schemas.delivery import AttemptGranted, HoldChanged
from schemas.runtime import CommandRefused
from schemas.words import Channel, NotificationState
from tests.unit.delivery.desk import T0, desk


def test_nothing_is_offered_to_a_sender_during_a_hold_and_all_of_it_afterwards() -> None:
    d = desk()
    d.hold(600)
    row = d.plan()
    assert (row.state, row.why, row.attempts) == (NotificationState.PLANNED, "held", ())
    d.wait(599)
    assert d.row().attempts == ()
    d.wait(1)
    assert (d.row().state, d.attempt().state, d.row().why) == (NotificationState.PLANNED, "planned", None)
    assert d.claim() is not None


def test_danger_to_people_is_never_held() -> None:
    d = desk()
    d.plan("early", danger=True)
    d.hold(600)
    assert d.claim(id="early") is not None
    d.plan("late", danger=True)
    assert d.claim(id="late") is not None


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
    assert (d.row().state, d.row().why, dict(d.state.held)) == (NotificationState.ATTEMPTED, None, {})
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


def test_what_is_called_back_or_answered_during_a_hold_stays_so() -> None:
    d = desk()
    d.hold(600)
    d.plan("a")
    d.plan("b")
    d.withdraw("a")
    d.answer(id="b")
    d.wait(601)
    assert (d.row("a").state, d.row("b").state) == (NotificationState.WITHDRAWN, NotificationState.ANSWERED)
    assert not d.row("a").attempts
    assert not d.row("b").attempts


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"role": "observer"}, "role_not_allowed"),
        ({"reason": None}, "reason_required"),
        ({"until": T0}, "until_in_past"),
    ],
)
def test_a_hold_needs_the_right_a_reason_and_an_end(changes: dict[str, Any], code: str) -> None:
    d = desk()
    command = {"author": "a", "role": "coordinator", "reason": "text:1", "until": d.now + 1000, **changes}
    (refused,) = d.tell(HoldSending(**command))
    assert isinstance(refused, CommandRefused)
    assert refused.code == code
    assert not d.state.sending_held


def test_releasing_nothing_is_refused() -> None:
    (refused,) = desk().tell(ReleaseSending(author="a", role="coordinator"))
    assert isinstance(refused, CommandRefused)
    assert refused.code == "not_held"
