"""Sites learn that the cell has read their report, and read and answer its instructions."""

from __future__ import annotations

import re

import pytest

from schemas.alerts import TaskChanged, TaskRow
from schemas.commands import CompleteTask, InstructSite, MarkReportsRead, PreviewConfirmation
from services.console.logbook.lines import LineRecord
from services.console.logbook.lines import render_line as said
from services.console.sites.instructions_api import complete_sentence
from services.runtime.secrets.vault import TextItem
from tests.unit.console.held import Browser, Held, HeldModel, browsing, reference
from tests.unit.console.test_every_screen import (
    MINUTE,
    NOW,
    REALM,
    START,
    crisis,
    incident,
    report,
    shown,
    site,
)
from tests.unit.console.test_lines import lines

MANAGER = "site_manager@pmi-01"
OTHER = "site_manager@cen-1"
WORDS = "Gardez les enfants à l’intérieur"


def instructed(**changes: object) -> tuple[Browser, HeldModel]:
    """Return a crisis with an instruction of the cell to the site."""
    realm_state = crisis()
    task = {
        "id": "t-1",
        "kind": "instruction",
        "state": "open",
        "opened_at": NOW - 5 * MINUTE,
        "due_at": NOW + 25 * MINUTE,
        "site": "pmi-01",
        "incident": "i-1",
        "report": "r-1",
        "owner": "responsable_site:pmi-01",
        "text_id": "x-1",
        "asked_by": "p-cell",
    }
    realm_state.put("tasks", task | changes)
    browser, model = browsing(realm_state)
    model.words.kept["x-1"] = TextItem({"text": WORDS})
    return browser, model


@pytest.mark.parametrize("path", ["/mes-sites", "/signalements/r-1"])
async def test_the_receipt_gives_the_time_of_reading_by_the_cell(path: str) -> None:
    realm_state = crisis()
    browser, _ = browsing(realm_state)
    assert "pas encore lu par la cellule" in await shown(browser, path, role=MANAGER)
    realm_state.put("report_readings", {"id": "r-1", "read_at": START + 2 * MINUTE})
    browser, _ = browsing(realm_state)
    assert "lu à 09:42 par la cellule" in await shown(browser, path, role=MANAGER)


@pytest.mark.parametrize("path", ["/mes-sites", "/signalements/r-1"])
async def test_a_report_in_charge_is_not_called_unread(path: str) -> None:
    """The card called a report unread that the cell had in charge."""
    realm_state = crisis()
    realm_state.put("incidents", incident(acknowledged_by=["p-cell"]))
    browser, _ = browsing(realm_state)
    page = await shown(browser, path, role=MANAGER)
    assert "reçu à" in page
    assert "pas encore lu par la cellule" not in page


async def _post(browser: Browser, path: str, role: str, body: object = None) -> int:
    return (await browser.post(f"/api/v1{path}?realm={REALM}", body or {}, role=role)).status_code


@pytest.mark.parametrize("path", ["/incidents/i-1/read", "/reports/r-1/read"])
async def test_a_reading_is_sent_once(path: str) -> None:
    realm_state = crisis()
    browser, _ = browsing(realm_state)
    assert await _post(browser, path, "cell") == 202
    (command,) = browser.decisions.asked
    assert isinstance(command, MarkReportsRead)
    assert command.reports == ("r-1",)
    realm_state.put("reports", report(read_at=NOW))
    browser, _ = browsing(realm_state)
    assert await _post(browser, path, "cell") == 204
    assert browser.decisions.asked == []


async def test_machines_and_places_get_no_receipt() -> None:
    realm_state = crisis()
    realm_state.put("reports", report("r-2", dialect="alertmanager"))
    realm_state.put("reports", report("r-3", site=None))
    realm_state.put("reports", report("r-4", dialect="sms"))
    browser, _ = browsing(realm_state)
    assert await _post(browser, "/incidents/i-1/read", "cell") == 202
    (command,) = browser.decisions.asked
    assert isinstance(command, MarkReportsRead)
    assert set(command.reports) == {"r-1", "r-4"}


