"""Choice of the live realm for a change of the directory. Rule D140."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from services.cli.oncall.directory import choose_realm
from services.runtime.process.settings import Settings


def make_settings(folder: Path, monkeypatch: pytest.MonkeyPatch, territory: str = "") -> Settings:
    (folder / "home-realm").write_text("92", encoding="utf-8")
    monkeypatch.delenv("VIGIE_TERRITORY", raising=False)
    if territory:
        monkeypatch.setenv("VIGIE_TERRITORY", f"/srv/territories/{territory}")
    return Settings(data_dir=folder)


@pytest.mark.parametrize(
    ("territory", "named", "realm"),
    [
        ("", None, "92"),
        ("92", None, "92"),
        ("", "93", "93"),
        ("93", "93", "93"),
        ("93", "92", "92"),
    ],
)
def test_a_command_changes_the_named_realm_else_the_home_realm(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    territory: str,
    named: str | None,
    realm: str,
) -> None:
    assert choose_realm(make_settings(tmp_path, monkeypatch, territory), named) == realm


def test_a_shell_of_another_territory_has_to_name_the_realm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its import would have replaced people of the home realm."""
    with pytest.raises(typer.BadParameter, match="--realm 93"):
        choose_realm(make_settings(tmp_path, monkeypatch, "93"), None)


@pytest.mark.parametrize("named", ["93~ex-1", "93/dgs", ""])
def test_a_realm_that_is_no_territory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    with pytest.raises(typer.BadParameter):
        choose_realm(make_settings(tmp_path, monkeypatch), named)
