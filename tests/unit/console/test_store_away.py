"""An unreachable Redis is a problem that every reader of the present names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisAway

from schemas.alerts import IncidentRow
from services.console.http.problems import StoreUnavailable
from services.console.read_model.reference_index import NO_REFERENCE
from services.console.read_model.snapshot import CurrentSnapshot, RowCache, read_lines, read_rates


class ClientAway:
    """A client of which every call fails."""

    def __getattr__(self, name: str) -> Callable[..., Any]:

        async def fail(*_: object, **__: object) -> None:
            raise RedisAway

        return fail


def read_all_lines(client: Any) -> Awaitable[Any]:
    return read_lines(client, "92", incident=None, kinds=frozenset(), at=None, before=None, limit=1)


def snapshot(client: Any) -> CurrentSnapshot:
    return CurrentSnapshot(client, RowCache(), {"incidents": 1}, "92", {}, None, NO_REFERENCE)


READERS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "rows": lambda client: snapshot(client).rows(IncidentRow),
    "row": lambda client: snapshot(client).row(IncidentRow, "i-1"),
    "some": lambda client: snapshot(client).some(IncidentRow, ["i-1"]),
    "reports": lambda client: snapshot(client).reports_of("i-1"),
    "feeds": lambda client: snapshot(client).feeds(),
    "count": lambda client: snapshot(client).count("incidents"),
    "lines": read_all_lines,
    "rates": lambda client: read_rates(client, "92", 0, 1),
}


@pytest.mark.parametrize("name", READERS)
async def test_an_unreachable_store_is_a_problem_of_the_api(name: str) -> None:
    with pytest.raises(StoreUnavailable):
        await READERS[name](ClientAway())
