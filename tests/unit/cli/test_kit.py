"""A kit is whole wherever it is made from."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from services.cli.system import kit
from services.runtime.process.settings import REPOSITORY


def test_an_old_python_reads_the_starter_of_a_kit() -> None:
    """`python3` of many servers is 3.6: it ended with a SyntaxError in place of the sentence."""
    starter = (REPOSITORY / "deploy" / "kit" / "vigie.py").read_text(encoding="utf-8")
    ast.parse(starter, feature_version=(3, 6))


def test_the_packages_go_into_the_folder_that_was_named_from_where_one_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Packages are fetched from the source folder, so a relative path missed the kit."""
    commands: list[list[str]] = []
    monkeypatch.setattr(kit, "_run_command", commands.append)
    monkeypatch.chdir(tmp_path)
    kit._download_wheels(Path("stick/wheels"))
    ((*_, target),) = [command for command in commands if "--dest" in command]
    assert REPOSITORY / target == tmp_path / "stick" / "wheels"
