"""The front answers as its description says, field by field."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from services.intake.openapi import build_own_document
from services.runtime.identity.permissions import Role
from tests.unit.intake.conftest import Door


def find_schema(method: str, path: str, status: int) -> dict[str, Any]:
    """Return the schema of an answer, with the document that it refers to."""
    document = build_own_document()
    answer = document["paths"][path][method]["responses"][str(status)]
    schema: dict[str, Any] = answer["content"]["application/json"]["schema"]
    return schema | {"components": document["components"]}


STEPS: tuple[tuple[str, str, str, Any], ...] = (
    ("get", "/api/v1/whoami", "/api/v1/whoami", None),
    ("post", "/api/v1/tokens", "/api/v1/tokens", {"role": "source", "label": "gtb"}),
    ("get", "/api/v1/tokens", "/api/v1/tokens", None),
    ("post", "/api/v1/users", "/api/v1/users", {"login": "zoe", "role": "cell"}),
    ("get", "/api/v1/users", "/api/v1/users", None),
    ("post", "/api/v1/users/{login}/code", "/api/v1/users/zoe/code", None),
    (
        "post",
        "/api/v1/users/{login}/password",
        "/api/v1/users/zoe/password",
        {"password": "quatre mots sans aucun lien"},
    ),
    ("post", "/api/v1/users/{login}/disable", "/api/v1/users/zoe/disable", None),
    ("post", "/api/v1/users/{login}/enable", "/api/v1/users/zoe/enable", None),
    ("post", "/api/v1/sources", "/api/v1/sources", {"name": "gtb", "dialect": "generic"}),
    ("get", "/api/v1/sources", "/api/v1/sources", None),
    ("patch", "/api/v1/sources/{name}", "/api/v1/sources/gtb", {"severity": 2}),
    ("post", "/api/v1/sources/{name}/disable", "/api/v1/sources/gtb/disable", None),
)


async def test_every_answer_about_access_and_sources_is_as_described(door: Door) -> None:
    async with await door.as_(Role.ADMIN) as http:
        for method, path, url, body in STEPS:
            done = await http.request(method.upper(), url, json=body)
            assert done.status_code < 300, f"{method} {url}: {done.text}"
            schema = find_schema(method, path, done.status_code)
            Draft202012Validator(schema).validate(done.json())


async def test_a_revoked_token_is_answered_as_described(door: Door) -> None:
    async with await door.as_(Role.ADMIN) as http:
        made = (await http.post("/api/v1/tokens", json={"role": "observer"})).json()
        done = await http.delete(f"/api/v1/tokens/{made['id']}")
    Draft202012Validator(find_schema("delete", "/api/v1/tokens/{id}", 200)).validate(done.json())


@pytest.mark.parametrize(("method", "path"), [(m, p) for m, p, *_ in STEPS])
def test_an_answer_about_access_and_sources_has_a_named_schema(method: str, path: str) -> None:
    responses = build_own_document()["paths"][path][method]["responses"]
    (status,) = [s for s in responses if s.startswith("2")]
    assert "$ref" in find_schema(method, path, int(status))
