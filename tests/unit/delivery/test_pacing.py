"""Rate limits, priority, fair shares and digests decide the time of each message (D36)."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import HOUR_MS, Instant
from schemas.calling import Unreachable
from schemas.delivery import NotificationChanged
from schemas.reference import (
    ChannelRule,
    ChannelRules,
    ChannelsSection,
    InformationHours,
    ReferencePublished,
)
from schemas.runtime import CommandRefused
from schemas.words import Channel, Level, NotificationState
from services.delivery.notifications.channel_policies import ChannelHours
from tests.unit.delivery.desk import T0, Desk, desk

SMS = Channel.SMS


def declared(
    d: Desk,
    per_minute: float = 1200,
    burst: int = 20,
    hours: InformationHours | None = None,
    doubt: Any = "at_least_once",
    cost_cents: float = 0.0,
) -> Desk:
    """Declare the rate of the SMS provider in the territory."""
    rule = ChannelRule(
        channel=SMS,
        per_minute=per_minute,
        burst=burst,
        doubt=doubt,
        limit_s=30,
        grace_s=15,
        receipt_s=None,
        tries=2,
        information_hours=hours,
        cost_cents=cost_cents,
    )
    d.tell(
        ReferencePublished(
            reference="r2", data=ChannelsSection(rules=ChannelRules(channels=(rule,))), last=True
        )
    )
    return d


def waves(d: Desk, count: int, *, escalation: str = "e1", start: int = 0, **changes: Any) -> None:
    """`count` calls of a later wave, which may wait."""
    for n in range(start, start + count):
        d.plan(f"{escalation}-{n}", channels=(SMS,), escalation=escalation, wave=2, **changes)


def handed(d: Desk) -> list[tuple[Instant, str]]:
    """Return (time, notification) of every attempt in the order of planning."""
    attempt_ids, planned_attempts = set(), []
    for fact in d.facts:
        if isinstance(fact, NotificationChanged):
            for attempt in fact.row.attempts:
                if attempt.id not in attempt_ids:
                    attempt_ids.add(attempt.id)
                    planned_attempts.append((attempt.planned_at, fact.row.id))
    return planned_attempts


@settings(max_examples=40)
@given(
    st.floats(60, 12_000),
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3000)), max_size=6),
)
def test_no_window_exceeds_the_declared_rate_and_no_message_waits_longer(
    per_minute: float, burst: int, arrivals: list[tuple[int, int]]
) -> None:
    d = declared(desk(channels=("sms",)), per_minute, burst)
    for n, (count, pause_ms) in enumerate(arrivals):
        waves(d, count, escalation=f"e{n}")
        d.wait(pause_ms / 1000)
    d.wait(3600)
    times = [at for at, _ in handed(d)]
    assert len(times) == sum(count for count, _ in arrivals)
    assert times == sorted(times)
    interval = 60_000 / per_minute
    for first, start in enumerate(times):
        for last in range(first + burst, len(times)):
            assert times[last] - start >= (last - first + 1 - burst) * interval - 1, (
                "faster than the provider takes"
            )
    if times:
        assert times[-1] - T0 <= sum(p for _, p in arrivals) + len(times) * interval + 1000, (
            "slower than declared"
        )
    assert not d.state.pacing.waiting
    assert not any(key.startswith("pace/") for key in d.state.agenda.due)


def test_danger_and_first_pages_overtake_all_others_and_are_counted() -> None:
    d = declared(desk(channels=("sms",)), per_minute=60, burst=1)
    waves(d, 10)
    assert d.row("e1-9").state is NotificationState.PLANNED
    assert (d.row("e1-9").why, d.row("e1-9").waits_for) == ("paced", SMS)
    for n in range(3):
        assert d.plan(f"danger-{n}", channels=(SMS,), danger=True, wave=2).attempts
    assert d.plan("first", channels=(SMS,), escalation="e2", wave=1).attempts
    assert not d.plan("again", channels=(SMS,), escalation="e2", wave=1, cycle=2).attempts
    d.wait(4.5)
    assert len(handed(d)) == 5, "what overtook took its place in the rate"
    d.wait(1)
    assert len(handed(d)) == 6


def test_calls_go_before_information_and_groups_take_turns() -> None:
    d = declared(desk(channels=("sms",)), per_minute=60, burst=1)
    d.roster(dgs=("sms",), rh=("sms",))
    for n in range(3):
        d.plan(f"info-{n}", channels=(SMS,), answer_expected=False, incident=f"i9-{n}", person="rh")
    waves(d, 40, escalation="big")
    waves(d, 3, escalation="small")
    order = []
    for _ in range(60):
        d.wait(1)
        order = [id for _, id in handed(d)]
    calls = [id for id in order if not id.startswith("info")]
    assert [id for id in order if id.startswith("info")][1:] == order[-2:], "information goes last"
    assert {id for id in calls[:8] if id.startswith("small")} == {
        "small-0",
        "small-1",
        "small-2",
    }, "forty calls do not keep three back"


def test_withdrawn_and_answered_messages_leave_the_queue() -> None:
    d = declared(desk(channels=("sms",)), per_minute=60, burst=1)
    waves(d, 4)
    d.withdraw("e1-1")
    d.answer(id="e1-2")
    d.wait(1.01)
    assert d.row("e1-3").attempts
    assert d.row("e1-1").state is NotificationState.WITHDRAWN
    assert not d.state.pacing.waiting


def test_a_hold_keeps_the_queue_and_its_end_releases_it_at_the_declared_rate() -> None:
    d = declared(desk(channels=("sms",)), per_minute=60, burst=1)
    waves(d, 5)
    d.hold(60)
    d.wait(59)
    assert len(handed(d)) == 1
    d.wait(10)
    times = [at for at, _ in handed(d)]
    assert len(times) == 5
    assert all(later - earlier >= 1000 for earlier, later in pairwise(times[1:]))


def test_after_a_stall_no_flood_reaches_the_provider() -> None:
    d = declared(desk(channels=("sms",)), per_minute=600, burst=10)
    waves(d, 200)
    d.now += 60_000  # nothing came, nothing fired
    d.wait(0)
    times = Counter(at for at, _ in handed(d))
    assert max(times.values()) <= 10


def test_a_new_rate_applies_at_once_also_to_the_queue() -> None:
    d = declared(desk(channels=("sms",)), per_minute=1, burst=1)
    waves(d, 30)
    declared(d, per_minute=6000, burst=30)
    d.wait(70)
    assert all(d.row(f"e1-{n}").attempts for n in range(30))


def test_five_thousand_three_hundred_leave_at_the_declared_rate_and_a_snapshot_keeps_their_order() -> (
    None
):
    d = declared(desk(channels=("sms",)), per_minute=1200, burst=20)
    waves(d, 5300)
    dumped = json.loads(json.dumps(d.decider.dump(d.state)))
    assert d.decider.load("92", "92", dumped) == d.state
    d.wait(400)
    times = [at for at, _ in handed(d)]
    took_s = (times[-1] - times[0]) / 1000
    assert took_s == pytest.approx(5300 / 20, rel=0.02)


# ── hours of information ───────────────────────────────────────────────────────────────────────────────────────────

HOURS = InformationHours(from_min=8 * 60, to_min=22 * 60, sundays=False)
SATURDAY_2330 = 1_795_905_000_000
"""2026-11-28 23:30 in Paris."""


@settings(max_examples=80)
@given(st.integers(1_700_000_000_000, 1_900_000_000_000))
def test_hours_open_within_them_and_never_on_a_sunday(now: int) -> None:
    opens = ChannelHours(480, 1320, sundays=False).opens(now)
    local = datetime.fromtimestamp(opens / 1000, ZoneInfo("Europe/Paris"))
    assert opens >= now
    assert 8 <= local.hour < 22
    assert local.isoweekday() != 7
    assert opens - now <= 35 * 3_600_000, "at most from Saturday night to Monday morning"
    assert opens == now or (local.hour, local.minute) == (8, 0)


def test_messages_of_a_crisis_ignore_the_hours_of_a_channel() -> None:
    night = Desk(now=SATURDAY_2330)
    night.roster(dgs=("sms",))
    declared(night, hours=HOURS)
    assert night.plan("call", channels=(SMS,)).attempts[0].channel is SMS
    assert alarm(night, "alarm").attempts[0].channel is SMS, "D36: quiet hours hold back at N1 only"


# ── quiet hours (D36) ──────────────────────────────────────────────────────────────────────────────────────────────

MORNING = SATURDAY_2330 + 7 * HOUR_MS + HOUR_MS // 2
"""07:00."""
VOICE = Channel.VOICE


def night(channels: tuple[str, ...] = ("app", "sms", "voice", "email")) -> Desk:
    d = Desk(now=SATURDAY_2330)
    d.roster(dgs=channels)
    return d


def test_quiet_hours_hold_back_app_and_sms_and_let_the_voice_of_a_call_pass() -> None:
    d = night()
    call_row = d.plan("call", channels=(Channel.APP, SMS), level=Level.N1, quiet_until=MORNING)
    assert (call_row.why, call_row.not_before, call_row.attempts) == ("quiet_hours", MORNING, ()), (
        "nor by mail, which would only stand in for them"
    )
    assert d.plan("rung", channels=(SMS, VOICE), quiet_until=MORNING).attempts[0].channel is VOICE
    information_row = d.plan(
        "told", channels=(Channel.APP, SMS, VOICE), quiet_until=MORNING, answer_expected=False
    )
    assert information_row.attempts == (), "information rings nobody instead"
    d.wait(7.4 * 3600)
    assert not d.row("call").attempts
    d.wait(0.2 * 3600)
    assert (d.row("call").attempts[0].planned_at, d.row("call").attempts[0].channel) == (
        MORNING,
        Channel.APP,
    )


def test_people_with_mail_only_are_not_delayed() -> None:
    assert (
        night(("email",)).plan(channels=(SMS,), quiet_until=MORNING).attempts[0].channel
        is Channel.EMAIL
    )


def test_delayed_messages_are_sent_together_in_the_morning() -> None:
    d = night(("sms",))
    for n in range(3):
        alarm(d, f"a{n}", quiet_until=MORNING)
        d.wait(60)
    for cycle in (1, 2):
        d.plan(
            f"c{cycle}", channels=(SMS,), escalation="e1", wave=1, cycle=cycle, quiet_until=MORNING
        )
        d.wait(60)
    d.plan("other", channels=(SMS,), escalation="e2", wave=1, cycle=1, quiet_until=MORNING)
    d.plan("withdrawn", channels=(SMS,), escalation="e3", wave=1, cycle=1, quiet_until=MORNING)
    d.withdraw("withdrawn")
    assert d.decider.load("92", "92", json.loads(json.dumps(d.decider.dump(d.state)))) == d.state
    d.wait(8 * 3600)
    assert sorted(id for _, id in handed(d)) == ["a0", "c2", "other"], (
        "the newest call of a ladder stands for those before it"
    )
    assert {at for at, _ in handed(d)} == {MORNING}
    assert [item.values["activity"] for item in d.row("a0").bundle] == ["a1", "a2"]
    assert (d.row("c1").bundled_into, d.row("c2").bundle) == ("c2", ())
    assert not d.state.bundles.quiet


# ── digests ────────────────────────────────────────────────────────────────────────────────────────────────────────


def alarm(d: Desk, id: str, **changes: Any) -> Any:
    return d.plan(
        id,
        channels=(SMS,),
        answer_expected=False,
        template="alarm_rto",
        values={"activity": id, "pct": 50},
        **changes,
    )


def test_the_first_alarm_goes_at_once_and_those_of_ten_minutes_in_one_message() -> None:
    d = desk(channels=("sms",))
    assert alarm(d, "a1").attempts
    d.wait(60)
    assert [alarm(d, id).why for id in ("a2", "a3", "a4")] == ["bundled"] * 3
    d.wait(600)
    carrier, *bundled_rows = (d.row(id) for id in ("a2", "a3", "a4"))
    assert [item.values["activity"] for item in carrier.bundle] == ["a3", "a4"]
    assert (len(carrier.attempts), carrier.bundle_count) == (1, 2)
    assert {(row.state, row.bundled_into, row.why) for row in bundled_rows} == {
        (NotificationState.SUPERSEDED, "a2", "bundled")
    }
    assert alarm(d, "a5").why == "bundled", "the digest was an alarm too"


def test_a_digest_that_fails_reports_each_of_its_messages_as_unreachable() -> None:
    """The first of them alone went to the deputy (D34)."""
    d = desk(channels=("sms",))
    alarm(d, "a1")
    for id in ("a2", "a3", "a4"):
        alarm(d, id)
    d.wait(600)
    d.claim(id="a2")
    d.outcome("failed", id="a2")
    failed = [f.notification for f in d.facts if isinstance(f, Unreachable)]
    assert failed == ["a2", "a3", "a4"]


@pytest.mark.parametrize("kind", ["order", "void", "over", "recalled", "refused"])
def test_an_order_about_agents_waits_for_no_alarm_and_delays_none(kind: str) -> None:
    """A site manager heard ten minutes late that agents go back now."""
    d = desk(channels=("sms",))
    assert alarm(d, "a1").attempts
    order = d.plan(
        "order",
        channels=(SMS,),
        answer_expected=False,
        template=f"reassignment_{kind}",
        values={"site": "cen-1", "agents": 12},
    )
    assert order.attempts
    d.wait(600)
    assert alarm(d, "a2").attempts


def test_beyond_the_budget_information_waits_for_a_digest_and_calls_never_do() -> None:
    d = desk(channels=("sms",))
    for n in range(6):
        assert d.plan(f"i{n}", channels=(SMS,), answer_expected=False).attempts
    assert d.plan("i6", channels=(SMS,), answer_expected=False).why == "bundled"
    assert d.plan("wave-1", channels=(SMS,), wave=1, answer_expected=False).attempts
    assert d.plan("call", channels=(SMS,), wave=2).attempts
    assert d.plan("danger", channels=(SMS,), answer_expected=False, danger=True).attempts
    d.wait(601)
    assert d.row("i6").attempts


def test_information_by_voice_waits_for_no_budget_and_takes_none() -> None:
    """D36: a call by voice never waits, and leaves the budget to the other messages."""
    d = desk(channels=("sms", "voice"))
    for n in range(6):
        assert d.plan(f"v{n}", channels=(VOICE, SMS), answer_expected=False).attempts
    assert d.plan("i0", channels=(SMS,), answer_expected=False).attempts, "voice took no budget"
    for n in range(1, 6):
        assert d.plan(f"i{n}", channels=(SMS,), answer_expected=False).attempts
    assert d.plan("i6", channels=(SMS,), answer_expected=False).why == "bundled"
    assert d.plan("v6", channels=(VOICE, SMS), answer_expected=False).attempts


def test_information_that_waits_for_a_busy_provider_counts_for_the_budget_and_the_first_alarm() -> (
    None
):
    """D36: a storm that filled the provider's queue sent each message of a person for itself."""
    d = declared(desk(channels=("sms",)), per_minute=60, burst=1)
    for n in range(9):
        d.plan(f"i{n}", channels=(SMS,), answer_expected=False, incident=f"i{n}")
    alarm(d, "a1")
    alarm(d, "a2")
    d.wait(60)
    rows = [row for row in d.state.notifications.values() if row.person == "dgs" and row.attempts]
    assert len(rows) == 6
    d.wait(560)
    digests = [row for row in d.state.notifications.values() if row.bundle]
    assert [row.bundle_count for row in digests] == [4], "eleven are six and one digest of five"


