"""Screens of a time that is over, and the difference of two times in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.console.attention import handover_page
from services.console.i18n import get_translator
from services.console.resources import Change, Changes
from services.console.texts.names import TerritoryNames
from services.console.web import times
from services.console.web.access import parse_page_time
from services.console.web.shell import ScreenReader
from services.console.web.static_pages import load_glossary
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import READ_PERMISSIONS, Permission, Role
from services.runtime.identity.principals import Principal

NOON = datetime(2027, 2, 11, 11, 0, tzinfo=UTC)
NOON_MS = 1_802_343_600_000
_ = get_translator("fr")


@pytest.mark.parametrize(
    "text",
    [
        "2027-02-11T12:00",
        "2027-02-11T12:00:00",
        "2027-02-11T11:00:00Z",
        "2027-02-11T12:00:00 01:00",
        str(NOON_MS),
    ],
)
def test_a_time_of_an_address_is_paris_time_by_default(text: str) -> None:
    assert parse_page_time(text, "as_of") == NOON_MS


def test_the_field_writes_the_format_of_the_address() -> None:
    for at in (NOON, NOON.replace(second=7)):
        assert parse_page_time(times.format_minute(at), "as_of") == int(at.timestamp() * 1000)


def test_a_missing_time_is_now_and_nonsense_is_refused_by_name() -> None:
    assert parse_page_time(" ", "as_of") is None
    with pytest.raises(ProblemError) as refused:
        parse_page_time("hier", "as_of")
    assert refused.value.problem.faults[0].field == "as_of"


def test_decisions_in_the_past_are_refused() -> None:
    admin = ScreenReader(Principal(id="p", role=Role.ADMIN), past=True)
    assert {p for p in Permission if admin.may(p)} == READ_PERMISSIONS


def change(collection: str, id: str, before: str | None, after: str) -> Change:
    return Change(collection=collection, id=id, title=id, before=before, after=after, at=NOON)


def test_changes_are_written_in_plain_words_gravest_kind_first() -> None:
    changes = Changes(
        realm="92",
        since=NOON,
        until=NOON,
        items=[
            change("sites", "cen-1", "normal", "evacuated"),
            change("levels", "territory", "N1", "N3"),
            change("incidents", "i1", None, "open N2"),
            change("tasks", "t1", "open", "done"),
            change("tasks", "t2", "open", "void"),
        ],
    )
    sections = handover_page.list_sections(changes, TerritoryNames(), _)
    assert [(s.title, s.changes[0].before, s.changes[0].after) for s in sections] == [
        ("Niveaux", "N1", "N3"),
        ("Incidents", "pas encore ouvert", "Ouvert N2"),
        ("Sites", "Normal", "Évacué"),
        ("Tâches", "ouverte", "faite"),
    ]
    assert [m.after for m in sections[-1].changes] == ["faite", "sans objet"]
    assert sections[0].changes[0].title == "Département"
    assert sections[2].changes[0].link == "/sites/cen-1"


def test_titles_come_before_ids_and_earlier_changes_are_folded() -> None:
    """The page began each line with an id, and was 4,750 px long after one power cut."""
    moved = [change("plans", f"PT-{n}", "valid", "active") for n in range(12)]
    moved = [one.model_copy(update={"title": f"Plan {one.id}"}) for one in moved]
    changes = Changes(realm="92", since=NOON, until=NOON, items=moved)
    (section,) = handover_page.list_sections(changes, TerritoryNames(), _)
    assert section.newest[0].title == "Plan PT-4 (PT-4)"
    assert (len(section.earlier), len(section.newest)) == (4, handover_page.CHANGES_SHOWN)


def test_an_unknown_span_is_the_default_one() -> None:
    assert handover_page.find_start("30", NOON).minute == 30
    assert (
        handover_page.find_start("99999999999", NOON)
        == handover_page.find_start(None, NOON)
        == datetime(2027, 2, 11, 3, 0, tzinfo=UTC)
    )


def test_the_glossary_is_in_the_readers_order() -> None:
    french, english = load_glossary("fr"), load_glossary("en")
    assert {t.key for t in french} == {t.key for t in english}
    assert french != english
    assert all(t.fr and t.en and t.definition for t in french)
