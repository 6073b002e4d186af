"""Complete `/openapi.json` with headers read from the request and with problems (RFC 9457)."""

from __future__ import annotations

from typing import Any, Final

from services.console.http.answers import HEADERS
from services.runtime.http.problems import MEDIA_TYPE, SCHEMA

_COMMON_PROBLEMS: Final = {"503": "not now: try again after `Retry-After`"}
_ACCESS_PROBLEMS: Final = {
    "401": "no valid token or session",
    "403": "the role, or what it is held to, does not allow it",
}
_REALM_PROBLEMS: Final = {"404": "no such realm, or nothing under this id at that time"}
_PROBLEM: Final[dict[str, Any]] = {
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
}
_FASTAPI_SCHEMAS: Final = ("HTTPValidationError", "ValidationError")
"""FastAPI's own fault schemas, which no answer uses."""


def complete_document(document: dict[str, Any]) -> dict[str, Any]:
    """Complete the document in place and return it.

    Idempotent, even concurrently: it may run at the start and for a first request.
    """
    schemas = document["components"]["schemas"]
    for name in _FASTAPI_SCHEMAS:
        schemas.pop(name, None)
    schemas["Problem"] = SCHEMA
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete_operation(path, operation)
    return document


def _complete_operation(path: str, operation: dict[str, Any]) -> None:
    answers, parameters = operation["responses"], operation.get("parameters", [])
    if "412" in answers:
        operation["parameters"] = parameters = [p for p in parameters if p not in HEADERS] + HEADERS
    may = dict(_COMMON_PROBLEMS)
    if path.startswith("/api/"):
        may |= _ACCESS_PROBLEMS
    if any(p["name"] == "realm" or p["in"] == "path" for p in parameters):
        may |= _REALM_PROBLEMS
    every = {status: {"description": what} for status, what in may.items()} | answers
    operation["responses"] = {
        status: every[status] | (_PROBLEM if status >= "400" else {}) for status in sorted(every)
    }
