"""An answer from a link is confirmed at once, even with a late or missing read model."""

from __future__ import annotations

import re
from dataclasses import replace
from time import time
from typing import Any
from uuid import UUID

import pytest

from schemas.base import MINUTE_MS
from schemas.callouts import HeadcountAnswer
from schemas.words import Answer
from services.console.http.problems import NotFound, Rebuilding, StoreUnavailable
from services.console.resources import CommandResult
from services.runtime.identity.signed_links import AnswerLink
from services.runtime.secrets.vault import TextItem
from tests.unit.console.held import LINKS, Browser, Held, HeldModel, browsing
from tests.unit.console.test_every_screen import (
    NOW,
    REALM,
    START,
    crisis,
    incident,
    ladder,
    words,
)

CALL = str(UUID(int=7))


def called(state: str = "accepted", **more: Any) -> Held:
    realm_state = crisis()
    realm_state.put(
        "notifications",
        {
            "id": CALL,
            "incident": "i-1",
            "level": 2,
            "role": "astreinte_direction",
            "person": "p-1",
            "channel": "sms",
            "channels": ("sms",),
            "state": state,
            "template": "incident_wave",
            "planned_at": START,
            **more,
        },
    )
    return realm_state


def token() -> str:
    return LINKS.token(AnswerLink(REALM, CALL, "p-1", int(time() + 3600) * 1000))


def answering(
    held: Held,
    state: str,
    kept: list[HeadcountAnswer] | None = None,
    substitutes: list[str] | None = None,
) -> tuple[Browser, HeldModel]:
    substitutes = [] if substitutes is None else substitutes

    async def send(
        link: AnswerLink,
        _token: str,
        _said: object,
        *,
        changes: bool = False,
        instead: str | None = None,
        attendance: object = None,
    ) -> CommandResult:
        del attendance
        if instead is not None:
            substitutes.append(instead)
        return CommandResult(
            id="c-1",
            command_id="c-1",
            realm=link.realm,
            state=state,
            detail="non" if state == "refused" else None,
        )

    async def keep(_notification: str, said: HeadcountAnswer) -> None:
        assert kept is not None
        kept.append(said)

    return browsing(held, send=send, keep=keep)


async def test_a_called_person_learns_that_the_trouble_is_over_or_was_an_error() -> None:
    """A site took its false alarm back; the person called for it drove there all the same."""
    realm_state = called()
    browser, _ = browsing(realm_state)
    assert "d’après les signalements" not in (await browser.get(f"/a/{token()}")).text
    realm_state.put("incidents", incident(over_since=START + 60_000))
    page_text = words((await browser.get(f"/a/{token()}")).text)
    assert "Rétabli ou annulé à 09:41, d’après les signalements." in page_text
    assert "Je prends en charge" in page_text, "until the cell closes the incident"


async def test_a_call_of_a_crisis_says_that_its_incident_is_closed() -> None:
    """The territory keeps its level: the page asked people to come for an incident that was over.

    An hour that has passed is no request, either.
    """
    realm_state = called(escalation="e-1", wave=1, cycle=1, ack_by=START + 70 * 60_000)
    realm_state.put("escalations", ladder("e-1", "N3", "territory", "running", START))
    asks = {"2/*": ("Rejoignez la cellule de crise", "Join the crisis cell")}
    names = replace(realm_state.reference.message_names, asks=asks)
    realm_state.reference = replace(realm_state.reference, message_names=names)
    browser, _ = browsing(realm_state)
    assert "avant 10:50" in words((await browser.get(f"/a/{token()}")).text)
    realm_state.put("incidents", incident(state="closed", closed_at=START + 76 * 60_000))
    realm_state.clock = START + 80 * 60_000
    page_text = words((await browser.get(f"/a/{token()}")).text)
    assert "L’incident est clos depuis 10:56. L’appel reste ouvert" in page_text
    assert "Je prends en charge" in page_text
    assert "Rejoignez la cellule de crise." in page_text


async def test_a_pending_answer_is_not_requested_again() -> None:
    """After two seconds without a decision the page asked again, as if not answered."""
    browser, _ = answering(called(), "pending")
    page_text = words((await browser.post(f"/a/{token()}", {"answer": "ack"})).text)
    assert "Réponse reçue ; transmission à la cellule en cours." in page_text
    assert "Je prends en charge" not in page_text


