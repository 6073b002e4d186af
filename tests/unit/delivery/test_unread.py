"""Texts without an answer are noted on the call once, and the person learns how to answer."""

from __future__ import annotations

import re
from typing import Any

import pytest

from schemas.base import Fact
from schemas.callouts import Called, DraftCallOut, StartCallOut
from schemas.delivery import NotificationChanged, NotificationRow, ReplyUnread
from schemas.people.replies import ReplySubject, find_subject
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


def ask_back(d: Desk, reply: str, *, is_help: bool = False) -> list[NotificationRow]:
    d.tell(
        ReplyUnread(
            notification="n1",
            person="dgs",
            channel=Channel.SMS,
            subjects=(ReplySubject.CALL, ReplySubject.HEADCOUNT),
            is_help=is_help,
            reply=reply,
        )
    )
    return [row for row in d.state.notifications.values() if row.template == "reply_unclear"]


def test_each_unclear_reply_is_asked_back_but_no_program_without_end() -> None:
    d = desk()
    d.plan()
    for number in range(9):
        ask_back(d, f"r-{number}")
    assert len(ask_back(d, "r-0")) == 6
    d.wait(3600)
    assert len(ask_back(d, "r-9")) == 7
    assert d.row().unread_at is None, "the reply is no text that nobody understood"


def test_a_question_back_waits_for_no_digest_and_for_no_minute() -> None:
    """A person believed in an answer without effect until the next digest."""
    d = desk()
    d.plan()
    for number in range(8):
        d.plan(f"i{number}", template="information", answer_expected=False)
    rows = ask_back(d, "r-1")
    assert [len(row.attempts) for row in rows] == [1]


NOTHING = "Votre réponse n'est pas encore comptée."
HELP = "Noté : vous avez besoin d'aide. Danger immédiat : 112."


@pytest.mark.parametrize(("is_help", "noted"), [(False, NOTHING), (True, HELP)])
def test_the_question_back_names_the_words_of_each_question(is_help: bool, noted: str) -> None:
    d = desk()
    d.plan()
    (row,) = ask_back(d, "r-1", is_help=is_help)
    assert row.danger is is_help
    message = compose_message(row, MessageNames(), load_phrases("fr"), None)
    assert choose_sms_text(message, answerable=True) == (
        f"Vigie : plusieurs questions vous sont posées. {noted} Répondez en toutes lettres."
        " Appel : JE PRENDS ou JE NE PEUX PAS."
        " Recensement : EN SECURITE, BESOIN D'AIDE ou PAS SUR PLACE."
    )


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_each_word_that_the_question_back_offers_answers_its_question(lang: str) -> None:
    words = load_phrases(lang).words
    for subject in ReplySubject:
        _about, _colon, rest = str(words[f"choice_{subject.value}"]).rstrip(".").partition(":")
        offered = re.split(r", | ou | or ", rest.strip())
        assert len(offered) >= 2
        for one in offered:
            assert find_subject(one) is subject, one
