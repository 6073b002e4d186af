"""The live stream reads the rows and lines of a turn in one round trip to the store."""

from collections.abc import Sequence
from typing import Any

from schemas import alerts as a
from services.console.read_model import store
from services.console.read_model.reference_index import NO_REFERENCE
from services.console.read_model.snapshot import CurrentSnapshot, RowCache
from tests.integration.console import crisis

REALM = "92"
AT = crisis.START


class CountingStore:
    """Hashes in memory that count the round trips to them."""

    def __init__(self, hashes: dict[str, dict[str, bytes]]) -> None:
        self._hashes = hashes
        self.round_trips = 0

    def read(self, key: str, fields: Sequence[str]) -> list[bytes | None]:
        return [self._hashes.get(key, {}).get(field) for field in fields]

    def pipeline(self, *, transaction: bool) -> "CountingPipeline":
        assert not transaction
        return CountingPipeline(self)

    async def hmget(self, key: str, fields: Sequence[str]) -> list[bytes | None]:
        self.round_trips += 1
        return self.read(key, fields)


class CountingPipeline:
    def __init__(self, whole: CountingStore) -> None:
        self._whole = whole
        self._queued: list[tuple[str, Sequence[str]]] = []

    def hmget(self, key: str, fields: Sequence[str]) -> None:
        self._queued.append((key, fields))

    async def execute(self) -> list[Any]:
        self._whole.round_trips += 1
        return [self._whole.read(key, fields) for key, fields in self._queued]


async def test_prefetched_rows_and_lines_need_no_other_round_trip() -> None:
    site = crisis.site("cen-1", AT).row
    incident = crisis.incident(AT, ("cen-1",), "opened").row
    client = CountingStore(
        {
            store.rows_key(REALM, "sites"): {"cen-1": site.model_dump_json().encode()},
            store.rows_key(REALM, "incidents"): {incident.id: incident.model_dump_json().encode()},
            store.build_realm_key(REALM, "lines"): {"k-1": b"{}"},
        }
    )
    picture = CurrentSnapshot(client, RowCache(), {}, REALM, {}, None, NO_REFERENCE)
    changed = {"sites": ["cen-1", "gone"], "incidents": [incident.id]}
    await picture.prefetch(changed, ["k-1", "dropped"])
    assert await picture.some(a.SiteRow, ["cen-1", "gone"]) == {"cen-1": site}
    assert await picture.some(a.IncidentRow, [incident.id]) == {incident.id: incident}
    assert await picture.raw_lines(["k-1", "dropped"]) == [b"{}"]
    assert client.round_trips == 1


async def test_rows_that_were_not_prefetched_are_read_when_asked() -> None:
    site = crisis.site("cen-1", AT).row
    client = CountingStore(
        {store.rows_key(REALM, "sites"): {"cen-1": site.model_dump_json().encode()}}
    )
    picture = CurrentSnapshot(client, RowCache(), {}, REALM, {}, None, NO_REFERENCE)
    await picture.prefetch({"sites": ["cen-2"]}, [])
    assert await picture.some(a.SiteRow, ["cen-1"]) == {"cen-1": site}
