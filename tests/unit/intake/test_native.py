"""The front checks the body of a report and leaves the rest to the decider (D1)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base import parse_closed
from schemas.catalogue.sources import COLOURS
from schemas.reports import ReportReceived
from schemas.words import Certainty, EventType, MsgType
from services.intake.reports.native import (
    NativeReport,
    PreparedReport,
    parse_report,
    prepare_report,
)
from services.runtime.http.problems import ProblemError
from services.runtime.identity.accounts import create_principal
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal, Scope
from tests.unit.intake.conftest import report

ADMIN = create_principal(Role.ADMIN)


def claim(body: dict[str, Any], principal: Principal = ADMIN) -> PreparedReport:
    return prepare_report(
        parse_report(orjson.dumps(body)), principal, "92", lambda _, reference: reference
    )


def refused(body: dict[str, Any], principal: Principal = ADMIN) -> tuple[str, list[str]]:
    with pytest.raises(ProblemError) as caught:
        claim(body, principal)
    return caught.value.problem.code, [f.field for f in caught.value.problem.faults]


TIMES = st.sampled_from(
    [
        "2027-02-11T09:40:00+01:00",
        "2027-02-11T08:40:00.123456Z",
        "1970-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ]
)
PERIODS = st.fixed_dictionaries(
    {"from": st.sampled_from(["2027-02-11T09:40:00+01:00", "1970-01-01T00:00:00Z"])},
    optional={"to": st.sampled_from(["2027-02-11T08:40:00.123456Z", "9999-12-31T23:59:59Z"])},
)
TEXT = st.text(max_size=40)
INTEGERS = st.integers(-(2**53), 2**53)
BODIES = st.fixed_dictionaries(
    {
        "type": st.sampled_from([t.value for t in EventType]),
        "severity": st.integers(1, 5),
        "occurred_at": TIMES,
    },
    optional={
        "realm": st.sampled_from(["92", "92~ex-1"]),
        "site_id": st.text(min_size=1, max_size=64),
        "commune": st.text(min_size=1, max_size=8),
        "zone": st.lists(st.text(min_size=1, max_size=8), max_size=3),
        "area": TEXT | st.dictionaries(TEXT, INTEGERS | TEXT, max_size=2),
        "certainty": st.sampled_from(
            [*(c.value for c in Certainty), "Observed", "Likely", "Possible", "Unlikely", "Unknown"]
        ),
        "rumour": st.booleans(),
        "urgency": st.text(max_size=16),
        "msg_type": st.sampled_from([m.value for m in MsgType]),
        "references": st.lists(st.text(min_size=1, max_size=30), max_size=3),
        "lifts": st.lists(st.sampled_from([t.value for t in EventType]), max_size=3),
        "effective": st.lists(PERIODS, max_size=2),
        "expected_duration_h": st.floats(0, 1000),
        "estimated_end": TIMES,
        "headline": TEXT,
        "description": TEXT,
        "capacity_lost_pct": st.floats(0, 100),
        "persons_concerned": st.integers(0, 10**9),
        "measure": st.fixed_dictionaries(
            {}, optional={"object": TEXT, "scope": st.text(max_size=64), "more": TEXT}
        )
        | st.fixed_dictionaries(
            {"name": TEXT.filter(bool)},
            optional={
                "value": st.booleans()
                | INTEGERS
                | st.floats(allow_nan=False, allow_infinity=False)
                | TEXT,
                "value_of": st.floats(allow_nan=False, allow_infinity=False),
                "unit": st.text(max_size=32),
                "object": TEXT,
                "more": TEXT,
            },
        ),
        "phenomenon": TEXT,
        "colour": st.sampled_from(COLOURS),
        "affected_activities": st.lists(st.text(min_size=1, max_size=8), max_size=3),
        "plan_hint": TEXT,
        "attachments": st.lists(TEXT, max_size=2),
        "alias": st.text(min_size=1, max_size=30),
        "source": st.fixed_dictionaries({}, optional={"name": TEXT, "contact": TEXT}),
        "unheard_of": TEXT,
    },
)


@given(BODIES)
def test_any_valid_report_becomes_a_message_of_the_contract(body: dict[str, Any]) -> None:
    made = claim(body)
    message = parse_closed(
        "vigie.ReportReceived.v1", orjson.loads(orjson.dumps(made.message | {"report_id": "r"}))
    )
    assert isinstance(message, ReportReceived)
    assert message.type == body["type"]
    assert message.site_id == body.get("site_id")
    assert len(message.effective) == len(body.get("effective", []))


def test_free_text_and_contacts_never_enter_the_message() -> None:
    secret = "Mme Durand 06 12 34 56 78"
    fields = {
        "headline": secret,
        "description": secret,
        "area": secret,
        "attachments": [secret],
        "source": {"name": secret, "contact": secret},
    }
    made = claim(report(**fields))
    assert secret.encode() not in orjson.dumps(made.message)
    assert made.text == {
        "headline": secret,
        "description": secret,
        "area": secret,
        "attachments": (secret,),
        "source_name": secret,
        "contact": secret,
    }


def test_numbers_that_no_reader_of_64_bits_can_hold_are_refused() -> None:
    body = (
        b'{"type":"info","severity":1,"occurred_at":"2027-02-11T08:40:59Z","area":{"x":'
        + b"9" * 30
        + b"}}"
    )
    with pytest.raises(ProblemError) as caught:
        prepare_report(parse_report(body), ADMIN, "92", lambda _, reference: reference)
    assert caught.value.problem.faults[0].field == "area"


def test_an_outline_that_no_record_can_hold_is_refused() -> None:
    """The broker refused it forever, and the sender was asked to try again (503)."""
    ring = [[2.2 + n / 1e7, 48.9 + n / 1e7] for n in range(14_000)]
    body = report(area={"type": "Polygon", "coordinates": [ring]})
    assert claim(body).realm == "92"
    body["area"]["coordinates"][0] = ring * 2
    assert refused(body) == ("invalid", ["area"])


@pytest.mark.parametrize(
    ("body", "certainty"),
    [
        ({}, "confirmed"),
        ({"certainty": "Likely"}, "confirmed"),
        ({"certainty": "Possible"}, "unconfirmed"),
        ({"certainty": "Unlikely"}, "rumour"),
        ({"certainty": "Unknown"}, "unconfirmed"),
        ({"certainty": "Unknown", "rumour": True}, "rumour"),
        ({"certainty": "unconfirmed"}, "unconfirmed"),
    ],
)
def test_certainty_is_mapped_to_our_values_d2(body: dict[str, Any], certainty: str) -> None:
    assert claim(report(**body)).message["certainty"] == certainty


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "boredom"}, "type"),
        ({"severity": 0}, "severity"),
        ({"severity": "3"}, "severity"),
        ({"severity": 3.5}, "severity"),
        ({"occurred_at": "2027-02-11T09:40:00"}, "occurred_at"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"occurred_at": 12}, "occurred_at"),
        ({"occurred_at": "0001-01-01T00:00:00Z"}, "occurred_at"),
        ({"occurred_at": None}, "occurred_at"),
        ({"site_id": ""}, "site_id"),
        ({"effective": [{"to": "2027-02-11T09:40:00Z"}]}, "effective.0.from"),
        ({"capacity_lost_pct": 101}, "capacity_lost_pct"),
        ({"certainty": "sure"}, "certainty"),
        ({"area": 3}, "area"),
        ({"measure": {"name": "x", "value": []}}, "measure.value"),
        ({"realm": "92~party-1"}, "realm"),
        ({"realm": "92/../75"}, "realm"),
        ({"zone": ["92050"] * 101}, "zone"),
    ],
)
def test_a_refusal_names_the_field(changes: dict[str, Any], field: str) -> None:
    assert refused(report(**changes)) == ("invalid", [field])


def test_a_refusal_lists_all_allowed_values_in_its_language() -> None:
    with pytest.raises(ProblemError) as caught:
        parse_report(orjson.dumps(report(certainty="sure")))
    assert caught.value.problem.faults[0].message["fr"] == (
        "valeurs possibles : 'confirmed', 'unconfirmed', 'rumour', 'Observed', 'Likely', 'Possible', 'Unlikely' ou 'Unknown'"
    )


@pytest.mark.parametrize("zone", ["92012", "92012|92073", "92012, 92073", ["92012", "92073"]])
def test_a_zone_is_one_code_or_several_as_the_reference_tables_write_them(
    zone: str | list[str],
) -> None:
    codes = ["92012"] if zone == "92012" else ["92012", "92073"]
    assert claim(report(zone=zone)) == claim(report(zone=codes))
    assert claim(report(zone=zone)).message["zone"] == tuple(codes)


def test_an_empty_code_in_a_zone_is_refused_where_it_stands() -> None:
    assert refused(report(zone="92012|")) == ("invalid", ["zone.1"])
    assert refused(report(zone=92012)) == ("invalid", ["zone"])


def test_null_is_a_field_that_is_not_there() -> None:
    optional = {
        name: None for name, field in NativeReport.model_fields.items() if not field.is_required()
    }
    assert parse_report(orjson.dumps(optional | report())) == parse_report(orjson.dumps(report()))
    for name in NativeReport.model_fields.keys() - optional.keys():
        with pytest.raises(ProblemError) as caught:
            parse_report(orjson.dumps(report() | {name: None}))
        assert [f.field for f in caught.value.problem.faults] == [name]


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert claim(report(severity=4.0, persons_concerned=12.0)) == claim(
        report(severity=4, persons_concerned=12)
    )
    for value in (3.5, True, "4", 1e300):
        assert refused(report(severity=value)) == ("invalid", ["severity"])


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 100_000, b"\xff\xfe\x00", b'{"type": "\\ud800"}', b"nul"]
)
def test_anything_but_json_is_refused_as_such(body: bytes) -> None:
    with pytest.raises(ProblemError) as caught:
        parse_report(body)
    assert caught.value.problem.code == "not_json"


def test_recorded_at_is_for_the_player_of_a_simulated_realm_only() -> None:
    at = "2027-02-11T10:00:00+01:00"
    assert claim(report(realm="92~ex-1", recorded_at=at)).at == 1_802_336_400_000
    assert refused(report(recorded_at=at)) == ("recorded_at_live", ["recorded_at"])
    assert refused(
        report(realm="92~ex-1", recorded_at=at), create_principal(Role.SITE_MANAGER)
    ) == ("recorded_at_forbidden", ["recorded_at"])


@pytest.mark.parametrize("status", ["Exercise", "Test"])
def test_an_exercise_message_never_enters_a_live_realm_d12(status: str) -> None:
    assert refused(report(status=status)) == ("status_realm", ["status"])
    assert claim(report(status=status, realm="92~ex-1")).realm == "92~ex-1"


def test_a_source_speaks_for_its_own_sites_types_and_realms() -> None:
    source = create_principal(
        Role.SOURCE, scope=Scope(sites=("col-001",), types=("outage_power",), realms=("92",))
    )
    assert claim(report(), source).message["site_id"] == "col-001"
    for changes in (
        {"site_id": "col-002"},
        {"site_id": None},
        {"type": "fire"},
        {"realm": "92~ex-1"},
    ):
        assert refused(report(**changes), source)[0] == "out_of_scope"


@pytest.mark.parametrize(
    ("lifts", "may"),
    [([], True), (["outage_power"], True), (["fire"], False), (["outage_power", "fire"], False)],
)
def test_a_source_ends_only_types_in_its_scope(lifts: list[str], may: bool) -> None:
    source = create_principal(Role.SOURCE, scope=Scope(types=("outage_power", "reopening")))
    body = report(type="reopening", lifts=lifts)
    if may:
        assert claim(body, source).message["type"] == "reopening"
    else:
        assert refused(body, source)[0] == "out_of_scope"


@pytest.mark.parametrize(
    ("role", "realm", "named", "kind"),
    [
        (Role.CELL, "92", "enedis", "enedis"),
        (Role.CELL, "92", "martin", "cell"),
        (Role.COORDINATOR, "92~ex-1", "martin", "martin"),
        (Role.COORDINATOR, "92~ex-1", "Mme Martin", "coordinator"),
        (Role.SITE_MANAGER, "92", "enedis", "site_manager"),
        (Role.SOURCE, "92~ex-1", "enedis", "source"),
    ],
)
def test_each_role_passes_on_the_reports_of_its_kinds_of_source_d6(
    role: Role, realm: str, named: str, kind: str
) -> None:
    assert (
        claim(report(realm=realm, source={"name": named}), create_principal(role)).message["source"]
        == kind
    )


def test_a_registered_source_counts_as_its_own_kind() -> None:
    assert (
        claim(report(), create_principal(Role.SOURCE, speaks_as="vigicrues")).message["source"]
        == "vigicrues"
    )


@pytest.mark.parametrize(
    ("changes", "danger"),
    [({"type": "fire"}, True), ({"type": "info", "severity": 5}, True), ({"type": "info"}, False)],
)
def test_danger_to_people_is_recognised(changes: dict[str, Any], danger: bool) -> None:
    assert claim(report(**changes)).danger is danger


def test_the_order_of_fields_does_not_make_another_body() -> None:
    body = report(severity=2)
    assert claim(body).content == claim(dict(reversed(body.items()))).content
    assert claim(body).content != claim(report(severity=3)).content


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vent", "vent"),
        ("Vent violent", "vent"),
        ("vent_violent", "vent"),
        ("Neige-Verglas", "neige-verglas"),
        ("grand  froid", "grand-froid"),
        ("pluie-inondation", "pluie-inondation"),
        ("Pollution à l'ozone", "Pollution à l'ozone"),
    ],
)
def test_a_phenomenon_has_the_name_of_rules_and_plans(name: str, expected: str) -> None:
    prepared = claim(report(type="weather_alert", phenomenon=name, colour="orange"))
    assert prepared.message["phenomenon"] == expected