async def test_the_page_names_the_incident_of_the_message() -> None:
    """A person called for several incidents must know the incident of this button."""
    browser, _ = answering(called(values={"number": "92-2027-0211-01"}), "pending")
    assert "Incident 92-2027-0211-01" in words((await browser.get(f"/a/{token()}")).text)


def _asked(template: str, state: str = "accepted", **more: Any) -> tuple[Browser, HeldModel]:
    """Return a call about an action, with its words."""
    values = {"action": "ac-1", "text": "x-1", "limit_at": START + 3_600_000, "site": "pmi-01"}
    realm_state = called(state, template=template, values=values, ack_by=START + 60_000, **more)
    browser, model = answering(realm_state, "applied")
    model.words.kept["x-1"] = TextItem({"text": "Coupez le gaz."})
    return browser, model


async def test_the_link_of_an_action_shows_request_and_limit() -> None:
    browser, _ = _asked("action_request")
    page = (await browser.get(f"/a/{token()}")).text
    page_text = words(page)
    assert "PMI Darracq : action à faire" in page_text
    assert "Ce qui vous est demandé : Coupez le gaz. À faire avant 10:40." in page_text
    assert "Je m’en charge" in page_text
    assert "la personne suivante est appelée" not in page_text
    assert "Je prends en charge" not in page_text


async def test_the_link_of_a_late_action_asks_for_its_completion() -> None:
    browser, _ = _asked("action_due")
    assert "C’est fait" in words((await browser.get(f"/a/{token()}")).text)
    answered = words((await browser.post(f"/a/{token()}", {"answer": "ack"})).text)
    assert "Action faite : la cellule est informée." in answered


async def test_the_link_of_a_cancelled_action_asks_for_nothing() -> None:
    browser, _ = _asked("action_request", state="withdrawn", withdrawn="cancelled")
    page_text = words((await browser.get(f"/a/{token()}")).text)
    assert "L’action est annulée : vous n’avez plus rien à faire." in page_text
    assert "Je m’en charge" not in page_text


async def test_an_answer_leads_back_to_the_page_of_the_link() -> None:
    """A phone that restores the answer to a form shows an error, and its owner knows nothing."""
    browser, _ = answering(called("answered", answer="ack"), "applied")
    page = await browser.post(f"/a/{token()}", {"answer": "ack"})
    assert [one.status_code for one in page.history] == [303]
    assert "Prise en charge enregistrée" in words(page.text)
    other = await browser.post(f"/a/{token()}", {"answer": "decline"})
    assert not other.history, "the page of the link does not say why this answer does not count"
    assert "Vous avez déjà accepté" in words(other.text)


def _with_phone(held: Held) -> Held:
    names = replace(held.reference.message_names, cell_phone="01 23 45 67 89")
    held.reference = replace(held.reference, message_names=names)
    return held


async def test_an_answer_leads_to_the_first_meeting_point_that_nothing_bars() -> None:
    """The page sent people into an evacuated building."""
    realm_state = called("answered", answer="ack")
    closed = {"id": "cen-1", "status": "closed", "since": 0, "capacity_pct": 0}
    realm_state.put("sites", closed)
    browser, _ = answering(realm_state, "applied")
    page_text = words((await browser.get(f"/a/{token()}")).text)
    assert "Lieu de réunion : Salle de repli, Rueil-Malmaison" in page_text
    assert "Écarté : Siège, Nanterre, salle de crise (site fermé)" in page_text


async def test_a_call_at_n1_names_no_meeting_place() -> None:
    """The principal of a collège read where the crisis cell meets, and was not called there."""
    browser, _ = answering(called("answered", answer="ack", level=1), "applied")
    assert "Lieu de réunion" not in words((await browser.get(f"/a/{token()}")).text)


async def test_an_ended_call_gives_the_telephone_of_the_cell() -> None:
    """The page of a closed, merged or lowered incident named nobody to call."""
    browser, _ = answering(_with_phone(called("superseded", withdrawn="merged")), "applied")
    page = (await browser.get(f"/a/{token()}")).text
    assert "L’incident est rattaché à un autre" in page
    assert 'href="tel:0123456789"' in page
    assert 'href="/incidents/i-1?' in page
    assert "18 ou 112" in page


async def test_an_ended_call_names_the_function_of_the_person() -> None:
    browser, _ = answering(called("superseded", withdrawn="merged"), "applied")
    page_text = words((await browser.get(f"/a/{token()}")).text)
    assert "Vous avez été appelé en qualité de : Astreinte de direction." in page_text


