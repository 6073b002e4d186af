"""Read one realm at one time: `CurrentSnapshot` from Redis, `PastSnapshot` from a fold of the logs.

Both follow the row rule and return typed rows, joined with the fields of their part if they have
one (`schemas.wire`). `CurrentSnapshot` parses a row once and keeps it as long as its bytes
stay the same, so a request costs one round trip to Redis when nothing changed.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Any, NamedTuple, TypeVar, cast

import orjson

from schemas.base import MINUTE_MS, Instant, Model, RowFact, load_messages
from schemas.wire import part_collections
from services.console.http.problems import NotFound
from services.console.logbook.lines import LineRecord, build_key_after
from services.console.read_model import store
from services.console.read_model.history import Fold
from services.console.read_model.reference_index import NO_REFERENCE, IndexedReference
from services.console.read_model.store import Client
from services.runtime.process.tasks import run_in_thread

R = TypeVar("R", bound=Model)


@cache
def list_row_models() -> dict[str, type[Model]]:
    """Return the row class of each collection, from the registered facts."""
    row_models: dict[str, type[Model]] = {}
    for cls in load_messages().values():
        if issubclass(cls, RowFact):
            model = cls.model_fields["row"].annotation
            assert isinstance(model, type)
            row_models[cls.collection] = model
    return row_models


@cache
def find_collection(model: type[Model]) -> str:
    """Return the collection that holds rows of this class."""
    return next(name for name, cls in list_row_models().items() if cls is model)


class RealmSnapshot(ABC):
    """One realm at one time."""

    def __init__(
        self,
        realm: str,
        fields: Mapping[str, Any],
        clock: Instant | None,
        reference: IndexedReference,
        at: Instant | None,
    ) -> None:
        self.realm, self.fields, self.clock, self.reference = realm, fields, clock, reference
        self.at = at
        """Without a time it is now."""

    @abstractmethod
    async def raw_rows(self, collection: str) -> Mapping[str, Model]: ...

    @abstractmethod
    async def raw_some(self, collection: str, ids: Sequence[str]) -> Mapping[str, Model]: ...

    async def raw_lines(self, _keys: Sequence[str]) -> list[bytes]:
        """Return the logbook lines with these keys that Redis keeps; none in the past."""
        return []

    @abstractmethod
    async def reports_of(self, incident: str) -> list[str]:
        """Return the ids of the reports of an incident, ordered by `recorded_at`."""

    @abstractmethod
    async def feeds(self) -> Mapping[str, Instant]:
        """Return the time of the last message of each `source:<name>` and `channel:<name>`."""

    @abstractmethod
    async def count(self, collection: str) -> int: ...

    @abstractmethod
    async def members_of(self, causes: Sequence[str]) -> "dict[str, SnapshotMembers]":
        """Return all reports and sources of these causes, if the log lists them one by one."""

    async def rows(self, model: type[R]) -> Mapping[str, R]:
        """Return all rows of this class by id, with their parts."""
        collection = find_collection(model)
        rows = await self.raw_rows(collection)
        if (part := part_collections().get(collection)) is not None:
            rows = self.join_rows(collection, rows, await self.raw_rows(part))
        return cast("Mapping[str, R]", rows)

    def join_rows(
        self, _collection: str, rows: Mapping[str, Model], parts: Mapping[str, Model]
    ) -> Mapping[str, Model]:
        return (
            {id: _join_part(row, parts[id]) if id in parts else row for id, row in rows.items()}
            if parts
            else rows
        )

    async def some(self, model: type[R], ids: Sequence[str]) -> dict[str, R]:
        """Return the rows with these ids; ids without a row are left out."""
        collection = find_collection(model)
        rows = await self.raw_some(collection, ids)
        if rows and (part := part_collections().get(collection)) is not None:
            parts = await self.raw_some(part, list(rows))
            rows = {
                id: _join_part(row, parts[id]) if id in parts else row for id, row in rows.items()
            }
        return cast("dict[str, R]", rows)

    async def row(self, model: type[R], id: str) -> R | None:
        return (await self.some(model, [id])).get(id)

    async def require(self, model: type[R], id: str) -> R:
        """Return a row. Raises NotFound."""
        row = await self.row(model, id)
        if row is None:
            raise NotFound
        return row


class SnapshotMembers(NamedTuple):
    """Reports and sources of a cause, in their order of joining."""

    reports: tuple[str, ...]
    sources: tuple[str, ...]


def _join_part(row: Model, part: Model) -> Model:
    """Return the row with the fields of its part."""
    return row.model_copy(update={name: value for name, value in part if name != "id"})


class _JoinedRows(NamedTuple):
    """Rows with their parts, and the inputs they were made of."""

    rows: Mapping[str, Model]
    parts: Mapping[str, Model]
    result: Mapping[str, Model]


class RowCache:
    """Parsed rows of the newest state per (realm, collection).

    Bounded; dropped when the epoch changes.
    """

    LIMIT = 200

    def __init__(self) -> None:
        self._epoch = ""
        self._kept: OrderedDict[tuple[str, str], tuple[int, dict[str, bytes], dict[str, Model]]] = (
            OrderedDict()
        )
        self._joined: OrderedDict[tuple[str, str], _JoinedRows] = OrderedDict()

    def begin(self, epoch: str) -> None:
        """Drop everything if the epoch is another one."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._kept.clear()
            self._joined.clear()

    def join(
        self, realm: str, collection: str, rows: Mapping[str, Model], parts: Mapping[str, Model]
    ) -> Mapping[str, Model]:
        """Return rows with their parts; the same objects as long as row and part are unchanged."""
        before = self._joined.get((realm, collection))
        if before is not None and before.rows is rows and before.parts is parts:
            return before.result
        joined_rows: dict[str, Model] = {}
        for id, row in rows.items():
            part = parts.get(id)
            if before is not None and before.rows.get(id) is row and before.parts.get(id) is part:
                joined_rows[id] = before.result[id]
            else:
                joined_rows[id] = row if part is None else _join_part(row, part)
        self._joined[realm, collection] = _JoinedRows(rows, parts, joined_rows)
        self._joined.move_to_end((realm, collection))
        while len(self._joined) > self.LIMIT:
            self._joined.popitem(last=False)
        return joined_rows

    def get(self, realm: str, collection: str, version: int) -> Mapping[str, Model] | None:
        """Return the rows of exactly this version; the same object while it stays."""
        cached_rows = self._kept.get((realm, collection))
        if cached_rows is None or cached_rows[0] != version:
            return None
        self._kept.move_to_end((realm, collection))
        return cached_rows[2]

    def put(
        self, realm: str, collection: str, version: int, raw: Mapping[bytes, bytes]
    ) -> Mapping[str, Model]:
        """Parse the rows that changed and keep them."""
        _, before, parsed_rows = self._kept.get((realm, collection), (0, {}, {}))
        model = list_row_models()[collection]
        after, rows = {}, {}
        for key, value in raw.items():
            id = key.decode()
            after[id] = value
            rows[id] = (
                parsed_rows[id] if before.get(id) == value else model.model_validate_json(value)
            )
        self._kept[realm, collection] = (version, after, rows)
        self._kept.move_to_end((realm, collection))
        while len(self._kept) > self.LIMIT:
            self._kept.popitem(last=False)
        return rows


