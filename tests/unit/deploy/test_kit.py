"""The start file of the kit uses the standard library and refuses in one sentence."""

from __future__ import annotations

import ast
import hashlib
import json
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.runtime.process.settings import REPOSITORY

START = REPOSITORY / "deploy" / "kit" / "vigie.py"
PROGRAM = """
import os, subprocess, sys
from part import WORD
from part.inner import OTHER
tool = os.path.join(os.path.dirname(sys.modules["part"].__file__), "tool")
print(WORD, OTHER, subprocess.run([tool], capture_output=True, text=True).stdout.strip(), sys.argv[1:], os.environ["VIGIE_TERRITORY"].rpartition("/")[2])
"""


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """Build a kit with one package and a program that prints its arguments."""
    folder = tmp_path / "kit"
    (folder / "wheels").mkdir(parents=True)
    with zipfile.ZipFile(folder / "wheels" / "part-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("part/__init__.py", "WORD = 'whole'\n")
        wheel.writestr("part-1.0.data/purelib/part/inner.py", "OTHER = 'inner'\n")
        wheel.writestr("part-1.0.data/scripts/part", "not for us\n")
        tool = zipfile.ZipInfo("part/tool")
        tool.external_attr = 0o100755 << 16
        wheel.writestr(tool, "#!/bin/sh\necho runs\n")
    program = folder / "app" / "services" / "cli" / "__main__.py"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM)
    shutil.copyfile(START, folder / "vigie.py")
    describe(folder)
    return folder


def describe(folder: Path, **changes: Any) -> None:
    names = [p for p in folder.rglob("*") if p.is_file() and p.suffix in (".whl", ".py")]
    about = {
        "id": "x",
        "territory": "92",
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "system": platform.system(),
        "machine": platform.machine(),
        "files": {
            p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in names
        },
    } | changes
    (folder / "manifest.json").write_text(json.dumps(about))


def started(kit: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Start it with the bare interpreter, without site-packages or this environment."""
    bare = str(
        Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    )
    return subprocess.run(
        [bare, "-I", str(kit / "vigie.py"), *arguments],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_start_file_needs_only_the_standard_library() -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(START.read_text()))
        for name in (
            [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names


def test_the_start_file_unpacks_packages_once_and_runs_the_command(kit: Path) -> None:
    first = started(kit, "status", "--json")
    assert (first.returncode, first.stdout.strip()) == (
        0,
        "whole inner runs ['status', '--json'] 92",
    ), first.stderr
    assert "premier démarrage" in first.stderr
    again = started(kit)
    assert (again.stdout.strip(), again.stderr) == ("whole inner runs ['up'] 92", "")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"python": "3.9"}, "demande Python 3.9"),
        ({"machine": "vax"}, "vax"),
        ({"files": {"wheels/gone.whl": ""}}, "il manque"),
    ],
)
def test_a_wrong_machine_or_a_missing_file_is_one_sentence(
    kit: Path, changes: dict[str, Any], says: str
) -> None:
    describe(kit, **changes)
    done = started(kit, "status")
    assert done.returncode == 1
    assert says in done.stderr.splitlines()[-1] or says in done.stderr.splitlines()[0]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b'{"files": {')]
)
def test_a_damaged_list_of_files_is_reported(kit: Path, damage: Callable[[Path], None]) -> None:
    """The list proves that every other file is complete."""
    damage(kit / "manifest.json")
    done = subprocess.run(
        [sys.executable, kit / "vigie.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        1,
        "Vigie : manifest.json manque ou est abîmé : refaites le kit (vigie kit)\n",
    )


def test_a_changed_file_is_found(kit: Path) -> None:
    assert started(kit, "--check").returncode == 0
    (kit / "app" / "services" / "cli" / "__main__.py").write_text("print('something else')\n")
    done = started(kit, "--check")
    assert (done.returncode, "a changé" in done.stderr) == (1, True)


WITHOUT_LINKS = "import os, runpy, sys; sys.argv = sys.argv[1:]\ndef link(a, b):\n    if str(a).startswith(sys.argv[0][:-9]): raise PermissionError\nos.link = link\nrunpy.run_path(sys.argv[0], run_name='__main__')"


def test_a_stick_without_file_rights_gets_no_data(kit: Path, tmp_path: Path) -> None:
    """Most sticks are FAT.

    Vigie stopped there with `Operation not permitted`, and its keys were readable.
    """
    bare = str(
        Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home)}
    command = [bare, "-I", "-c", WITHOUT_LINKS, str(kit / "vigie.py"), "status"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"elles sont dans {home}" in done.stderr
    assert [p.name for p in (home / ".local" / "share" / "vigie-kit").iterdir()] == ["site-x"]
    assert not [p for p in kit.iterdir() if p.name.startswith((".", "site"))]


def test_an_unusable_data_folder_is_named(kit: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bare = str(
        Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    )
    environment = {"PATH": "/usr/bin:/bin", "VIGIE_KIT_DIR": str(tmp_path / "file" / "data")}
    done = subprocess.run(
        [bare, "-I", str(kit / "vigie.py"), "status"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "VIGIE_KIT_DIR=" in done.stderr