async def test_a_cut_link_offers_no_page_to_a_person_without_an_account() -> None:
    browser, _ = answering(called(), "applied")
    stranger = (await browser.get(f"/a/{token()[:-3]}", role="")).text
    assert "Lien non valable" in stranger
    assert "Retour à la cellule" not in stranger
    assert "Retour à la cellule" in (await browser.get(f"/a/{token()[:-3]}")).text


@pytest.mark.parametrize("method", ["get", "post"])
async def test_an_expired_link_gives_the_telephone_of_the_cell(method: str) -> None:
    browser, _ = answering(_with_phone(called()), "applied")
    expired = LINKS.token(AnswerLink(REALM, CALL, "p-1", int(time() - 60) * 1000))
    page = (
        await browser.get(f"/a/{expired}")
        if method == "get"
        else await browser.post(f"/a/{expired}", {"answer": "ack"})
    )
    assert page.status_code == 410
    assert 'href="tel:0123456789"' in page.text


async def test_the_link_of_an_answer_that_went_stale_leads_to_the_new_call() -> None:
    """It said that the yes was recorded; nobody counted it any more."""
    answer = {"answer": "ack", "acknowledged_at": START + 60_000}
    realm_state = called("answered", escalation="e-1", wave=1, cycle=1, **answer)
    realm_state.put("escalations", ladder("e-1", "N2", "i-1", "running", START))
    browser, _ = answering(realm_state, "applied")
    assert "ne compte plus" not in words((await browser.get(f"/a/{token()}")).text)
    first = realm_state.rows["notifications"][CALL].model_dump(exclude=set(answer))
    again = {"id": str(UUID(int=8)), "cycle": 2, "planned_at": START + 5_400_000}
    realm_state.put("notifications", first | again | {"state": "accepted"})
    page_text = words((await browser.get(f"/a/{token()}")).text)
    assert "Votre réponse précédente ne compte plus : répondez au dernier message" in page_text
    assert "Finalement, je ne peux pas" not in page_text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": "closed"}, "L’incident est clos."),
        ({"state": "merged", "merged_into": "i-2"}, "L’incident est rattaché à un autre"),
        ({"level": 1}, "Le niveau a été abaissé."),
    ],
)
async def test_a_call_that_ended_with_its_escalation_says_why(
    changes: dict[str, Any], reason: str
) -> None:
    """An answered call read «il n’y a plus rien à faire ici»."""
    realm_state = called("answered", answer="ack", escalation="e-1", wave=1, cycle=1)
    realm_state.put("incidents", incident(**changes))
    realm_state.put("escalations", ladder("e-1", "N2", "i-1", "ended", START))
    browser, _ = answering(realm_state, "applied")
    assert reason in words((await browser.get(f"/a/{token()}")).text)


@pytest.mark.parametrize("method", ["get", "post"])
async def test_an_expired_link_says_so_and_a_cut_one_says_something_else(method: str) -> None:
    browser, _ = answering(called(), "applied")
    expired = LINKS.token(AnswerLink(REALM, CALL, "p-1", int(time() - 60) * 1000))

    async def open_link(link: str) -> tuple[int, str]:
        page = (
            await browser.get(f"/a/{link}")
            if method == "get"
            else await browser.post(f"/a/{link}", {"answer": "ack"})
        )
        return page.status_code, words(page.text)

    status, text = await open_link(expired)
    assert status == 410
    assert "Lien expiré" in text
    assert "Une réponse déjà enregistrée compte toujours." in text
    status, text = await open_link(token()[:-3])
    assert status == 404
    assert "Lien non valable" in text


async def test_a_refused_answer_can_be_repeated() -> None:
    browser, _ = answering(called(), "refused")
    assert "Je prends en charge" in words(
        (await browser.post(f"/a/{token()}", {"answer": "ack"})).text
    )


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("closed", "L’incident est clos."),
        ("superseded", "Un autre appel l’a remplacé"),
        ("person_gone", "Il n’y a plus rien à faire ici."),
    ],
)
async def test_a_withdrawn_call_asks_for_nothing(why: str, said: str) -> None:
    """An old message sent people to a closed incident."""
    browser, _ = answering(called("superseded", withdrawn=why), "applied")
    page_text = words((await browser.get(f"/a/{token()}")).text)
    assert "Cet appel n’attend plus de réponse." in page_text
    assert said in page_text
    assert not any(
        request_text in page_text
        for request_text in ("Je prends en charge", "Vous êtes attendu", "l’escalade continue")
    )
    pressed = words((await browser.post(f"/a/{token()}", {"answer": "ack"})).text)
    assert "n’attend plus de réponse" in pressed
    assert "Vous prenez" not in pressed


