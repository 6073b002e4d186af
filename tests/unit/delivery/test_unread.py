"""Texts without an answer are noted on the call once, and the person learns how to answer."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.base import Fact
from schemas.callouts import Called, DraftCallOut, StartCallOut
from schemas.delivery import NotificationChanged, NotificationRow, ReplyUnread
from schemas.words import Channel, NotificationState
from services.delivery.channels.sms.origin import choose_sms_text
from services.delivery.replies.answers import HELP_PERIOD_MS
from services.messages import MessageNames, compose_message, load_phrases
from tests.unit.delivery.desk import Desk, desk


def unread(d: Desk, id: str = "n1", person: str = "dgs") -> list[Fact]:
    return d.tell(ReplyUnread(notification=id, person=person, channel=Channel.SMS))


def helped(d: Desk) -> list[NotificationRow]:
    return [row for row in d.state.notifications.values() if row.template == "reply_unread"]


def test_the_call_stays_open_and_records_the_time_of_the_reply() -> None:
    d = desk()
    before = d.plan(level=3, scope="SOL")
    facts = unread(d)
    assert [type(f) for f in facts] == [NotificationChanged, NotificationChanged]
    assert d.row() == before.model_copy(update={"unread_at": d.now})
    (help_row,) = helped(d)
    assert (help_row.state, help_row.level, help_row.scope, help_row.escalation) == (
        NotificationState.PLANNED,
        3,
        "SOL",
        None,
    )


def test_one_help_message_is_sent_per_call() -> None:
    d = desk()
    d.plan("n1")
    d.plan("n2")
    for id in ("n1", "n1", "n2", "n1", "n2"):
        unread(d, id)
    assert len(helped(d)) == 2


@pytest.mark.parametrize(
    ("id", "person", "late_s"),
    [
        ("n9", "dgs", 0),
        ("n1", "president", 0),
        ("info", "dgs", 0),
        ("n1", "dgs", HELP_PERIOD_MS / 1000 + 1),
    ],
)
def test_replies_without_an_open_call_get_no_help_message(
    id: str, person: str, late_s: float
) -> None:
    d = desk()
    d.plan("n1")
    d.plan("info", answer_expected=False)
    d.wait(late_s)
    assert unread(d, id, person) == []


@pytest.mark.parametrize("danger", [True, False])
def test_a_hold_keeps_it_back_as_it_keeps_the_call(danger: bool) -> None:
    d = desk()
    d.plan(danger=danger)
    d.hold(3600)
    unread(d)
    assert [bool(row.attempts) for row in helped(d)] == [danger]


def test_the_help_message_lists_the_answers_and_expects_none() -> None:
    def says(lang: str = "fr", **changes: Any) -> str:
        d = desk()
        d.plan(role="agent", **changes)
        unread(d)
        return choose_sms_text(
            compose_message(helped(d)[0], MessageNames(), load_phrases(lang), None), answerable=True
        )

    assert says().endswith(
        "SMS non compris. Commencez votre SMS par 1 : je prends, ou 2 : je ne peux pas."
    )
    assert says("en").endswith(
        "SMS not understood. Begin your SMS with 1: I take it, or 2: I cannot."
    )
    assert says(template="headcount").endswith(
        "Commencez votre SMS par 1 : en sécurité, 2 : besoin d'aide, ou 3 : pas sur place."
    )


def test_people_with_an_answer_learn_that_it_still_counts() -> None:
    d = desk()
    d.plan(role="agent")
    d.answer()
    unread(d)
    assert d.row().answer == "ack"
    assert (
        "Votre réponse précédente reste valable."
        in compose_message(helped(d)[0], MessageNames(), load_phrases("fr"), None).plain()
    )


def test_those_of_a_call_out_take_their_turn_behind_its_calls() -> None:
    d = desk()
    command_fields: dict[str, Any] = {
        "author": "coord-pca",
        "role": "coordinateur_pca",
        "callout": "c",
    }
    people = tuple(Called(person=f"p{n}", channels=(Channel.SMS,)) for n in range(30))
    d.tell(
        DraftCallOut(
            **command_fields,
            kind="headcount",
            danger=True,
            answer_expected=True,
            channels=(Channel.SMS,),
            people=people,
            last=True,
        )
    )
    d.tell(StartCallOut(**command_fields))
    d.wait(0.1)
    rows = [row for row in d.state.notifications.values() if row.campaign == "c"]
    assert len(rows) == 30
    for row in rows:
        unread(d, row.id, row.person)
    assert {row.why for row in helped(d)} == {"paced"}, (
        "thousands of them must not run over the provider"
    )
    assert d.state.callouts["c"].count(*NotificationState) == 30, (
        "and count for nobody who is asked"
    )
