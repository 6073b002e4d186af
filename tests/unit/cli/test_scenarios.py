"""Scenario folders and expectations are read, or refused with line and reason before a play."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.runtime.process.settings import REPOSITORY
from services.simulation import checks, expectations
from services.simulation.checks import ChecksInvalid, RealmHistory, load_checks, run_checks
from services.simulation.scenarios import (
    ScenarioInvalid,
    ScenarioUnknown,
    list_scenarios,
    load_scenario,
)

SHIPPED = REPOSITORY / "scenarios"
HEADS = "scenarios:\n- id: S10\n  titre: Feu\n  debut: '2027-03-07T03:15:00'\n"
LINES = (SHIPPED / "scenario_events.csv").read_text(encoding="utf-8").splitlines()
FIRST = next(line for line in LINES if line.startswith("S10,"))


def folder(
    tmp_path: Path, heads: str = HEADS, rows: tuple[str, ...] = (FIRST,), header: str = LINES[0]
) -> Path:
    (tmp_path / "scenarios.yaml").write_text(heads, encoding="utf-8")
    (tmp_path / "scenario_events.csv").write_text(
        "\n".join((header, *rows)) + "\n", encoding="utf-8"
    )
    return tmp_path


def cell(column: str, value: str) -> str:
    """Return the first event with another value; its cells hold no comma."""
    cells = FIRST.split(",")
    cells[LINES[0].split(",").index(column)] = value
    return ",".join(cells)


@pytest.mark.parametrize("id", [head.id for head in list_scenarios(SHIPPED)])
def test_the_shipped_scenarios_are_read(id: str) -> None:
    scenario = load_scenario(SHIPPED, id)
    assert scenario.events
    assert list(scenario.events) == sorted(scenario.events, key=lambda e: e.reported_at)
    assert load_checks(SHIPPED / "expectations.yaml", id)


def test_events_out_of_order_are_played_as_they_were_learnt(tmp_path: Path) -> None:
    earlier = cell("reported_at", "2027-03-07T03:00:00").replace("S10-E001", "S10-E999")
    assert [e.id for e in load_scenario(folder(tmp_path, rows=(FIRST, earlier)), "S10").events] == [
        "S10-E999",
        "S10-E001",
    ]


@pytest.mark.parametrize(
    ("heads", "said"),
    [
        ("", "scenarios.yaml: no list `scenarios:`"),
        ("scenarios: 5\n", "scenarios.yaml: no list `scenarios:`"),
        ("scenarios: [\n", "scenarios.yaml:2: not valid YAML: "),
        ("[" * 1000, "scenarios.yaml:0: not valid YAML: nested too deeply"),
        ("scenarios:\n- S10\n", "scenarios.yaml:2: a scenario needs id, titre, debut"),
        (
            "scenarios:\n- id: S10\n  debut: '2027-03-07T03:15:00'\n",
            "scenarios.yaml:2: a scenario needs titre",
        ),
        (
            HEADS.replace("2027-03-07T03:15:00", "Sunday"),
            "scenarios.yaml:2: debut: 'Sunday' is no time",
        ),
        (HEADS.replace("'2027-03-07T03:15:00'", "2027-13-45"), "'2027-13-45' is no timestamp"),
    ],
)
def test_a_fault_of_the_list_has_its_line(tmp_path: Path, heads: str, said: str) -> None:
    with pytest.raises(ScenarioInvalid) as error_info:
        load_scenario(folder(tmp_path, heads), "S10")
    assert said in str(error_info.value)
    listed = CliRunner().invoke(app, ["scenario", "list", "--scenarios", str(tmp_path)])
    assert (listed.exit_code, said in listed.output) == (1, True)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (FIRST.rpartition(",")[0], "scenario_events.csv:2: wrong number of columns"),
        (FIRST + ",more", "scenario_events.csv:2: wrong number of columns"),
        (
            cell("severity", "grave"),
            "scenario_events.csv:2: invalid literal for int() with base 10: 'grave'",
        ),
        (cell("severity", "9"), "scenario_events.csv:2: severity: "),
        (cell("event_type", "outage_watre"), "scenario_events.csv:2: type: "),
        (cell("reported_at", "soon"), "scenario_events.csv:2: Invalid isoformat string: 'soon'"),
        (cell("reported_at", "0001-01-01T00:00:00"), "scenario_events.csv:2: "),
        (
            cell("capacity_lost_pct", "all"),
            "scenario_events.csv:2: could not convert string to float: 'all'",
        ),
        (
            cell("effective", "tomorrow/"),
            "scenario_events.csv:2: Invalid isoformat string: 'tomorrow'",
        ),
    ],
)
def test_a_fault_of_an_event_has_its_line(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(ScenarioInvalid) as error_info:
        load_scenario(folder(tmp_path, rows=(row,)), "S10")
    assert said in str(error_info.value)


def test_an_event_stands_once(tmp_path: Path) -> None:
    with pytest.raises(
        ScenarioInvalid, match=r"scenario_events\.csv:3: event S10-E001 stands in line 2 already"
    ):
        load_scenario(folder(tmp_path, rows=(FIRST, FIRST)), "S10")


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ScenarioInvalid, match=r"scenario_events\.csv:1: no column event_type, lifts"
    ):
        load_scenario(
            folder(
                tmp_path, header=LINES[0].replace("event_type", "kind").replace("lifts", "ends")
            ),
            "S10",
        )


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (folder(tmp_path) / "scenario_events.csv").write_bytes(LINES[0].encode() + b"\n\xff\xfe")
    with pytest.raises(ScenarioInvalid, match=r"scenario_events\.csv: "):
        load_scenario(tmp_path, "S10")


def test_a_scenario_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(ScenarioUnknown, match="there are S10"):
        load_scenario(folder(tmp_path), "S11")


def test_every_kind_that_is_judged_has_its_form() -> None:
    assert set(checks.KINDS) == expectations.KINDS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no list of expectations for 'S10'"),
        ("scenarios: {S11: []}\n", "no list of expectations for 'S10'"),
        ("scenarios: [\n", "expectations.yaml:2: not valid YAML: "),
        ("[" * 1000, "expectations.yaml:0: not valid YAML: nested too deeply"),
        (
            "scenarios:\n  S10:\n    - just words\n",
            "expectations.yaml:3: an expectation is a mapping",
        ),
        (
            "scenarios:\n  S10:\n    - {id: C, kind: level}\n",
            "expectations.yaml:3: an expectation needs at_min",
        ),
        (
            "scenarios:\n  S10:\n    - {id: C, at_min: x, kind: moon}\n",
            "expectations.yaml:3: at_min: ",
        ),
        (
            "scenarios:\n  S10:\n    - {id: C, at_min: 1, kind: level, why: [x]}\n",
            "expectations.yaml:3: why: a sentence",
        ),
        (
            "scenarios:\n  S10:\n    - {id: C, at_min: 1, kind: alarm, activity: SOL-01, base: rto, pct: 50}\n",
            "expectations.yaml:3: an expectation of kind alarm needs between",
        ),
        (
            "scenarios:\n  S10:\n    - {id: C, at_min: 1, kind: level_first, level: 2, between: [5, 1]}\n",
            "expectations.yaml:3: between: ",
        ),
        (
            "scenarios:\n  S10:\n    - {id: C, at_min: 1, kind: level_first, level: 2, between: 5}\n",
            "expectations.yaml:3: between: ",
        ),
        (
            "scenarios:\n  S10:\n    - {id: C, at_min: 1, kind: level, x: "
            + "[" * 30
            + "]" * 30
            + "}\n",
            "expectations.yaml:3: an expectation is a mapping",
        ),
    ],
)
def test_a_fault_of_the_expectations_has_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "expectations.yaml"
    file.write_text(text)
    with pytest.raises(ChecksInvalid) as error_info:
        load_checks(file, "S10")
    assert said in str(error_info.value)


@pytest.mark.parametrize(
    ("value", "of", "got"), [(5.0, 12.0, "5/12"), (5.0, None, "5/?"), ("five", 12.0, "?/12")]
)
def test_a_count_that_does_not_say_of_how_many_is_judged(
    value: Any, of: float | None, got: str
) -> None:
    measure = {"name": "headcount_found", "value": value, "value_of": of}
    report = {
        "id": "r",
        "site": "cen-1",
        "measure": measure,
        "state": "accepted",
        "occurred_at": 0,
        "recorded_at": 0,
    }

    class Counted(RealmHistory):
        def rows(self, collection: str, at_min: float) -> dict[str, dict[str, Any]]:  # noqa: ARG002
            return {"r": report}

    check = {"id": "C", "at_min": 1, "kind": "headcount", "site": "cen-1", "found": 5, "of": 12}
    (result,) = run_checks(Counted(0, []), [check])
    assert (result.ok, result.got) == (got == "5/12", got)


def test_an_alarm_that_must_not_come_needs_no_time(tmp_path: Path) -> None:
    file = tmp_path / "expectations.yaml"
    file.write_text(
        "scenarios:\n  S10:\n    - {id: C, at_min: 1, kind: alarm, activity: SOL-01, base: rto, pct: 50, never: true}\n"
    )
    assert [c["id"] for c in load_checks(file, "S10")] == ["C"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--check", "none.yaml"], "none.yaml"),
        (["--check", "empty.yaml"], "no list of expectations for 'S10'"),
        (["--responders", "empty.yaml"], "a list named `responders:`"),
        (["--responders", "odd.yaml"], "odd.yaml:2: not valid YAML: 'x' is no int"),
        (["--responders", "deep.yaml"], "deep.yaml"),
        (["--responders", "wrong.yaml"], "wrong.yaml:3: answer: "),
    ],
)
def test_play_names_the_file_that_it_cannot_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "odd.yaml").write_text("responders:\n  - {role: dgs, at: !!int x}\n")
    (tmp_path / "wrong.yaml").write_text(
        "responders:\n  - {role: dgs, answer: ack}\n  - {role: dgs, answer: perhaps}\n"
    )
    (tmp_path / "deep.yaml").write_text("[" * 1000)
    done = CliRunner().invoke(app, ["play", "S10", "--scenarios", str(folder(tmp_path)), *given])
    assert isinstance(done.exception, SystemExit)
    assert done.exit_code != 0
    assert said in done.output.replace("\n", "")


def test_the_expectations_of_a_file_are_those_of_its_exercise(tmp_path: Path) -> None:
    exercise, file = tmp_path / "essai.yaml", tmp_path / "expectations.yaml"
    exercise.write_text((SHIPPED / "modele.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    file.write_text("scenarios: {S10: []}\n")
    done = CliRunner().invoke(app, ["play", str(exercise), "--check", str(file)])
    assert "no list of expectations for 'EX-eau'" in " ".join(done.output.split())