@pytest.mark.parametrize("away", [StoreUnavailable, Rebuilding, NotFound])
async def test_a_link_takes_answers_during_a_failure_of_the_store(
    away: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page said « read model unavailable », and the escalation continued without the answer."""
    headcount_answers: list[HeadcountAnswer] = []
    browser, model = answering(called(), "pending", headcount_answers)

    async def fails(*_args: object, **_more: object) -> Any:
        raise away

    monkeypatch.setattr(model, "notification", fails)
    page = await browser.get(f"/a/{token()}")
    assert page.status_code == 200
    assert {"ack", "decline", "1", "2", "3"} == set(
        re.findall(r'name="answer" value="(\w+)"', page.text)
    )
    for answer_code in ("ack", "2"):
        assert "Réponse reçue" in words(
            (await browser.post(f"/a/{token()}", {"answer": answer_code})).text
        )
    assert headcount_answers == [HeadcountAnswer.HELP]
    assert "Répondre à l’appel" not in words((await browser.get(f"/a/{token()[:-4]}AAAA")).text)


@pytest.mark.parametrize("away", [StoreUnavailable, Rebuilding, NotFound])
async def test_an_answer_counts_during_a_failure_of_the_store(
    away: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page said « read model unavailable » although the answer was kept."""
    browser, model = answering(called(), "pending")

    async def fails(*_args: object, **_more: object) -> Any:
        raise away

    monkeypatch.setattr(model, "notification", fails)
    answer = await browser.post(f"/a/{token()}", {"answer": "ack"})
    assert answer.status_code == 200
    assert "Réponse reçue" in words(answer.text)


# ── what the page says (D70) ─────────────────────────────────────────────────────────────────────────────────────────

ABOUT: dict[str, Any] = {
    "number": "92-2027-0211-01",
    "kind": "power",
    "members": 3,
    "communes": 1,
    "places": "92050",
    "since": START,
}


def shown(page: str) -> str:
    return words(page).replace("\u00a0", " ").replace("\u202f", " ")


async def test_the_page_shows_event_place_time_and_request() -> None:
    browser, _ = answering(called(values=ABOUT, danger=True), "applied")
    page_text = shown((await browser.get(f"/a/{token()}")).text)
    assert "Coupure d’électricité" in page_text
    assert "depuis " in page_text
    assert "Danger possible pour des personnes." in page_text


async def test_an_acknowledgement_shows_the_next_step_and_can_be_withdrawn() -> None:
    browser, _ = answering(
        called("answered", values=ABOUT, answer="ack", acknowledged_at=START), "applied"
    )
    page = (await browser.get(f"/a/{token()}")).text
    assert 'href="/incidents/i-1' in page
    assert 'name="answer" value="recall"' in page
    assert "Finalement, je ne peux pas" in shown(page)


def coming(minutes: int) -> Held:
    """Return a call to the cell; the person stated an arrival so many minutes from now."""
    realm_state = called("answered", answer="ack", level=3)
    row = {"level": 3, "started_at": START, "due_at": START, "objective_min": 45}
    realm_state.put("cell_staffing", {"id": "cell", "required": ("astreinte_direction",), **row})
    statement = {"id": "p-1", "role": "astreinte_direction", "mode": "en_route", "stated_at": START}
    realm_state.put("attendance", statement | {"expected_at": NOW + minutes * MINUTE_MS})
    return realm_state


async def test_a_person_on_the_way_reads_the_announced_hour() -> None:
    """The page named no hour, and its list of minutes stood at 25 again."""
    browser, _ = answering(coming(10), "applied")
    page_text = words((await browser.get(f"/a/{token()}")).text)
    assert re.search(r"Arrivée annoncée à [^.]*\d\d:\d\d\. La cellule est informée\.", page_text)
    assert "répondez 1 ou 2 au SMS" not in page_text
    late, _ = answering(coming(-10), "applied")
    page_text = words((await late.get(f"/a/{token()}")).text)
    assert "est passée : annoncez la nouvelle" in page_text


async def test_an_hour_announced_anew_is_not_answered_with_the_earlier_one() -> None:
    """The read model may not have the new statement yet."""
    browser, _ = answering(coming(10), "applied")
    page = await browser.post(f"/a/{token()}", {"answer": "en_route", "eta_min": 60})
    assert not page.history
    assert "Arrivée annoncée" not in words(page.text)


async def test_a_withdrawn_acknowledgement_is_recorded_as_unable() -> None:
    browser, _ = answering(
        called("answered", values=ABOUT, answer="ack", acknowledged_at=START), "applied"
    )
    page_text = shown((await browser.post(f"/a/{token()}", {"answer": "recall"})).text)
    assert "Réponse enregistrée : vous ne pouvez pas." in page_text
    assert "Finalement" not in page_text


@pytest.mark.parametrize(
    ("first", "pressed", "text"),
    [
        ("ack", "decline", "Vous avez déjà accepté"),
        ("decline", "ack", "Vous avez déjà refusé"),
        ("ack", "ack", ""),
    ],
)
async def test_another_answer_on_an_older_page_is_not_confirmed(
    first: str, pressed: str, text: str
) -> None:
    """Pressed in a second tab, « Je ne peux pas » was answered with « Prise en charge »."""
    browser, _ = answering(
        called("answered", values=ABOUT, answer=first, acknowledged_at=START), "applied"
    )
    page = (await browser.post(f"/a/{token()}", {"answer": pressed})).text
    assert ('role="alert"' in page) is bool(text)
    assert text in shown(page)


@pytest.mark.parametrize(
    ("first", "pressed", "title"),
    [
        (None, None, "Répondre à l’appel"),
        (None, "ack", "Réponse reçue"),
        ("decline", None, "Réponse reçue"),
        ("ack", "decline", "Réponse non prise en compte"),
    ],
)
async def test_the_title_names_the_state_of_the_answer(
    first: str | None, pressed: str | None, title: str
) -> None:
    """A screen reader begins a page with its title, which stayed the same after each answer."""
    answer = {"state": "answered", "answer": first, "acknowledged_at": START} if first else {}
    browser, _ = answering(called(values=ABOUT, **answer), "applied")
    link = f"/a/{token()}"
    page = await (browser.post(link, {"answer": pressed}) if pressed else browser.get(link))
    assert title in re.findall("<title>(.*?) –", page.text)[0]


async def test_after_a_no_the_page_names_the_way_back() -> None:
    """A wrong button was final, and without a number of the cell the page named no way back."""
    realm_state = called("answered", values=ABOUT, answer="decline", acknowledged_at=START)
    browser, _ = answering(realm_state, "applied")
    page_text = shown((await browser.get(f"/a/{token()}")).text)
    assert "Si vous êtes finalement disponible, appelez la cellule." in page_text


def _about_an_area(state: str = "accepted", **more: Any) -> Held:
    """Return a call that asks whether an order for an area concerns a site."""
    values = ABOUT | {"order": "evacuated", "site": "pmi-01", "task": "t-1", "giver": "prefecture"}
    return called(state, template="area_order", values=values, danger=True, **more)


async def test_after_a_no_the_link_takes_a_yes_about_an_order_for_an_area() -> None:
    """The page named the text message, and «Mes sites», which had forgotten the question."""
    commands: list[tuple[Answer, bool]] = []

    async def send(
        link: AnswerLink, _token: str, answer: Answer, *, changes: bool = False, **_more: Any
    ) -> CommandResult:
        commands.append((answer, changes))
        return CommandResult(id="c-1", command_id="c-1", realm=link.realm, state="applied")

    realm_state = _about_an_area("answered", answer="decline", acknowledged_at=START)
    browser, _ = browsing(realm_state, send=send)
    assert 'value="concerned"' in (await browser.get(f"/a/{token()}")).text
    page_text = shown((await browser.post(f"/a/{token()}", {"answer": "concerned"})).text)
    assert "votre site est concerné. La cellule est informée." in page_text
    assert commands == [(Answer.ACK, True)]
    ordinary, _ = browsing(called("answered", answer="decline"), send=send)
    assert (await ordinary.post(f"/a/{token()}", {"answer": "concerned"})).status_code == 404
    assert len(commands) == 1


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("ack", "votre site est concerné. Suivez la consigne."),
        ("decline", "votre site n’est pas concerné."),
    ],
)
async def test_an_answer_for_the_site_given_elsewhere_is_named(answer: str, text: str) -> None:
    """«Il n’y a plus rien à faire ici», to the manager of a site that the cell evacuates."""
    browser, _ = answering(_about_an_area("superseded", withdrawn=answer), "applied")
    assert text in shown((await browser.get(f"/a/{token()}")).text)


