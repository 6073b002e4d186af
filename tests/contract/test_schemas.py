"""The published contract is current, and all earlier messages still parse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError
from referencing import Registry, Resource

import schemas.export as export
from schemas.base import UnknownType, parse_closed, parse_open
from schemas.wire import MARK, Place
from services.runtime.kafka.clients import build_headers

GOLDEN = sorted((export.FOLDER / "golden").glob("*.json"))


def _load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def test_schemas_and_asyncapi_are_those_of_the_models() -> None:
    assert [str(p.relative_to(export.FOLDER)) for p in export.list_outdated_files()] == []


def test_every_type_has_a_golden_sample() -> None:
    assert {p.stem for p in GOLDEN} >= set(export.PUBLISHED)


def test_golden_samples_parse_for_ever() -> None:
    for golden in map(_load, GOLDEN):
        wire = golden["type"]
        for one in golden["samples"]:
            message = parse_closed(wire, one)
            dumped = message.model_dump(mode="json")
            same = one.items() <= dumped.items() or parse_closed(wire, dumped) == message
            assert same, (wire, one)


def test_golden_samples_fit_the_published_schema() -> None:
    definitions = _load(export.FOLDER / "json" / export.SHARED_FILE)
    jsonschema.Draft202012Validator.check_schema(definitions)
    shared: Registry[Any] = Registry().with_resource(
        export.SHARED_FILE, Resource.from_contents(definitions)
    )
    for path in GOLDEN:
        golden, schema = _load(path), _load(export.FOLDER / "json" / path.name)
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema, registry=shared)
        for one in golden["samples"]:
            message = parse_closed(golden["type"], one).model_dump(mode="json", by_alias=True)
            assert list(validator.iter_errors(message)) == [], (path.name, one)


def test_published_schemas_define_each_name_once() -> None:
    """Reference data was written four times, 13,000 lines in all."""
    definitions = [
        name for schema in export.build_json_schemas().values() for name in schema.get("$defs", {})
    ]
    assert sorted(definitions) == sorted(set(definitions))


def test_producers_are_closed_and_consumers_open() -> None:
    for wire, model in export.PUBLISHED.items():
        newer = export.build_sample(model, full=True) | {"a_field_of_tomorrow": 1}
        with pytest.raises(ValidationError):
            parse_closed(wire, newer)
        assert parse_open(wire, json.dumps(newer).encode()), wire


def test_an_unknown_type_has_a_name_of_its_own() -> None:
    with pytest.raises(UnknownType):
        parse_open("vigie.FromTheFuture.v1", b"{}")


def test_asyncapi_names_every_topic_and_only_known_messages() -> None:
    document = export.build_asyncapi()
    assert {t.name for t in export.TOPICS} == set(document["channels"])
    message_names = set(document["components"]["messages"])
    for channel in document["channels"].values():
        assert set(channel["messages"]) <= message_names


def test_asyncapi_describes_every_header_of_a_message() -> None:
    """A consumer outside knows the type of a record by its headers alone."""
    headers = export.build_asyncapi()["components"]["messageTraits"]["cloudEvent"]["headers"]
    least = {name for name, _ in build_headers("vigie.Tick.v1", id="i", source="/s")}
    place = Place("alerts", 0, 0, 1, 0)
    most = {
        name
        for name, _ in build_headers(
            "vigie.Tick.v1",
            id="i",
            source="/s",
            at=1,
            correlation_id="c",
            causation_id="d",
            place=place,
            place_hash="h",
            time_ms=1,
            traceparent="t",
        )
    }
    assert set(headers["required"]) == least
    assert set(headers["properties"]) == most | {MARK}
