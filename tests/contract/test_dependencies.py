"""Every package that we ask for has its reason in docs/dependencies.md, and no other has one there."""

from __future__ import annotations

import re
import tomllib
from itertools import chain

from tests.shipped import REPOSITORY

NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
APART = {"prometheus", "prometheus-alertmanager", "lighthouse", "smpp"}
"""Not from PyPI: listed below the tables."""


def test_every_package_has_a_reason_and_no_other_has_one() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    requirements = chain(project["project"]["dependencies"], *project["dependency-groups"].values())
    packages = {
        name_match[0]
        for requirement in requirements
        if (name_match := NAME.match(requirement)) is not None
    }
    text = (REPOSITORY / "docs" / "dependencies.md").read_text(encoding="utf-8")
    cells = [
        line.split("|")[1]
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith("| package")
    ]
    documented_names = {
        name for cell in cells for name in NAME.findall(re.sub(r"\[[a-z]+\]", "", cell))
    }
    assert packages - documented_names == set()
    assert documented_names - packages - APART == set()