async def test_the_other_answer_on_an_older_page_names_the_button_that_counts() -> None:
    for answer, other, button in (
        ("ack", "decline", "Finalement, mon site n’est pas concerné"),
        ("decline", "ack", "Finalement, mon site est concerné"),
    ):
        realm_state = _about_an_area("answered", answer=answer, acknowledged_at=START)
        browser, _ = answering(realm_state, "applied")
        page_text = shown((await browser.post(f"/a/{token()}", {"answer": other})).text)
        assert f"touchez « {button} »" in page_text
        assert "désister" not in page_text


async def test_a_refused_change_of_an_answer_is_shown() -> None:
    browser, _ = answering(
        called("answered", values=ABOUT, answer="ack", acknowledged_at=START), "refused"
    )
    page = (await browser.post(f"/a/{token()}", {"answer": "decline"})).text
    assert '<p class="refused" role="alert">' in page


async def test_colleagues_count_once_by_their_newest_answer_and_the_reader_counts_at_once() -> None:
    """A newer refusal takes the place of an earlier yes of the same person."""
    realm_state = called(
        "answered", answer="ack", acknowledged_at=START, escalation="e-1", wave=1, cycle=1
    )
    realm_state.put("escalations", ladder("e-1", "N2", "i-1", "running", START, ("i-1",)))
    first_call = realm_state.rows["notifications"][CALL].model_dump()
    for id, person, role, answer in (
        ("n-1", "p-1", "astreinte_direction", "ack"),
        ("n-2", "p-2", "cellule_si", "ack"),
        ("n-3", "p-2", "cellule_si", "ack"),
        ("n-4", "p-3", "cellule_rh", "ack"),
        ("n-5", "p-3", "cellule_rh", "decline"),
    ):
        realm_state.put(
            "notifications",
            {**first_call, "id": id, "person": person, "role": role, "answer": answer},
        )
    page_text = shown((await answering(realm_state, "applied")[0].get(f"/a/{token()}")).text)
    assert "Réponses 1 sur 1" in page_text
    assert page_text.count("SI / RSSI (") == 1
    assert "RH (" not in page_text
    assert not re.search(r"Astreinte de direction \(\d", page_text)


