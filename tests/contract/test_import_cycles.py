"""No modules import each other, not even for types: each can be read and imported alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.shipped import REPOSITORY

PACKAGES = ("schemas", "services", "tools")


def list_imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports outside functions, with those under `TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from list_imports(node)


def list_packages(module: str) -> list[str]:
    """Return the packages around a module, outermost first."""
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def read_graph(root: Path) -> Mapping[str, set[str]]:
    """Return module → modules that are loaded before it.

    Importing `a.b.c` also runs `a/b/__init__.py`, unless the importer lies in `a.b` itself.
    """
    files = {
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file
        for package in PACKAGES
        for file in (root / package).rglob("*.py")
    }
    graph: dict[str, set[str]] = {}
    for module, file in files.items():
        imported_modules = set[str]()
        for node in list_imports(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported_modules |= {alias.name for alias in node.names}
            elif node.module is not None:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                imported_modules |= inner & files.keys() or {node.module}
                if not inner <= files.keys():
                    imported_modules.add(node.module)
        around = {
            package for name in imported_modules & files.keys() for package in list_packages(name)
        }
        imported_modules |= around - set(list_packages(module))
        graph[module] = imported_modules & files.keys() - {module}
    return graph


def find_cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return one cycle of imports, or an empty list."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other() -> None:
    assert find_cycle(read_graph(REPOSITORY)) == []


@pytest.mark.parametrize(
    "sources",
    [
        {"services/a.py": "import services.b", "services/b.py": "from services import a"},
        {
            "services/a.py": "if TYPE_CHECKING:\n    from services.b import B",
            "services/b.py": "from services.a import A",
        },
        {
            "services/texts/__init__.py": "from services.titles import T",
            "services/texts/words.py": "",
            "services/titles.py": "from services.texts import words",
        },
    ],
    ids=["plain", "types", "package"],
)
def test_a_cycle_is_found(tmp_path: Path, sources: dict[str, str]) -> None:
    for name, text in {"services/__init__.py": "", **sources}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert find_cycle(read_graph(tmp_path))