class CurrentSnapshot(RealmSnapshot):
    """The newest state, from Redis."""

    def __init__(
        self,
        client: Client,
        rows: RowCache,
        versions: Mapping[str, int],
        realm: str,
        fields: Mapping[str, Any],
        clock: Instant | None,
        reference: IndexedReference,
        at: Instant | None = None,
    ) -> None:
        super().__init__(realm, fields, clock, reference, at)
        self._client, self._rows, self._versions = client, rows, versions
        self._prefetched: dict[str, dict[str, bytes | None]] = {}
        """Key of a hash → field → value that `prefetch` read."""

    @store.translate_store_errors()
    async def prefetch(self, rows: Mapping[str, Sequence[str]], lines: Sequence[str]) -> None:
        """Read these rows with their parts, and these lines, in one round trip.

        `rows` maps a collection to ids. Later reads of them ask the store for nothing.
        """
        parts = {part: rows.get(whole, ()) for whole, part in part_collections().items()}
        fields_by_key = {
            store.build_realm_key(self.realm, "lines"): lines,
            **{store.rows_key(self.realm, name): ids for name, ids in {**parts, **rows}.items()},
        }
        requests = [(key, list(fields)) for key, fields in fields_by_key.items() if fields]
        pipeline = self._client.pipeline(transaction=False)
        for key, fields in requests:
            pipeline.hmget(key, fields)
        values = await pipeline.execute() if requests else []
        for (key, fields), fetched in zip(requests, values, strict=True):
            self._prefetched[key] = dict(zip(fields, fetched, strict=True))

    async def _read_fields(self, key: str, fields: Sequence[str]) -> list[bytes | None]:
        """Return the values of fields of a hash, from `prefetch` if it read all of them."""
        prefetched = self._prefetched.get(key, {})
        if all(field in prefetched for field in fields):
            return [prefetched[field] for field in fields]
        values: list[bytes | None] = await self._client.hmget(key, list(fields))
        return values

    @store.translate_store_errors()
    async def raw_rows(self, collection: str) -> Mapping[str, Model]:
        version = self._versions.get(collection, 0)
        if version == 0:
            return {}
        if (cached_rows := self._rows.get(self.realm, collection, version)) is not None:
            return cached_rows
        raw = await self._client.hgetall(store.rows_key(self.realm, collection))
        return self._rows.put(self.realm, collection, version, raw)

    def join_rows(
        self, collection: str, rows: Mapping[str, Model], parts: Mapping[str, Model]
    ) -> Mapping[str, Model]:
        return self._rows.join(self.realm, collection, rows, parts) if parts else rows

    @store.translate_store_errors()
    async def members_of(self, causes: Sequence[str]) -> dict[str, SnapshotMembers]:
        pipeline = self._client.pipeline(transaction=False)
        for cause in causes:
            for index in store.MEMBERS:
                pipeline.zrange(store.members_key(self.realm, index, cause), 0, -1)
        members = (
            [tuple(id.decode() for id in ids) for ids in await pipeline.execute()] if causes else []
        )
        return {
            cause: SnapshotMembers(*members[2 * n : 2 * n + 2]) for n, cause in enumerate(causes)
        }

    @store.translate_store_errors()
    async def raw_some(self, collection: str, ids: Sequence[str]) -> Mapping[str, Model]:
        if not ids:
            return {}
        raw_rows = await self._read_fields(store.rows_key(self.realm, collection), ids)
        model = list_row_models()[collection]
        return {
            id: model.model_validate_json(raw)
            for id, raw in zip(ids, raw_rows, strict=True)
            if raw is not None
        }

    @store.translate_store_errors()
    async def raw_lines(self, keys: Sequence[str]) -> list[bytes]:
        raw_lines = await self._read_fields(store.build_realm_key(self.realm, "lines"), keys)
        return [raw for raw in raw_lines if raw is not None]

    @store.translate_store_errors()
    async def reports_of(self, incident: str) -> list[str]:
        ids = [
            i.decode()
            for i in await self._client.zrange(store.reports_key(self.realm, incident), 0, -1)
        ]
        if not ids:
            return []
        raw_rows = await self._client.hmget(store.rows_key(self.realm, "reports"), ids)
        return [
            id
            for id, raw in zip(ids, raw_rows, strict=True)
            if raw is not None and orjson.loads(raw)["incident"] == incident
        ]

    @store.translate_store_errors()
    async def feeds(self) -> Mapping[str, Instant]:
        raw = await self._client.hgetall(store.build_realm_key(self.realm, "feeds"))
        return {key.decode(): int(value) for key, value in raw.items()}

    @store.translate_store_errors()
    async def count(self, collection: str) -> int:
        return int(await self._client.hlen(store.rows_key(self.realm, collection)))


