"""Lists are exported as files with named columns and no formula, and can be imported."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st

from schemas.people.directory import Contact, ContactPoint
from schemas.words import Channel
from services.console import exports
from services.console.accounts.people_api import COLUMNS, list_contact_rows
from services.console.directory.contact_file import read_contacts
from services.console.exports.formats import CSV, choose_form
from services.console.exports.tables import (
    BOM,
    Column,
    Columns,
    FileNaming,
    build_csv_response,
    escape_formula,
    read_all_pages,
    stream_csv_response,
    unescape_formula,
    write_cell,
    write_rows,
    write_titles,
)
from services.console.i18n import get_translator
from services.console.logbook.lines import LineRecord, build_key
from services.console.resources import CommandResult, Page
from services.runtime.identity.accounts import create_principal
from services.runtime.identity.permissions import Role
from services.runtime.secrets.vault import TextItem
from tests.unit.console import (
    test_actions,
    test_ledger,
    test_logistics,
    test_obligations,
)
from tests.unit.console.held import Browser, browsing
from tests.unit.console.test_every_screen import REALM, START, crisis

FR, EN = get_translator("fr"), get_translator("en")
FORMULAS = (
    "=1+1",
    "+33612345678",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =HYPERLINK(A1)",
    "\u00a0=1",
    "＝1",
    "＋1",
    "－1",
    "＠A1",
    "\x00=1",
)
SIGNS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
HIDDEN_FORMULAS = (
    "École,=1+1",
    "École;+1",
    "École\t=1",
    "À faire :\n- eau\n\n- pain",
    "École\r\n@A1",
    'École, "=1',
    'École,";=1',
    "École, '=1",
    "École,\u00a0＝1",
    "\t\t=1",
    "'\t=1",
    "'",
)


def table(text: str) -> list[dict[str, str]]:
    """Read a table as a spreadsheet does."""
    assert text.startswith(BOM)
    return list(csv.DictReader(io.StringIO(text.removeprefix(BOM)), delimiter=";"))


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_never_becomes_a_formula(text: str) -> None:
    assert write_cell(text, FR).lstrip().startswith("'")
    assert write_cell(["x", text], FR).removeprefix("x, ").lstrip().startswith("'")


@given(st.lists(st.sampled_from((*FORMULAS, *HIDDEN_FORMULAS, ",", '"', "'", "x"))).map("".join))
@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_no_separator_makes_a_formula_of_a_text(separator: str, text: str) -> None:
    """Excel splits cells at the separator of its language, LibreOffice at those of its dialog."""
    columns: Columns[str] = (
        Column("Site", lambda row: row),
        Column("Texte", lambda row: [row, row]),
    )
    content = write_titles(columns, FR) + write_rows(columns, (text, "x"), FR)
    lines = csv.reader(io.StringIO(content, newline=""), delimiter=separator)
    cells = (cell.lstrip() for line in lines for cell in line)
    assert [cell for cell in cells if cell.startswith(SIGNS)] == []


def test_a_text_of_blanks_is_read_once() -> None:
    text = "\n" * 200_000
    assert escape_formula(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", " ", "Collège", "a=b", "12-14 rue X", "'à vérifier'"])
def test_any_other_text_stays_as_it_is(text: str) -> None:
    assert escape_formula(text) == text


@pytest.mark.parametrize(
    "text", ["Collège", "l’eau", "'à vérifier'", *FORMULAS[:-1], *HIDDEN_FORMULAS]
)
def test_an_imported_cell_restores_its_text(text: str) -> None:
    assert unescape_formula(escape_formula(text)) == text


def test_numbers_stay_numbers_in_the_way_of_the_language() -> None:
    assert [write_cell(v, FR) for v in (-3, 2.5, 100.0, True, None)] == [
        "-3",
        "2,5",
        "100",
        "oui",
        "",
    ]
    assert write_cell(2.5, EN) == "2.5"
    assert write_cell(1e-7, FR) == "0,0000001"


def test_times_are_those_of_paris() -> None:
    assert write_cell(datetime(2027, 2, 11, 8, 40, tzinfo=UTC), FR) == "2027-02-11 09:40:00"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "json"),
        ("*/*", "json"),
        ("text/html,application/json", "json"),
        ("text/csv", "csv"),
        ("text/csv;q=0.5, application/json", "json"),
        ("application/json;q=0.1, text/csv;q=0.5", "csv"),
        ("application/geo+json", "geojson"),
        ("text/csv;q=0", "json"),
        ("text/csv;q=x", "json"),
    ],
)
def test_the_header_accept_chooses_the_form(accept: str | None, form: str) -> None:
    assert choose_form(accept, ("json", "csv", "geojson")) == form


def test_an_unknown_form_of_a_list_is_not_chosen() -> None:
    assert choose_form("application/geo+json", ("json", "csv")) == "json"


def _lines(first: int, last: int, after: str | None) -> Page[CommandResult]:
    rows = [
        CommandResult(id=f"c-{n}", command_id="c", realm="92", state="applied")
        for n in range(first, last)
    ]
    return Page(items=rows, next=after)


async def _read(_limit: int, cursor: str | None) -> Page[CommandResult]:
    return _lines(0, 2, "more") if cursor is None else _lines(2, 3, None)


async def test_a_long_list_is_whole() -> None:
    assert [row.id for row in await read_all_pages(_read)] == ["c-0", "c-1", "c-2"]


async def test_sites_are_a_table_and_a_map() -> None:
    browser, _model = browsing(crisis())
    answer = await browser.get(f"/api/v1/sites?realm={REALM}&format=csv")
    assert answer.headers["content-type"].startswith("text/csv; charset=utf-8")
    name = "EXERCICE-vigie-92_ex-1-sites.csv"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    rows = table(answer.text)
    listed = (await browser.get(f"/api/v1/sites?realm={REALM}", accept="application/json")).json()
    assert len(rows) == len(listed["items"])
    (pmi,) = [row for row in rows if row["Code du site"] == "pmi-01"]
    assert (pmi["État"], pmi["Causes"], pmi["Capacité (%)"]) == (
        "Fermé",
        "Coupure d’électricité",
        "0",
    )
    map_ = (await browser.get(f"/api/v1/sites?realm={REALM}&format=geojson")).json()
    assert map_["type"] == "FeatureCollection"
    (one,) = [f for f in map_["features"] if f["id"] == "pmi-01"]
    lon, lat = one["geometry"]["coordinates"]
    assert (one["properties"]["status"], 2 < lon < 3, 48 < lat < 49) == ("closed", True, True)


async def test_the_filters_of_a_list_apply_to_its_table() -> None:
    browser, _model = browsing(crisis())
    answer = await browser.get(f"/api/v1/sites?realm={REALM}&format=csv&status=closed&limit=1")
    assert [row["Code du site"] for row in table(answer.text)] == ["pmi-01"]
    english = await browser.get(f"/api/v1/sites?realm={REALM}&format=csv&status=closed", lang="en")
    assert [row["State"] for row in table(english.text)] == ["Closed"]


def _note(seq: int, **values: Any) -> LineRecord:
    return LineRecord(
        key=build_key(START, "alerts", seq, 0),
        id=f"l-{seq}",
        type="NoteAdded",
        kind="note",
        occurred_at=START,
        recorded_at=START,
        author="cell-1",
        place=f"alerts/0/{seq}/0",
        **values,
    )


async def test_a_note_in_the_table_of_the_logbook_is_no_formula() -> None:
    realm_state = crisis()
    realm_state.lines += [_note(0, text_id="words"), _note(1, site="pmi-01")]
    browser, model = browsing(realm_state)
    model.words.kept["words"] = TextItem({"text": "=cmd|' /C calc'!A0"})
    rows = table((await browser.get(f"/api/v1/log?realm={REALM}&format=csv")).text)
    listed = await browser.get(f"/api/v1/log?realm={REALM}&limit=1000", accept="application/json")
    assert [row["Code de la ligne"] for row in rows] == [e["id"] for e in listed.json()["items"]]
    assert "'=cmd|' /C calc'!A0" in [row["Ligne"] for row in rows]
    map_ = (await browser.get(f"/api/v1/log?realm={REALM}&format=geojson")).json()
    assert [f["geometry"] is None for f in map_["features"]] == [False, True]


async def test_the_schedule_has_a_row_for_each_shift() -> None:
    browser, _model = browsing(crisis())
    rows = table((await browser.get(f"/api/v1/oncall?realm={REALM}&format=csv")).text)
    listed = (
        await browser.get(f"/api/v1/oncall?realm={REALM}&limit=1000", accept="application/json")
    ).json()
    assert len(rows) == sum(len(post["holder"]) + len(post["deputy"]) for post in listed["items"])
    assert {row["Place"] for row in rows} == {"titulaire", "suppléant"}


class _Directory:
    def __init__(self, *contacts: Contact) -> None:
        self._contacts = {one.person: one for one in contacts}

    def of(self, realm: str) -> _Directory:  # noqa: ARG002
        return self

    def ids(self) -> list[str]:
        return list(self._contacts)

    async def get(self, person: str) -> Contact | None:
        return self._contacts.get(person)


class _Traces:
    def __init__(self) -> None:
        self.acts: list[str] = []

    def trace(self, _reader: Any, act: str, _about: str) -> None:
        self.acts.append(act)


PEOPLE = (
    Contact(
        person="p-1",
        name="=cmd; D’Artois",
        site="pmi-01",
        points=(
            ContactPoint(
                channel=Channel.SMS, address="+33612345678", verified_at=1_793_491_200_000
            ),
            ContactPoint(channel=Channel.EMAIL, address="a@example.org", quiet=(1260, 420)),
        ),
    ),
    Contact(person="p-2", language="en"),
)


async def test_an_exported_directory_can_be_imported() -> None:
    text = build_csv_response(COLUMNS, list_contact_rows(PEOPLE), FileNaming("92", "x", "en")).body
    assert read_contacts(bytes(text).decode("utf-8-sig").splitlines()) == list(PEOPLE)


async def test_only_its_keepers_export_the_directory_and_every_reading_is_recorded() -> None:
    browser, _model = browsing(crisis())
    browser.app.state.directory, browser.app.state.access = (
        _Directory(*PEOPLE),
        (traces := _Traces()),
    )
    response = await browser.get(f"/api/v1/people?realm={REALM}&format=csv", role="coordinator")
    assert [row["person"] for row in table(response.text)] == ["p-1", "p-1", "p-2"]
    listed = await browser.get(
        f"/api/v1/people?realm={REALM}", role="admin", accept="application/json"
    )
    assert [one["person"] for one in listed.json()["items"]] == ["p-1", "p-2"]
    assert traces.acts == ["directory.exported", "directory.exported"]
    for role in ("cell", "director", "auditor", "coordinator@pmi-01"):
        assert (await browser.get(f"/api/v1/people?realm={REALM}", role=role)).status_code == 403, (
            role
        )
    assert traces.acts == ["directory.exported", "directory.exported"]


HOSTILE = "=cmd|' /C calc'!A0"
MANAGER = "site_manager@pmi-01"


def hostile_desk() -> Browser:
    """Return a crisis with every list filled, in which each free text is a formula."""
    realm_state = crisis()
    realm_state.lines += [_note(0, text_id="words"), _note(1, site="pmi-01")]
    realm_state.put("actions", test_actions.row())
    realm_state.put("actions", test_actions.row("ac-2", assignee="cen-1", scope="cen-1"))
    test_logistics.put_request(realm_state)
    realm_state.put(
        "area_orders",
        {
            "id": "c-9",
            "incident": "i-1",
            "order": "evacuated",
            "report": "r-9",
            "source": "prefecture",
            "ordered_at": START,
            "communes": ["92036"],
            "sites": ["pmi-01"],
        },
    )
    realm_state.put("obligations", test_obligations.ended("done", declared_at=START))
    realm_state.put("reassignments", test_ledger._move().model_dump())
    browser, model = browsing(realm_state)
    model.words.kept = dict.fromkeys(("words", "x-ac-1", "x-ac-2"), TextItem({"text": HOSTILE}))
    browser.app.state.directory = _Directory(Contact(person="p-1", name=HOSTILE))
    browser.app.state.access.trace = lambda *_: None
    return browser


def list_exports() -> list[str]:
    """List the resources that declare a CSV in their responses."""
    app = browsing(crisis())[0].app
    return sorted(
        route.path
        for route in app.routes
        if isinstance(route, APIRoute)
        and "GET" in route.methods
        and CSV in route.responses.get(200, {}).get("content", {})
    )


def is_computed(cell: str) -> bool:
    """Return whether a spreadsheet would compute a cell; a number is none."""
    is_number = re.fullmatch(r"-?\d+([,.]\d+)?", cell) is not None
    return cell.lstrip().startswith(SIGNS) and not is_number


FREE_TEXTS = {
    "/api/v1/accounts": None,
    "/api/v1/actions": "Action",
    "/api/v1/area-orders": None,
    "/api/v1/ledger": None,
    "/api/v1/log": "Ligne",
    "/api/v1/obligations": "Accusé de réception ou raison",
    "/api/v1/oncall": None,
    "/api/v1/people": "name",
    "/api/v1/resource-requests": None,
    "/api/v1/sites": None,
    "/api/v1/stocks": None,
}
"""Column with words of people in each export; None: all its words are reference data."""


@pytest.mark.parametrize("path", list_exports())
async def test_each_export_is_a_whole_table_without_a_formula(path: str) -> None:
    browser = hostile_desk()
    await browser.app.state.access.add_account(create_principal(Role.CELL), "cell-1")
    answer = await browser.get(f"{path}?realm={REALM}&format=csv&limit=1", lang="fr")
    assert answer.headers["content-type"].startswith("text/csv; charset=utf-8")
    assert re.search(
        r'filename="(EXERCICE-)?vigie-92(_ex-1)?-[a-z-]+\.csv"',
        answer.headers["content-disposition"],
    )
    rows = table(answer.text)
    listed = await browser.get(f"{path}?realm={REALM}&limit=1000", accept="application/json")
    assert len(rows) >= len(listed.json()["items"]) > 0
    assert [cell for row in rows for cell in row.values() if is_computed(cell)] == []
    column = FREE_TEXTS[path]
    assert column is None or f"'{HOSTILE}" in [row[column] for row in rows]
    by_header = await browser.get(f"{path}?realm={REALM}", accept="text/csv")
    assert table(by_header.text) == rows


def test_tables_are_written_in_one_place() -> None:
    """A table written elsewhere would not have the apostrophe before a formula."""
    console = Path(exports.__file__).parents[1]
    writers = [
        str(path.relative_to(console))
        for path in sorted(console.rglob("*.py"))
        if re.search(r"csv\.(writer|DictWriter)", path.read_text(encoding="utf-8"))
    ]
    assert writers == ["exports/tables.py"]


@pytest.mark.parametrize("path", list_exports())
async def test_a_table_shows_a_reader_no_more_than_the_list(path: str) -> None:
    browser = hostile_desk()
    listed = await browser.get(
        f"{path}?realm={REALM}&limit=1000", role=MANAGER, accept="application/json"
    )
    answer = await browser.get(f"{path}?realm={REALM}&format=csv", role=MANAGER)
    assert answer.status_code == listed.status_code
    if answer.status_code == 200:
        assert len(table(answer.text)) == len(listed.json()["items"])


async def test_a_site_manager_exports_the_words_of_the_own_actions_alone() -> None:
    browser = hostile_desk()
    answer = await browser.get(f"/api/v1/actions?realm={REALM}&format=csv", role=MANAGER)
    words_by_id = {row["Identifiant"]: row["Action"] for row in table(answer.text)}
    assert words_by_id == {"ac-1": f"'{HOSTILE}", "ac-2": ""}


@pytest.mark.parametrize(
    ("page", "path"),
    [
        ("/actions", "actions"),
        ("/astreintes", "oncall"),
        ("/depenses", "ledger"),
        ("/echeances", "obligations"),
        ("/main-courante", "log"),
        ("/moyens", "resource-requests"),
        ("/moyens", "stocks"),
        ("/personnes", "people"),
        ("/sites", "sites"),
    ],
)
async def test_each_page_links_to_its_table(page: str, path: str) -> None:
    browser = hostile_desk()
    text = (await browser.get(f"{page}?realm={REALM}")).text
    links = re.findall(rf'href="(/api/v1/{path}\?[^"]*format=csv[^"]*)"[^>]*>Exporter en CSV', text)
    assert links
    answer = await browser.get(unescape(links[0]))
    assert table(answer.text)


async def test_a_long_table_is_written_page_by_page() -> None:
    columns: Columns[CommandResult] = (Column("Code", lambda row: row.id),)
    answer: Any = await stream_csv_response(columns, _read, FileNaming("92", "x", "fr"))
    text = "".join([part.decode() async for part in answer.body_iterator])
    assert [row["Code"] for row in table(text)] == ["c-0", "c-1", "c-2"]
