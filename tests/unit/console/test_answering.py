"""The answer from a link: whoever pressed a button is told that it counts, also while the read model is behind or away."""

from __future__ import annotations

import re
from time import time
from typing import Any
from uuid import UUID

import pytest

from schemas.callouts import HeadcountAnswer
from services.console.faults import NotFound, Rebuilding, StoreAway
from services.console.resources import CommandResult
from services.runtime.links import Link
from tests.unit.console.held import LINKS, Browser, Held, HeldModel, browsing
from tests.unit.console.test_every_screen import REALM, START, crisis, words

CALL = str(UUID(int=7))


def called(state: str = "accepted", **more: Any) -> Held:
    held = crisis()
    held.put("notifications", {
        "id": CALL, "incident": "i-1", "level": 2, "role": "astreinte_direction", "person": "p-1", "channel": "sms", "channels": ("sms",), "state": state,
        "template": "incident_wave", "planned_at": START, **more,
    })  # fmt: skip
    return held


def token() -> str:
    return LINKS.token(Link(REALM, CALL, "p-1", int(time() + 3600) * 1000))


def answering(held: Held, state: str, kept: list[HeadcountAnswer] | None = None) -> tuple[Browser, HeldModel]:
    async def send(link: Link, _token: str, _said: object) -> CommandResult:
        return CommandResult(id="c-1", command_id="c-1", realm=link.realm, state=state, detail="non" if state == "refused" else None)

    async def keep(_notification: str, said: HeadcountAnswer) -> None:
        assert kept is not None
        kept.append(said)

    return browsing(held, send=send, keep=keep)


async def test_an_answer_under_way_is_not_asked_for_again() -> None:
    """The page asked once more, as if nobody had pressed anything, whenever the decision took more than two seconds."""
    browser, _ = answering(called(), "pending")
    seen = words((await browser.post(f"/a/{token()}", {"answer": "ack"})).text)
    assert "Réponse reçue ; transmission à la cellule en cours." in seen
    assert "Je prends en charge" not in seen


async def test_the_page_names_the_incident_that_the_message_named() -> None:
    """Whoever was called for several of them must know which one this button takes in charge."""
    browser, _ = answering(called(values={"number": "92-2027-0211-01"}), "pending")
    assert "Incident 92-2027-0211-01" in words((await browser.get(f"/a/{token()}")).text)


async def test_an_answer_that_is_refused_can_be_given_again() -> None:
    browser, _ = answering(called(), "refused")
    assert "Je prends en charge" in words((await browser.post(f"/a/{token()}", {"answer": "ack"})).text)


@pytest.mark.parametrize(
    ("why", "said"),
    [("closed", "L’incident est clos."), ("superseded", "Un autre appel l’a remplacé"), ("person_gone", "Il n’y a plus rien à faire ici.")],
)
async def test_a_call_that_was_called_back_asks_for_nothing(why: str, said: str) -> None:
    """Whoever opened an old message drove to an incident that was closed."""
    browser, _ = answering(called("superseded", withdrawn=why), "applied")
    seen = words((await browser.get(f"/a/{token()}")).text)
    assert "Cet appel n’attend plus de réponse." in seen
    assert said in seen
    assert not any(asked in seen for asked in ("Je prends en charge", "Vous êtes attendu", "l’escalade continue"))
    pressed = words((await browser.post(f"/a/{token()}", {"answer": "ack"})).text)
    assert "n’attend plus de réponse" in pressed
    assert "Vous prenez" not in pressed


@pytest.mark.parametrize("away", [StoreAway, Rebuilding, NotFound])
async def test_a_link_takes_answers_while_nothing_can_be_read(away: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever followed it read « read model unavailable », and the ladder went on without them."""
    kept: list[HeadcountAnswer] = []
    browser, model = answering(called(), "pending", kept)

    async def fails(*_args: object, **_more: object) -> Any:
        raise away

    monkeypatch.setattr(model, "notification", fails)
    page = await browser.get(f"/a/{token()}")
    assert page.status_code == 200
    assert {"ack", "decline", "1", "2", "3"} == set(re.findall(r'name="answer" value="(\w+)"', page.text))
    for said in ("ack", "2"):
        assert "Réponse reçue" in words((await browser.post(f"/a/{token()}", {"answer": said})).text)
    assert kept == [HeadcountAnswer.HELP]
    assert "Répondre à l’appel" not in words((await browser.get(f"/a/{token()[:-4]}AAAA")).text)


@pytest.mark.parametrize("away", [StoreAway, Rebuilding, NotFound])
async def test_an_answer_counts_while_nothing_can_be_read(away: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answered read « read model unavailable » and did not know that the answer was kept."""
    browser, model = answering(called(), "pending")

    async def fails(*_args: object, **_more: object) -> Any:
        raise away

    monkeypatch.setattr(model, "notification", fails)
    answer = await browser.post(f"/a/{token()}", {"answer": "ack"})
    assert answer.status_code == 200
    assert "Réponse reçue" in words(answer.text)
