"""The configuration page comes from the settings classes and names every variable."""

from __future__ import annotations

import re
from typing import Final

from services.cli.system.settings_reference import (
    GROUPS,
    SET_BY_UP,
    TARGET,
    build_page,
    list_variables,
)
from services.runtime.process.settings import REPOSITORY

INTERNAL: Final = {"VIGIE_SUPERVISOR", "VIGIE_FAILPOINT", "VIGIE_PRINCIPAL"}
"""The supervisor's mark on its processes, the fault tests' own, and a constant of the front."""


def test_the_configuration_page_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == build_page(), (
        "python -m services.cli.system.settings_reference"
    )


def test_every_variable_that_the_program_names_is_on_the_page() -> None:
    program_variables = {
        name
        for path in (
            *(REPOSITORY / "services").rglob("*.py"),
            *(REPOSITORY / "deploy").rglob("*.yaml"),
            REPOSITORY / "docker-compose.yml",
        )
        for name in re.findall(r"\bVIGIE_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8"))
    }
    valid_names = set(list_variables())
    unknown = {
        n
        for n in program_variables - valid_names - INTERNAL
        if not any(k.startswith(f"{n}_") for k in valid_names)
    }
    assert unknown == set()
    assert len(valid_names) > 50


def test_every_settings_class_is_on_the_page() -> None:
    bases = r"class (\w+)\(\s*(?:\w*Settings|FromEnvironment)[,)]"
    declared = {
        name
        for path in (REPOSITORY / "services").rglob("*.py")
        for name in re.findall(bases, path.read_text(encoding="utf-8"))
    }
    assert declared - {"FromEnvironment"} == {settings.__name__ for _, settings in GROUPS}


def test_variables_set_by_up_are_marked_and_exist() -> None:
    assert set(list_variables()) >= SET_BY_UP
    marked = re.findall(r"`(VIGIE_[A-Z_]+)` ⚙", build_page())
    assert set(marked) == SET_BY_UP
