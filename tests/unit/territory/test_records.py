"""Single records of the reference data: their fields, changes and faults."""

from __future__ import annotations

import pytest

from schemas.reference import PlanContents, Staffing
from schemas.reference_changes import FieldValue, RecordEdit, RecordKind
from services.territory.record_checks import find_edit_faults
from services.territory.records import (
    FieldInvalid,
    RecordUnknown,
    apply_edit,
    build_edit,
    has_ruled_field,
    is_overtaken,
    list_records,
    read_record,
)
from tests.shipped import territory

SECTIONS = territory().sections
PLAN, CARD, CONTACT = "PCA-solidarites", "PCA-solidarites.SOL-F01", "prefecture_cod"
ACTIVITY = "SOL-01"


def edit(kind: RecordKind, id: str, **values: FieldValue) -> RecordEdit:
    made = build_edit(SECTIONS, kind, id, values)
    assert made is not None
    return made


@pytest.mark.parametrize("kind", RecordKind)
def test_every_shipped_record_is_read_and_stays_as_it_is(kind: RecordKind) -> None:
    ids = list_records(SECTIONS, kind)
    assert len(ids) == len(set(ids)) > 9
    for id in ids:
        assert build_edit(SECTIONS, kind, id, read_record(SECTIONS, kind, id)) is None


@pytest.mark.parametrize(
    ("kind", "id", "values"),
    [
        (RecordKind.CONTACT, CONTACT, {"ask": "L’heure", "withhold": None, "plans": ("PT-CRUE",)}),
        (RecordKind.PLAN, PLAN, {"title": "PCA Solidarités", "purpose": "Protéger"}),
        (RecordKind.ACTIVITY, ACTIVITY, {"rto_h": 1.5, "mbco_pct": 65.0, "systems": ("siter",)}),
        (RecordKind.CARD, CARD, {"t_min": 1}),
        (RecordKind.STEP, "N2.1", {"ack_min": 7, "channels": ("voice", "sms")}),
        (RecordKind.CARD, CARD, {"task": "Ouvrir", "steps": ("un", "deux"), "rule": "R1"}),
    ],
)
def test_an_edit_changes_its_fields_and_nothing_else(
    kind: RecordKind, id: str, values: dict[str, FieldValue]
) -> None:
    made = edit(kind, id, **values)
    assert {c.field: c.after for c in made.fields} == values
    after = apply_edit(SECTIONS, made)
    assert read_record(after, kind, id) == read_record(SECTIONS, kind, id) | values
    for other in list_records(SECTIONS, kind):
        if other != id:
            assert read_record(after, kind, other) == read_record(SECTIONS, kind, other)


def test_texts_are_stripped_and_an_empty_optional_one_is_absent() -> None:
    made = edit(RecordKind.CONTACT, CONTACT, ask="  L’heure ", withhold=" ")
    assert {c.field: c.after for c in made.fields} == {"ask": "L’heure", "withhold": None}


def test_an_edit_is_overtaken_when_one_of_its_fields_changed() -> None:
    mine = edit(RecordKind.CONTACT, CONTACT, ask="Mien")
    same_field = apply_edit(SECTIONS, edit(RecordKind.CONTACT, CONTACT, ask="Autre"))
    other_field = apply_edit(SECTIONS, edit(RecordKind.CONTACT, CONTACT, say="Autre"))
    assert is_overtaken(same_field, mine)
    assert not is_overtaken(other_field, mine)
    assert read_record(apply_edit(other_field, mine), RecordKind.CONTACT, CONTACT)["say"] == "Autre"


