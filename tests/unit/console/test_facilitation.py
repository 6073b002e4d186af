"""Facilitation of an exercise: stimuli, notes of observers, evaluation from the log. Rule D94."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import orjson
import pytest

from schemas.crisis.stimuli import NoteStimulus, PlanStimulus, SkipStimulus
from services.console.facilitation.page import build_stimulus_lines, describe_role
from services.console.facilitation.resources import RoleParticipation, StimulusState
from services.console.i18n import get_translator
from services.console.resource_base import to_datetime
from services.console.texts.names import TerritoryNames
from services.intake.reports.native import parse_report
from services.runtime.secrets.vault import TextItem
from tests.unit.console.held import Held, HeldModel, browsing
from tests.unit.console.test_every_screen import (
    MINUTE,
    NOW,
    REALM,
    START,
    incident,
    realm,
    report,
    shown,
)

BODY = {"type": "outage_water", "severity": 3, "site_id": "pmi-01"}
WORDS = {
    "t-1": {
        "text": "Conduite rompue",
        "source": "water",
        "expected": "le plan est proposé",
        "body": orjson.dumps(BODY).decode(),
    },
    "t-2": {"text": "Rumeur"},
    "t-9": {"text": "trop tard"},
}


def notification(id: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": id,
        "level": 2,
        "person": "dir-solidarites",
        "state": "accepted",
        "template": "incident_wave",
        **changes,
    }


class Words:
    """Texts in memory."""

    def get_many(self, ids: list[str]) -> dict[str, TextItem]:
        return {id: TextItem(fields=WORDS[id]) for id in ids if id in WORDS}


def stimulus(id: str, minutes: float, **changes: Any) -> dict[str, Any]:
    at = NOW + round(minutes * MINUTE)
    return {"id": id, "at": at, "text_id": "t-2", "changed_at": START} | changes


def exercise() -> Held:
    """Return an exercise with a stimulus played, one due, one planned and one skipped."""
    realm_state = realm()
    notes = [
        {"by": "p-2", "role": "observer", "at": NOW, "mark": 3},
        {"by": "p-3", "role": "observer", "at": NOW, "mark": 2, "text_id": "t-9"},
    ]
    realm_state.put("stimuli", stimulus("E1", -9, text_id="t-1", notes=notes, version=2))
    realm_state.put("stimuli", stimulus("E2", -1))
    realm_state.put("stimuli", stimulus("E3", 5))
    realm_state.put("stimuli", stimulus("E4", 6, skipped=True))
    realm_state.put("incidents", incident("i-1"))
    realm_state.put(
        "reports", report("r-1", alias="E1", incident="i-1", recorded_at=NOW - 8 * MINUTE)
    )
    return realm_state


def browse(held: Held, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, HeldModel]:
    browser, model = browsing(held)
    monkeypatch.setattr(model, "_texts", Words())
    return browser, model


async def read(browser: Any, role: str) -> list[dict[str, Any]]:
    answer = await browser.get(f"/api/v1/stimuli?realm={REALM}", role=role)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def test_the_organiser_sees_each_stimulus_with_its_state_and_the_report_to_send(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    browser, _ = browse(exercise(), monkeypatch)
    stimuli = await read(browser, "coordinator")
    assert [(one["id"], one["state"]) for one in stimuli] == [
        ("E1", "played"),
        ("E2", "due"),
        ("E3", "planned"),
        ("E4", "skipped"),
    ]
    first = stimuli[0]
    assert (first["title"], first["source"], first["mark"]) == ("Conduite rompue", "water", 2.5)
    assert [note["text"] for note in first["notes"]] == [None, "trop tard"]
    repeated_stimulus = {"alias": "E1~2", "occurred_at": to_datetime(NOW).isoformat()}
    assert first["body"] == BODY | repeated_stimulus
    assert stimuli[1]["body"] is None


async def test_the_front_takes_the_report_of_a_stimulus_as_it_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    browser, _ = browse(exercise(), monkeypatch)
    (first, *_rest) = await read(browser, "coordinator")
    report = parse_report(orjson.dumps(first["body"] | {"realm": first["realm"]}))
    assert report.occurred_at == to_datetime(NOW)
    page = await browser.get(f"/exercice?realm={REALM}", role="coordinator")
    (shown_body,) = re.findall(r'data-body="([^"]+)"', page.text)
    assert parse_report(unescape(shown_body).encode()).alias == "E1~2"


@pytest.mark.parametrize(
    ("role", "expected"), [("cell", None), ("observer", "le plan est proposé")]
)
async def test_players_see_neither_later_stimuli_nor_the_expected_reaction(
    role: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, _ = browse(exercise(), monkeypatch)
    (one,) = await read(browser, role)
    assert (one["id"], one["expected"], one["body"]) == ("E1", expected, None)


async def test_a_stimulus_is_planned_with_its_words_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    browser, _ = browse(exercise(), monkeypatch)
    body = {
        "realm": REALM,
        "id": "E7",
        "at": "2027-02-11T10:00:00Z",
        "title": "Panne",
        "source": "water",
        "body": BODY | {"recorded_at": "2027-02-11T10:00:00Z", "realm": "92"},
    }
    response = await browser.post("/api/v1/stimuli", body, role="coordinator")
    assert response.status_code in (200, 202), response.text
    (command,) = browser.decisions.asked
    assert isinstance(command, PlanStimulus)
    assert command.stimulus == "E7"
    assert "Panne" not in command.model_dump_json()


async def test_a_report_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    browser, _ = browse(exercise(), monkeypatch)
    body = {"realm": REALM, "id": "E7", "at": "2027-02-11T10:00:00Z", "title": "x"}
    body |= {"body": {"description": "x" * 9_000}}
    answer = await browser.post("/api/v1/stimuli", body, role="coordinator")
    assert answer.status_code == 422
    assert browser.decisions.asked == []


async def test_the_organiser_skips_and_an_observer_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    browser, _ = browse(exercise(), monkeypatch)
    await browser.post(f"/api/v1/stimuli/E3:skip?realm={REALM}", {}, role="coordinator")
    await browser.post(f"/api/v1/stimuli/E1:note?realm={REALM}", {"mark": 1}, role="observer")
    skip, note = browser.decisions.asked
    assert isinstance(skip, SkipStimulus)
    assert isinstance(note, NoteStimulus)
    assert (skip.stimulus, note.stimulus, note.mark, note.text_id) == ("E3", "E1", 1, None)
    refused = await browser.post(f"/api/v1/stimuli/E1:note?realm={REALM}", {"mark": 1}, role="cell")
    assert refused.status_code == 403


async def test_the_evaluation_counts_marks_and_the_part_of_each_role() -> None:
    realm_state = exercise()
    called = {"role": "directeur_pole", "planned_at": NOW - 7 * MINUTE, "incident": "i-1"}
    answered = called | {"acknowledged_at": NOW - 3 * MINUTE, "state": "answered", "answer": "ack"}
    realm_state.put("notifications", notification("n-1", **answered))
    realm_state.put("notifications", notification("n-2", **called | {"role": "dgs"}))
    _, model = browsing(realm_state)
    sheet = await model.of(REALM).evaluation_sheet()
    assert (sheet.stimuli, sheet.played, sheet.skipped, sheet.noted, sheet.mark) == (
        4,
        1,
        1,
        1,
        2.5,
    )
    roles = {one.role: one for one in sheet.roles}
    director = roles["directeur_pole"]
    assert (director.called, director.answered, director.credit) == (1, 1, True)
    assert director.first_action_min == 4.0
    assert (roles["dgs"].answered, roles["dgs"].credit) == (0, False)
    (played, *_rest) = await model.of(REALM).stimuli()
    assert played.reacted_min == 5.0


@pytest.mark.parametrize(
    ("answered", "calls", "text"),
    [
        (0, 2, "0 réponse sur 2 appels"),
        (1, 17, "1 réponse sur 17 appels"),
        (2, 17, "2 réponses sur 17 appels"),
        (1, 1, "1 réponse sur 1 appel"),
    ],
)
def test_answers_and_calls_each_agree_with_their_number(
    answered: int, calls: int, text: str
) -> None:
    """«0 réponses sur 2 appels», said the evaluation."""
    role = RoleParticipation(
        role="dgs",
        name="DGS",
        called=calls,
        answered=answered,
        decided=0,
        cards=0,
        first_action_min=None,
        credit=False,
    )
    assert describe_role(role, get_translator("fr")).replace("\u00a0", " ") == text


async def test_the_first_stimulus_that_waits_is_the_next() -> None:
    _, model = browsing(exercise())
    stimuli = await model.of(REALM).stimuli()
    lines = build_stimulus_lines(stimuli, TerritoryNames(), to_datetime(NOW), get_translator("fr"))
    assert [line.stimulus.id for line in lines if line.is_next] == ["E2"]
    assert [line.state for line in lines] == ["joué", "à jouer", "prévu", "sauté"]
    assert stimuli[0].state is StimulusState.PLAYED


async def test_the_pages_offer_the_list_to_the_organiser_and_the_evaluation_to_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    browser, _ = browse(exercise(), monkeypatch)
    page = await browser.get(f"/exercice?realm={REALM}", role="coordinator")
    assert 'action="/api/v1/stimuli/E3:skip"' in page.text
    assert "&#34;alias&#34;:&#34;E1~2&#34;" in page.text
    player = await browser.get(f"/exercice?realm={REALM}", role="cell")
    assert "stimuli/E3" not in player.text
    text = await shown(browser, "/retex")
    assert "note moyenne 2,5 sur 3" in text
    english = await shown(browser, "/exercice", lang="en")
    assert "average mark 2.5 of 3" in english


async def test_an_exercise_without_stimuli_shows_an_empty_list() -> None:
    browser, _ = browsing(realm())
    assert "Aucun stimulus à montrer." in await shown(browser, "/exercice")
