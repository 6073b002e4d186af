"""Single records of the reference data: their fields, changes and faults."""

from __future__ import annotations

import pytest

from schemas.reference import PlanContents, Plans, Staffing
from schemas.reference_changes import FieldValue, RecordEdit, RecordKind
from services.territory.editing.conditions import read_conditions
from services.territory.editing.new_records import (
    apply_record_edit,
    build_new_record,
    build_withdrawal,
    is_overtaken,
)
from services.territory.editing.record_checks import find_edit_faults
from services.territory.editing.records import (
    FieldInvalid,
    RecordUnknown,
    apply_edit,
    build_edit,
    has_ruled_field,
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


@pytest.mark.parametrize("kind", [kind for kind in RecordKind if kind is not RecordKind.ROTATION])
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
    assert list(refused.value.errors) == ["domain"]


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
    continued_activities = [
        k for s in after if isinstance(s, PlanContents) for c in s.contents for k in c.goes_on
    ]
    mine = [(k.mbco_pct, k.minimum_staff) for k in continued_activities if k.activity == ACTIVITY]
    assert set(mine) == {(65, 14)}
    (staffing,) = (s for s in after if isinstance(s, Staffing))
    (rule,) = (r for r in staffing.rules if r.activity == ACTIVITY)
    assert (rule.criticality, rule.rto_h) == (2, 1.5)


def test_only_fields_that_a_rule_reads_are_tried_on_crises() -> None:
    assert has_ruled_field(edit(RecordKind.ACTIVITY, ACTIVITY, rto_h=1.5))
    assert not has_ruled_field(edit(RecordKind.ACTIVITY, ACTIVITY, name="Urgences"))
    assert has_ruled_field(edit(RecordKind.CARD, CARD, t_min=1))
    assert not has_ruled_field(edit(RecordKind.CARD, CARD, task="Ouvrir"))


def create(kind: RecordKind, **values: FieldValue) -> RecordEdit:
    return build_new_record(SECTIONS, kind, values)


NEW = {
    RecordKind.CONTACT: {
        "organisation": "Croix-Rouge, unité locale",
        "function": "Hébergement",
        "domain": "secours",
        "caller": "liaison_cod",
        "when": "Relogement",
        "say": "Le nombre",
        "ask": "Les places",
    },
    RecordKind.CARD: {
        "plan": "PT-CRUE",
        "role": "cellule_si",
        "phase": "reflex",
        "task": "Couper les serveurs du sous-sol",
        "t_min": 30,
        "steps": ("Prévenir", "Couper"),
        "done_when": "Les serveurs sont arrêtés.",
        "site_kinds": ("datacenter",),
    },
    RecordKind.ACTIVITY: {
        "pole": "solidarites",
        "staff": 3,
        "site_kinds": ("pmi_css",),
        "name": "Vaccination",
        "criticality": 3,
        "rto_h": 4,
        "dmia_h": 8,
        "pdma_h": 1,
        "mbco_pct": 30.0,
        "minimum_staff": 1,
    },
    RecordKind.STEP: {
        "ladder": "N1",
        "who": ("dgs_directeur_de_crise",),
        "after_min": 20,
        "ack_min": 5,
        "expected": 1,
        "channels": ("sms",),
    },
    RecordKind.ON_CALL: {"role": "cellule_si", "scope": "education", "holder": "dgs"},
    RecordKind.ROTATION: {
        "role": "astreinte_direction",
        "place": "holder",
        "persons": ("dgs", "dgs-s"),
        "every_days": 7,
        "hand_off": "08:00",
        "since": "2026-12-07",
        "hours": "20:00-8:00",
    },
}
NEW[RecordKind.TRIGGER] = {
    "plan": "PT-TIAC",
    "level": 4,
    "conditions": ('[{"metric":"sites_closed","args":{"kind":"college"},"op":">=","value":2}]',),
    "text": "Deux collèges fermés",
}
NEW[RecordKind.STAFFING] = {
    "activity": "SOL-02",
    "site": "ase-01",
    "metier": "psychologue",
    "staff": 4,
    "minimum": 1,
}
IDS = {
    RecordKind.STAFFING: "SOL-02.ase-01.psychologue",
    RecordKind.CONTACT: "croix_rouge_unite_locale",
    RecordKind.CARD: "PT-CRUE.CRUE-F11",
    RecordKind.ACTIVITY: "SOL-09",
    RecordKind.STEP: "N1.3",
    RecordKind.TRIGGER: "PT-TIAC.N4",
    RecordKind.ON_CALL: "cellule_si:education",
    RecordKind.ROTATION: "astreinte_direction.holder.2026-12-07T2000",
}


@pytest.mark.parametrize("kind", NEW)
def test_a_new_record_gets_the_next_id_and_a_withdrawn_one_leaves_nothing(
    kind: RecordKind,
) -> None:
    made = create(kind, **NEW[kind])
    assert made.id == IDS[kind]
    assert find_edit_faults(SECTIONS, made) == []
    after = apply_record_edit(SECTIONS, made)
    assert (
        read_record(after, kind, made.id).items()
        >= {
            name: value
            for name, value in NEW[kind].items()
            if name in read_record(after, kind, made.id) and name != "hours"
        }.items()
    )
    assert is_overtaken(after, made)
    gone = build_withdrawal(after, kind, made.id)
    assert find_edit_faults(after, gone) == []
    assert apply_record_edit(after, gone) == list(SECTIONS)


def test_two_records_that_are_proposed_at_once_get_two_ids() -> None:
    first = create(RecordKind.CARD, **NEW[RecordKind.CARD])
    second = build_new_record(SECTIONS, RecordKind.CARD, NEW[RecordKind.CARD], [first.id])
    assert second.id == "PT-CRUE.CRUE-F12"


@pytest.mark.parametrize(
    ("kind", "changed", "field", "code"),
    [
        (RecordKind.CARD, {"role": "pompier"}, "role", "unknown"),
        (RecordKind.CARD, {"site_kinds": ("piscine",)}, "site_kinds", "unknown"),
        (RecordKind.CARD, {"task": "Appeler le 06 12 34 56 78"}, "task", "personal"),
        (RecordKind.CARD, {"depends_on": ("SOL-F01",)}, "t_min", "order"),
        (RecordKind.ACTIVITY, {"rto_h": 9}, "rto_h", "order"),
        (RecordKind.STEP, {"who": ()}, "who", "missing"),
        (RecordKind.STEP, {"channels": ()}, "channels", "missing"),
        (RecordKind.ROTATION, {"persons": ("x-y",)}, "persons", "unknown"),
        (RecordKind.ROTATION, {"until": "2026-12-07"}, "until", "order"),
        (RecordKind.ON_CALL, {"role": "astreinte_direction", "scope": None}, "role", "exists"),
        (RecordKind.STAFFING, {"metier": "educateur"}, "activity", "exists"),
        (RecordKind.STAFFING, {"site": "zzz-9"}, "site", "unknown"),
        (RecordKind.STAFFING, {"minimum": 5}, "minimum", "order"),
    ],
)
def test_a_wrong_new_record_is_named_by_its_field(
    kind: RecordKind, changed: dict[str, FieldValue], field: str, code: str
) -> None:
    values = {k: v for k, v in {**NEW[kind], **changed}.items() if v is not None}
    faults = find_edit_faults(SECTIONS, create(kind, **values))
    assert (field, code) in {(fault.field, fault.code) for fault in faults}


@pytest.mark.parametrize(
    ("kind", "id", "owner"),
    [
        (RecordKind.CONTACT, "police", "Recueil et traitement des informations préoccupantes"),
        (RecordKind.CARD, "PCA-solidarites.SOL-F02", "Faire venir des renforts habilités"),
        (RecordKind.ACTIVITY, "SOL-02", "effectifs et métiers"),
        (
            RecordKind.REASSIGNMENT,
            "SOL-02",
            "des agents exercent cette activité (lignes d’effectifs : 90",
        ),
    ],
)
def test_a_record_that_others_name_is_not_withdrawn(kind: RecordKind, id: str, owner: str) -> None:
    faults = find_edit_faults(SECTIONS, build_withdrawal(SECTIONS, kind, id))
    assert {fault.code for fault in faults} == {"referred"}
    assert any(owner in fault.fr for fault in faults)


@pytest.mark.parametrize(
    ("id", "code"), [("N2.1", "followed"), ("N2.1", "needed"), ("N2.2", "followed")]
)
def test_only_the_last_step_of_an_escalation_is_withdrawn(id: str, code: str) -> None:
    faults = find_edit_faults(SECTIONS, build_withdrawal(SECTIONS, RecordKind.STEP, id))
    assert code in {fault.code for fault in faults}


def test_a_role_that_an_escalation_calls_keeps_a_holder_or_a_rotation() -> None:
    bare = edit(RecordKind.ON_CALL, "astreinte_direction", holder=None)
    assert [(f.field, f.code) for f in find_edit_faults(SECTIONS, bare)] == [
        ("holder", "uncovered")
    ]
    rotation = create(RecordKind.ROTATION, **NEW[RecordKind.ROTATION])
    turning = apply_record_edit(SECTIONS, rotation)
    assert find_edit_faults(turning, bare) == []
    bare_roster = apply_record_edit(turning, bare)
    end = build_withdrawal(bare_roster, RecordKind.ROTATION, rotation.id)
    assert [f.code for f in find_edit_faults(bare_roster, end)] == ["uncovered"]


def test_a_person_of_the_directory_alone_may_be_on_call() -> None:
    new = edit(RecordKind.ON_CALL, "astreinte_direction", holder="p-77")
    assert [f.code for f in find_edit_faults(SECTIONS, new)] == ["unknown"]
    assert find_edit_faults(SECTIONS, new, ["p-77"]) == []


@pytest.mark.parametrize("kind", list(NEW))
def test_a_new_record_without_values_names_every_field_that_it_needs(kind: RecordKind) -> None:
    """`vigie territory new` named one missing field at a time."""
    with pytest.raises(FieldInvalid) as caught:
        build_new_record(SECTIONS, kind, {})
    missing = set(caught.value.errors)
    for name in missing:
        others = {n: value for n, value in NEW[kind].items() if n != name}
        with pytest.raises(FieldInvalid) as one:
            build_new_record(SECTIONS, kind, others)
        assert set(one.value.errors) == {name}
    needed = {n: value for n, value in NEW[kind].items() if n in missing}
    assert build_new_record(SECTIONS, kind, needed)


def test_a_new_record_names_wrong_and_missing_fields_together() -> None:
    values = {**NEW[RecordKind.ROTATION], "hours": "20-8"}
    del values["role"]
    with pytest.raises(FieldInvalid) as caught:
        build_new_record(SECTIONS, RecordKind.ROTATION, values)
    assert set(caught.value.errors) == {"role", "hours"}


@pytest.mark.parametrize("hours", ["20-8", "25:00-08:00", "20:00", "de 20:00-08:00 h"])
def test_hours_that_are_no_span_are_refused(hours: str) -> None:
    with pytest.raises(FieldInvalid) as caught:
        create(RecordKind.ROTATION, **{**NEW[RecordKind.ROTATION], "hours": hours})
    assert {n: e["type"] for n, e in caught.value.errors.items()} == {"hours": "clock_span"}


@pytest.mark.parametrize("id", list_records(SECTIONS, RecordKind.TRIGGER))
def test_every_shipped_condition_has_alternatives_that_read_back(id: str) -> None:
    lines = read_record(SECTIONS, RecordKind.TRIGGER, id)["conditions"]
    assert isinstance(lines, tuple)
    plan_id, level = id.split(".")
    plans = next(s.plans for s in SECTIONS if isinstance(s, Plans))
    plan = next(plan for plan in plans if plan.id == plan_id)
    trigger = next(t for t in plan.triggers if f"N{t.level}" == level)
    assert read_conditions(lines) == trigger.when


CLOSED = '[{"metric":"sites_closed","args":{"kind":"college"},"op":">=","value":2}]'


def test_a_trigger_takes_other_conditions() -> None:
    made = edit(RecordKind.TRIGGER, "PT-TIAC.N3", conditions=(CLOSED,))
    assert has_ruled_field(made)
    after = apply_record_edit(SECTIONS, made)
    assert read_record(after, RecordKind.TRIGGER, "PT-TIAC.N3")["conditions"] == (CLOSED,)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("[", "condition"),
        ("[]", "missing"),
        ('[{"metric":"moon","op":">=","value":2}]', "unknown"),
        ('[{"metric":"outage_power_sites","op":">=","value":2}]', "missing"),
        (
            '[{"metric":"outage_power_sites","args":{"window_min":"x"},"op":">=","value":2}]',
            "range",
        ),
        ('[{"metric":"sites_closed","args":{"moon":1},"op":">=","value":2}]', "unknown"),
        ('[{"metric":"sites_closed","op":">=","value":"deux"}]', "value"),
        ('[{"metric":"vigilance","args":{"phenomenon":"vent"},"op":">=","value":"bleu"}]', "value"),
    ],
)
def test_a_condition_that_no_rule_could_read_is_refused(line: str, code: str) -> None:
    with pytest.raises(FieldInvalid) as caught:
        edit(RecordKind.TRIGGER, "PT-TIAC.N3", conditions=(line,))
    assert {n: e["type"] for n, e in caught.value.errors.items()} == {"conditions": code}
    assert caught.value.errors["conditions"]["french"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"conditions": (CLOSED.replace("college", "piscine"),)}, "conditions"),
        ({"level": 4}, "level"),
    ],
)
def test_a_condition_about_nothing_and_a_second_level_are_refused(
    values: dict[str, FieldValue], field: str
) -> None:
    faults = find_edit_faults(SECTIONS, edit(RecordKind.TRIGGER, "PT-CRUE.N3", **values))
    assert [fault.field for fault in faults] == [field]


