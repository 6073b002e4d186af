"""Simulated recipients answer by rule, channel and time."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.callouts import HeadcountAnswer, HeadcountSaid
from schemas.commands import AnswerNotification
from schemas.delivery import AttemptOutcome, NotificationChanged, ReceiptReceived
from schemas.people.responders import RespondersInvalid, parse_responders
from schemas.runtime import RealmOpened
from schemas.words import Answer, Channel, NotificationState
from services.delivery.simulated_channels import build_responses, respond_to_fact
from services.runtime.log.transaction import FactRecord
from tests.unit.delivery.desk import Desk, desk

REALM = "92~ex-7"


def play(d: Desk, lines: list[dict[str, Any]]) -> None:
    """Play the responses to each row in order of time, like the conductor, until none is left."""
    waiting = [
        (d.now + delay, n, m)
        for n, (delay, m) in enumerate(build_responses(d.row(), parse_responders(lines)))
    ]
    while waiting:
        at, _, message = waiting.pop(0)
        facts = d.tell(message, after_s=(at - d.now) / 1000)
        for fact in facts:
            if isinstance(fact, NotificationChanged):
                waiting += [
                    (d.now + delay, len(waiting), m)
                    for delay, m in build_responses(fact.row, parse_responders(lines))
                ]
        waiting.sort(key=lambda w: w[:2])


def test_by_default_messages_are_received_at_once_and_unanswered() -> None:
    d = desk(REALM)
    responses = build_responses(d.plan())
    assert [(delay, type(m)) for delay, m in responses] == [
        (0, AttemptOutcome),
        (0, ReceiptReceived),
    ]
    play(d, [])
    assert (d.row().state, d.row().receipt_at) == (NotificationState.RECEIVED, d.now)


def test_the_first_line_that_fits_decides() -> None:
    d = desk(REALM)
    d.plan(wave=1)
    lines: list[dict[str, Any]] = [
        {"role": "dgs_directeur_de_crise", "wave": 2, "answer": "decline"},
        {"role": "dgs_directeur_de_crise", "answer": "ack", "after_s": 90},
        {"person": "dgs", "answer": "decline", "after_s": 1},
    ]
    start = d.now
    play(d, lines)
    assert (d.row().state, d.row().answer, d.row().acknowledged_at) == (
        NotificationState.ANSWERED,
        "ack",
        start + 90_000,
    )


def test_a_channel_that_fails_is_followed_by_the_next_and_its_answer() -> None:
    d = desk(REALM, channels=("sms", "voice"))
    d.plan(channels=(Channel.SMS, Channel.VOICE))
    play(
        d,
        [
            {"channel": "sms", "outcome": "failed"},
            {"person": "dgs", "answer": "decline", "after_s": 5},
        ],
    )
    assert [a.state for a in d.row().attempts] == ["failed", "received"]
    assert d.row().answer == Answer.DECLINE


def test_messages_without_an_expected_answer_get_none() -> None:
    d = desk(REALM)
    row = d.plan(answer_expected=False)
    assert not any(
        isinstance(m, AnswerNotification)
        for _, m in build_responses(row, parse_responders([{"answer": "ack"}]))
    )


def test_a_row_without_a_waiting_attempt_gets_no_response() -> None:
    d = desk(REALM)
    d.plan()
    play(d, [])
    assert build_responses(d.row()) == []


def test_a_simulated_outcome_has_no_effect_in_a_live_realm() -> None:
    d = desk("92")
    for _, message in build_responses(d.plan()):
        assert d.tell(message) == []
    assert d.row().state is NotificationState.PLANNED


def test_the_conductor_gets_responses_with_ids_of_their_own() -> None:
    d = desk(REALM)
    row = d.plan()
    fact = FactRecord(
        "vigie.NotificationChanged.v1",
        "f1",
        d.now,
        NotificationChanged(row=row).model_dump(mode="json"),
    )
    opened = RealmOpened(
        territory="92",
        title_code="S04",
        started_at=d.now,
        lineage=REALM,
        responders=({"answer": "ack", "after_s": 30},),
    )
    responses = respond_to_fact(fact, opened)
    assert [(r.after_ms, type(r.message).__name__) for r in responses] == [
        (0, "AttemptOutcome"),
        (0, "ReceiptReceived"),
        (30_000, "AnswerNotification"),
    ]
    assert len({r.id for r in responses}) == 3
    assert respond_to_fact(fact, opened) == responses


def test_responders_that_cannot_be_read_name_line_and_field_and_never_stop_a_conductor() -> None:
    with pytest.raises(RespondersInvalid, match=r"responder 2: after_s"):
        parse_responders([{"answer": "ack"}, {"answer": "ack", "after_s": -1}])
    with pytest.raises(RespondersInvalid, match=r"responder 1: persn"):
        parse_responders([{"persn": "dgs"}])
    d = desk(REALM)
    fact = FactRecord(
        "vigie.NotificationChanged.v1",
        "f1",
        d.now,
        NotificationChanged(row=d.plan()).model_dump(mode="json"),
    )
    opened = RealmOpened(
        territory="92",
        title_code="S04",
        started_at=d.now,
        lineage=REALM,
        responders=({"answer": "perhaps"},),
    )
    assert len(respond_to_fact(fact, opened)) == 2


def test_a_simulated_person_answers_a_headcount() -> None:
    d = desk(REALM)
    row = d.plan().model_copy(
        update={"template": "headcount", "campaign": "c1", "answer_expected": True}
    )
    responses = build_responses(
        row, parse_responders([{"answer": "ack", "says": "help", "after_s": 5}])
    )
    assert [(delay, m) for delay, m in responses if isinstance(m, HeadcountSaid)] == [
        (5000, HeadcountSaid(callout="c1", answer=HeadcountAnswer.HELP))
    ]
    assert [type(m) for delay, m in responses if delay == 5000] == [
        AnswerNotification,
        HeadcountSaid,
    ]
    lines: list[dict[str, Any]]
    for lines in ([], [{"answer": "decline"}]):
        assert not [
            m
            for _, m in build_responses(row, parse_responders(lines))
            if isinstance(m, HeadcountSaid)
        ]
