"""Laws of delivery hold under every order of messages of senders, providers and people."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.calling import Unreachable
from schemas.delivery import AttemptGranted, ClaimAttempt, NotificationChanged
from schemas.runtime import LossDeclared
from schemas.words import Answer, Channel, NotificationState
from services.delivery.notifications.attempts import derive_state, is_settled
from services.delivery.notifications.channel_policies import DEFAULT_POLICIES, DoubtPolicy
from tests.unit.delivery.desk import EVERYTHING, Desk, desk
from tests.unit.delivery.test_pacing import declared

IDS = ("n1", "n2", "n3", "n4")
_channels = st.lists(st.sampled_from(EVERYTHING), unique=True, max_size=4)
_number = st.integers(0, 3)
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("plan"),
            st.sampled_from(IDS),
            st.lists(st.sampled_from(list(Channel)), max_size=3),
            st.booleans(),
            st.booleans(),
        ),
        st.tuples(st.just("claim"), st.sampled_from(IDS), st.sampled_from(("run-1", "run-2"))),
        st.tuples(
            st.just("outcome"),
            st.sampled_from(IDS),
            _number,
            st.sampled_from(("accepted", "failed", "ambiguous")),
            st.booleans(),
        ),
        st.tuples(
            st.just("receipt"),
            st.sampled_from(IDS),
            _number,
            st.sampled_from(("received", "failed")),
        ),
        st.tuples(st.just("answer"), st.sampled_from(IDS), st.sampled_from(list(Answer))),
        st.tuples(st.just("withdraw"), st.sampled_from(IDS)),
        st.tuples(st.just("hold"), st.integers(1, 300)),
        st.tuples(st.just("wait"), st.integers(0, 200)),
        st.tuples(st.just("lose")),
        st.tuples(st.just("replay"), st.sampled_from(IDS)),
        st.tuples(st.just("slow"), st.sampled_from((1, 30, 600))),
    ),
    min_size=8,
    max_size=40,
)


def act(d: Desk, step: tuple[Any, ...]) -> None:
    """Apply one input; skip one about a missing object."""
    name, *args = step
    if name in ("claim", "outcome", "receipt") and not (
        args[0] in d.state.notifications and d.row(args[0]).attempts
    ):
        return
    match name:
        case "plan":
            d.plan(
                args[0],
                channels=args[1],
                danger=args[2],
                answer_expected=args[3],
                template="incident_wave" if args[3] else "alarm_rto",
            )
        case "claim":
            d.claim(args[1], id=args[0])
        case "outcome":
            attempt = d.row(args[0]).attempts[min(args[1], len(d.row(args[0]).attempts)) - 1]
            d.outcome(
                args[2],
                number=attempt.number,
                run=attempt.run or "run-1",
                id=args[0],
                retry=args[3],
            )
        case "receipt":
            d.receipt(
                args[2], number=min(args[1], len(d.row(args[0]).attempts)) or None, id=args[0]
            )
        case "answer":
            d.answer(args[1], id=args[0])
        case "withdraw":
            d.withdraw(args[0])
        case "hold":
            d.hold(args[0])
        case "wait":
            d.wait(args[0])
        case "replay":
            d.replay(args[0])
        case "slow":
            declared(d, per_minute=args[0], burst=1)
        case "lose":
            d.chain_fact(LossDeclared(detail="test"))


def check(d: Desk) -> None:
    """Check the laws after every input."""
    for row in d.state.notifications.values():
        assert row.state is derive_state(row)
        open_numbers = [a.number for a in row.attempts if a.state in ("planned", "granted")]
        assert open_numbers in ([], [len(row.attempts)]), "only the newest attempt may be open"
        assert [a.number for a in row.attempts] == list(range(1, len(row.attempts) + 1))
        for attempt in row.attempts:
            assert attempt.state != "granted" or attempt.due is not None, (
                "a granted attempt without outcome waits for ever"
            )
            assert d.state.agenda.due.get(f"attempt/{row.id}/{attempt.number}") == attempt.due
        waits = row.state in (NotificationState.PLANNED, NotificationState.ATTEMPTED)
        queued = row.id in d.state.pacing.waiting and (
            d.state.sending_held or f"pace/{row.waits_for}" in d.state.agenda.due
        )
        later = (
            row.not_before is not None
            and d.state.agenda.due.get(f"later/{row.id}") == row.not_before
        )
        moving = (
            bool(open_numbers)
            or any(a.due is not None for a in row.attempts)
            or row.id in d.state.held
            or queued
            or later
        )
        assert (row.id in d.state.pacing.waiting) == (
            row.waits_for is not None and not is_settled(row)
        )
        assert not waits or moving, "nobody will ever look at this notification again"
        assert not (row.danger and row.id in d.state.held)
        assert not (row.danger and (row.waits_for or row.not_before))
    if d.state.held:
        assert d.state.sending_held or any(k.startswith("held/") for k in d.state.agenda.due)


@settings(max_examples=100)
@given(_channels, STEPS)
def test_every_message_is_in_one_state_and_never_sent_twice(
    channels: list[str], steps: list[tuple[Any, ...]]
) -> None:
    d = desk(channels=channels)
    d.plan()
    for step in steps:
        act(d, step)
        check(d)
    grants = Counter(f.attempt for f in d.facts if isinstance(f, AttemptGranted))
    assert max(grants.values(), default=0) <= 1, "an attempt was granted twice"
    unreachable = Counter(f.notification for f in d.facts if isinstance(f, Unreachable))
    for row in d.state.notifications.values():
        doubted = False
        for attempt in row.attempts:
            repeats = (
                doubted and DEFAULT_POLICIES[attempt.channel].doubt is DoubtPolicy.AT_LEAST_ONCE
            )
            assert not repeats or attempt.possible_duplicate, (
                "a repetition after doubt is not marked"
            )
            doubted = doubted or attempt.state == "ambiguous"
        if row.state is NotificationState.FAILED:
            assert unreachable[row.id] >= 1


def test_a_provider_that_accepted_is_followed_by_another_channel_only_without_its_receipt() -> None:
    """The guard that keeps a late failure of an older attempt from ringing the next phone."""
    d = desk(channels=("email", "webhook", "sms"))
    d.plan(channels=())
    d.claim("run-1")
    d.wait(50)
    d.claim("run-2")
    d.outcome("accepted", run="run-2")
    d.outcome("failed", number=1, run="run-1", retry=True)
    d.wait(3600)
    assert [a.state for a in d.row().attempts] == ["failed", "accepted"]


@settings(max_examples=80)
@given(_channels, STEPS)
def test_with_time_every_notification_comes_to_rest(
    channels: list[str], steps: list[tuple[Any, ...]]
) -> None:
    """A sender that always fails, without answers: after a day only rest states are left."""
    d = desk(channels=channels)
    for step in steps:
        act(d, step)
    for _ in range(60):
        for row in list(d.state.notifications.values()):
            if row.attempts and row.attempts[-1].state == "planned":
                d.claim("run-9", id=row.id)
                d.outcome("failed", run="run-9", id=row.id, retry=True)
        d.wait(600)
    for row in d.state.notifications.values():
        assert row.state not in (NotificationState.PLANNED, NotificationState.ATTEMPTED), row
    assert d.state.agenda.first() is None


@settings(max_examples=60)
@given(_channels, STEPS)
def test_the_state_is_the_fold_of_the_facts_and_survives_a_snapshot(
    channels: list[str], steps: list[tuple[Any, ...]]
) -> None:
    d = desk(channels=channels)
    for step in steps:
        act(d, step)
        dumped = json.loads(json.dumps(d.decider.dump(d.state)))
        assert d.decider.load("92", "92", dumped) == d.state
    rows = {f.row.id: f.row for f in d.facts if isinstance(f, NotificationChanged)}
    assert dict(d.state.notifications) == rows, "the read model is the last row per id"


@settings(max_examples=50)
@given(_channels, STEPS)
def test_a_realm_that_is_not_live_never_grants_a_call(
    channels: list[str], steps: list[tuple[Any, ...]]
) -> None:
    d = Desk("92~ex-1")
    d.roster(dgs=channels)
    for step in steps:
        act(d, step)
    for id in list(d.state.notifications):
        for attempt in d.row(id).attempts:
            d.tell(ClaimAttempt(notification=id, attempt=attempt.id, run="run-1"))
    assert not any(isinstance(f, AttemptGranted) for f in d.facts)


@settings(max_examples=50)
@given(STEPS)
def test_after_an_answer_or_a_call_back_no_attempt_is_planned(steps: list[tuple[Any, ...]]) -> None:
    d = desk()
    d.plan()
    settled: dict[str, int] = {}
    for step in steps:
        act(d, step)
        for row in d.state.notifications.values():
            if is_settled(row):
                assert len(row.attempts) == settled.setdefault(row.id, len(row.attempts))


def test_a_snapshot_of_an_earlier_form_is_refused() -> None:
    earlier: dict[str, Any] = {"notifications": [], "due": [], "scalars": [("hold", None)]}
    with pytest.raises(TypeError, match="realm"):
        Desk().decider.load("92", "92", earlier)
