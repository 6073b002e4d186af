"""`vigie territory check` refuses impossible entries of `moyens.yaml` and `stocks.csv` (D88)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.shipped import FOLDER, territory
from tests.unit.territory.test_territory import edit, problems


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "92"))


@pytest.mark.parametrize(
    ("file", "before", "after", "what"),
    [
        ("stocks.csv", "gen-log-01,generator", "gen-log-01,tank", "kind 'tank' is not in"),
        ("stocks.csv", ",log-01,2,45", ",nowhere,2,45", "site 'nowhere' is not in sites.csv"),
        ("stocks.csv", ",log-01,2,45", ",log-01,-2,45", "quantity"),
        ("stocks.csv", "gen-voi-02", "gen-log-01", "stock 'gen-log-01' stands twice"),
        ("stocks.csv", "people,chauffeur", "people,pilote", "métier 'pilote' is not in"),
        ("stocks.csv", "people,chauffeur", "people,", "métier None is not in"),
        ("stocks.csv", "generator,,Groupe", "generator,chauffeur,Groupe", "only kinds with"),
        ("moyens.yaml", "genres: [generator]", "genres: [tank]", "kind 'tank' is not declared"),
        ("moyens.yaml", "cellule_logistique", "cellule_magie", "'cellule_magie' is not declared"),
        ("moyens.yaml", "relance_vie_min: 10", "relance_vie_min: 0", "remind_min"),
        ("moyens.yaml", "delai_min: 240", "delay: 3, delai_min: 240", "no field 'delay'"),
        ("moyens.yaml", "vitesse_km_h: 25", "vitesse_km_h: 0", "speed_kmh"),
    ],
)
def test_resources_that_cannot_hold_are_refused_with_their_file(
    folder: Path, file: str, before: str, after: str, what: str
) -> None:
    edit(folder / file, before, after)
    problem_lines = problems(folder)
    assert any(problem.startswith(file) and what in problem for problem in problem_lines), (
        problem_lines
    )


def test_stocks_without_kinds_are_refused(folder: Path) -> None:
    (folder / "moyens.yaml").unlink()
    assert any(problem.startswith("stocks.csv:0:") for problem in problems(folder))


def test_every_kind_of_the_shipped_territory_can_be_offered() -> None:
    rules = next(s.rules for s in territory().sections if s.section == "resources")
    stocked = {stock.kind for stock in rules.stocks}
    assert {kind.id for kind in rules.kinds} == stocked