@pytest.mark.parametrize(
    ("kind", "id", "values", "field", "code"),
    [
        (RecordKind.CONTACT, CONTACT, {"ask": "Appeler le 06 12 34 56 78"}, "ask", "personal"),
        (RecordKind.CONTACT, CONTACT, {"say": "écrire à ana@exemple.fr"}, "say", "personal"),
        (RecordKind.CONTACT, CONTACT, {"caller": "pompier"}, "caller", "unknown"),
        (RecordKind.CONTACT, CONTACT, {"plans": ("PT-CRUE", "PT-LUNE")}, "plans", "unknown"),
        (RecordKind.CARD, CARD, {"done_when": ""}, "done_when", "missing"),
        (RecordKind.CARD, CARD, {"steps": ("un",) * 13}, "steps", "length"),
        (RecordKind.CARD, CARD, {"steps": ("un" * 200,)}, "steps", "length"),
        (RecordKind.PLAN, PLAN, {"purpose": "a" * 2001}, "purpose", "length"),
        (RecordKind.CARD, CARD, {"t_min": 5000}, "t_min", "order"),
        (RecordKind.STEP, "N2.1", {"ack_min": 0}, "ack_min", "range"),
        (RecordKind.STEP, "N2.1", {"expected": 0}, "expected", "range"),
        (RecordKind.STEP, "N2.1", {"channels": ()}, "channels", "missing"),
        (RecordKind.STEP, "N2.1", {"channels": ("pigeon",)}, "channels", "unknown"),
        (RecordKind.ACTIVITY, ACTIVITY, {"rto_h": 100}, "rto_h", "order"),
        (RecordKind.ACTIVITY, ACTIVITY, {"rto_h": 0}, "rto_h", "range"),
        (RecordKind.ACTIVITY, ACTIVITY, {"mbco_pct": 101}, "mbco_pct", "range"),
        (RecordKind.ACTIVITY, ACTIVITY, {"systems": ("lune",)}, "systems", "unknown"),
    ],
)
def test_a_wrong_value_is_named_by_its_field(
    kind: RecordKind, id: str, values: dict[str, FieldValue], field: str, code: str
) -> None:
    (fault,) = find_edit_faults(SECTIONS, edit(kind, id, **values))
    assert (fault.field, fault.code) == (field, code)


def test_a_value_that_the_model_refuses_names_its_field() -> None:
    with pytest.raises(FieldInvalid) as refused:
        edit(RecordKind.CONTACT, CONTACT, domain="a" * 41)
    assert refused.value.name == "domain"


def test_a_record_or_field_that_does_not_exist_is_unknown() -> None:
    with pytest.raises(RecordUnknown):
        read_record(SECTIONS, RecordKind.CARD, "PCA-solidarites.F99")
    with pytest.raises(RecordUnknown):
        build_edit(SECTIONS, RecordKind.PLAN, PLAN, {"id": "PT-X"})


def test_plans_and_reassignment_follow_the_minimum_and_the_limits_of_an_activity() -> None:
    made = edit(
        RecordKind.ACTIVITY, ACTIVITY, minimum_staff=14, mbco_pct=65, criticality=2, rto_h=1.5
    )
    after = apply_edit(SECTIONS, made)
    kept = [k for s in after if isinstance(s, PlanContents) for c in s.contents for k in c.goes_on]
    mine = [(k.mbco_pct, k.minimum_staff) for k in kept if k.activity == ACTIVITY]
    assert set(mine) == {(65, 14)}
    (staffing,) = (s for s in after if isinstance(s, Staffing))
    (rule,) = (r for r in staffing.rules if r.activity == ACTIVITY)
    assert (rule.criticality, rule.rto_h) == (2, 1.5)


def test_only_fields_that_a_rule_reads_are_tried_on_crises() -> None:
    assert has_ruled_field(edit(RecordKind.ACTIVITY, ACTIVITY, rto_h=1.5))
    assert not has_ruled_field(edit(RecordKind.ACTIVITY, ACTIVITY, name="Urgences"))
    assert has_ruled_field(edit(RecordKind.CARD, CARD, t_min=1))
    assert not has_ruled_field(edit(RecordKind.CARD, CARD, task="Ouvrir"))