def test_a_hold_ends_with_one_message_of_information_per_person() -> None:
    """D36: after a night without sending, a person got each alarm of the night for itself."""
    d = desk(channels=("sms", "email"))
    d.hold(3600)
    for n in range(10):
        alarm(d, f"a{n}", level=Level.N1 if n else Level.N2)
        d.wait(60)
    d.plan("call", channels=(SMS,), wave=2)
    d.plan("mail", channels=(Channel.EMAIL,), answer_expected=False)
    d.plan("night", channels=(SMS,), answer_expected=False, quiet_until=d.now + 7200_000)
    d.wait(3600)
    carrier = d.row("a0")
    assert (len(carrier.attempts), carrier.bundle_count) == (1, 9), "the gravest carries the rest"
    assert {d.row(f"a{n}").bundled_into for n in range(1, 10)} == {"a0"}
    assert d.row("call").attempts
    assert d.row("mail").attempts
    assert (d.row("night").attempts, d.row("night").why) == ((), "quiet_hours")


def test_recalled_messages_leave_the_digest() -> None:
    d = desk(channels=("sms",))
    for id in ("a1", "a2", "a3"):
        alarm(d, id)
    d.withdraw("a2")
    d.wait(601)
    assert d.row("a2").state is NotificationState.WITHDRAWN
    assert (d.row("a3").bundle, len(d.row("a3").attempts)) == ((), 1)


