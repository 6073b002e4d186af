"""The commands of README run, one after the other, as a newcomer types them."""

from __future__ import annotations

import re

import pytest

from tests.system import ROOT, RunningVigie

LINES = re.findall(
    r"^ {4}\.venv/bin/vigie (.+?)(?: {2,}.*)?$",
    (ROOT / "README.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
SHORTER = {"play": ("--until", "2")}
"""The whole crisis is played elsewhere."""


def test_there_are_some() -> None:
    assert {line.split()[0] for line in LINES} >= {"status", "play", "verify", "--help"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_readme_runs(vigie: RunningVigie, line: str) -> None:
    name, *rest = line.split()
    done = vigie.cli(name, *rest, *SHORTER.get(name, ()), timeout_s=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