@pytest.mark.parametrize("role", [MANAGER, "observer", "director@pole:education", "technician"])
async def test_only_readers_of_the_text_read_for_the_cell(role: str) -> None:
    browser, _ = browsing(crisis())
    assert await _post(browser, "/incidents/i-1/read", role) == 403
    page = (await browser.get(f"/incidents/i-1?realm={REALM}", role=role)).text
    assert "data-read=" not in page
    assert (
        'data-read="/api/v1/incidents/i-1/read"'
        in (await browser.get(f"/incidents/i-1?realm={REALM}", role="cell")).text
    )


async def test_the_page_of_a_past_time_marks_nothing_as_read() -> None:
    browser, _ = browsing(crisis())
    page = (
        await browser.get(f"/incidents/i-1?realm={REALM}&as_of={NOW - MINUTE}", role="cell")
    ).text
    assert "data-read=" not in page
    assert "data-presence=" not in page


@pytest.mark.parametrize("path", ["/mes-sites", "/signalements/r-1", "/sites/pmi-01"])
async def test_the_site_reads_the_instruction_and_confirms_it(path: str) -> None:
    browser, _ = instructed()
    page = (await browser.get(f"{path}?realm={REALM}", role=MANAGER)).text
    assert WORDS in page
    assert "à confirmer avant 11:05" in page
    assert 'action="/api/v1/tasks/t-1/done"' in page
    assert '<input type="hidden" name="outcome" value="understood">' in page
    assert await _post(browser, "/tasks/t-1/done", MANAGER, {"outcome": "understood"}) == 202
    (command,) = browser.decisions.asked
    assert isinstance(command, CompleteTask)
    assert (command.task, command.outcome) == ("t-1", "understood")


async def test_the_cell_sees_the_answer_of_the_site_and_may_withdraw_the_instruction() -> None:
    browser, _ = instructed(due_at=NOW - MINUTE)
    page = (await browser.get(f"/sites/pmi-01?realm={REALM}", role="cell")).text
    assert "pas encore confirmée par le site" in page
    assert '<input type="hidden" name="outcome" value="withdrawn">' in page
    browser, _ = instructed(state="done", done_at=NOW, outcome="understood", taken_by="p-1")
    assert "comprise à 10:40" in await shown(browser, "/sites/pmi-01", role="cell")


async def test_only_the_cell_and_the_site_read_the_text_of_an_instruction() -> None:
    browser, _ = instructed()
    for role, expected_text in (
        ("cell", WORDS),
        (MANAGER, WORDS),
        (OTHER, None),
        ("observer", None),
    ):
        answer = await browser.get(
            f"/api/v1/sites/pmi-01/instructions?realm={REALM}", role=role, accept="application/json"
        )
        (instruction,) = answer.json()["items"]
        assert instruction["text"] == expected_text, role
        assert (WORDS in (await browser.get(f"/sites/pmi-01?realm={REALM}", role=role)).text) is (
            expected_text is not None
        ), role


async def test_an_instruction_keeps_its_text_off_the_log() -> None:
    browser, _ = browsing(crisis())
    body = {"text": WORDS, "incident": "i-1", "report": "r-1"}
    assert await _post(browser, "/sites/pmi-01/instructions", "cell", body) == 202
    (command,) = browser.decisions.asked
    assert isinstance(command, InstructSite)
    assert (command.site, command.text_id, command.incident, command.report) == (
        "pmi-01",
        "t",
        "i-1",
        "r-1",
    )
    assert WORDS not in command.model_dump_json()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [(" Coupez l’eau ", "Coupez l’eau."), ("Sortez !", "Sortez !"), ("Restez.", "Restez.")],
)
def test_an_instruction_is_a_sentence(text: str, sentence: str) -> None:
    assert complete_sentence(text) == sentence


@pytest.mark.parametrize(
    ("body", "role", "status"),
    [
        ({"text": "  "}, "cell", 422),
        ({"text": "x" * 201}, "cell", 422),
        ({"text": WORDS}, MANAGER, 403),
        ({"text": WORDS}, "director@pole:education", 403),
    ],
)
async def test_an_instruction_is_short_and_needs_a_right_over_the_site(
    body: dict[str, str], role: str, status: int
) -> None:
    browser, _ = browsing(crisis())
    assert await _post(browser, "/sites/pmi-01/instructions", role, body) == status
    assert browser.decisions.asked == []


def _told(row: dict[str, object]) -> LineRecord:
    (line,) = lines("alerts", TaskChanged(row=TaskRow.model_validate(row)), at=NOW)
    return line


