"""Resource requests of an exercise file: checked with their line, played at their minute (D88)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.cli.exercises.play import ScenarioPlayer
from services.simulation.exercise_file import ExerciseInvalid, load_exercise
from tests.shipped import territory

FILE = """exercise: panne
title: Panne
start: 2027-03-02T08:00
events:
  - {{at: 5, type: outage_power, severity: 3, site: pmi-01}}
requests:
  - {request}
"""
GOOD = "{at: 20, kind: generator, quantity: 2, site: pmi-01, priority: life, until: +1d 08:00}"


def write(tmp_path: Path, request: str) -> Path:
    file = tmp_path / "panne.yaml"
    file.write_text(FILE.format(request=request), encoding="utf-8")
    return file


def test_a_request_is_posted_at_its_minute(tmp_path: Path) -> None:
    scenario = load_exercise(write(tmp_path, GOOD), territory()).scenario
    posted: list[tuple[str, Any]] = []

    class Client:
        def call(self, _method: str, path: str, body: Any, _headers: Any) -> tuple[int, Any]:
            posted.append((path, body))
            return 200, {"report_id": "r"}

    player = ScenarioPlayer(Client(), scenario, "92~ex-panne", None)  # type: ignore[arg-type]
    player.play(scenario.end, lambda: None)
    path, body = next(one for one in posted if "resource" in one[0])
    assert path == "/api/v1/resource-requests"
    assert body == {
        "kind": "generator",
        "quantity": 2,
        "site": "pmi-01",
        "priority": "life",
        "until": "2027-03-03T07:00:00.000Z",
        "realm": "92~ex-panne",
    }
    before = posted[posted.index((path, body)) - 1]
    assert before[0].endswith("/step")
    assert before[1]["to"].startswith("2027-03-02T07:20:00")


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("generator", "tank", "tank"),
        ("pmi-01, p", "pmi-999, p", "pmi-999"),
        ("quantity: 2", "quantity: 0", "quantity"),
        ("life", "urgent", "urgent"),
        ("at: 20, ", "", "at is missing"),
        ("generator", "people", "metier"),
        ("quantity", "count", "no field"),
    ],
)
def test_a_request_that_cannot_be_played_is_refused_with_its_line(
    tmp_path: Path, before: str, after: str, what: str
) -> None:
    assert before in GOOD
    with pytest.raises(ExerciseInvalid) as caught:
        load_exercise(write(tmp_path, GOOD.replace(before, after)), territory())
    assert any(f.line == 7 and what in str(f) for f in caught.value.problems), caught.value.problems