class PastSnapshot(RealmSnapshot):
    """The state known at `at`, from the logs."""

    def __init__(self, realm: str, fold: Fold, at: Instant) -> None:
        fields = fold.fields
        version: str | None = fields.get("reference")
        super().__init__(
            realm,
            fields,
            fold.clock,
            IndexedReference.of(version, fold.sections(version)).with_former_sites(
                fold.site_names()
            )
            if version
            else NO_REFERENCE,
            at,
        )
        self._fold = fold
        self._parsed: dict[str, Mapping[str, Model]] = {}

    async def raw_rows(self, collection: str) -> Mapping[str, Model]:
        if collection not in self._parsed:
            self._parsed[collection] = await run_in_thread(self._parse, collection)
        return self._parsed[collection]

    def _parse(self, collection: str) -> Mapping[str, Model]:
        model = list_row_models()[collection]
        return {
            id: model.model_validate_json(row) for id, row in self._fold.rows(collection).items()
        }

    async def members_of(self, causes: Sequence[str]) -> dict[str, SnapshotMembers]:
        return {
            cause: SnapshotMembers(
                *(self._fold.members_of(index, cause) for index in store.MEMBERS)
            )
            for cause in causes
        }

    async def raw_some(self, collection: str, ids: Sequence[str]) -> Mapping[str, Model]:
        model = list_row_models()[collection]
        return {
            id: model.model_validate_json(row)
            for id, row in self._fold.some(collection, ids).items()
        }

    async def reports_of(self, incident: str) -> list[str]:
        return [
            r["id"]
            for r in sorted(
                self._fold.reports_of(incident), key=lambda r: (r["recorded_at"], r["id"])
            )
        ]

    async def feeds(self) -> Mapping[str, Instant]:
        return self._fold.feeds

    async def count(self, collection: str) -> int:
        return self._fold.count(collection)