def test_an_activity_is_withdrawn_once_no_agent_works_for_it() -> None:
    activity = "ATT-08"
    sections = list(SECTIONS)
    for id in list_records(sections, RecordKind.STAFFING):
        if id.startswith(f"{activity}."):
            gone = build_withdrawal(sections, RecordKind.STAFFING, id)
            assert find_edit_faults(sections, gone) == []
            sections = apply_record_edit(sections, gone)
    assert (
        find_edit_faults(sections, build_withdrawal(sections, RecordKind.REASSIGNMENT, activity))
        == []
    )
    gone = build_withdrawal(sections, RecordKind.ACTIVITY, activity)
    assert [fault.fr for fault in find_edit_faults(SECTIONS, gone) if "effectifs" in fault.fr]
    assert [fault.fr for fault in find_edit_faults(sections, gone) if "effectifs" in fault.fr] == []
    after = apply_record_edit(sections, gone)
    assert activity not in list_records(after, RecordKind.REASSIGNMENT)


def test_a_new_activity_gets_its_rule_before_its_agents() -> None:
    activity = create(RecordKind.ACTIVITY, **NEW[RecordKind.ACTIVITY])
    sections = apply_record_edit(SECTIONS, activity)
    agents = {**NEW[RecordKind.STAFFING], "activity": activity.id}
    first = build_new_record(sections, RecordKind.STAFFING, agents)
    assert [(f.field, f.code) for f in find_edit_faults(sections, first)] == [
        ("activity", "missing")
    ]
    rule = build_new_record(
        sections,
        RecordKind.REASSIGNMENT,
        {
            "activity": activity.id,
            "site_bound": "non",
            "needs_desk": "oui",
            "tele_pct": 50,
            "release_pct": 0,
            "home_kinds": ("pmi_css",),
            "host_kinds": ("pmi_css",),
        },
    )
    assert find_edit_faults(sections, rule) == []
    sections = apply_record_edit(sections, rule)
    staffing = next(s for s in sections if isinstance(s, Staffing))
    made = next(one for one in staffing.rules if one.activity == activity.id)
    assert (made.pole, made.criticality, made.rto_h) == ("solidarites", 3, 4)
    assert made.needs_desk
    assert not made.site_bound
    assert find_edit_faults(sections, first) == []
