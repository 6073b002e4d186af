"""No free word of a report reaches the permanent log or the index of the front (D58)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given

from schemas.base import is_token, parse_closed
from schemas.reports import episode_key
from services.alerts.reference.territory import parse_instant
from services.alerts.reports.report_facts import parse_truth
from services.intake.reports.native import NativeReport
from services.intake.reports.redaction import LogRedactor
from services.runtime.identity.permissions import Role
from services.runtime.secrets.vault import OWN_WORDS_FIELD
from services.simulation.scenarios import list_scenarios, load_scenario
from tests.scenarios.memory import SCENARIOS
from tests.unit.intake.conftest import Door, report
from tests.unit.intake.test_native import BODIES, claim

WORDS = LogRedactor(b"key")
FieldPath = tuple[str, ...]
REPORTS = "/api/v1/reports"


def string_fields(
    schema: dict[str, Any], root: dict[str, Any], path: FieldPath = ()
) -> Iterator[FieldPath]:
    """Yield the path of every field that takes any string; `[]` stands for a member of a list."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    for choice in schema.get("anyOf", ()):
        yield from string_fields(choice, root, path)
    if schema.get("type") == "string" and not {"enum", "format", "const"} & schema.keys():
        yield path
    for name, inner in schema.get("properties", {}).items():
        yield from string_fields(inner, root, (*path, name))
    if isinstance(items := schema.get("items"), dict):
        yield from string_fields(items, root, (*path, "[]"))


SCHEMA = NativeReport.model_json_schema()
FIELDS = sorted({path for path in string_fields(SCHEMA, SCHEMA) if path[0] != "realm"})


def contents(folder: Path, pattern: str) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob(pattern))


def planted(path: FieldPath, canary: str) -> Any:
    """Return the value of the first field of `path` with a canary at its end."""
    value: Any = canary
    for name in reversed(path[1:]):
        value = [value] if name == "[]" else {name: value}
    return {"name": "temperature"} | value if path[0] == "measure" else value


def test_all_fields_with_free_text_are_known() -> None:
    assert {path[0] for path in FIELDS} >= {
        "alias",
        "plan_hint",
        "measure",
        "phenomenon",
        "site_id",
        "references",
    }
    assert ("measure", "object") in FIELDS
    assert ("affected_activities", "[]") in FIELDS


@pytest.mark.parametrize("realm", ["92", "92~ex-1"])
async def test_free_text_is_neither_in_the_log_nor_in_the_index(
    door: Door, tmp_path: Path, realm: str
) -> None:
    canaries = {path: f"Zé b{n:02d}" for n, path in enumerate(FIELDS)}
    async with await door.as_(Role.SOURCE) as http:
        for path, canary in canaries.items():
            body = report(**{"realm": realm, "site_id": None, path[0]: planted(path, canary)})
            answer = await http.post(
                REPORTS, content=orjson.dumps(body), headers={"content-type": "application/json"}
            )
            assert answer.status_code == 202, (path, answer.text)
    assert len(door.inputs.appended) == len(canaries)
    logged = b"\n".join(
        orjson.dumps(message.model_dump()) for _, message, _ in door.inputs.appended
    )
    await door.intake.ledger.flush()
    index = contents(tmp_path, "answers.db*")
    leaked_paths = {path for path, canary in canaries.items() if canary.encode() in logged + index}
    assert leaked_paths == set()
    texts = await asyncio.gather(
        *(door.intake.vault.texts.get(str(m.text_id)) for _, m, _ in door.inputs.appended)
    )
    stored_texts = [
        str(text.fields) + str(text.raw, "utf-8") for text in texts if text is not None and text.raw
    ]
    assert all(canary in text for canary, text in zip(canaries.values(), stored_texts, strict=True))


async def test_the_name_of_a_sender_is_hidden_even_as_one_word(door: Door) -> None:
    async with await door.as_(Role.SOURCE) as http:
        first = await http.post(REPORTS, json=report(alias="Durand-117"))
        await http.post(
            REPORTS, json=report(msg_type="Cancel", severity=1, references=["Durand-117"])
        )
        unknown = report(msg_type="Cancel", severity=2, references=["Dupond-118"])
        await http.post(REPORTS, json=unknown)
    logged_report, cancel, lost = (message for _, message, _ in door.inputs.appended)
    assert logged_report.alias == words_of(door).name("92", "Durand-117")
    assert "Durand" not in str(logged_report.alias)
    assert cancel.references == (first.json()["report_id"],), (
        "it is found by its alias all the same"
    )
    assert lost.references == (words_of(door).name("92", "Dupond-118"),), (
        "as the alias of another sender is on the log"
    )
    text_item = await door.intake.vault.texts.get(str(logged_report.text_id))
    assert text_item is not None
    assert text_item.fields[OWN_WORDS_FIELD] == {"alias": "Durand-117"}


def words_of(door: Door) -> LogRedactor:
    return door.intake.receiver._words


async def test_a_script_keeps_the_names_of_its_reports_in_an_exercise(door: Door) -> None:
    async with await door.as_(Role.SOURCE) as http:
        await http.post(REPORTS, json=report(realm="92~ex-1", alias="E001"))
    assert door.inputs.appended[0][1].alias == "E001"