SCAN_LIMIT = 20_000
"""Lines that one page of a filtered logbook scans before it ends early; `next` continues there."""


@store.translate_store_errors()
async def read_lines(
    client: Client,
    realm: str,
    *,
    incident: str | None,
    kinds: AbstractSet[str],
    at: Instant | None,
    before: str | None,
    limit: int,
    site: str | None = None,
) -> tuple[list[LineRecord], str | None]:
    """Return lines, newest first, and the key to continue from.

    `before` keeps only lines with a smaller key; `at` only lines recorded by then.
    """
    index = (
        store.build_timeline_key(realm, incident)
        if incident is not None
        else store.build_realm_key(realm, "timeline")
    )
    upper = f"({before}" if before else f"({build_key_after(at)}" if at is not None else "+"
    line_records: list[LineRecord] = []
    scanned_count, size = 0, max(limit, 100)
    while scanned_count < SCAN_LIMIT:
        keys = await client.zrange(index, upper, "-", desc=True, bylex=True, offset=0, num=size)
        if not keys:
            return line_records, None
        for raw in await client.hmget(store.build_realm_key(realm, "lines"), keys):
            record = None if raw is None else LineRecord.load(orjson.loads(raw))
            if (
                record is None
                or (kinds and record.kind not in kinds)
                or (site is not None and record.site != site)
            ):
                continue
            line_records.append(record)
            if len(line_records) == limit:
                return line_records, record.key
        scanned_count += len(keys)
        upper = f"({keys[-1].decode()}"
        if len(keys) < size:
            return line_records, None
    return line_records, upper[1:]


@store.translate_store_errors()
async def read_rates(client: Client, realm: str, at: Instant, minutes: int) -> dict[str, list[int]]:
    """Return counts of `report` and `demand` per minute, oldest first.

    Covers the last `minutes` up to `at`.
    """
    last = at // MINUTE_MS
    names = ("report", "demand")
    keys = [f"{name}:{minute}" for name in names for minute in range(last - minutes + 1, last + 1)]
    values = [int(v or 0) for v in await client.hmget(store.build_realm_key(realm, "rates"), keys)]
    return {name: values[i * minutes : (i + 1) * minutes] for i, name in enumerate(names)}
