"""Statements and questions over HTTP and on their page: templates, texts and rights."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.crisis.communication import (
    AnswerQuestion,
    Audience,
    DraftStatement,
    QuestionChanged,
    QuestionRow,
    QuestionState,
    ReaddressStatement,
    ReceiveQuestion,
    ReviseStatement,
    StatementChanged,
    StatementRow,
    StatementState,
    ValidateStatement,
)
from services.console.communication import drafting
from services.console.communication.queries import build_statement
from services.console.communication.screen import Editor, build_statement_views
from services.console.i18n import get_translator
from services.console.live.row_events import list_hidden_events
from services.console.logbook.lines import LineRecord
from services.console.logbook.lines import render_line as said
from services.runtime.identity.permissions import PERMISSIONS_BY_ROLE, Role
from services.runtime.secrets.vault import TextItem
from tests.shipped import territory
from tests.unit.console.held import Browser, HeldModel, browsing, reference
from tests.unit.console.test_every_screen import REALM, START, crisis, report, shown
from tests.unit.console.test_lines import lines

_ = get_translator("fr")
SECTION = drafting.find_section(territory().sections)
JSON = "application/json"


def signed(by: str = "cell-1", role: str = "cell") -> dict[str, Any]:
    return {"by": by, "role": role, "at": START}


def statement(id: str = "s-1", **values: Any) -> dict[str, Any]:
    return {
        "id": id,
        "state": "submitted",
        "audience": "families",
        "text_id": "words",
        "drafted": signed(),
        "submitted": signed(),
        "changed_at": START,
        "version": 1,
        "incident": "i-1",
    } | values


def question(id: str = "q-1", **values: Any) -> dict[str, Any]:
    return {
        "id": id,
        "state": "open",
        "asker": "press",
        "text_id": "asked",
        "asked_at": START,
        "due_at": START + 60_000,
        "noted": signed(),
        "changed_at": START,
    } | values


@pytest.fixture
def desk() -> tuple[Browser, HeldModel]:
    realm_state = crisis()
    realm_state.put("statements", statement())
    realm_state.put("questions", question())
    realm_state.put(
        "reports", report("r-9", certainty="rumour", confirmation="rumour", incident=None)
    )
    browser, model = browsing(realm_state)
    model.words.kept["words"] = TextItem(
        {"text": "Les élèves sont encadrés.", "title": "Collège fermé"}
    )
    model.words.kept["asked"] = TextItem({"text": "Combien d’élèves ?"})
    return browser, model


async def test_a_statement_is_taken_up_for_a_correction_a_sequel_or_another_audience(
    desk: tuple[Browser, HeldModel],
) -> None:
    """A wrong audience, or a published text to correct, meant to type everything once more."""
    browser, _model = desk
    page = (await browser.get(f"/communication?realm={REALM}", role="cell")).text
    (link,) = re.findall(r'href="([^"]*reprise=s-1[^"]*)#rediger"', page)
    page = (await browser.get(link.replace("&amp;", "&"), role="cell")).text
    form = page.partition('action="/api/v1/statements" ')[2].partition("</form>")[0]
    assert 'value="Collège fermé"' in form
    assert ">Les élèves sont encadrés.</textarea>" in form
    assert '<option value="families" selected>' in form
    assert '<input type="hidden" name="incident" value="i-1">' in form
    assert "Nouveau communiqué, d’après «\u00a0Collège fermé\u00a0»" in form
    assert 'name="template"' not in form
    unknown = await browser.get(f"/communication?realm={REALM}&reprise=s-9", role="cell")
    assert unknown.status_code == 200


@pytest.mark.parametrize("template", SECTION.templates, ids=lambda one: one.id)
def test_every_blank_of_a_template_explains_its_content(template: Any) -> None:
    for words in (template.title, template.text, template.title_en, template.text_en):
        filled = drafting.fill_text(
            words or "",
            {},
            SECTION.blanks
            | dict.fromkeys(("territoire", "heure", "communes", "sites", "depuis"), "x"),
        )
        assert "{" not in filled
        assert "_" not in filled


def test_every_audience_has_a_template_for_any_event_and_the_public_plain_ones() -> None:
    general = [one for one in SECTION.templates if one.event == drafting.ANY_EVENT]
    assert {one.audience for one in general} == set(Audience)
    assert {one.audience for one in general if one.plain} == {Audience.FAMILIES, Audience.USERS}


def test_plain_language_is_made_of_short_sentences() -> None:
    for one in SECTION.templates:
        if one.plain:
            longest = max(len(line.split()) for line in one.text.replace(". ", ".\n").splitlines())
            assert longest <= 15, (one.id, longest)


def test_a_template_is_filled_with_the_known_facts_and_the_rest_stays_a_blank() -> None:
    values = {"communes": "Nanterre", "depuis": "9 h 40"}
    text = drafting.fill_text("À {communes} depuis {depuis} : {faits}.", values, SECTION.blanks)
    assert text == "À Nanterre depuis 9 h 40 : [faits confirmés, sans cause supposée]."
    assert drafting.count_blanks(text, None) == 1


def test_hours_are_written_as_in_a_statement() -> None:
    now = datetime(2027, 2, 11, 12, 0, tzinfo=UTC)
    assert drafting.format_hour(datetime(2027, 2, 11, 8, 40, tzinfo=UTC), now, "fr") == "9 h 40"
    assert drafting.format_hour(datetime(2027, 2, 11, 8, 0, tzinfo=UTC), now, "fr") == "9 h"
    assert drafting.format_hour(datetime(2027, 2, 11, 8, 40, tzinfo=UTC), now, "en") == "09:40"


def test_many_places_are_counted_and_few_are_named() -> None:
    assert drafting.join_places(["Nanterre", "Puteaux"], 6, "communes", _) == "Nanterre et Puteaux"
    assert drafting.join_places([str(n) for n in range(7)], 6, "communes", _) == "7 communes"


async def test_templates_are_filled_for_an_incident(desk: tuple[Browser, HeldModel]) -> None:
    browser, _model = desk
    path = f"/api/v1/statement-templates?realm={REALM}&incident=i-1&audience=users&plain=false"
    items = (await browser.get(path, accept=JSON)).json()["items"]
    assert items[0]["event"] == "power"
    assert {one["event"] for one in items} == {"power", "any"}
    assert "Nanterre" in items[0]["text"]
    assert "92050" not in items[0]["text"]
    assert items[0]["blanks"]
    english = (await browser.get(path, accept=JSON, lang="en")).json()["items"]
    assert english[0]["title"].startswith("Power cut")


async def test_templates_name_the_territory(desk: tuple[Browser, HeldModel]) -> None:
    """A text with blanks cannot be submitted, and the name of the territory is known."""
    browser, _model = desk
    path = f"/api/v1/statement-templates?realm={REALM}&incident=i-1"
    texts = [one["text"] for one in (await browser.get(path, accept=JSON)).json()["items"]]
    assert any("Le Département des Hauts-de-Seine" in text for text in texts)
    assert not any("[territoire]" in text for text in texts)


async def test_a_draft_from_a_template_counts_its_blanks(desk: tuple[Browser, HeldModel]) -> None:
    browser, _model = desk
    body = {"template": "power-usagers", "incident": "i-1"}
    answer = await browser.post(f"/api/v1/statements?realm={REALM}", body)
    assert answer.status_code == 202, answer.text
    (command,) = browser.decisions.asked
    assert isinstance(command, DraftStatement)
    assert (command.audience, command.template, command.text_id) == (
        Audience.USERS,
        "power-usagers",
        "t",
    )
    assert command.blanks > 0
    await browser.post(
        f"/api/v1/statements?realm={REALM}", {"audience": "press", "text": "Tout est rétabli."}
    )
    assert [c.blanks for c in browser.decisions.asked if isinstance(c, DraftStatement)][1] == 0


async def test_a_draft_needs_a_text_and_an_audience(desk: tuple[Browser, HeldModel]) -> None:
    browser, _model = desk
    for body, field in (
        ({"audience": "press"}, "text"),
        ({"text": "x"}, "audience"),
        ({"template": "nothing"}, "template"),
    ):
        answer = await browser.post(f"/api/v1/statements?realm={REALM}", body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert browser.decisions.asked == []


async def test_decisions_become_commands(desk: tuple[Browser, HeldModel]) -> None:
    browser, _model = desk
    for path, body in (
        ("statements/s-1:revise", {"text": "Nouveau texte [à dire]."}),
        ("statements/s-1:readdress", {"audience": "families"}),
        ("statements/s-1:validate", None),
        ("questions", {"asker": "press", "text": "Où ?"}),
        ("questions/q-1:answer", {"text": "Ici."}),
        ("questions/q-1:answer", {"statement": "s-1"}),
    ):
        answer = await browser.post(f"/api/v1/{path}?realm={REALM}", body)
        assert answer.status_code == 202, answer.text
    assert [type(c) for c in browser.decisions.asked] == [
        ReviseStatement,
        ReaddressStatement,
        ValidateStatement,
        ReceiveQuestion,
        AnswerQuestion,
        AnswerQuestion,
    ]
    revised = browser.decisions.asked[0]
    assert isinstance(revised, ReviseStatement)
    assert revised.blanks == 1
    readdressed = browser.decisions.asked[1]
    assert isinstance(readdressed, ReaddressStatement)
    assert (readdressed.audience, readdressed.plain) == (Audience.FAMILIES, None)
    for path in ("statements/s-1:refuse", "questions/q-1:answer"):
        assert (await browser.post(f"/api/v1/{path}?realm={REALM}", {})).status_code == 422, path


async def test_statements_and_questions_are_read_with_their_text(
    desk: tuple[Browser, HeldModel],
) -> None:
    browser, _model = desk
    one = (await browser.get(f"/api/v1/statements/s-1?realm={REALM}", accept=JSON)).json()
    assert (one["title"], one["text"], one["moves"]) == (
        "Collège fermé",
        "Les élèves sont encadrés.",
        ["readdressed", "validated", "refused", "retracted"],
    )
    questions = (await browser.get(f"/api/v1/questions?realm={REALM}", accept=JSON)).json()["items"]
    assert [(q["text"], q["late"]) for q in questions] == [("Combien d’élèves ?", True)]
    for path in ("statements?state=draft", "questions?state=answered"):
        answer = await browser.get(f"/api/v1/{path}&realm={REALM}", accept=JSON)
        assert answer.json()["items"] == []
    assert (
        await browser.get(f"/api/v1/statements/x?realm={REALM}", accept=JSON)
    ).status_code == 404


async def test_an_erased_text_is_marked(desk: tuple[Browser, HeldModel]) -> None:
    browser, model = desk
    model.words.kept["words"] = TextItem({"erased": {"at": START, "reason": "un nom"}})
    one = (await browser.get(f"/api/v1/statements/s-1?realm={REALM}", accept=JSON)).json()
    assert "Texte effacé" in one["text"]
    assert one["title"] is None
    assert (await model.of(REALM).line_text("s-1")).text_id == "words"
    assert (await model.of(REALM).line_text("q-1")).text_id == "asked"


def test_the_live_stream_holds_no_texts_and_is_for_readers_of_the_logbook() -> None:
    row = StatementRow.model_validate(statement())
    assert build_statement(row, REALM, {}, "fr").text is None
    hidden = list_hidden_events(lambda right: right in PERMISSIONS_BY_ROLE[Role.SITE_MANAGER])
    assert {"statements", "questions"} <= hidden
    observer_hidden_events = list_hidden_events(
        lambda right: right in PERMISSIONS_BY_ROLE[Role.OBSERVER]
    )
    assert not {"statements", "questions"} & observer_hidden_events


@pytest.mark.parametrize(
    ("author", "role", "can", "says"),
    [
        ("com-1", "cellule_com", True, ""),
        ("cell-1", "cellule_com", False, "Une autre personne"),
        ("cell-2", "cell", False, "Attend la validation"),
        ("coord", "coordinator", True, ""),
    ],
)
def test_the_page_offers_validation_only_to_entitled_people(
    author: str, role: str, can: bool, says: str
) -> None:
    row = StatementRow.model_validate(statement())
    statement_resource = build_statement(row, REALM, {}, "fr")
    (view,) = build_statement_views(
        [statement_resource], Editor(author, role, True), reference().names, _
    )
    assert view.can_validate is can
    assert view.waits.startswith(says)
    (read,) = build_statement_views(
        [statement_resource], Editor(author, role, False), reference().names, _
    )
    assert (read.can_validate, read.can_retract, read.can_readdress) == (False, False, False)


@pytest.mark.parametrize("state", list(StatementState))
def test_the_page_offers_another_audience_until_the_publication(state: StatementState) -> None:
    row = StatementRow.model_validate(statement() | {"state": state})
    editor = Editor("cell-1", "cell", True)
    (view,) = build_statement_views(
        [build_statement(row, REALM, {}, "fr")], editor, reference().names, _
    )
    is_over = state in (StatementState.PUBLISHED, StatementState.RETRACTED)
    assert view.can_readdress is not is_over


def test_the_person_that_chose_the_audience_does_not_validate() -> None:
    row = StatementRow.model_validate(statement() | {"readdressed": signed("com-1", "cellule_com")})
    (view,) = build_statement_views(
        [build_statement(row, REALM, {}, "fr")],
        Editor("com-1", "cellule_com", True),
        reference().names,
        _,
    )
    assert (view.can_validate, view.waits[:18]) == (False, "Une autre personne")


async def test_the_page_shows_waiting_statements_and_questions(
    desk: tuple[Browser, HeldModel],
) -> None:
    browser, _model = desk
    text = (await browser.get(f"/communication?realm={REALM}", role="coordinator")).text
    for words in ("Collège fermé", "Combien d’élèves ?", "Rumeurs sans réponse", "Valider"):
        assert words in text, words
    assert "s-1:validate" in text
    read = (await browser.get(f"/communication?realm={REALM}", role="observer")).text
    assert "Collège fermé" in read
    assert "s-1:" not in read
    assert "Noter une question" not in read
    assert (
        await browser.get(f"/communication?realm={REALM}", role="site_manager")
    ).status_code == 403


async def test_the_page_prepares_the_text_of_a_template(desk: tuple[Browser, HeldModel]) -> None:
    browser, _model = desk
    path = f"/communication?realm={REALM}&incident=i-1&modele=power-usagers&rumeur=r-9&question=q-1"
    text = (await browser.get(path)).text
    assert "Une coupure d’électricité touche Nanterre" in text
    assert 'name="report" value="r-9"' in text
    assert 'name="question" value="q-1"' in text
    english = (await browser.get(path, lang="en")).text
    assert "A power cut has affected Nanterre" in english


def _statement_line(change: str, **values: Any) -> LineRecord:
    row = StatementRow.model_validate(statement(state=StatementState.DRAFT, **values))
    (line,) = lines("alerts", StatementChanged(row=row, change=change))
    return line


def test_each_step_is_a_line_with_its_audience_and_the_text_to_erase() -> None:
    names = reference().names
    drafted = _statement_line("drafted", plain=True)
    assert (drafted.kind, drafted.text_id, drafted.incident) == ("communication", "words", "i-1")
    assert said(drafted, names, "fr") == "Communiqué rédigé, pour les familles, en facile à lire"
    refused = _statement_line("refused", reason="text:why")
    assert (refused.kind, refused.text_id) == ("decision", "why")
    published = _statement_line("published")
    assert (published.kind, published.text_id) == ("decision", None)
    assert said(published, names, "en") == "Statement published, for families"


def test_a_question_is_a_fact_and_its_answer_a_communication() -> None:
    row = QuestionRow.model_validate(question(asked_at=START - 60_000))
    answered = row.model_copy(update={"answer_text_id": "answer", "state": QuestionState.ANSWERED})
    received, answer = lines(
        "alerts",
        QuestionChanged(row=row, change="received"),
        QuestionChanged(row=answered, change="answered"),
    )
    assert (received.kind, received.occurred_at, received.text_id) == (
        "fact",
        START - 60_000,
        "asked",
    )
    assert (answer.kind, answer.text_id) == ("communication", "answer")
    assert said(received, reference().names, "fr") == "Question reçue, de la presse"


async def test_a_page_that_was_never_published_names_the_places_that_the_public_finds_shut(
    desk: tuple[Browser, HeldModel],
) -> None:
    """It said «jamais publiée» in grey, an hour after forty places had closed."""
    browser, _store = desk
    page_text = await shown(browser, "/communication")
    assert "jamais publiée 1 lieu fermé ou ouvert en partie" in page_text