@pytest.mark.parametrize(
    "legitimate",
    [
        {"plan_hint": "PT-CRUE niveau 2"},
        {"plan_hint": "PCA-SOLIDARITES"},
        {
            "measure": {
                "name": "temperature",
                "value": 41.5,
                "unit": "°C",
                "object": "station:austerlitz",
            }
        },
        {
            "measure": {
                "name": "absence_rate",
                "value": "12.5",
                "unit": "%",
                "scope": "kind:college",
            }
        },
        {"measure": {"object": "system:*"}},
        {"measure": {"object": "supplier:CK-01|network:mobile"}},
        {"phenomenon": "vent-violent", "colour": "orange", "urgency": "Immediate"},
        {"site_id": "zzz-9", "affected_activities": ("ACT-001",), "zone": ("92050", "2A004")},
    ],
)
def test_codes_and_figures_stay_as_they_are(legitimate: dict[str, Any]) -> None:
    logged = WORDS.clean("92", legitimate, None)
    assert logged.message == legitimate
    assert logged.own_words == {}


@pytest.mark.parametrize(
    "value",
    [
        "2027-02-11T13:20:00+01:00",
        "2027-02-11T13:20:00.250000+01:00",
        "2027-02-11 13:20",
        "2027-02-11T12:20:00Z",
        "20270211T1320+0100",
    ],
)
def test_the_announced_end_stays_a_time_that_rules_read(value: str) -> None:
    report_body = {
        "measure": {"name": "estimated_end", "value": value, "object": "network:electricity"}
    }
    logged = WORDS.clean("92", report_body, None)
    assert logged.message == report_body
    assert parse_instant(logged.message["measure"]["value"]) is not None


@pytest.mark.parametrize("name", [head.id for head in list_scenarios(SCENARIOS)])
def test_codes_of_shipped_scenarios_stay_unchanged(name: str) -> None:
    for event in load_scenario(SCENARIOS, name).events:
        made = claim(event.body | {"realm": "92~ex-1"})
        logged = WORDS.clean(made.realm, made.message, made.message.get("alias"))
        assert logged.message == made.message, event.id


@pytest.mark.parametrize("value", [" oui", "true ", "Yes"])
def test_a_value_that_rules_read_as_true_stays_true(value: str) -> None:
    logged = WORDS.clean("92", {"measure": {"name": "system_restored", "value": value}}, None)
    assert parse_truth(logged.message["measure"]["value"])


@pytest.mark.parametrize(
    "value",
    [
        "2027-02-11Mme Durand",
        "2027-02-11T13:20:00+01:00 Durand",
        "12345678 12345678",
        "0612345678 +33",
    ],
)
def test_a_value_that_only_begins_as_a_time_is_hidden(value: str) -> None:
    logged = WORDS.clean("92", {"measure": {"name": "estimated_end", "value": value}}, None)
    assert logged.message["measure"]["value"] == WORDS.hash_text(value)


def test_levels_to_come_stay_and_text_among_them_is_hidden() -> None:
    forecast_value = "2027-01-25T10:00Z +6h=4.79/4.85/4.91 +12h=5.03/5.12/5.21"
    for value, stays in (
        (forecast_value, True),
        (f"{forecast_value} Mme Martin", False),
        (f"{forecast_value} ", False),
    ):
        measure = {"name": "river_forecast", "value": value}
        logged = WORDS.clean("92", {"measure": measure}, None).message["measure"]["value"]
        assert (logged == value) is stays, value


def test_a_hidden_object_keeps_its_kind_and_equal_texts_stay_equal() -> None:
    first, second = (
        WORDS.clean("92", {"measure": {"object": "road:Pont de Sèvres|system:mail"}}, None)
        for _ in range(2)
    )
    parts = first.message["measure"]["object"].split("|")
    assert parts[0].startswith("road:h:")
    assert parts[1] == "system:mail"
    assert first == second


@given(BODIES)
def test_any_text_gives_a_valid_message_without_free_text(body: dict[str, Any]) -> None:
    made = claim(body)
    logged = WORDS.clean(made.realm, made.message, None).message
    parse_closed("vigie.ReportReceived.v1", orjson.loads(orjson.dumps(logged | {"report_id": "r"})))
    for field in ("site_id", "phenomenon", "colour", "urgency"):
        assert not logged.get(field) or is_token(logged[field])


def test_the_part_of_an_alias_that_deciders_read_stays() -> None:
    hidden = WORDS.hash_text("Mme Durand")
    assert (
        WORDS.machine_alias("92", "Mme Durand@17:outage_it:cen-1#end")
        == f"{hidden}@17:outage_it:cen-1#end"
    )
    assert WORDS.machine_alias("92", "Mme Durand@17#3") == f"{hidden}@17#3"
    assert WORDS.machine_alias("92", "Mme Durand@17#3").count(hidden) == 1
    assert episode_key(WORDS.machine_alias("92", "Mme Durand@17#3")) == hidden
    assert (
        WORDS.machine_alias("92", "Mme Durand#17.fire.jaune-2#over")
        == f"{hidden}#17.fire.jaune-2#over"
    )
    assert "Durand" not in WORDS.machine_alias("92", "Mme@17:outage_it:Mme Durand")
    assert "Durand" not in WORDS.machine_alias("92", "Mme@17:Durand:x")
