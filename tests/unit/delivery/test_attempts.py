"""One notification passes through channels, attempts and receipts, as seen by person and log."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from schemas.calling import Unreachable
from schemas.delivery import AttemptGranted, ClaimAttempt
from schemas.reference import ReferencePublished, Roster, RosterSection
from schemas.runtime import CommandRefused, DeadlineFailed, LossDeclared, Rebased
from schemas.words import Channel, NotificationState
from services.delivery.notifications.channel_policies import DEFAULT_POLICIES
from tests.unit.delivery.desk import Desk, desk

APP, SMS, VOICE, EMAIL, WEBHOOK = (
    Channel.APP,
    Channel.SMS,
    Channel.VOICE,
    Channel.EMAIL,
    Channel.WEBHOOK,
)


def channels_tried(d: Desk) -> list[Channel]:
    return [a.channel for a in d.row().attempts]


# ── planning ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_channel_of_the_wave_that_the_person_has_is_tried_first() -> None:
    d = desk(channels=("sms", "email"))
    row = d.plan(channels=(VOICE, SMS, APP))
    assert row.channels == (SMS, EMAIL)
    assert (row.state, row.channel) == (NotificationState.PLANNED, SMS)


def test_a_step_for_the_app_falls_back_to_mail_without_a_phone_call() -> None:
    d = desk(channels=("voice", "webhook", "email"))
    assert d.plan(channels=(APP,)).channels == (EMAIL, WEBHOOK)


def test_a_person_without_a_verified_channel_is_unreachable_at_once() -> None:
    d = desk(channels=())
    row = d.plan()
    assert (row.state, row.why, row.attempts) == (
        NotificationState.FAILED,
        "no_verified_channel",
        (),
    )
    assert d.facts[-1] == Unreachable(notification="n1", person="dgs", at=d.now)


def test_a_planned_notification_keeps_its_channels_when_the_roster_changes() -> None:
    d = desk(channels=("sms", "email"))
    d.plan()
    d.roster(dgs=("voice",))
    assert d.row().channels == (SMS, EMAIL)


def test_a_roster_counts_only_when_its_version_is_whole() -> None:
    d = desk(channels=("sms",))
    d.tell(
        ReferencePublished(
            reference="r2",
            data=RosterSection(roster=Roster(holders=(), channels={"dgs": ("voice",)})),
        )
    )
    assert d.plan(channels=(VOICE, SMS)).channels == (SMS,)


# ── claims ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_only_the_first_claim_is_granted() -> None:
    d = desk()
    d.plan()
    granted = d.claim("run-1")
    assert granted is not None
    assert (granted.run, granted.channel, granted.limit_ms) == (
        "run-1",
        SMS,
        DEFAULT_POLICIES[SMS].limit_ms,
    )
    assert d.claim("run-2") is None
    assert d.claim("run-1") is None
    assert d.row().state is NotificationState.ATTEMPTED


@pytest.mark.parametrize("realm", ["92~ex-7", "92~what-1", "92~test-1"])
def test_no_claim_is_ever_granted_in_a_realm_that_is_not_live(realm: str) -> None:
    d = desk(realm)
    d.plan()
    assert d.claim() is None
    assert d.attempt().state == "planned"


def test_a_claim_of_an_unknown_attempt_is_nothing() -> None:
    d = desk()
    d.plan()
    assert d.tell(ClaimAttempt(notification="n1", attempt="other", run="r")) == []
    assert d.tell(ClaimAttempt(notification="n2", attempt=d.attempt().id, run="r")) == []


def test_an_outcome_of_a_run_that_was_not_granted_is_nothing() -> None:
    d = desk()
    d.plan()
    assert d.outcome("accepted") == []
    d.claim("run-1")
    assert d.outcome("accepted", run="run-2") == []
    assert d.attempt().state == "granted"


# ── outcomes and failover ──────────────────────────────────────────────────────────────────────────────────────────


def test_accepted_then_received() -> None:
    d = desk()
    d.plan()
    d.claim()
    d.outcome("accepted")
    assert (d.row().state, d.row().sent_at) == (NotificationState.ACCEPTED, d.now)
    d.receipt()
    assert (d.row().state, d.row().receipt_at) == (NotificationState.RECEIVED, d.now)
    assert d.state.agenda.first() is None


def test_a_failure_goes_to_the_next_channel_at_once() -> None:
    d = desk(channels=("sms", "voice"))
    d.plan(channels=(SMS, VOICE))
    d.claim()
    d.outcome("failed")
    assert channels_tried(d) == [SMS, VOICE]
    assert not d.attempt().possible_duplicate


def test_when_every_channel_failed_for_good_the_person_is_unreachable_once() -> None:
    d = desk(channels=("sms", "voice"))
    d.plan(channels=(SMS, VOICE))
    for _ in range(2):
        d.claim()
        d.outcome("failed")
    assert (d.row().state, d.row().why) == (NotificationState.FAILED, "550 no such user")
    assert sum(isinstance(f, Unreachable) for f in d.facts) == 1
    d.wait(86_400)
    assert sum(isinstance(f, Unreachable) for f in d.facts) == 1


def test_a_passing_failure_is_tried_again_after_its_pause_when_no_channel_is_left() -> None:
    d = desk(channels=("email",))
    d.plan(channels=())
    d.claim()
    d.outcome("failed", retry=True)
    assert (d.row().state, len(d.row().attempts)) == (NotificationState.ATTEMPTED, 1)
    d.wait(29)
    assert len(d.row().attempts) == 1
    d.wait(1)
    assert channels_tried(d) == [EMAIL, EMAIL]
    for _ in range(2):
        d.claim()
        d.outcome("failed", retry=True)
        d.wait(120)
    assert (len(d.row().attempts), d.row().state) == (
        DEFAULT_POLICIES[EMAIL].tries,
        NotificationState.FAILED,
    )


@pytest.mark.parametrize(("asked_s", "waits_s"), [(5, 30), (90, 90), (86_400, 600), (None, 30)])
def test_a_provider_is_not_called_before_the_time_that_it_asks_for_within_bounds(
    asked_s: int | None, waits_s: int
) -> None:
    """Never earlier than our own pause, never later than a person can wait."""
    d = desk(channels=("webhook",))
    d.plan(channels=())
    d.claim()
    d.outcome("failed", retry=True, asked_s=asked_s)
    d.wait(waits_s - 1)
    assert len(d.row().attempts) == 1
    d.wait(1)
    assert channels_tried(d) == [WEBHOOK, WEBHOOK]


def test_a_retry_time_of_one_provider_delays_no_other_channel() -> None:
    d = desk(channels=("sms", "voice"))
    d.plan(channels=(SMS, VOICE))
    d.claim()
    d.outcome("failed", retry=True, asked_s=300)
    assert channels_tried(d) == [SMS, VOICE]


def test_a_missing_receipt_tries_the_next_channel_marked_as_possible_repetition() -> None:
    d = desk(channels=("sms", "voice"))
    d.plan(channels=(SMS, VOICE))
    d.claim()
    d.outcome("accepted")
    d.wait(180)
    assert channels_tried(d) == [SMS, VOICE]
    assert (d.row().state, d.attempt().possible_duplicate) == (NotificationState.ACCEPTED, True)


def test_a_provider_that_gives_no_receipts_is_not_waited_for() -> None:
    """The declared time for a receipt would call all readers of the message again."""
    d = desk(channels=("sms", "voice"))
    d.plan(channels=(SMS, VOICE))
    d.claim()
    d.outcome("accepted", receipts=False)
    d.wait(3600)
    assert channels_tried(d) == [SMS]
    assert (d.row().state, d.attempt().receipts) == (NotificationState.ACCEPTED, False)
    assert d.state.agenda.first() is None


def test_a_channel_without_receipts_is_done_when_it_is_accepted() -> None:
    d = desk(channels=("email", "webhook"))
    d.plan(channels=())
    d.claim()
    d.outcome("accepted")
    assert d.state.agenda.first() is None
    assert (d.row().state, channels_tried(d)) == (NotificationState.ACCEPTED, [EMAIL])


def test_a_missing_receipt_on_the_last_channel_stays_accepted() -> None:
    d = desk(channels=("sms",))
    d.plan()
    d.claim()
    d.outcome("accepted")
    d.wait(3600)
    assert (d.row().state, d.row().why, len(d.row().attempts)) == (
        NotificationState.ACCEPTED,
        "no_receipt",
        1,
    )
    assert not any(isinstance(f, Unreachable) for f in d.facts)


def test_an_undelivered_receipt_tries_the_next_channel() -> None:
    d = desk(channels=("sms", "voice"))
    d.plan(channels=(SMS, VOICE))
    d.claim()
    d.outcome("accepted")
    d.receipt("failed")
    assert channels_tried(d) == [SMS, VOICE]


def test_a_late_receipt_cancels_the_next_unclaimed_channel() -> None:
    d = desk(channels=("sms", "voice"))
    d.plan(channels=(SMS, VOICE))
    d.claim()
    d.outcome("accepted")
    d.wait(180)
    d.receipt(number=1)
    assert [a.state for a in d.row().attempts] == ["received", "superseded"]
    assert d.claim() is None


# ── doubt ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("channel", list(Channel))
def test_an_attempt_without_outcome_is_ambiguous_at_limit_plus_grace(channel: Channel) -> None:
    d = desk(channels=(channel,))
    d.plan(channels=(channel,))
    d.claim()
    outcome_s = DEFAULT_POLICIES[channel].outcome_ms / 1000
    d.wait(outcome_s - 0.001)
    assert d.attempt().state == "granted"
    d.wait(0.001)
    assert d.row().attempts[0].state == "ambiguous"


def test_doubt_on_an_at_least_once_channel_makes_a_new_attempt_marked_possible_duplicate() -> None:
    d = desk(channels=("email", "webhook"))
    d.plan(channels=())
    d.claim()
    d.wait(45)
    assert channels_tried(d) == [EMAIL, WEBHOOK]
    assert d.attempt().possible_duplicate


def test_doubt_on_the_only_at_least_once_channel_repeats_it_after_a_pause() -> None:
    d = desk(channels=("email",))
    d.plan(channels=())
    d.claim()
    d.wait(45 + 30)
    assert (channels_tried(d), d.attempt().possible_duplicate) == ([EMAIL, EMAIL], True)


def test_doubt_on_an_at_most_once_channel_is_never_repeated_there() -> None:
    d = desk(channels=("voice",))
    d.plan(channels=(VOICE,))
    d.claim()
    d.wait(3600)
    assert (d.row().state, d.row().why, len(d.row().attempts)) == (
        NotificationState.AMBIGUOUS,
        "perhaps_not_sent",
        1,
    )
    assert not any(isinstance(f, Unreachable) for f in d.facts)


def test_the_sender_may_report_doubt_itself() -> None:
    d = desk(channels=("voice", "email"))
    d.plan(channels=(VOICE,))
    d.claim()
    d.outcome("ambiguous")
    assert [a.state for a in d.row().attempts] == ["ambiguous", "planned"]


def test_a_late_outcome_settles_the_doubt_and_calls_off_the_repetition() -> None:
    d = desk(channels=("email", "webhook"))
    d.plan(channels=())
    d.claim()
    d.wait(50)
    d.outcome("accepted", number=1)
    assert [a.state for a in d.row().attempts] == ["accepted", "superseded"]
    assert d.row().state is NotificationState.ACCEPTED
    assert d.claim() is None


def test_a_late_outcome_leaves_a_repetition_that_is_already_claimed() -> None:
    d = desk(channels=("email", "webhook"))
    d.plan(channels=())
    d.claim("run-1")
    d.wait(50)
    d.claim("run-2")
    d.outcome("accepted", number=1)
    assert [a.state for a in d.row().attempts] == ["accepted", "granted"]
    d.outcome("failed", run="run-2")
    assert d.row().state is NotificationState.ACCEPTED
    assert len(d.row().attempts) == 2


@pytest.mark.parametrize(
    "loss",
    [lambda: LossDeclared(detail="tail lost"), lambda: Rebased(cluster_id="k2", next_offset=7)],
)
@pytest.mark.parametrize("claimed", [True, False])
def test_a_declared_loss_makes_every_open_attempt_ambiguous(
    loss: Callable[[], LossDeclared | Rebased], claimed: bool
) -> None:
    """A grant may lie in the lost history: neither a granted nor a planned attempt can be trusted."""
    d = desk(channels=("voice",))
    d.plan(channels=(VOICE,))
    if claimed:
        d.claim()
    d.chain_fact(loss())
    d.wait(0)
    assert (d.row().attempts[0].state, d.row().attempts[0].error) == ("ambiguous", "loss")
    assert d.claim("run-2") is None


def test_a_message_planned_again_after_a_declared_loss_is_marked() -> None:
    d = desk(channels=("voice", "email"))
    planned_at = d.now
    d.wait(10)
    d.chain_fact(Rebased(cluster_id="k2", next_offset=0))
    row = d.plan(channels=(VOICE,), planned_at=planned_at)
    assert [(a.channel, a.possible_duplicate) for a in row.attempts] == [(EMAIL, True)]
    d.wait(1)
    assert d.plan("n2", channels=(VOICE,)).attempts[0].possible_duplicate is False


def test_a_message_of_an_at_most_once_channel_in_a_lost_history_is_ambiguous() -> None:
    d = desk(channels=("voice",))
    d.chain_fact(LossDeclared(detail="tail lost"))
    row = d.plan(channels=(VOICE,))
    assert (row.state, row.attempts) == (NotificationState.AMBIGUOUS, ())


def test_a_deadline_that_the_runtime_gave_up_does_not_come_back() -> None:
    d = desk()
    d.plan()
    d.claim()
    deadline = d.state.agenda.first()
    assert deadline is not None
    d.chain_fact(DeadlineFailed(key=deadline.key, due=deadline.due, error="boom"))
    assert d.state.agenda.first() is None


# ── withdrawal ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_recalled_before_any_call_is_withdrawn() -> None:
    d = desk()
    d.plan()
    d.withdraw()
    assert (d.row().state, d.attempt().state) == (NotificationState.WITHDRAWN, "superseded")
    assert d.claim() is None


def test_called_back_after_a_call_is_superseded_and_goes_to_no_further_channel() -> None:
    d = desk(channels=("sms", "voice"))
    d.plan(channels=(SMS, VOICE))
    d.claim()
    d.withdraw()
    d.outcome("failed")
    d.wait(3600)
    assert (d.row().state, channels_tried(d)) == (NotificationState.SUPERSEDED, [SMS])
    assert not any(isinstance(f, Unreachable) for f in d.facts)


def test_a_failed_message_that_is_no_longer_needed_is_not_replayed() -> None:
    """A backlog that is sent again must not call for yesterday."""
    d = desk(channels=("sms",))
    d.plan()
    d.claim()
    d.outcome("failed")
    assert d.row().state is NotificationState.FAILED
    d.withdraw()
    assert (d.row().state, d.row().withdrawn) == (NotificationState.SUPERSEDED, "superseded")
    (refused,) = d.replay()
    assert isinstance(refused, CommandRefused)
    assert refused.code == "not_dead"


def test_calling_back_twice_or_something_unknown_is_nothing() -> None:
    d = desk()
    d.plan()
    d.withdraw()
    assert d.withdraw() == []
    assert d.withdraw("unknown") == []


def test_planning_the_same_notification_twice_plans_one_attempt() -> None:
    d = desk()
    d.plan()
    d.plan()
    assert len(d.row().attempts) == 1
    assert not any(isinstance(f, AttemptGranted) for f in d.facts)


def test_an_outcome_that_comes_while_the_next_channel_rings_waits_for_its_receipt_too() -> None:
    d = desk(channels=("sms", "voice", "email"))
    d.plan(channels=(SMS, VOICE))
    d.claim()
    d.wait(50)
    assert d.claim() is not None, "no word of the SMS came in time: the phone rings"
    d.outcome("accepted", number=1)
    d.outcome("failed", number=2)
    d.wait(181)
    assert channels_tried(d) == [SMS, VOICE, EMAIL]
