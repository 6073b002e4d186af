"""Complete `/openapi.json` with headers read from the request and with problems (RFC 9457)."""

from __future__ import annotations

import re
from typing import Any, Final

from services.console.http.answers import HEADERS
from services.console.http.body_examples import BODY_EXAMPLES
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
_PAGE: Final = re.compile(r"Page_(\w+)_")
_FASTAPI_SCHEMAS: Final = ("HTTPValidationError", "ValidationError")
"""FastAPI's own fault schemas, which no answer uses."""


def complete_document(document: dict[str, Any]) -> dict[str, Any]:
    """Complete the document in place and return it.

    Idempotent, even concurrently: it may run at the start and for a first request.
    """
    _rename_pages(document)
    schemas = document["components"]["schemas"]
    for name in _FASTAPI_SCHEMAS:
        schemas.pop(name, None)
    schemas["Problem"] = SCHEMA
    for name, example in BODY_EXAMPLES.items():
        if name in schemas:
            schemas[name]["examples"] = [example]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["operationId"] = name_operation(operation["operationId"], path, method)
            _complete_operation(path, operation)
    return document


def _rename_pages(document: Any) -> None:
    """Rename the schemas of pages in place: `Page_Plan_` becomes `PlanPage`."""
    if isinstance(document, list):
        for item in document:
            _rename_pages(item)
    if not isinstance(document, dict):
        return
    for key in [key for key in document if _PAGE.fullmatch(key)]:
        document[_PAGE.sub(r"\1Page", key)] = document.pop(key)
    if isinstance(reference := document.get("$ref"), str):
        document["$ref"] = _PAGE.sub(r"\1Page", reference)
    for value in document.values():
        _rename_pages(value)


def name_operation(operation_id: str, path: str, method: str) -> str:
    """Return the id of an operation in camel case, without the path that FastAPI appends.

    Example: `get_plan_api_v1_plans__id__get` becomes `getPlan`. An id in camel case stays.
    """
    name = operation_id.removesuffix(re.sub(r"\W", "_", path) + f"_{method}")
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


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
