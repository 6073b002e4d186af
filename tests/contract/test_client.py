"""A client that others generate from our OpenAPI document is whole, and reads well."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from services.console.http.openapi import BODY_EXAMPLES as CONSOLE_EXAMPLES
from services.console.http.openapi import name_operation
from services.intake.answers import BODY_EXAMPLES as FRONT_EXAMPLES
from services.intake.openapi import build_own_document, merge_documents
from services.runtime.http.api_subjects import SUBJECTS
from tests.api_documents import console_document
from tests.generated_client import GeneratedClient, generate_client


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return merge_documents(console_document())


@pytest.fixture(scope="module")
def client() -> GeneratedClient:
    return generate_client()


def operations_of(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"{method.upper()} {path}", operation


def name_module(operation: dict[str, Any]) -> str:
    """Return the module that the generator makes of an operation."""
    (tag,) = operation["tags"]
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", operation["operationId"])
    return f"{tag.replace(' ', '_')}/{name.lower()}"


def test_the_generator_has_nothing_to_say(client: GeneratedClient) -> None:
    """It warned of fifteen routes and two models, and left out seven routes."""
    assert re.sub(r"Generating \S+", "", client.output).strip() == "", (
        "a new media type belongs into the table of docs/how-to/python-client.md"
    )


def test_every_route_has_its_module_in_the_folder_of_its_subject(client: GeneratedClient) -> None:
    made = {
        str(file.relative_to(client.package / "api").with_suffix(""))
        for file in (client.package / "api").rglob("*.py")
        if file.name != "__init__.py"
    }
    required_modules = {name_module(operation) for _, operation in operations_of(client.document)}
    assert required_modules - made == set()
    assert made - required_modules == set()


def test_every_operation_belongs_to_one_subject_of_the_table(document: dict[str, Any]) -> None:
    wrong = [
        route
        for route, operation in operations_of(document)
        if len(operation.get("tags", ())) != 1 or operation["tags"][0] not in SUBJECTS
    ]
    assert wrong == [], "give the router one tag of services/runtime/http/api_subjects.py"
    used = {operation["tags"][0] for _, operation in operations_of(document)}
    assert used == set(SUBJECTS)
    assert [tag["name"] for tag in document["tags"]] == list(SUBJECTS)


def test_every_operation_id_is_unique_and_a_verb_with_its_object(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations_of(document)]
    assert sorted(ids) == sorted(set(ids)), "give one of the routes an `operation_id`"
    assert [i for i in ids if not re.fullmatch(r"[a-z]+([A-Z0-9][A-Za-z0-9]*)?", i)] == []


def test_an_operation_id_loses_the_path_that_fastapi_appends() -> None:
    assert name_operation("get_plan_api_v1_plans__id__get", "/api/v1/plans/{id}", "get") == (
        "getPlan"
    )
    assert name_operation("getPlan", "/api/v1/plans/{id}", "get") == "getPlan"


def test_no_two_models_share_the_name_of_a_schema(document: dict[str, Any]) -> None:
    odd = [name for name in document["components"]["schemas"] if "_" in name]
    assert odd == [], "two models have one class name, or a generic one has no name of its own"
    titles = [s["title"] for s in document["components"]["schemas"].values() if "title" in s]
    assert sorted(titles) == sorted(set(titles))
    own, other = (d["components"]["schemas"] for d in (build_own_document(), console_document()))
    for name in own.keys() & other.keys():
        assert own[name] == other[name], f"front and console disagree on {name}"


def test_no_list_is_the_default_of_a_field_that_may_be_a_string(document: dict[str, Any]) -> None:
    """The client sent the default zone, an empty list, as the text `[]`."""
    wrong = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for field, details in schema.get("properties", {}).items()
        if isinstance(details.get("default"), list)
        and any(option.get("type") == "string" for option in details.get("anyOf", ()))
    ]
    assert wrong == []


def test_every_json_body_has_an_example_and_each_example_is_valid(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    without = []
    for route, operation in operations_of(document):
        content = operation.get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        if schema is None:
            continue
        options = schema.get("anyOf", [schema])
        names = {s["$ref"].rpartition("/")[2] for s in options if "$ref" in s}
        if not any("examples" in schemas[name] for name in names):
            without.append(f"{route}: {', '.join(names)}")
    assert without == [], "add one to services/console/http/openapi.py"
    for name, example in (CONSOLE_EXAMPLES | FRONT_EXAMPLES).items():
        Draft202012Validator(
            {"$ref": f"#/components/schemas/{name}", "components": document["components"]},
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        ).validate(example)
