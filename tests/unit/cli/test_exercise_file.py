"""Every fault of an exercise file is named with its line; a file without faults can be played."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.intake.reports.native import parse_report
from services.runtime.process.settings import REPOSITORY
from services.simulation.exercise_file import MAX_FILE_BYTES, ExerciseInvalid, load_exercise
from services.simulation.scenarios import NO_DAYS_OFF, load_scenario
from tests.shipped import territory
from tests.unit.cli.test_fuzz_files import altered, refusal

TEMPLATE = REPOSITORY / "scenarios" / "modele.yaml"
HEAD = "exercise: EX-1\ntitle: Essai\nstart: 2027-03-02T08:00\n"
EVENT = "events:\n  - {at: 0, type: outage_water, severity: 3, site: cen-1}\n"


ACTION = "actions:\n  - {at: 20, title: Coupez l’eau, to: cen-1, due: 60, about: E001}\n"


def faults(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "essai.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ExerciseInvalid) as error_info:
        load_exercise(file, territory())
    return [str(p) for p in error_info.value.problems]


def test_an_exercise_asks_for_actions_at_their_time(tmp_path: Path) -> None:
    file = tmp_path / "essai.yaml"
    file.write_text(HEAD + EVENT + ACTION, encoding="utf-8")
    scenario = load_exercise(file, territory()).scenario
    (action,) = scenario.actions
    assert (action.at - scenario.start, action.about) == (20 * 60_000, "E001")
    assert action.body == {
        "title": "Coupez l’eau",
        "assignee": "cen-1",
        "due_at": "2027-03-02T08:00:00.000Z",
    }
    assert scenario.end == action.at


def test_the_template_can_be_played() -> None:
    exercise = load_exercise(TEMPLATE, territory())
    events = exercise.scenario.events
    assert [e.id for e in events] == ["E1", "E2", "E3", "E4", "E5"]
    assert [(e.reported_at - exercise.scenario.start) / 60_000 for e in events] == [
        12,
        25,
        45,
        55,
        210,
    ]
    assert events[0].body["occurred_at"] == "2027-03-02T07:00:00.000Z"
    assert (len(exercise.responders), len(exercise.checks)) == (1, 2)
    for event in events:
        parse_report(orjson.dumps(event.body))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "essai.yaml:0: an exercise is expected"),
        ("exercise: [\n", "essai.yaml:2: no YAML: "),
        (HEAD, "essai.yaml:1: events is missing"),
        (HEAD + EVENT + "tilte: x\n", "essai.yaml:6: no field 'tilte'"),
        (
            HEAD.replace("EX-1", "EX 1") + EVENT,
            "essai.yaml:1: exercise: 'EX 1' is no name for a realm",
        ),
        (
            HEAD.replace("2027-03-02T08:00", "tomorrow") + EVENT,
            "essai.yaml:3: start: 'tomorrow' is no time",
        ),
        (HEAD + EVENT.replace("cen-1", "cen-l"), "essai.yaml:5: site: no site cen-l; cen-"),
        (
            HEAD + EVENT.replace("site: cen-1", "commune: '93001'"),
            "essai.yaml:5: commune: no commune 93001",
        ),
        (HEAD + EVENT.replace("at: 0", "at: 25:00"), "essai.yaml:5: at: '25:00' is no time"),
        (HEAD + EVENT.replace("at: 0, ", ""), "essai.yaml:5: at is missing"),
        (
            HEAD + EVENT.replace("at: 0", "at: 30, learnt: 10"),
            "essai.yaml:5: learnt: before it happened",
        ),
        (HEAD + EVENT.replace("severity: 3", "severity: 9"), "essai.yaml:5: severity: "),
        (HEAD + EVENT.replace("outage_water", "outage_watre"), "essai.yaml:5: type: "),
        (HEAD + EVENT.replace("at: 0", "at: 0, places: x"), "essai.yaml:5: no field 'places'"),
        (
            HEAD + EVENT.replace("at: 0", "at: 0, refers_to: [E9]"),
            "essai.yaml:5: refers_to: no event E9",
        ),
        (
            HEAD
            + EVENT.replace("at: 0", "at: 0, id: A")
            + "  - {at: 1, id: A, type: info, severity: 1}\n",
            "essai.yaml:6: id: A is the name of another",
        ),
        (
            HEAD
            + EVENT.replace("at: 0", "at: 0, refers_to: [B]")
            + "  - {at: 9, id: B, type: info, severity: 1}\n",
            "essai.yaml:5: refers_to: B is learnt later",
        ),
        (HEAD + EVENT + "  - just words\n", "essai.yaml:6: an event is a mapping"),
        (
            HEAD + EVENT + "responders:\n  - {role: responsable_sit, answer: ack}\n",
            "essai.yaml:7: role: no role responsable_sit; responsable_site?",
        ),
        (
            HEAD + EVENT + "responders:\n  - {scope: SOL, answer: ack}\n",
            "essai.yaml:7: scope: no pôle or site SOL",
        ),
        (
            HEAD + EVENT + "responders:\n  - {role: dgs, answer: perhaps}\n",
            "essai.yaml:7: responders: answer: ",
        ),
        (
            HEAD + EVENT + "expectations:\n  - {id: C, at_min: 1, kind: leval}\n",
            "essai.yaml:7: kind: no kind 'leval'",
        ),
        (
            HEAD + EVENT + "expectations:\n  - {id: C, kind: level}\n",
            "essai.yaml:7: an expectation needs at_min",
        ),
        (
            HEAD + EVENT + "expectations:\n  - {id: C, at_min: soon, kind: level}\n",
            "essai.yaml:7: at_min: ",
        ),
        (HEAD + EVENT + "actions: all\n", "essai.yaml:6: actions: a list is expected"),
        (
            HEAD + EVENT + "actions:\n  - {at: 1, to: cen-1, due: 5}\n",
            "essai.yaml:7: title is missing",
        ),
        (HEAD + EVENT + ACTION.replace("due: 60", "due: 9"), "essai.yaml:7: due: not after at"),
        (
            HEAD + EVENT + ACTION.replace("cen-1", "cen-l"),
            "essai.yaml:7: to: no role or site cen-l; cen-",
        ),
        (
            HEAD + EVENT + ACTION.replace("cen-1", "directeur_pole:educ"),
            "essai.yaml:7: to: no pôle or site educ; education?",
        ),
        (HEAD + EVENT + ACTION.replace("E001", "E9"), "essai.yaml:7: about: no event 'E9'"),
        (
            HEAD + EVENT + ACTION.replace("at: 20", "at: -5"),
            "essai.yaml:7: about: 'E001' is learnt later",
        ),
        (
            HEAD + EVENT + ACTION.replace("}", ", priority: soon}"),
            "essai.yaml:7: priority: no priority soon",
        ),
        (HEAD + EVENT + ACTION.replace("}", ", plan: PT-X}"), "essai.yaml:7: plan: no plan PT-X"),
        (HEAD + EVENT + ACTION.replace("}", ", who: me}"), "essai.yaml:7: no field 'who'"),
        ("a: " * 3000, "essai.yaml:1: no YAML: "),
        (HEAD + "events: " + "[" * 1000, "essai.yaml:0: no YAML: nested too deeply"),
        (
            HEAD + EVENT.replace("severity: 3", "severity: !!int x"),
            "essai.yaml:5: no YAML: 'x' is no int",
        ),
        (
            HEAD + EVENT.replace("severity: 3", "severity: " + "9" * 5000),
            "essai.yaml:5: no YAML: '9999",
        ),
        (
            HEAD.replace("2027-03-02T08:00", "2027-13-45T08:00:00") + EVENT,
            "essai.yaml:3: no YAML: '2027-13-45T08:00:00' is no timestamp",
        ),
        (HEAD.replace("2027", "0001") + EVENT, "essai.yaml:3: start: a year from 1971"),
        (HEAD.replace("Essai", "[a]") + EVENT, "essai.yaml:2: title: one line"),
        (HEAD.replace("Essai", '"\\ud800"') + EVENT, "essai.yaml:2: title: one line"),
        (HEAD + "events: {a: 1}\n", "essai.yaml:4: events: a list is expected"),
        (HEAD + "events: all of them\n", "essai.yaml:4: events: a list is expected"),
        (HEAD + EVENT.replace("at: 0", "at: .nan"), "essai.yaml:5: at: nan is no time"),
        (HEAD + EVENT.replace("at: 0", "at: .inf"), "essai.yaml:5: at: inf is no time"),
        (
            HEAD + EVENT.replace("at: 0", "at: -99999999999"),
            "essai.yaml:5: at: -99999999999 is no time within ten years",
        ),
        (HEAD + EVENT.replace("at: 0", "at: " + "9" * 500), "essai.yaml:5: at: 9999"),
        (
            HEAD + EVENT.replace("at: 0", "at: '+99999999d 08:00'"),
            "essai.yaml:5: at: '+99999999d 08:00' is no time within ten years",
        ),
        (
            HEAD + EVENT.replace("at: 0", "at: '-99999999d 08:00'"),
            "essai.yaml:5: at: '-99999999d 08:00' is no time within ten years",
        ),
        (
            HEAD + EVENT.replace("at: 0", "at: '+3700d 08:00'"),
            "essai.yaml:5: at: '+3700d 08:00' is no time within ten years",
        ),
        (
            HEAD + EVENT.replace("at: 0", "at: 0, refers_to: 5"),
            "essai.yaml:5: refers_to: a list is expected",
        ),
        (
            HEAD + EVENT.replace("at: 0", "at: 0, refers_to: [[E1]]"),
            "essai.yaml:5: refers_to: a list is expected",
        ),
        (
            HEAD + EVENT.replace("at: 0", "at: 0, id: A, refers_to: [A]"),
            "essai.yaml:5: refers_to: itself",
        ),
        (
            HEAD
            + EVENT.replace("at: 0", "at: 0, refers_to: [B]")
            + "  - {at: 0, id: B, type: info, severity: 1}\n",
            "essai.yaml:5: refers_to: B is learnt later",
        ),
        (HEAD + EVENT.replace("at: 0", "at: 0, id: [A]"), "essai.yaml:5: id: one word is expected"),
        (
            HEAD + EVENT.replace("at: 0", "at: 0, from: {a: b}"),
            "essai.yaml:5: from: one word is expected",
        ),
        (HEAD + EVENT.replace("cen-1", "[cen-1]"), "essai.yaml:5: site: one word is expected"),
        (
            HEAD + EVENT.replace("cen-1", "&a [*a]"),
            "essai.yaml:5: an event holds too much, or itself",
        ),
        (
            HEAD + EVENT.replace("cen-1", '"\\ud800"'),
            "essai.yaml:5: site: '\\ud800' is nothing that a report can hold",
        ),
        (HEAD + EVENT.replace("cen-1", '"\\e[31m"'), "essai.yaml:5: site: no site '\\x1b[31m'"),
        (
            HEAD + EVENT.replace("site: cen-1", "zone: 92050"),
            "essai.yaml:5: zone: a list is expected",
        ),
        (
            HEAD + EVENT.replace("at: 0", "at: 0, activities: SOL-01"),
            "essai.yaml:5: activities: a list is expected",
        ),
        (
            HEAD + EVENT.replace("at: 0", "at: 0, lost_pct: .nan"),
            "essai.yaml:5: lost_pct: nan is nothing that a report can hold",
        ),
        (
            HEAD + EVENT + "responders:\n" + "  - {role: dgs, answer: ack}\n" * 501,
            "essai.yaml:6: responders: 501 lines, 500 at most",
        ),
        (
            HEAD + EVENT + "expectations:\n  - {id: C, at_min: 1, kind: [level]}\n",
            "essai.yaml:7: kind: no kind ['level']",
        ),
        (
            HEAD + EVENT + "expectations:\n  - {id: C, at_min: .nan, kind: level}\n",
            "essai.yaml:7: at_min: ",
        ),
        (
            HEAD + EVENT + "expectations:\n  - {id: [C], at_min: 1, kind: level}\n",
            "essai.yaml:7: id: a word is expected",
        ),
        (
            HEAD + EVENT + "expectations:\n  - {id: C, at_min: 1, kind: level_first}\n",
            "essai.yaml:7: an expectation of kind level_first needs level, between",
        ),
        (
            HEAD
            + EVENT
            + "expectations:\n  - {id: C, at_min: 1, kind: incident_count, min: two}\n",
            "essai.yaml:7: min: a number is expected",
        ),
        (
            HEAD + EVENT + "expectations:\n  - {id: C, at_min: 1, kind: level, min: 9}\n",
            "essai.yaml:7: min: a level, 0 to 4, is expected",
        ),
        (
            HEAD
            + EVENT
            + "expectations:\n  - {id: C, at_min: 1, kind: site_status, site: cen-1, in: [clsed]}\n",
            "essai.yaml:7: in: a list of normal, degraded, closed,",
        ),
        (
            HEAD
            + EVENT
            + "expectations:\n  - {id: C, at_min: 1, kind: clock, activity: SOL-01, state: [runing]}\n",
            "essai.yaml:7: state: a list of never, running, stopped is expected",
        ),
        (
            HEAD
            + EVENT
            + "expectations:\n  - {id: C, at_min: 1, kind: alarm, activity: SOL-01, base: rtoo, pct: 50, never: true}\n",
            "essai.yaml:7: base: one of rto, dmia, pdma is expected",
        ),
        (
            HEAD + EVENT + "expectations:\n  - {id: C, at_min: 1, kind: level, mni: 2}\n",
            "essai.yaml:7: no field 'mni' in an expectation of kind level",
        ),
        (
            HEAD
            + EVENT
            + "expectations:\n  - {id: C, at_min: 1, kind: level, min: 1}\n  - {id: C, at_min: 2, kind: level, min: 1}\n",
            "essai.yaml:8: id: 'C' is the name of",
        ),
        (
            HEAD
            + EVENT
            + "expectations:\n  - {id: C, at_min: 1, kind: sites_count, status: [closed], pole: edukation, max: 0}\n",
            "essai.yaml:7: pole: no pôle edukation; education?",
        ),
        (
            HEAD
            + EVENT
            + "expectations:\n  - {id: C, at_min: 1, kind: sites_count, status: [closed], site_kind: colege, max: 0}\n",
            "essai.yaml:7: site_kind: no kind of site colege; college?",
        ),
        (
            HEAD
            + EVENT
            + "expectations:\n  - {id: C, at_min: 1, kind: sites_count, status: [closed]}\n",
            "essai.yaml:7: an expectation of kind sites_count needs one of max, min",
        ),
        (
            HEAD + EVENT + "expectations:\n  - {id: C, at_min: 1, kind: level, min: 3, max: 2}\n",
            "essai.yaml:7: min: more than max",
        ),
        (
            HEAD + EVENT.replace("at: 0", "at: 0, id: Mme Durand"),
            "essai.yaml:5: id: 'Mme Durand' is no code",
        ),
        (
            HEAD + EVENT.replace("at: 0", "at: 0, colour: oranje"),
            "essai.yaml:5: colour: no colour oranje; orange?",
        ),
        (
            HEAD + EVENT.replace("at: 0", "at: 0, measure: {value: 46, unit: m}"),
            "essai.yaml:5: measure: the name of the measure is missing",
        ),
        (
            HEAD + EVENT.replace("at: 0", "at: 0, measure: {name: total_isolation, value: true}"),
            "essai.yaml:5: measure: total_isolation is reserved to rssi, ",
        ),
        (
            HEAD
            + EVENT
            + "expectations:\n  - {id: C, at_min: 1, kind: not_confirmed, event: E9}\n",
            "essai.yaml:7: event: no event 'E9'",
        ),
        (
            HEAD
            + EVENT
            + "expectations:\n  - {id: C, at_min: 1, kind: plan_not_proposed, plan: PT-LUNE}\n",
            "essai.yaml:7: plan: no plan 'PT-LUNE'",
        ),
        (
            HEAD
            + EVENT
            + "expectations:\n  - {id: C, at_min: 1, kind: site_status, site: cen-l, in: [normal]}\n",
            "essai.yaml:7: site: no site cen-l; cen-",
        ),
    ],
)
def test_a_fault_has_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert [f for f in faults(tmp_path, text) if f.startswith(expected)], faults(tmp_path, text)


def test_a_file_beyond_all_measure_is_not_read(tmp_path: Path) -> None:
    assert faults(tmp_path, "#" * (MAX_FILE_BYTES + 1)) == [
        f"essai.yaml:0: {MAX_FILE_BYTES + 1} bytes are too many for an exercise, {MAX_FILE_BYTES} at most"
    ]


def test_few_lines_that_mean_millions_are_refused(tmp_path: Path) -> None:
    grown = "".join(f"  - &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 10))
    assert [
        f
        for f in faults(tmp_path, HEAD + EVENT + "responders:\n  - &l0 [x]\n" + grown)
        if f.endswith("(docs/reference/responders.md)")
    ]
    bomb = EVENT.replace("at: 0", "at: 0, measure: *l9")
    assert faults(tmp_path, "x:\n  - &l0 [x]\n" + grown + HEAD + bomb)[-1].endswith(
        "an event holds too much, or itself"
    )


def test_numbers_serve_as_names_and_codes(tmp_path: Path) -> None:
    file = tmp_path / "essai.yaml"
    file.write_text(
        HEAD + "events:\n  - {at: 0, id: 7, type: outage_water, severity: 3, zone: [92050]}\n"
        "  - {at: 5, type: outage_water, severity: 4, commune: 92050, message: Update, refers_to: [7]}\n"
    )
    first, second = load_exercise(file, territory()).scenario.events
    assert (
        first.body["alias"],
        first.body["zone"],
        second.body["commune"],
        second.body["references"],
    ) == ("7", ["92050"], "92050", ["7"])


def test_a_negative_minute_is_before_the_start(tmp_path: Path) -> None:
    file = tmp_path / "essai.yaml"
    file.write_text(HEAD + EVENT.replace("at: 0", "at: -30"))
    scenario = load_exercise(file, territory()).scenario
    assert (scenario.opening - scenario.start) / 60_000 == -30


@cache
def document() -> Any:
    return YAML(typ="safe").load(TEMPLATE.read_text(encoding="utf-8"))


def test_no_value_is_more_than_refused(tmp_path: Path) -> None:
    random, refusals = Random(20261126), []
    for _ in range(300):
        file = tmp_path / "essai.yaml"
        with file.open("w", encoding="utf-8") as out:
            YAML(typ="safe").dump(altered(random, document()), out)
        refusals.append(
            refusal(lambda: load_exercise(tmp_path / "essai.yaml", territory()), ExerciseInvalid)
        )
    assert all(
        line.startswith("essai.yaml:") for word in refusals if word for line in word.splitlines()
    )
    assert 5 < refusals.count(None) < 200


def test_all_faults_of_a_file_are_reported(tmp_path: Path) -> None:
    text = (
        HEAD
        + "events:\n  - {at: x, type: info, severity: 1}\n  - {at: 0, type: nothing, severity: 1}\n  - {at: 0, type: info, severity: 0}\n"
    )
    assert [f.split(":")[1] for f in faults(tmp_path, text)] == ["5", "6", "7"]


def test_all_faults_of_an_event_are_named_at_once(tmp_path: Path) -> None:
    """An organiser sees all faults at once, not one after the other."""
    text = (
        HEAD
        + "events:\n  - {at: 0, tipe: info, type: infos, severity: 9, site: cen-l, commune: '75001', colour: rose, refers_to: [E9]}\n"
    )
    first_words = {f.split(":")[2].strip().split(" ")[0] for f in faults(tmp_path, text)}
    assert first_words == {"no", "type", "severity", "site", "commune", "colour", "refers_to"}


SCRAPS = st.sampled_from(list("abE1:-[]{},'\"# \n\t!&*?|>%@`0+.é\0")) | st.sampled_from(
    ["at", "events:\n", "  - ", "site: ", "null", "2027-01-01", "~", "<<: *a"]
)


@settings(
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.integers(min_value=0, max_value=2000), st.lists(SCRAPS, max_size=12))
def test_no_text_is_more_than_refused(tmp_path: Path, at: int, scraps: list[str]) -> None:
    whole = TEMPLATE.read_text(encoding="utf-8")
    file = tmp_path / "essai.yaml"
    file.write_text(
        whole[: at % len(whole)] + "".join(scraps) + whole[at % len(whole) :], encoding="utf-8"
    )
    try:
        exercise = load_exercise(file, territory())
    except ExerciseInvalid as invalid:
        assert invalid.problems  # noqa: PT017  either is right: what is refused is refused with a reason
        return
    for event in exercise.scenario.events:
        parse_report(orjson.dumps(event.body))


def test_the_command_names_the_fault_and_the_next_step(tmp_path: Path) -> None:
    fine = CliRunner().invoke(app, ["scenario", "check", str(TEMPLATE)])
    assert (fine.exit_code, "vigie play" in fine.output) == (0, True)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(HEAD + EVENT.replace("severity: 3", "severity: 9"))
    done = CliRunner().invoke(app, ["scenario", "check", str(wrong)])
    assert done.exit_code == 1
    assert "wrong.yaml:5: severity" in done.output


def test_an_event_gives_the_window_of_an_announcement(tmp_path: Path) -> None:
    file = tmp_path / "essai.yaml"
    window = "effective: {from: +1d 08:00, to: +1d 18:00}"
    event = f"events:\n  - {{at: 0, type: outage_water, severity: 3, site: cen-1, {window}, urgency: Future, sites: [cen-2]}}\n"
    file.write_text(HEAD + event, encoding="utf-8")
    [event_] = load_exercise(file, territory()).scenario.events
    assert event_.body["effective"] == [
        {"from": "2027-03-03T07:00:00.000Z", "to": "2027-03-03T17:00:00.000Z"}
    ]
    assert (event_.body["urgency"], event_.body["sites"]) == ("Future", ["cen-2"])


@pytest.mark.parametrize(
    ("window", "what"),
    [
        ("{to: 120}", "effective: {from: +1d 08:00"),
        ("[{from: 25:00}]", "from: '25:00' is no time"),
        ("{from: 120, to: 60}", "to: not after from"),
        ("soon", "effective: {from: +1d 08:00"),
    ],
)
def test_a_window_that_is_none_is_named(tmp_path: Path, window: str, what: str) -> None:
    problems = faults(
        tmp_path, HEAD + EVENT.replace("site: cen-1", f"site: cen-1, effective: {window}")
    )
    assert any(what in fault for fault in problems), problems


def test_an_exercise_names_its_own_days_off(tmp_path: Path) -> None:
    file = tmp_path / "essai.yaml"
    file.write_text(HEAD + EVENT, encoding="utf-8")
    assert load_exercise(file, territory()).scenario.calendar is None, "those of the territory"
    days = "calendar: {holidays: [2027-05-01], school_holidays: [[2027-02-06, 2027-02-21]]}\n"
    file.write_text(HEAD + days + EVENT, encoding="utf-8")
    calendar = load_exercise(file, territory()).scenario.calendar
    assert calendar is not None
    assert (calendar.holidays, calendar.school_holidays) == (
        ("2027-05-01",),
        (("2027-02-06", "2027-02-21"),),
    )
    assert load_scenario(REPOSITORY / "scenarios", "S04").calendar == NO_DAYS_OFF, (
        "its expectations were written for none"
    )
    for wrong in (
        "calendar: C\n",
        "calendar: {holidays: [Noel]}\n",
        "calendar: {school_holidays: [2027-02-06]}\n",
    ):
        assert any("calendar" in fault for fault in faults(tmp_path, HEAD + wrong + EVENT))


def test_an_exercise_may_expect_a_plan_to_come_back(tmp_path: Path) -> None:
    file = tmp_path / "essai.yaml"
    check = "expectations:\n  - {id: C1, at_min: 60, kind: plan_proposed, plan: PT-ELEC, between: [10, 60], again: true}\n"
    file.write_text(HEAD + EVENT + check, encoding="utf-8")
    assert [c["again"] for c in load_exercise(file, territory()).checks] == [True]
