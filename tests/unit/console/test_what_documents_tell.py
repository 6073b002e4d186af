"""Documents list each change once, name its source and mark exercises (D53, D54)."""

from __future__ import annotations

import asyncio
from functools import cache

import pytest

from schemas.base import MINUTE_MS
from schemas.catalogue.sources import SOURCE_KINDS
from services.console.documents.document import Document, DocumentSection
from services.console.documents.formats import render_text
from services.console.documents.telling import drop_repetitions
from services.console.i18n import get_translator
from services.console.logbook.lines import LineRecord
from services.console.texts import words as w
from services.console.texts import world
from services.runtime.identity.permissions import Role
from tests.scenarios.memory import MemoryPlayer, played_to, scenario
from tests.scenarios.remembered import Remembered

EVERYBODY_COMES = ({"wave": 1, "answer": "ack", "after_s": 120},)
DAY_MIN = 24 * 60


@cache
def answered() -> MemoryPlayer:
    """Return S04, eight minutes after the cut, with all answers of the first wave."""
    player = MemoryPlayer(scenario("S04"), "92~ex-answered", responders=EVERYBODY_COMES)
    player.play(player.played.start + 8 * MINUTE_MS)
    return player


@cache
def snow() -> MemoryPlayer:
    """Return S11 to its end."""
    return played_to("S11", 0)


@cache
def unanswered() -> MemoryPlayer:
    """Return S04 without answers, to the next day."""
    return played_to("S04", DAY_MIN + 30)


@cache
def sitrep(at_min: float) -> Document:
    """Return the sitrep of S04 as known then."""
    played = unanswered()
    return asyncio.run(
        Remembered(played)
        .at(played.played.start + int(at_min * MINUTE_MS))
        .of(played.realm)
        .draft_sitrep()
    )


def section(document: Document, id: str, lang: str = "fr") -> DocumentSection:
    document_section = document.sheet(lang).section(id)
    assert document_section is not None
    return document_section


def lines(document: Document, id: str, lang: str = "fr") -> list[str]:
    return [line.text.replace("\u00a0", " ") for line in section(document, id, lang).lines]


@pytest.mark.parametrize(("document", "id"), [("sitrep", "evolution"), ("retex", "story")])
def test_many_acknowledgements_of_an_incident_are_one_line(document: str, id: str) -> None:
    """Each of them says it again, which left no room for anything else."""
    model, realm = Remembered(answered()), answered().realm
    made = asyncio.run(
        model.of(realm).draft_sitrep() if document == "sitrep" else model.of(realm).draft_retex()
    )
    section_lines = lines(made, id)
    assert sum("pris en charge" in line for line in section_lines) == 1
    assert sum("réponses suffisantes" in line for line in section_lines) == 1
    assert any("Niveau du territoire : N2 → N3" in line for line in section_lines)


def _line(
    n: int, type: str = "IncidentChanged", change: str = "acknowledged", **values: object
) -> LineRecord:
    return LineRecord(
        key=f"{n:03d}",
        id=f"l-{n}",
        type=type,
        kind="decision",
        occurred_at=n,
        recorded_at=n,
        author="system",
        place=f"alerts/0/{n}/0",
        change=change,
        incident="i-1",
        values={"escalation": "e-1", **values},
    )


def _told(*oldest_first: LineRecord) -> list[int]:
    return [line.recorded_at for line in drop_repetitions(reversed(oldest_first))]


def test_an_acknowledgement_after_a_withdrawal_is_a_new_line() -> None:
    mine, again, nobody, other = (
        _line(n, state=state)
        for n, state in enumerate(("acknowledged", "acknowledged", "open", "acknowledged"))
    )
    assert _told(mine, again, nobody, other) == [0, 2, 3]


def test_an_acknowledgement_after_a_rise_is_a_new_line() -> None:
    assert _told(
        _line(0, state="acknowledged"), _line(1, change="level"), _line(2, state="acknowledged")
    ) == [0, 1, 2]


def test_a_fully_answered_escalation_is_one_line_until_it_restarts() -> None:
    """A reminder after hours without news is answered, too."""
    changes = ("answered", "answered", "stale", "answered", "exhausted", "answered")
    assert _told(*(_line(n, "EscalationChanged", change) for n, change in enumerate(changes))) == [
        0,
        2,
        4,
        5,
    ]


