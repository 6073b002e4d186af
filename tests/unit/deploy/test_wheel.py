"""An installed wheel has its territory, exercises and guide."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from services.runtime.process.settings import REPOSITORY

READ = """
import sys, json
sys.path.insert(0, sys.argv[1])
from services.cli.exercises.scenario import SHIPPED
from services.console.web.static_pages import load_guide_page
from services.runtime.process.settings import Settings
from services.territory.load import load_territory
print(json.dumps({
    "from": str(SHIPPED),
    "sites": len(load_territory(Settings().territory).sites),
    "guide": load_guide_page("cellule").title,
    "exits": load_guide_page("how-to/exits").title,
    "exercises": len(list((SHIPPED / "scenarios").glob("*.yaml"))),
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and unpack it as an installer does."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run(
        [uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(REPOSITORY)], check=True
    )
    (wheel,) = folder.glob("vigie_crise-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "site-packages")
    return folder / "site-packages"


def test_a_wheel_brings_territory_exercises_and_guide(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", READ, str(installed)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    output = json.loads(done.stdout)
    assert output["from"] == str(installed / "services" / "shipped")
    assert output["sites"] == 253
    assert output["guide"]
    assert output["exits"]
    assert output["exercises"] == len(list((REPOSITORY / "scenarios").glob("*.yaml")))


def test_a_wheel_names_its_command_and_its_licence(installed: Path) -> None:
    (about,) = installed.glob("vigie_crise-*.dist-info")
    assert "vigie = services.cli.__main__:main" in (about / "entry_points.txt").read_text()
    assert (about / "licenses" / "LICENSE").is_file()
