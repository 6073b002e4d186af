"""One row of one table makes a type of events: every other table follows."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from schemas.catalogue import event_types
from schemas.catalogue.event_types import (
    DANGER_TYPES,
    EVENT_TYPES,
    PERSON_IN_DANGER,
    EventKind,
    EventType,
    endangers_people,
    list_texts,
    may_endanger_people,
)
from services.alerts.reference import territory
from services.console.i18n import get_translator
from services.console.incidents import report_form_screen
from services.console.maintenance import page
from services.console.sites.my_sites_screen import QUICK_TROUBLES
from services.console.texts import words
from services.intake.field import short_line
from tests.unit.alerts.scene import Scene
from tests.unit.alerts.test_escalation import PMI as SITE
from tests.unit.alerts.test_escalation import Calls
from tests.unit.intake.conftest import report
from tests.unit.intake.test_native import claim

NEW_MEMBER = '    LIFT_BREAKDOWN = "lift_breakdown"\n    OUTAGE_HEATING ='
NEW_ROW = """_ROWS: Final = (
    EventTypeRow(
        EventType.LIFT_BREAKDOWN,
        EventKind.CAUSE,
        label=Text("Ascenseur en panne", "Lift out of order"),
        trouble=Text("sans ascenseur", "without lift"),
        phrase=Text("panne d’ascenseur", "lift breakdown"),
        plannable=True,
        sms_words="ASCENSEUR LIFT",
        buttons=(ReportButton("lift", Text("Ascenseur", "Lift"), "M3 2h10v12H3Z"),),
    ),
"""


def test_every_type_has_its_row_and_its_texts() -> None:
    assert set(EVENT_TYPES) == set(EventType), "add a row to schemas/catalogue/event_types.py"
    for type, row in EVENT_TYPES.items():
        assert (row.trouble is not None) == (row.kind is EventKind.CAUSE), f"{type}: trouble"
        if row.kind is not EventKind.SILENT:
            assert row.phrase is not None, f"{type}: phrase, for messages"
        if may_endanger_people(type):
            assert row.kind is EventKind.CAUSE, f"{type}: only causes are dangers by themselves"


def test_no_text_and_no_button_means_two_types() -> None:
    used = [word for row in EVENT_TYPES.values() for word in row.sms_words.split()]
    used += [button.key for row in EVENT_TYPES.values() for button in row.buttons]
    assert [word for word, times in Counter(used).items() if times > 1] == []


def test_texts_of_the_table_are_translated() -> None:
    _ = get_translator("en")
    assert [text.fr for text in list_texts() if _(text.fr) != text.en] == []


def test_a_new_row_reaches_every_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forgotten type was silently treated like weather."""
    file = Path(event_types.__file__)
    source = file.read_text(encoding="utf-8")
    for before, after in (("    OUTAGE_HEATING =", NEW_MEMBER), ("_ROWS: Final = (\n", NEW_ROW)):
        assert before in source
        source = source.replace(before, after, 1)
    table = ModuleType("schemas.catalogue.event_types")
    monkeypatch.setitem(sys.modules, "schemas.catalogue.event_types", table)
    exec(compile(source, str(file), "exec"), vars(table))
    new = table.EventType("lift_breakdown")

    assert new in _load_again(territory).CAUSE_TYPES
    assert _load_again(short_line)._BY_WORD["ASCENSEUR"].type is new
    assert "lift" in {trouble.key for trouble in _load_again(report_form_screen).TROUBLES}
    assert new in _load_again(page).PLANNABLE_TYPES
    assert _load_again(words).EVENT[new] == "Ascenseur en panne"


def _load_again(module: ModuleType) -> ModuleType:
    """Run the source of a module once more, beside the loaded one."""
    assert module.__file__ is not None
    spec = importlib.util.spec_from_file_location(f"again_{module.__name__}", module.__file__)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[made.__name__] = made  # dataclasses look their module up
    try:
        spec.loader.exec_module(made)
    finally:
        del sys.modules[made.__name__]
    return made


# ── danger to people: one definition (D2) ───────────────────────────────────────────────────────


def test_the_table_of_danger_follows_the_rule() -> None:
    assert {
        EventType.FIRE,
        EventType.GAS_LEAK,
        EventType.EVACUATION,
        EventType.SHELTER_IN_PLACE,
        EventType.SECURITY_INCIDENT,
    } == DANGER_TYPES
    assert {t for t in EventType if may_endanger_people(t)} == {
        *DANGER_TYPES,
        EventType.SANITARY_ALERT,
    }
    assert [endangers_people(EventType.SANITARY_ALERT, s) for s in (2, 3)] == [False, True]
    assert all(endangers_people(t, PERSON_IN_DANGER) for t in EventType)


@pytest.mark.parametrize("type", EventType)
def test_front_decider_and_screens_agree_on_danger(type: EventType) -> None:
    """A form with «quelqu’un est en danger» sends severity 5 of any trouble."""
    for severity in range(1, 6):
        expected = endangers_people(type, severity)
        assert claim(report(type=type.value, severity=severity)).danger is expected, severity
        scene = Scene()
        cause = scene.incident_of(scene.report(0, type.value, SITE, severity=severity))
        if cause is not None:
            assert cause.danger is expected, severity
        elif EVENT_TYPES[type].kind is not EventKind.SILENT:
            assert severity < 3, f"{type} of severity {severity} opens no incident"
    quick = {t.key for group in QUICK_TROUBLES if group.key == "danger" for t in group.troubles}
    assert {b.key in quick for b in EVENT_TYPES[type].buttons} <= {may_endanger_people(type)}


def test_a_person_in_danger_makes_any_incident_dangerous_and_calls_again() -> None:
    scene = Scene()
    calls = Calls(scene)
    scene.report(0, "outage_power", SITE, severity=2)
    assert not any(call.danger for call in calls.new())
    scene.report(5, "outage_power", SITE, severity=PERSON_IN_DANGER)
    assert scene.incidents()[0].danger
    assert any(call.danger for call in calls.new())
