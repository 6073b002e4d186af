"""Complete `/openapi.json` with headers read from the request and with problems (RFC 9457)."""

from __future__ import annotations

from typing import Any, Final

from services.console.http.answers import HEADERS
from services.runtime.http.problems import MEDIA_TYPE, SCHEMA

_OF_ALL: Final = {"503": "not now: try again after `Retry-After`"}
_OF_MEMBERS: Final = {
    "401": "no valid token or session",
    "403": "the role, or what it is held to, does not allow it",
}
_OF_PARTS: Final = {"404": "no such realm, or nothing under this id at that time"}
_PROBLEM: Final[dict[str, Any]] = {
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
}
_THEIRS: Final = ("HTTPValidationError", "ValidationError")
"""FastAPI's own fault schemas, which no answer uses."""


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """Complete the document in place and return it.

    Idempotent, even concurrently: it may run at the start and for a first request.
    """
    schemas = document["components"]["schemas"]
    for name in _THEIRS:
        schemas.pop(name, None)
    schemas["Problem"] = SCHEMA
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(path, operation)
    return document


def _complete(path: str, operation: dict[str, Any]) -> None:
    answers, parameters = operation["responses"], operation.get("parameters", [])
    if "412" in answers:
        operation["parameters"] = parameters = [p for p in parameters if p not in HEADERS] + HEADERS
    may = dict(_OF_ALL)
    if path.startswith("/api/"):
        may |= _OF_MEMBERS
    if any(p["name"] == "realm" or p["in"] == "path" for p in parameters):
        may |= _OF_PARTS
    every = {status: {"description": what} for status, what in may.items()} | answers
    operation["responses"] = {
        status: every[status] | (_PROBLEM if status >= "400" else {}) for status in sorted(every)
    }
