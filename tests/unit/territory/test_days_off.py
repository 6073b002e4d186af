"""Public and school holidays are loaded by one command, with a warning before they end (D43)."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.reference import Escalation
from services.cli.__main__ import app
from services.territory import TerritoryInvalid, load_territory
from services.territory.official_days import list_calendar_warnings, write_days_off
from tests.shipped import FOLDER, territory


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "92"))


def _with(holidays: tuple[str, ...], school: tuple[tuple[str, str], ...]) -> Escalation:
    return territory().policy.model_copy(update={"holidays": holidays, "school_holidays": school})


def test_days_off_are_loaded_into_the_folder_and_nothing_else_changes(folder: Path) -> None:
    before = (folder / "escalade.yaml").read_text(encoding="utf-8").splitlines()
    write_days_off(folder, "FR", "C", 2026, 2)
    after = (folder / "escalade.yaml").read_text(encoding="utf-8").splitlines()
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [
        "jours_feries: {pays: FR, annees: [2026, 2027]}",
        "vacances_scolaires: {zone: C}",
    ]
    policy = load_territory(folder).policy
    assert {"2026-12-25", "2027-01-01", "2027-05-01", "2027-07-14", "2027-11-11"} <= set(
        policy.holidays
    )
    assert ("2027-02-06", "2027-02-21") in policy.school_holidays, (
        "zone C: académies de Créteil, Montpellier, Paris, Toulouse, Versailles"
    )


def test_the_command_reports_the_loaded_days_off(folder: Path) -> None:
    done = CliRunner().invoke(app, ["territory", "holidays", str(folder)])
    assert done.exit_code == 0, done.output
    assert "public holidays and" in done.output
    assert load_territory(folder).policy.holidays


def test_a_zone_that_the_file_does_not_know_leaves_the_folder_as_it_was(folder: Path) -> None:
    before = (folder / "escalade.yaml").read_bytes()
    with pytest.raises(TerritoryInvalid, match="zone 'Z'"):
        write_days_off(folder, "FR", "Z", 2026, 1)
    assert (folder / "escalade.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("holidays", "school", "wrong"),
    [
        ((), (), ["jours_feries is empty", "vacances_scolaires is empty"]),
        (("2027-12-25",), (("2027-07-03", "2027-08-31"),), []),
        (("2026-12-25",), (("2027-07-03", "2027-08-31"),), ["jours_feries ends on 2026-12-25"]),
        (
            ("2027-12-25",),
            (("2026-12-19", "2027-01-03"),),
            ["vacances_scolaires ends on 2027-01-03"],
        ),
        (("2027-02-27",), (("2027-02-06", "2027-02-27"),), []),
        (("2027-02-26",), (("2027-02-06", "2027-02-27"),), ["jours_feries ends on 2027-02-26"]),
    ],
)
def test_empty_lists_and_those_that_end_within_90_days_are_warned_of(
    holidays: tuple[str, ...], school: tuple[tuple[str, str], ...], wrong: list[str]
) -> None:
    warnings = list(list_calendar_warnings(_with(holidays, school), date(2026, 11, 29)))
    assert [any(warning.startswith(what) for warning in warnings) for what in wrong] == [
        True
    ] * len(wrong)
    assert len(warnings) == len(wrong)


def test_the_check_warns_and_passes(folder: Path) -> None:
    done = CliRunner().invoke(app, ["territory", "check", str(folder)])
    assert done.exit_code == 0
    assert "jours_feries is empty" in done.output


def test_other_days_off_make_another_version_and_the_same_ones_the_same() -> None:
    shipped = territory()
    assert shipped.with_calendar((), ()).version == shipped.version
    other = shipped.with_calendar(("2027-05-01",), ())
    assert (other.version != shipped.version, other.policy.holidays) == (True, ("2027-05-01",))
