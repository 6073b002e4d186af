"""Read `?limit=` and `?cursor=` of the front's lists, as the console does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from services.intake.http.exchange import Scope
from services.runtime.http.pagination import MAX_LIMIT
from services.runtime.http.problems import ProblemError, build_fault


@dataclass(frozen=True, slots=True)
class ListQuery:
    limit: int
    cursor: str | None
    filters: Mapping[str, str]
    """Other query parameters."""


def read_page_request(scope: Scope, default: int = MAX_LIMIT) -> ListQuery:
    """Read the page parameters of a query. Raises ProblemError `invalid`."""
    query_params = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
    cursor, limit = query_params.pop("cursor", None), query_params.pop("limit", str(default))
    if not (
        limit.isascii() and limit.isdecimal() and len(limit) < 9 and 1 <= int(limit) <= MAX_LIMIT
    ):
        raise ProblemError(
            "invalid",
            faults=(build_fault("limit", "range", f"de 1 à {MAX_LIMIT}", f"1 to {MAX_LIMIT}"),),
        )
    return ListQuery(int(limit), cursor, query_params)
