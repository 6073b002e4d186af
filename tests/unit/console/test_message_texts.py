"""`texts=true` shows the text of each notification, sent or not (D70)."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from schemas.delivery import NotificationRow
from schemas.words import Level, NotificationState
from services.console.messages.queries import MessageQueries, Wording, compose_texts
from services.messages import MessageNames, compose_message, load_phrases
from services.runtime.identity.signed_links import AnswerLink, AnswerLinks
from tests.scenarios.memory import MemoryPlayer, scenario
from tests.scenarios.remembered import Remembered
from tests.shipped import territory

URL = "https://vigie.example.fr"
REALM = "92~ex-texts"
NAMES = replace(MessageNames.of(territory().sections), territory="Hauts-de-Seine")
FIVE_MINUTES = 300_000


class Queries(Remembered, MessageQueries):
    """The queries about people, of a realm that was played in memory."""


@pytest.fixture(scope="module")
def queries() -> Queries:
    player = MemoryPlayer(scenario("S04"), REALM)
    player.play(player.played.start + FIVE_MINUTES)
    return Queries(player)


def call(**changes: object) -> NotificationRow:
    return NotificationRow.model_validate(
        {
            "id": "33333333-0000-5000-8000-000000000001",
            "level": Level.N3,
            "role": "cellule_com",
            "person": "cellule-com",
            "template": "incident_wave",
            "state": NotificationState.PLANNED,
            "planned_at": 1_804_754_520_000,
            "values": {"kind": "power", "number": "n"},
            **changes,
        }
    )


async def test_each_notification_of_an_exercise_shows_its_texts(queries: Queries) -> None:
    page = await queries.of(REALM).notifications(wording=Wording(URL, free_texts=False))
    assert page.items
    for notification in page.items:
        assert notification.texts is not None
        assert (
            "Coupure d'électricité" in notification.texts.sms
            or "coupure d'électricité" in notification.texts.sms
        )
        assert (
            "Coupure d’électricité" in notification.texts.voice
            or "coupure d’électricité" in notification.texts.voice
        )
        assert "\n" in notification.texts.push
        assert notification.texts.email_subject.startswith("Vigie")
        assert "Hauts-de-Seine" in notification.texts.email_body


async def test_texts_are_sent_only_on_request(queries: Queries) -> None:
    page = await queries.of(REALM).notifications()
    assert {notification.texts for notification in page.items} == {None}


def test_a_text_hides_the_answer_key_and_keeps_its_length() -> None:
    row = call()
    texts = compose_texts(row, "92", NAMES, "fr", URL, None)
    link = f"{URL}/a/{AnswerLinks(b'k' * 32).token(AnswerLink('92', row.id, row.person, 1_804_754_520_000))}"
    message = compose_message(row, NAMES, load_phrases("fr"), link, public_url=URL)
    assert re.search(r"/a/x+$", texts.sms)
    assert len(texts.sms) == len(message.sms)


async def test_only_entitled_readers_see_texts_of_the_cell(queries: Queries) -> None:
    snapshot = await queries.of(REALM).read()
    notification_row = call(template="callout", values={"text": "t-1"}, answer_expected=False)
    assert (
        queries._texts_of(notification_row, snapshot, "fr", Wording(URL, free_texts=False)) is None
    )
    assert (
        queries._texts_of(notification_row, snapshot, "fr", Wording(URL, free_texts=True))
        is not None
    )
