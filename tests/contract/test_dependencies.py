"""Every package that we ask for has its reason in docs/dependencies.md, and no other has one there.

The product imports only packages that it installs.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from itertools import chain

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from services.appliance.supervisor.plan import PRELOADED_MODULES
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


def test_the_product_imports_only_packages_that_it_installs() -> None:
    """A package of the tests alone is missing on the machine of a newcomer."""
    installed = collect_installed_packages()
    either = {"immutables"} if sys.version_info >= (3, 14) else {"rpds"}  # ADR 48
    owners = packages_distributions()
    foreign = {
        f"{file}: {name}"
        for file, name in list_imported_packages()
        if name not in {"services", "schemas", *either, *sys.stdlib_module_names}
        and not installed & {canonicalize_name(owner) for owner in owners.get(name, [])}
    }
    assert foreign == set()


@pytest.mark.parametrize("module", PRELOADED_MODULES)
def test_the_fork_server_can_import_its_modules(module: str) -> None:
    assert importlib.util.find_spec(module) is not None


def list_imported_packages() -> Iterator[tuple[str, str]]:
    """Yield (file, top-level name) of every import of another project."""
    for name in PRELOADED_MODULES:
        yield "services/appliance/supervisor/plan.py", name.partition(".")[0]
    for folder in ("services", "schemas"):
        for file in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
                for name in names:
                    yield str(file.relative_to(REPOSITORY)), name.partition(".")[0]


def collect_installed_packages() -> set[str]:
    """Return the packages that an installation without the tests' groups brings."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    installed, waiting = set[str](), list[Requirement]()
    for line in project["project"]["dependencies"]:
        requirement = Requirement(line)
        installed.add(canonicalize_name(requirement.name))  # Some serve another interpreter alone
        if requirement.marker is None or requirement.marker.evaluate():
            waiting.append(requirement)
    visits = set[tuple[str, frozenset[str]]]()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in visits:
            continue
        visits.add((name, frozenset(requirement.extras)))
        installed.add(name)
        for line in distribution(name).requires or ():
            needed = Requirement(line)
            if needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)
            ):
                waiting.append(needed)
    return installed
