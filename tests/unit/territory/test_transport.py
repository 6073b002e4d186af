"""`transport.yaml`: lines of public transport, and the communes that they serve. Rule D130."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from schemas import reference as ref
from services.territory.load import TerritoryInvalid, load_territory
from services.watch.watched import load_watched
from tests.shipped import FOLDER


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "92"
    shutil.copytree(FOLDER, copy)
    return copy


def load_lines(folder: Path) -> dict[str, ref.TransportLine]:
    sections = load_territory(folder).sections
    transport = next(s for s in sections if isinstance(s, ref.TransportLines))
    return {line.name: line for line in transport.lines}


def find_problems(folder: Path) -> list[str]:
    with pytest.raises(TerritoryInvalid) as fault:
        load_territory(folder)
    return [str(problem) for problem in fault.value.problems]


def edit(folder: Path, name: str, before: str, after: str) -> None:
    text = (folder / name).read_text(encoding="utf-8")
    assert before in text
    (folder / name).write_text(text.replace(before, after, 1), encoding="utf-8")


def test_the_lines_of_the_territory_have_the_ids_of_the_feed() -> None:
    lines = load_lines(FOLDER)
    watched = load_watched(FOLDER).lines.names
    assert {line.id: line.name for line in lines.values()}.items() <= watched.items()
    assert {line for line in watched.values() if line not in lines} == {"M8", "RER D"}
    # IDFM's referentiel-des-lignes: L and N are easily taken for each other.
    assert (lines["Ligne L"].id, lines["Ligne N"].id) == ("C01740", "C01736")


@pytest.mark.parametrize(
    ("line", "commune", "served"),
    [
        ("RER A", "92063", True),
        ("RER A", "92050", True),
        ("RER A", "92051", False),
        ("RER E", "92050", True),
        ("Ligne L", "92076", True),
        ("Ligne N", "92076", False),
        ("Ligne N", "92023", True),
        ("T1", "92078", True),
        ("T10", "92060", True),
        ("M10", "92012", True),
        ("T2", "92012", False),
    ],
)
def test_lines_serve_the_communes_of_their_stations(line: str, commune: str, served: bool) -> None:
    assert (commune in load_lines(FOLDER)[line].communes) is served


def test_every_commune_has_a_line() -> None:
    served = {insee for line in load_lines(FOLDER).values() for insee in line.communes}
    assert served == {commune.insee for commune in load_territory(FOLDER).communes}


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ('"92063"', '"92999"', "no commune '92999' in communes.csv"),
        ('"92063"', '"92050"', "commune '92050' stands twice"),
        ("id: C01383", "id: C01382", "line 'C01382' stands twice"),
        ("nom: M13", "nom: M12", "another line is named 'M12', too"),
        ("id: C01742", "id: C09999", "flux.yaml watches no line of this id"),
        ("id: C01740", "id: C01736", "flux.yaml names it 'Ligne N'"),
        ("mode: rer", "mode: bateau", "mode: Input should be"),
        ("    nom: RER A", "    libelle: RER A", "no field 'libelle'"),
        ('    communes:\n      - "92044"  # Levallois-Perret\n', "    communes: []\n", "communes"),
        ('      - "92044"  # Levallois-Perret\n', "      - 92044\n", "communes"),
        ("lignes:\n", "lines:\n", "lignes: a list of lines is expected"),
    ],
)
def test_a_line_that_cannot_be_read_is_a_problem_with_its_place(
    folder: Path, before: str, after: str, what: str
) -> None:
    edit(folder, "transport.yaml", before, after)
    problems = find_problems(folder)
    assert any(text.startswith("transport.yaml:") and what in text for text in problems), problems


@pytest.mark.parametrize("text", ["", "- a\n", "lignes: 3\n", "lignes: [3]\n", "lignes: [\n"])
def test_a_file_without_lines_is_a_problem(folder: Path, text: str) -> None:
    (folder / "transport.yaml").write_text(text, encoding="utf-8")
    assert any(problem.startswith("transport.yaml:") for problem in find_problems(folder))


def test_a_territory_needs_no_lines_and_no_feeds(folder: Path) -> None:
    (folder / "flux.yaml").unlink()
    assert load_lines(folder)["RER A"].communes
    (folder / "transport.yaml").unlink()
    assert "transport" not in {section.section for section in load_territory(folder).sections}
