"""Call-outs: estimate, progress, stop, and danger among five thousand messages."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.callouts import (
    AGENT,
    CHUNK_PEOPLE,
    Called,
    CallOutChanged,
    CallOutRow,
    DraftCallOut,
    StartCallOut,
    StopCallOut,
)
from schemas.delivery import NotificationRow
from schemas.runtime import CommandRefused, Tick
from schemas.words import Channel, Level, NotificationState
from services.console.messages.callouts_api import HEADCOUNT_PARTS, count_sms_parts
from services.delivery.callouts.callouts import PROGRESS_INTERVAL_MS, estimate_channels
from services.delivery.channels.sms.origin import choose_sms_text
from services.delivery.notifications.channel_policies import DEFAULT_RULES
from services.messages import MessageNames, compose_message, load_phrases
from services.runtime.http.sms_text import encode_text
from tests.unit.delivery.desk import Desk, desk
from tests.unit.delivery.test_pacing import HOURS, SATURDAY_2330, declared, handed
from tests.unit.delivery.test_sender import World

LINK = f"https://vigie.hauts-de-seine.fr/a/{'x' * 104}"
"""Link with a token as long as that of a person with an id of 36 characters."""
SMS, EMAIL = Channel.SMS, Channel.EMAIL


def draft(
    d: Desk,
    count: int,
    *,
    callout: str = "c1",
    channels: tuple[Channel, ...] = (SMS,),
    has: tuple[Channel, ...] = (SMS,),
    **changes: Any,
) -> CallOutRow:
    """Draft a call-out to `count` people."""
    people = [Called(person=f"agent-{n}", channels=has) for n in range(count)]
    for start in range(0, max(count, 1), CHUNK_PEOPLE):
        d.tell(
            DraftCallOut(
                author="coord-pca",
                role="coordinator",
                callout=callout,
                text_id="text:1",
                channels=channels,
                people=tuple(people[start : start + CHUNK_PEOPLE]),
                last=start + CHUNK_PEOPLE >= count,
                **changes,
            )
        )
    return row(d)


def start(d: Desk, callout: str = "c1") -> None:
    d.tell(StartCallOut(author="coord-pca", role="coordinator", callout=callout))


def stop(d: Desk, role: str = "coordinator") -> list[Any]:
    return d.tell(StopCallOut(author="coord-pca", role=role, callout="c1"))


def row(d: Desk) -> CallOutRow:
    return next(f.row for f in reversed(d.facts) if isinstance(f, CallOutChanged))


def told(d: Desk) -> list[Any]:
    return [r for r in d.state.notifications.values() if r.campaign == "c1"]


def take(d: Desk) -> None:
    """Take messages as a sender and a provider that are never late."""
    for r in told(d):
        if r.attempts and r.attempts[-1].state == "planned":
            d.claim(id=r.id)
            d.outcome("accepted", id=r.id)


def test_a_draft_about_a_decision_takes_a_new_text() -> None:
    """It kept the count of a refused order, and was never sent. Rule D101."""
    d = desk()
    before = draft(d, 3, decision="d-1")
    d.wait(5)
    d.tell(
        DraftCallOut(
            author="coord-pca",
            role="coordinator",
            callout="c1",
            text_id="text:2",
            decision="d-1",
            channels=(SMS,),
            people=(Called(person="agent-0", channels=(SMS,)),),
            last=True,
        )
    )
    after = row(d)
    assert (after.text_id, after.people, after.state) == ("text:2", 3, "draft")
    assert after.drafted_at > before.drafted_at
    start(d)
    d.wait(1)
    assert {r.values["text"] for r in told(d)} == {"text:2"}


def test_a_correction_is_marked_as_such() -> None:
    d = desk()
    assert draft(d, 2, corrects="c0").corrects == "c0"
    start(d)
    d.wait(1)
    assert {r.template for r in told(d)} == {"callout_correction"}
    assert {r.values["text"] for r in told(d)} == {"text:1"}


def test_a_correction_goes_only_to_people_that_the_stopped_message_went_to() -> None:
    """They were told to follow a message no more that they had never had."""
    d = declared(desk(), per_minute=600, burst=10)
    draft(d, 500)
    start(d)
    d.wait(2)
    take(d)
    called = {r.person for r in told(d) if any(a.granted_at for a in r.attempts)}
    stop(d)
    d.wait(1)
    draft(d, 500, callout="c2", corrects="c1")
    assert 0 < len(called) < 500
    assert {one.person for one in d.state.callouts["c2"].people} == called


def test_the_estimate_of_a_long_sms_counts_its_parts() -> None:
    d = declared(desk(), per_minute=1200, burst=20, cost_cents=4)
    callout_row = draft(d, 300, channels=(SMS, EMAIL), sms_parts=3)
    assert [(e.channel, e.parts, e.cost_cents) for e in callout_row.estimates] == [(SMS, 3, 3600)]
    callout_row = draft(d, 10, callout="c2", channels=(EMAIL,), has=(EMAIL,), sms_parts=3)
    assert [(e.channel, e.parts) for e in callout_row.estimates] == [(EMAIL, 1)]


@pytest.mark.parametrize("lang", ["fr", "en"])
@pytest.mark.parametrize("letter", ["a", "é", "€", "Ж"])
@pytest.mark.parametrize("answer_expected", [True, False])
@pytest.mark.parametrize("template", ["callout", "callout_correction"])
def test_a_draft_expects_as_many_parts_as_are_sent(
    template: str, answer_expected: bool, letter: str, lang: str
) -> None:
    """The estimate uses the longest form of the text; a shorter one may need one part less."""
    link = LINK if answer_expected else None
    for length in range(1, 601, 7):
        expected = count_sms_parts(
            letter * length, answer_expected=answer_expected, corrects=template != "callout"
        )
        message = choose_sms_text(
            compose_message(
                called(template=template, answer_expected=answer_expected),
                MessageNames(),
                load_phrases(lang),
                link,
                letter * length,
            ),
            answerable=True,
        )
        assert expected - 1 <= len(encode_text(message).segments) <= expected


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_the_question_of_a_headcount_has_the_parts_that_are_expected(lang: str) -> None:
    message = choose_sms_text(
        compose_message(
            called(template="headcount", answer_expected=True),
            MessageNames(),
            load_phrases(lang),
            LINK,
        ),
        answerable=True,
    )
    assert len(encode_text(message).segments) == HEADCOUNT_PARTS


def called(**changes: Any) -> NotificationRow:
    """Return one person of a call-out."""
    return NotificationRow(
        id="n",
        level=Level.N1,
        role=AGENT,
        person="p",
        state=NotificationState.PLANNED,
        planned_at=0,
        **changes,
    )


def test_a_draft_estimates_duration_and_cost_without_calls() -> None:
    d = declared(desk(), per_minute=1200, burst=20)
    callout_row = draft(d, 5300)
    assert (callout_row.state, callout_row.people, callout_row.unreachable) == ("draft", 5300, 0)
    assert [(e.channel, e.people, e.seconds) for e in callout_row.estimates] == [(SMS, 5300, 264)]
    d.wait(3600)
    assert not d.state.notifications


def test_people_without_a_channel_are_counted_before_it_starts() -> None:
    d = declared(desk())
    callout_row = draft(d, 10, has=(Channel.VOICE,))
    assert (callout_row.people, callout_row.unreachable, callout_row.cost_cents) == (10, 10, 0)


def test_a_long_message_costs_each_part_with_any_result() -> None:
    d = declared(desk(), cost_cents=7)
    draft(d, 3)
    start(d)
    d.wait(1)
    for one, outcome, parts in zip(
        told(d), ("accepted", "ambiguous", "failed"), (3, 2, 2), strict=True
    ):
        d.claim(id=one.id)
        d.outcome(outcome, id=one.id, parts=parts)
    d.receipt(id=told(d)[0].id)
    assert d.state.callouts["c1"].spent == (3 + 2) * 7


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.sampled_from(list(Channel)), unique=True, max_size=3), max_size=60),
    st.lists(st.sampled_from(list(Channel)), min_size=1, max_size=3),
)
def test_estimates_count_each_person_once_at_the_declared_price(
    people: list[list[Channel]], wanted: list[Channel]
) -> None:
    d = desk()
    called = [Called(person=str(n), channels=tuple(has)) for n, has in enumerate(people)]
    estimates = estimate_channels(called, tuple(wanted), DEFAULT_RULES, d.state.pacing)
    fallback = {Channel.EMAIL, Channel.WEBHOOK, Channel.CHAT}
    assert sum(e.people for e in estimates) == sum(
        bool((set(wanted) | fallback) & set(has)) for has in people
    )
    for e in estimates:
        assert e.cost_cents == round(e.people * DEFAULT_RULES.channels[e.channel].cost_cents)


def test_five_thousand_three_hundred_are_planned_in_three_seconds_and_danger_does_not_wait() -> (
    None
):
    d = declared(desk(), per_minute=1200, burst=20)
    draft(d, 5300)
    began = time.perf_counter()
    start(d)
    d.wait(1)
    planned_s = time.perf_counter() - began
    assert len(told(d)) == 5300
    assert planned_s < 30, "3 s on a quiet machine (docs/reference/benchmarks.md)"
    d.wait(60)
    first = d.plan("danger", channels=(SMS,), danger=True)
    assert first.attempts[0].planned_at == d.now
    d.wait(240)
    times = [at for at, id in handed(d) if id != "danger"]
    assert len(times) == 5300
    assert (times[-1] - times[0]) / 1000 == pytest.approx(5300 / 20, rel=0.02)


def test_no_transaction_of_a_call_out_is_too_large() -> None:
    """256 KiB of JSON; deadlines fire within 160 KiB."""
    d = declared(desk(), per_minute=60_000, burst=150)
    draft(d, 2 * CHUNK_PEOPLE)
    start(d)
    fired = d.wait(0.001)
    assert sum(len(f.model_dump_json()) for f in fired) < 160 * 1024


def test_progress_is_counted_and_the_end_reports_its_cost() -> None:
    d = declared(desk(), per_minute=600, burst=10)
    draft(d, 100, channels=(EMAIL,), has=(EMAIL,))
    start(d)
    for _ in range(60):
        d.wait(1)
        take(d)
    done = row(d)
    assert (done.state, done.handed, done.failed, done.eta_at) == ("done", 100, 0, None)
    assert done.ended_at is not None
    assert d.decider.next_deadline(d.state) is None


def test_the_eta_follows_a_provider_that_is_slower_than_declared() -> None:
    d = declared(desk(), per_minute=6000, burst=100)
    draft(d, 1000)
    start(d)
    for _ in range(100):
        d.wait(1)
        for r in [r for r in told(d) if r.attempts and r.attempts[-1].state == "planned"][:1]:
            d.claim(id=r.id)
            d.outcome("accepted", id=r.id)
    d.wait(2)
    eta = row(d).eta_at
    assert eta is not None
    assert 700 < (eta - d.now) / 1000 < 1100, "one a second: nine hundred are left"


def test_the_eta_waits_for_the_end_of_a_hold_unless_it_is_about_danger() -> None:
    for danger in (False, True):
        d = declared(desk(), per_minute=60, burst=1)
        draft(d, 30, danger=danger)
        d.hold(3600)
        start(d)
        d.wait(3)
        eta_at = row(d).eta_at
        assert eta_at is not None
        assert (eta_at >= d.now + 3_500_000) is not danger


def test_a_stopped_call_out_calls_no_further_person() -> None:
    d = declared(desk(), per_minute=600, burst=10)
    draft(d, 500)
    start(d)
    d.wait(2)
    take(d)
    before = row(d)
    granted = [r.id for r in told(d) if any(a.granted_at for a in r.attempts)]
    d.wait(0.3)
    offered = next(r for r in told(d) if r.attempts and r.attempts[-1].state == "planned")
    stop(d)
    assert d.claim(id=offered.id) is None, "an offer of before the stop"
    d.wait(60)
    assert [r.id for r in told(d) if any(a.granted_at for a in r.attempts)] == granted
    states = {r.state for r in told(d) if r.id not in granted}
    assert states == {NotificationState.WITHDRAWN}
    after = row(d)
    assert (after.state, after.withdrawn, after.handed) == (
        "stopped",
        len(told(d)) - len(granted),
        len(granted),
    )
    assert before.state == "running"
    assert not d.state.pacing.waiting
    assert d.decider.next_deadline(d.state) is None or d.decider.next_deadline(
        d.state
    ).key.startswith("attempt/")  # type: ignore[union-attr]


@pytest.mark.parametrize("what", [StartCallOut, StopCallOut])
def test_refusals_name_their_reason(what: Any) -> None:
    d = declared(desk())

    def code(command: Any) -> str | None:
        return next((f.code for f in d.tell(command) if isinstance(f, CommandRefused)), None)

    assert code(what(author="a", role="technician", callout="c1")) == "role_not_allowed"
    assert code(what(author="a", role="coordinator", callout="c1")) == "callout_not_found"
    draft(d, 3)
    start(d)
    stop(d)
    assert code(what(author="a", role="coordinator", callout="c1")) in (
        "callout_started",
        "callout_over",
    )


@pytest.mark.parametrize(
    ("role", "counts"),
    [
        ("site_manager", True),
        ("cell", True),
        ("cellule_situation", True),
        ("technician", False),
        ("observer", False),
    ],
)
def test_a_site_manager_starts_and_closes_the_headcount_of_the_site(
    role: str, counts: bool
) -> None:
    """D79. To tell everybody anything else stays with the coordinator."""
    d = declared(desk())
    for kind in ("headcount", "callout"):
        draft_command = DraftCallOut(
            author="a",
            role=role,
            callout=kind,
            kind=kind,
            channels=(SMS,),
            people=(Called(person="agent-1", channels=(SMS,)),),
            last=True,
        )
        commands = (
            draft_command,
            StartCallOut(author="a", role=role, callout=kind),
            StopCallOut(author="a", role=role, callout=kind),
        )
        refused = [
            any(isinstance(f, CommandRefused) for f in d.tell(command)) for command in commands
        ]
        assert refused == [not (counts and kind == "headcount")] * 3


def test_a_repeated_chunk_lists_no_person_twice_and_a_snapshot_keeps_all() -> None:
    d = declared(desk(), per_minute=600, burst=10)
    draft(d, 200)
    draft(d, 200)
    assert row(d).people == 200
    start(d)
    d.wait(3)
    dumped = json.loads(json.dumps(d.decider.dump(d.state)))
    assert d.decider.load("92", "92", dumped) == d.state
    assert len({r.person for r in told(d)}) == len(told(d)) == 200


def test_information_of_a_call_out_waits_for_monday_and_goes_by_mail_when_there_is_one() -> None:
    night = declared(Desk(now=SATURDAY_2330), hours=HOURS)
    draft(night, 1)
    start(night)
    night.wait(1)
    (waits,) = told(night)
    assert (waits.why, waits.attempts) == ("quiet_hours", ())
    before = len(night.facts)
    night.wait(32.4 * 3600)
    assert not told(night)[0].attempts
    assert len(night.facts) - before < 32.4 * 3600 / 30 + 2, "a log grows with what happens"
    night.wait(0.2 * 3600)
    assert told(night)[0].attempts[0].channel is SMS

    mailed = declared(Desk(now=SATURDAY_2330), hours=HOURS)
    draft(mailed, 1, has=(SMS, EMAIL))
    start(mailed)
    mailed.wait(1)
    assert told(mailed)[0].attempts[0].channel is EMAIL


@pytest.mark.parametrize("passes", [{"danger": True}, {"answer_expected": True}])
def test_a_call_out_about_danger_or_for_an_answer_passes_at_all_hours(
    passes: dict[str, Any],
) -> None:
    night = declared(Desk(now=SATURDAY_2330), hours=HOURS)
    draft(night, 1, **passes)
    start(night)
    night.wait(1)
    assert told(night)[0].attempts[0].channel is SMS


def test_a_progress_row_that_comes_late_gives_the_state_of_its_log() -> None:
    """The world folds every record and compares the two states."""
    world = World()
    world.open("92", ("email",))
    person = Called(person="dgs", channels=(EMAIL,))
    who = {"author": "a", "role": "coordinator", "callout": "c1"}
    world.put(DraftCallOut(channels=(EMAIL,), people=(person,), last=True, **who))
    world.put(StartCallOut(**who))
    due = world.service.next_due("92")
    assert due is not None
    late = due + PROGRESS_INTERVAL_MS // 2
    world.put(Tick(), at=late)
    world.put(Tick(), at=late + PROGRESS_INTERVAL_MS)
    assert "CallOutChanged" in [type(fact).__name__ for fact in world.service.facts("92")[-3:]]
