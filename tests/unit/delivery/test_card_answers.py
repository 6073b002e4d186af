"""Replies about action cards: read, tied to the last list of the person, confirmed once (D84)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.base import HOUR_MS
from schemas.commands import AnswerCards
from schemas.continuity import CardAnswerSettled, CardReference, CardsAnswered, RefusedNumber
from schemas.delivery import NotificationRow, ReplyUnread
from schemas.people.replies import parse_card_reply
from schemas.people.responders import Responder
from schemas.words import CardChange, Channel, NotificationState
from services.continuity.plans.site_cards import LISTED_CARDS
from services.delivery.channels.sms.origin import choose_sms_text
from services.delivery.sender.sender import create_attempt_view
from services.delivery.simulated_channels import build_responses
from services.messages import MessageNames, compose_message, load_phrases
from tests.unit.delivery.desk import Desk, desk
from tests.unit.delivery.test_returns import NUMBER, Line

DONE, START, SKIP = CardChange.COMPLETE, CardChange.START, CardChange.SKIP
CARDS = tuple(str(CardReference(0, "PT-ELEC", f"F{n}", "clg-1")) for n in (1, 2, 3))
LISTED: dict[str, Any] = {
    "template": "cards_opened",
    "role": "responsable_site",
    "answer_expected": False,
    "values": {"site": "clg-1", "cards": 3, "listed": "|".join(CARDS)},
}


@pytest.mark.parametrize(
    ("reply", "change", "numbers", "reason"),
    [
        ("FAIT 2", DONE, (2,), ""),
        ("Fait.", DONE, (), ""),
        ("faites 1, 3 et 4 merci", DONE, (1, 3, 4), "merci"),
        ("FAIT 1 1", DONE, (1,), ""),
        ("fait1", DONE, (1,), ""),
        ("Début 2", START, (2,), ""),
        ("EN COURS 2", START, (2,), ""),
        ("Sans objet 2 pas d’ascenseur", SKIP, (2,), "pas d’ascenseur"),
        ("SANS OBJET 2 : Étage 4 fermé", SKIP, (2,), "Étage 4 fermé"),
        ("DONE 1", DONE, (1,), ""),
    ],
)
def test_first_words_and_numbers_of_a_reply_are_read(
    reply: str, change: CardChange, numbers: tuple[int, ...], reason: str
) -> None:
    card_reply = parse_card_reply(reply)
    assert card_reply is not None
    assert (card_reply.change, card_reply.numbers, card_reply.reason) == (change, numbers, reason)


@pytest.mark.parametrize(
    "reply", ["", "1", "OK", "c’est fait 2", "en route", "sans ELEC", "2 fait"]
)
def test_other_replies_are_about_no_card(reply: str) -> None:
    assert parse_card_reply(reply) is None


def _list(d: Desk, id: str = "n1", **changes: Any) -> NotificationRow:
    return d.plan(id, **(LISTED | changes))


def _answer(d: Desk, *numbers: int, id: str = "n1", person: str = "dgs") -> list[Any]:
    return d.tell(
        AnswerCards(
            author=person,
            role="responsable_site",
            notification=id,
            person=person,
            change=DONE,
            numbers=numbers,
            channel="sms",
        )
    )


def _confirmations(d: Desk) -> list[NotificationRow]:
    return [row for row in d.state.notifications.values() if row.template == "cards_answered"]


def _settle(d: Desk, **changes: Any) -> None:
    settled = {"notification": "n1", "person": "dgs", "channel": "sms", "change": DONE, **changes}
    d.tell(CardAnswerSettled(**settled))


def test_an_answer_goes_to_continuity_with_the_cards_of_its_own_message() -> None:
    d = desk()
    _list(d)
    other = str(CardReference(0, "PT-ELEC", "F9", "clg-1"))
    _list(d, "n2", values={"site": "clg-1", "listed": other})
    (passed,) = [f for f in _answer(d, 2) if isinstance(f, CardsAnswered)]
    assert (passed.cards, passed.numbers, passed.person, passed.role, passed.channel) == (
        CARDS,
        (2,),
        "dgs",
        "responsable_site",
        "sms",
    )


@pytest.mark.parametrize(("id", "person"), [("n9", "dgs"), ("n1", "second"), ("call", "dgs")])
def test_an_answer_of_somebody_else_or_to_another_message_is_refused(id: str, person: str) -> None:
    d = desk()
    _list(d)
    d.plan("call")
    assert not [f for f in _answer(d, 1, id=id, person=person) if isinstance(f, CardsAnswered)]


def test_every_change_is_confirmed_and_wrong_answers_are_explained_once_per_list() -> None:
    """A program that answers everything gets no more than that."""
    d = desk()
    _list(d)
    _settle(d, applied=(1, 3), left=1)
    wrong = {"refused": (RefusedNumber(number=9, why="unknown"),), "left": 1}
    for _ in range(5):
        _settle(d, **wrong)
        _settle(d, applied=(1, 3), left=1)
    assert {row.values["applied"] for row in _confirmations(d)} == {"1|3", None}
    assert len(_confirmations(d)) == 2
    assert {row.channels for row in _confirmations(d)} == {(Channel.SMS,)}


def _say(row: NotificationRow, lang: str = "fr", *, answerable: bool = True) -> str:
    titles = {f"F{n}": f"Couper le gaz de la chaufferie n {n} et prévenir" for n in range(1, 10)}
    names = MessageNames(sites={"clg-1": ("Collège Pompidou", "Courbevoie")}, cards=titles)
    return choose_sms_text(
        compose_message(row, names, load_phrases(lang), None), answerable=answerable
    )


def test_the_message_numbers_its_cards_and_says_how_to_answer() -> None:
    text = _say(_list(desk()))
    for part in ("1 Couper", "2 Couper", "3 Couper", "FAIT 1", "SANS OBJET 1", "Pompidou"):
        assert part in text
    assert len(text) <= 306


def test_all_listed_cards_fit_into_two_parts_with_the_event() -> None:
    numbers = range(1, LISTED_CARDS + 1)
    cards = "|".join(str(CardReference(0, "PT-ELEC", f"F{n}", "clg-1")) for n in numbers)
    values = {
        "site": "clg-1",
        "cards": 57,
        "listed": cards,
        "limit_at": 1_802_350_000_000,
        "kind": "power",
        "since": 1_802_340_000_000,
        "commune": "92026",
    }
    text = _say(_list(desk(), values=values))
    assert len(text) <= 306
    assert "..." not in text
    one_way = _say(_list(desk(), "n2", values=values), answerable=False)
    assert "FAIT" not in one_way
    assert "1 Couper" not in one_way
    assert "57 fiches" in one_way
    for part in (f"{LISTED_CARDS} Couper", "51 autres", "FAIT 1", "Coupure", "depuis"):
        assert part in text


def test_one_card_is_answered_without_a_number() -> None:
    text = _say(
        _list(desk(), values={"site": "clg-1", "cards": 1, "card": "F1", "listed": CARDS[0]})
    )
    assert "Couper le gaz" in text
    assert "Répondez FAIT, DEBUT" in text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"applied": (1, 3), "left": 1}, "Fiches 1, 3 : fait. Il reste 1 fiche."),
        ({"applied": (2,)}, "Fiche 2 : fait. Plus aucune fiche à faire"),
        ({"refused": (RefusedNumber(number=9, why="unknown"),), "left": 2}, "Fiche 9 : pas dans"),
        ({"applied": (2,), "photos": (2,)}, "Photo à joindre (2) dans Mes sites."),
        ({"missing": "number", "left": 2}, "Donnez le numéro, par exemple FAIT 1."),
        ({"missing": "reason", "change": SKIP}, "SANS OBJET 1 site sans ascenseur"),
    ],
)
def test_the_confirmation_names_changed_cards_and_faults(
    changes: dict[str, Any], says: str
) -> None:
    d = desk()
    _list(d)
    _settle(d, **changes)
    (row,) = _confirmations(d)
    assert says in _say(row)
    assert "Card" in _say(row, "en") or row.values["missing"]
    assert "Pompidou" in _say(row)


def test_the_request_for_a_photo_leads_to_the_page_that_takes_it() -> None:
    d = desk()
    _list(d)
    _settle(d, applied=(1, 2), photos=(1, 2))
    (row,) = _confirmations(d)
    names = MessageNames(sites={"clg-1": ("Collège Pompidou", "Courbevoie")})
    message = compose_message(row, names, load_phrases("fr"), None, public_url="https://v.example")
    text = choose_sms_text(message, answerable=True)
    assert "(1, 2) dans Mes sites. https://v.example/mes-sites" in text


def _sent_list(line: Line, id: str, *cards: str) -> str:
    notification = line.told(id, **(LISTED | {"values": {"listed": "|".join(cards)}}))
    line.follow()
    return notification


async def test_numbers_belong_to_the_last_list_that_was_sent_to_the_person() -> None:
    """A list that was renumbered since changes nothing: the reply names its own message."""
    line = Line()
    _sent_list(line, "n1", *CARDS)
    line.world.service.clock += HOUR_MS
    newest = _sent_list(line, "n2", CARDS[2])
    assert await line.returns.reply(Channel.SMS, NUMBER, "FAIT 1")
    (command,) = [m for _, m in line.sent if isinstance(m, AnswerCards)]
    assert (command.notification, command.numbers, command.author) == (newest, (1,), "dgs")


async def test_a_list_that_no_sms_brought_has_no_numbers_to_answer() -> None:
    line = Line()
    line.world.open("92", ("sms", "email"))
    notification_id = _sent_list(line, "n1", *CARDS)
    line.world.plan("n3", channels=(Channel.EMAIL,), **LISTED)
    line.follow()
    assert await line.returns.reply(Channel.SMS, NUMBER, "FAIT 2")
    (command,) = [m for _, m in line.sent if isinstance(m, AnswerCards)]
    assert command.notification == notification_id


async def test_a_reason_is_kept_as_text_and_not_in_the_log() -> None:
    line = Line()
    _sent_list(line, "n1", *CARDS)
    words = "SANS OBJET 2 salle occupée par M. Untel"
    assert await line.returns.reply(Channel.SMS, NUMBER, words, name="reply-abc")
    (command,) = [m for _, m in line.sent if isinstance(m, AnswerCards)]
    assert command.reason == "text:cmd-reply-abc"
    assert line.kept["cmd-reply-abc"].fields == {"text": "salle occupée par M. Untel"}
    assert "Untel" not in "".join(m.model_dump_json() for _, m in line.sent)


async def test_a_reply_without_a_number_goes_to_the_call_that_came_after_the_list() -> None:
    line = Line()
    _sent_list(line, "n1", *CARDS)
    line.world.service.clock += 60_000
    line.told("n2")
    line.follow()
    assert await line.returns.reply(Channel.SMS, NUMBER, "FAIT")
    assert [type(m) for _, m in line.sent] == [ReplyUnread]
    assert await line.returns.reply(Channel.SMS, NUMBER, "FAIT 1")
    assert isinstance(line.sent[-1][1], AnswerCards)


async def test_other_words_after_a_list_are_explained_once() -> None:
    line = Line()
    notification = _sent_list(line, "n1", *CARDS)
    for _ in range(3):
        assert await line.returns.reply(Channel.SMS, NUMBER, "j'ai fait la deux")
        line.follow()
    helps = [m for _, m in line.sent if isinstance(m, ReplyUnread)]
    assert [m.notification for m in helps] == [notification]


async def test_strangers_and_people_without_a_list_change_nothing() -> None:
    line = Line()
    assert await line.returns.reply(Channel.SMS, NUMBER, "FAIT 1")
    _sent_list(line, "n1", *CARDS)
    assert await line.returns.reply(Channel.SMS, "+33700000000", "FAIT 1")
    assert line.sent == []


async def test_a_shared_telephone_answers_for_the_holder_of_the_last_list() -> None:
    line = Line()
    line.phones.contacts["second"] = line.phones.contacts["dgs"].model_copy(
        update={"person": "second"}
    )
    _sent_list(line, "n1", *CARDS)
    line.world.service.clock += 1000
    line.told("n2", **(LISTED | {"person": "second"}))
    line.follow()
    assert await line.returns.reply(Channel.SMS, NUMBER, "FAIT 1")
    (command,) = [m for _, m in line.sent if isinstance(m, AnswerCards)]
    assert command.author == command.person == "second"


def test_a_restarted_sender_still_knows_the_lists() -> None:
    line = Line()
    _sent_list(line, "n1", *CARDS)
    view = create_attempt_view()
    view.load(line.outbox.dump())
    assert view.card_lists == line.outbox.card_lists != {}


def test_simulated_people_answer_lists_by_number() -> None:
    row = _list(desk()).model_copy(update={"state": NotificationState.PLANNED})
    responses = build_responses(row, (Responder(cards=DONE, after_s=90),))
    (answer,) = [(delay, m) for delay, m in responses if isinstance(m, AnswerCards)]
    assert answer[0] == 90_000
    assert answer[1].numbers == (1, 2, 3)
    assert not any(isinstance(m, AnswerCards) for _, m in build_responses(row))
