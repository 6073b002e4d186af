"""Typing errors at `vigie play` are named before anything is opened."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from rich.console import Console

from schemas.people.responders import RespondersInvalid
from services.cli.client import ApiClient, ApiRefused
from services.cli.exercises.play import (
    ScenarioPlayer,
    _parse_speed,
    _read_responders,
    _show_results,
    _show_summary,
    select_due_checks,
)
from services.simulation.checks import CheckResult
from services.simulation.scenarios import Event, PlannedAction, Scenario


@pytest.mark.parametrize(("said", "pace"), [("max", None), ("20", 20.0), ("0.5", 0.5)])
def test_a_speed_is_a_number_or_max(said: str, pace: float | None) -> None:
    assert _parse_speed(said) == pace


@pytest.mark.parametrize("said", ["fast", "0", "-1", "nan", "inf", ""])
def test_any_other_speed_is_a_wrong_usage(said: str) -> None:
    with pytest.raises(typer.BadParameter):
        _parse_speed(said)


@pytest.mark.parametrize("text", ["- role: dgs\n", "people: []\n", "responders: dgs\n", ""])
def test_a_file_without_responders_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "answers.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RespondersInvalid, match=r"answers\.yaml"):
        _read_responders(file)


def test_a_continued_play_sends_its_earlier_events_unchanged() -> None:
    """The front refuses a known key with another body. The clock moves before each event."""
    sent_requests: dict[str, Any] = {}

    class Door:
        def call(
            self, _method: str, path: str, body: Any, headers: dict[str, str]
        ) -> tuple[int, Any]:
            assert sent_requests.setdefault(headers["Idempotency-Key"], (path, body)) == (
                path,
                body,
            )
            return 200, {"report_id": "r", "state": "applied"}

    minute = 60_000
    events = tuple(
        Event(f"E{n}", at * minute, {"type": "info"}) for n, at in enumerate((0, 20, 40, 40, 60))
    )
    for until in (30 * minute, 60 * minute):
        ScenarioPlayer(
            cast("ApiClient", Door()), Scenario("EX", "", 0, events), "92~ex-on", None
        ).play(until, lambda: None)
    assert len(sent_requests) == len(events) + len([0, 20, 30, 40, 40, 60, 60])


def test_an_action_follows_the_events_of_its_time_and_names_their_incident() -> None:
    requests: list[tuple[str, Any]] = []

    class Door:
        def call(
            self, _method: str, path: str, body: Any, _headers: dict[str, str]
        ) -> tuple[int, Any]:
            requests.append((path, body))
            return 200, {"report_id": "r-1", "state": "applied", "incident": "i-1"}

    event = Event("E1", 60_000, {"type": "info"})
    action = PlannedAction("A001", 60_000, {"title": "x", "assignee": "cen-1"}, "E1")
    scenario = Scenario("EX", "", 0, (event,), actions=(action,))
    player = ScenarioPlayer(cast("ApiClient", Door()), scenario, "92~ex-on", None)
    player.play(60_000, lambda: None)
    posts = [(path, body) for path, body in requests if "/step" not in path and body is not None]
    assert [path for path, _ in posts] == ["/api/v1/reports", "/api/v1/actions"]
    assert posts[1][1]["incident"] == "i-1"


def test_the_summary_calls_the_states_of_sites_as_the_screens_do() -> None:
    class Told:
        def rows(self, name: str, _until: float) -> dict[str, Any]:
            return {"cen-1": {"status": "closed"}} if name == "sites" else {}

    out = StringIO()
    _show_summary(Console(file=out), cast("Any", Told()), "92~ex-1", 1.0, 1)
    assert "Sites : fermé" in out.getvalue()
    assert "closed" not in out.getvalue()


def test_an_exercise_continued_with_other_responders_names_the_reason_and_the_remedy() -> None:
    class Door:
        def call(self, *_asked: Any) -> tuple[int, Any]:
            raise ApiRefused(409, {"code": "key_reused", "detail": "Idempotency-Key …"})

    player = ScenarioPlayer(cast("ApiClient", Door()), Scenario("EX", "", 0, ()), "92~ex-1", None)
    with pytest.raises(ApiRefused, match=r"92~ex-1 was opened with other responders.*--realm"):
        player.open([])


@pytest.mark.parametrize(
    ("minute", "due"), [(0, []), (29.9, []), (30, ["C1"]), (60, ["C1", "C2"]), (90, ["C1", "C2"])]
)
def test_a_pause_judges_the_expectations_up_to_its_minute(minute: float, due: list[str]) -> None:
    """The first pause of an exercise failed by expectations about its end."""
    checks = [{"id": "C1", "at_min": 30}, {"id": "C2", "at_min": 60}]
    assert [c["id"] for c in select_due_checks(checks, int(minute * 60_000))] == due


@pytest.mark.parametrize(
    ("results", "later", "words"),
    [
        ([], 2, "2 attentes plus tard"),
        ([CheckResult("C1", True, "N1", "ouvert")], 1, "1 attente plus tard"),
        ([CheckResult("C1", True, "N1", "ouvert")], 0, "1 / 1 attentes tenues"),
    ],
)
def test_a_pause_tells_how_many_expectations_wait(
    results: list[CheckResult], later: int, words: str
) -> None:
    console = Console(file=StringIO(), width=100)
    _show_results(console, results, later)
    output = cast("StringIO", console.file).getvalue()
    assert words in output
    assert ("plus tard" in output) == (later > 0)