def test_river_readings_show_the_highest_and_the_newest() -> None:
    """Forty of them left no room for anything else."""
    levels = [
        _line(n, "FlagChanged", "fact", flag="river:austerlitz", value=value)
        for n, value in enumerate((4.5, 6.2, 8.1, 8.1, 5.0, 4.6))
    ]
    other = _line(9, "FlagChanged", "fact", flag="river:suresnes", value=3.0)
    assert _told(*levels, other) == [2, 5, 9]


def test_other_similar_lines_are_all_kept() -> None:
    assert _told(_line(0, "NoteAdded", "note"), _line(1, "NoteAdded", "note")) == [0, 1]


@pytest.mark.parametrize(("lang", "said"), [("fr", "EXERCICE"), ("en", "EXERCISE")])
def test_plain_text_of_an_exercise_is_marked_first(lang: str, said: str) -> None:
    """The préfecture gets the text alone."""
    document = sitrep(36.4)
    assert render_text(document, lang).splitlines()[0] == said
    assert said not in render_text(document.model_copy(update={"simulated": False}), lang)


def test_a_moment_of_another_day_has_its_day() -> None:
    level_lines = lines(sitrep(DAY_MIN + 30), "level")
    assert level_lines[0].startswith("N1, jeu. 11/02 09:40 (")


def test_every_kind_of_source_has_a_label() -> None:
    """A report without a source is its author's role's."""
    for lang in ("fr", "en"):
        source_labels = {
            kind: world.name_source(kind, get_translator(lang))
            for kind in (*SOURCE_KINDS, *(role.value for role in Role))
        }
        assert {kind: word for kind, word in source_labels.items() if "_" in word} == {}
        assert {
            kind for kind in source_labels if kind not in world.SOURCE and kind not in w.ROLE
        } == set()


def test_a_source_invented_by_an_exercise_is_readable() -> None:
    assert world.name_source("club_de_voile", get_translator("fr")) == "club de voile"


def test_reports_and_partners_are_written_in_plain_words() -> None:
    claims, partners = lines(sitrep(240), "claims"), lines(sitrep(240), "partners")
    assert claims[0] == "Information : rumeur, 10:55."
    assert any(line.startswith("Opérateur : Panne téléphonique") for line in partners)


def test_one_expected_answer_is_in_the_singular() -> None:
    expected = [line for line in lines(sitrep(240), "calls") if line.startswith("Vague 3")]
    assert expected
    assert all(line.endswith("0 réponse sur 1 attendue.") for line in expected)


def test_without_an_incident_the_footer_names_none() -> None:
    player = MemoryPlayer(scenario("S04"), "92~ex-calm")
    calm = asyncio.run(Remembered(player).of(player.realm).draft_sitrep())
    assert calm.incidents == ()
    assert "92~ex-calm" not in calm.sheet("fr").footer
    assert "incident" not in calm.sheet("fr").footer


def test_a_failed_system_is_shown_by_its_name() -> None:
    player = MemoryPlayer(scenario("S05"), "92~ex-attack")
    player.play(player.played.start + 213 * MINUTE_MS)
    section_lines = lines(
        asyncio.run(Remembered(player).of(player.realm).draft_sitrep()), "essential"
    )
    assert "Annuaire informatique : en mode dégradé depuis 05:50." in section_lines
    assert any(line.endswith(" sites dégradés.") for line in section_lines), (
        "the first count says of what"
    )


def test_limits_of_many_sites_at_one_time_are_one_line() -> None:
    morning = snow().played.start + (17 * 60 + 20) * MINUTE_MS
    document = asyncio.run(Remembered(snow()).at(morning).of(snow().realm).draft_sitrep())
    assert any(
        line.startswith("09:00 : RTO de EDU-02 (") and line.endswith(" sites).")
        for line in lines(document, "ahead")
    )


def test_exceeded_limits_of_single_sites_are_shown() -> None:
    """No whole activity fell below its minimum, and dozens of alarms were raised."""
    section_lines = lines(asyncio.run(Remembered(snow()).of(snow().realm).draft_retex()), "real")
    assert any("horloges de sites ont dépassé leur RTO." in line for line in section_lines)
    assert "Aucune activité entière n’est passée sous son minimum." in section_lines
