"""The console's OpenAPI document, built once per process: it takes a second."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson

from services.console.app import build_openapi


def console_document() -> dict[str, Any]:
    """Return a copy of the console's document."""
    return dict(orjson.loads(_built()))


@cache
def _built() -> bytes:
    return orjson.dumps(build_openapi())