# ── replay ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_failed_messages_are_retried_after_the_repair() -> None:
    d = desk(channels=("sms",))
    d.plan()
    d.claim()
    d.outcome("failed")
    assert d.row().state is NotificationState.FAILED
    d.roster(dgs=("sms", "email"))
    d.replay()
    assert (d.row().state, d.attempt().number, d.attempt().channel) == (
        NotificationState.ATTEMPTED,
        2,
        SMS,
    )
    d.claim("run-2")
    d.outcome("accepted", run="run-2")
    assert d.row().state is NotificationState.ACCEPTED


def test_a_queue_that_has_run_empty_leaves_nothing_behind() -> None:
    d = desk()
    for n in range(25):
        d.plan(f"n{n}", wave=2)
    assert d.state.pacing.queues
    d.wait(60)
    assert not d.state.pacing.queues
    assert d.decider.load("92", "92", json.loads(json.dumps(d.decider.dump(d.state)))) == d.state


def test_a_replay_takes_the_channels_that_a_person_has_today() -> None:
    d = desk(channels=("sms",))
    d.plan()
    d.claim()
    d.outcome("failed")
    d.roster(dgs=("voice",))
    d.replay()
    assert d.attempt().channel is Channel.VOICE


def test_a_replay_after_a_doubt_is_marked_as_possible_repetition() -> None:
    d = desk(channels=("voice",))
    d.plan(channels=(Channel.VOICE,))
    d.claim()
    d.outcome("ambiguous")
    assert d.row().state is NotificationState.AMBIGUOUS
    d.replay()
    assert d.attempt().possible_duplicate


@pytest.mark.parametrize(
    ("role", "state", "code"),
    [("coordinator", "accepted", "not_dead"), ("technician", "failed", "role_not_allowed")],
)
def test_only_dead_attempts_are_replayed_by_entitled_people(
    role: str, state: str, code: str
) -> None:
    d = desk(channels=("sms",))
    d.plan()
    d.claim()
    d.outcome(state)
    (refused,) = d.replay(role=role)
    assert isinstance(refused, CommandRefused)
    assert refused.code == code
