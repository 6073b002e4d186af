"""Write `docs/reference/api.md` from the OpenAPI document and the problem catalogue.

Run `python -m tools.apidoc`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from services.console.app import build_openapi
from services.intake.openapi import merge_documents
from services.runtime.http.problems import CATALOGUE

TARGET: Final = Path(__file__).resolve().parents[1] / "docs" / "reference" / "api.md"
_HEAD: Final = """# HTTP API

Made from the program by `python -m tools.apidoc`; the whole contract, with every field, is the OpenAPI 3.1 document at `/openapi.json` of a
running system, the topics are in `/asyncapi.json`. Every path begins with the address that `vigie up` prints.

* **Who asks**: `Authorization: Bearer TOKEN` ([accounts and tokens](../how-to/accounts-and-tokens.md)), or a browser's session with its CSRF header.
* **Realm**: `?realm=92~ex-7`, in a decision the field `realm`; the live realm of the territory when absent.
* **Time**: ISO 8601 with an offset. `?as_of=TIME` on every read shows what was known then.
* **Lists**: `{"items": […], "next": cursor or null}`; `?limit=` (≤ 1000) and `?cursor=` page on.
* **Decisions** are commands with author, role and `reason`. The call waits up to two seconds (`Prefer: wait=N`) for the Transaction of its command: 200
  with the result, or the decider's own refusal (403, 404, 409, 412); else 202 with `/api/v1/commands/{id}`. `Idempotency-Key` on all. `If-Match` where two people
  may collide, with the `ETag` of the resource. Fields that this version does not know have no effect; the answer names them in `unknown_fields`.
* **Problems** are RFC 9457, `application/problem+json`, in the language of `Accept-Language` (fr, en); `code` is stable, see the end of this page.
* **Live**: [`GET /api/v1/stream`](live-stream.md).
"""
_FRONT_TITLE: Final = "front door, access and probes"


def build_page() -> str:
    """Return the page as Markdown."""
    found = merge_documents(build_openapi())
    sections: dict[str, list[str]] = {}
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            tag = next(iter(operation.get("tags", ())), _FRONT_TITLE)
            sections.setdefault(tag, []).append(_build_row(path, method, operation))
    lines = [_HEAD]
    for title, rows in sections.items():
        lines += [
            f"## {title[0].upper()}{title[1:]}",
            "",
            "| | | parameters |",
            "|---|---|---|",
            *rows,
            "",
        ]
    return "\n".join([*lines, *_build_problem_table()]) + "\n"


def _build_row(path: str, method: str, operation: dict[str, Any]) -> str:
    names = [
        p["name"]
        for p in operation.get("parameters", ())
        if p["in"] == "query" and p["name"] not in ("realm", "as_of", "limit", "cursor")
    ]
    body = " ".join(_list_body_schemas(operation))
    summary = str(operation.get("summary", "")).rstrip(".")
    return f"| `{method.upper()} {path}` | {summary} | {' '.join(f'`{n}`' for n in names)}{' ' if names and body else ''}{body} |"


def _list_body_schemas(operation: dict[str, Any]) -> Iterator[str]:
    """Yield a reference to the schema of the body."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content.get("schema", {})
        reference = schema.get("$ref") or next(
            (s["$ref"] for s in schema.get("anyOf", ()) if "$ref" in s), None
        )
        if reference:
            yield f"body: {reference.rpartition('/')[2]}"


def _build_problem_table() -> Iterator[str]:
    yield from ("## Problem codes", "", "| code | status | |", "|---|---|---|")
    for code, kind in sorted(CATALOGUE.items(), key=lambda item: (item[1].status, item[0])):
        yield f"| `{code}` | {kind.status} | {kind.detail['en']} |"


if __name__ == "__main__":
    TARGET.write_text(build_page(), encoding="utf-8")