async def test_a_request_for_help_shows_that_the_cell_knows_and_112() -> None:
    headcount_answers: list[HeadcountAnswer] = []
    browser, _ = answering(
        called(template="headcount", values={"site": "cen-1"}), "applied", headcount_answers
    )
    page = (await browser.post(f"/a/{token()}", {"answer": "2"})).text
    assert re.search(
        r"Vous avez demandé de l’aide à \d\d:\d\d\. La cellule est prévenue\.", shown(page)
    )
    assert 'href="tel:112"' in page
    assert 'class="done needs-help"' in page
    assert re.search(r'value="2" aria-pressed="true"', page)
    assert headcount_answers == [HeadcountAnswer.HELP]


async def test_a_safe_person_sees_that_answer() -> None:
    headcount_answers: list[HeadcountAnswer] = []
    browser, _ = answering(
        called(template="headcount", values={"site": "cen-1"}), "applied", headcount_answers
    )
    page = (await browser.post(f"/a/{token()}", {"answer": "1"})).text
    assert "Réponse enregistrée : je suis en sécurité." in shown(page)
    assert re.search(r'value="1" aria-pressed="true"', page)
    assert "needs-help" not in page


async def test_a_colleague_of_the_same_role_can_be_called_instead_and_is_shown_by_function() -> (
    None
):
    substitutes: list[str] = []
    browser, _ = answering(called(values=ABOUT), "applied", substitutes=substitutes)
    page = (await browser.get(f"/a/{token()}")).text
    colleagues = re.findall(r'<option value="([^"]+)">([^<]+)</option>', page)
    assert colleagues
    assert all(
        "(suppléant)" in function or "astreinte" in function.lower() for _, function in colleagues
    )
    page_text = shown(
        (
            await browser.post(f"/a/{token()}", {"answer": "delegate", "instead": colleagues[0][0]})
        ).text
    )
    assert "Réponse enregistrée : vous ne pouvez pas." in page_text
    assert substitutes == [colleagues[0][0]]