def _said(line: LineRecord) -> str:
    return said(line, reference().names, "fr")


def test_the_logbook_records_the_life_of_an_instruction() -> None:
    row = {
        "id": "t-1",
        "kind": "instruction",
        "state": "open",
        "opened_at": NOW,
        "site": "pmi-01",
        "text_id": "x-1",
        "owner": "responsable_site:pmi-01",
        "candidates": [],
    }
    dispatch_line, understood, withdrawn = (
        _told(row | changes)
        for changes in (
            {},
            {"state": "done", "outcome": "understood"},
            {"state": "done", "outcome": "withdrawn"},
        )
    )
    assert dispatch_line.text_id == "x-1"
    assert (dispatch_line.kind, dispatch_line.change) == ("decision", "sent"), (
        "an open task is told elsewhere, an instruction is not"
    )
    assert understood.text_id is None
    assert [_said(line) for line in (dispatch_line, understood, withdrawn)] == [
        "Consigne envoyée, PMI Darracq",
        "Consigne comprise, PMI Darracq",
        "Consigne retirée, PMI Darracq",
    ]


async def test_a_rumour_shows_the_effect_of_confirming_it() -> None:
    realm_state: Held = crisis()
    realm_state.put("reports", report(confirmation="rumour", certainty="rumour"))
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/signalements/r-1?realm={REALM}", role="cell")).text
    assert 'data-preview="/api/v1/reports/r-1/confirm/preview"' in page
    assert "personnes appelées aussitôt\u00a0: {people}" in page
    assert re.search(r"&#34;PT-GAZ&#34;: ?&#34;\w", page)
    assert await _post(browser, "/reports/r-1/confirm/preview", "cell") == 202
    (command,) = browser.decisions.asked
    assert isinstance(command, PreviewConfirmation)
    assert command.report == "r-1"


def withdrawn(**changes: object) -> tuple[Browser, HeldModel]:
    """Return a crisis with one report, which its sender took back."""
    realm_state = crisis()
    realm_state.put("reports", report(flags=["cancelled"]) | changes)
    realm_state.put(
        "reports",
        report("r-9", msg_type="Cancel", references=["r-1"], recorded_at=NOW, text_id="x-9"),
    )
    browser, model = browsing(realm_state)
    model.words.kept["x-9"] = TextItem({"text": "Vapeur de cuisine."})
    return browser, model


async def test_an_incident_of_one_error_says_so_and_quotes_no_reason_as_its_report() -> None:
    browser, _ = withdrawn()
    page = await shown(browser, "/incidents/i-1", role="cell")
    assert "Tout ce qui a été signalé est annulé depuis" in page
    assert "Vapeur de cuisine" not in page
    browser, _ = withdrawn(flags=[])
    assert "Tout ce qui a été signalé" not in await shown(browser, "/incidents/i-1", role="cell")


async def test_the_site_sees_which_report_is_withdrawn_and_which_one_withdraws() -> None:
    browser, _ = withdrawn()
    page = await shown(browser, "/mes-sites", role=MANAGER)
    assert re.search(r"Annulation coupure d’électricité : reçu à \d\d:\d\d", page, re.IGNORECASE)
    assert "annulé" in page.replace("Annulation", "")
    assert "en attente de prise en charge" not in page
    assert "Annulation : " in await shown(browser, "/signalements/r-9", role="cell")


async def test_a_withdrawal_takes_the_repetitions_of_its_sender_with_it() -> None:
    """They kept the site evacuated, and nobody could withdraw them."""
    realm_state = crisis()
    mine = {"source_key": "site_manager-2"}
    realm_state.put("sites", site(reports=("r-1",)))
    realm_state.put("reports", report(**mine))
    repeated = {"state": "duplicate", "reason": "same_cause", "of": "r-1"}
    realm_state.put("reports", report("r-2", **repeated, **mine))
    realm_state.put("reports", report("r-3", **repeated, source_key="somebody-else"))
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/signalements/r-1?realm={REALM}", role=MANAGER)).text
    (field,) = re.findall(r'name="references" value="([^"]*)"', page)
    assert field.split() == ["r-1", "r-2"]
    assert "Votre répétition de ce signalement est annulée avec lui." in page
