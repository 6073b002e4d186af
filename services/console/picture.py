"""What is known of one realm at one time: `Present` reads Redis, `Past` a fold of the logs; both by the row rule.

Rows come typed. `Present` parses a row once and keeps it as long as its bytes are the same, so a request costs one round trip to
Redis when nothing changed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Any, TypeVar, cast

import orjson

from schemas.base import MESSAGES, MINUTE_MS, Instant, Model, RowFact
from services.console import store
from services.console.chronicle import Fold
from services.console.lines import LineRecord, key_before
from services.console.reference import NO_REFERENCE, Reference
from services.console.store import Client
from services.runtime.ending import in_thread

R = TypeVar("R", bound=Model)


@cache
def row_models() -> dict[str, type[Model]]:
    """Row class of each collection, from the registered facts."""
    found: dict[str, type[Model]] = {}
    for cls in MESSAGES.values():
        if issubclass(cls, RowFact):
            model = cls.model_fields["row"].annotation
            assert isinstance(model, type)
            found[cls.collection] = model
    return found


@cache
def collection_of(model: type[Model]) -> str:
    """The collection that holds rows of this class."""
    return next(name for name, cls in row_models().items() if cls is model)


class Picture(ABC):
    """One realm at one time."""

    def __init__(self, realm: str, fields: Mapping[str, Any], clock: Instant | None, reference: Reference, at: Instant | None) -> None:
        self.realm, self.fields, self.clock, self.reference = realm, fields, clock, reference
        self.at = at
        """None = now."""

    @abstractmethod
    async def raw_rows(self, collection: str) -> Mapping[str, Model]: ...

    @abstractmethod
    async def raw_row(self, collection: str, id: str) -> Model | None: ...

    @abstractmethod
    async def raw_some(self, collection: str, ids: Sequence[str]) -> Mapping[str, Model]: ...

    @abstractmethod
    async def reports_of(self, incident: str) -> list[str]:
        """Ids of its reports by recorded_at."""

    @abstractmethod
    async def feeds(self) -> Mapping[str, Instant]:
        """`source:<name>` or `channel:<name>` → time of its last message."""

    @abstractmethod
    async def count(self, collection: str) -> int: ...

    async def rows(self, model: type[R]) -> Mapping[str, R]:
        """All rows of this class by id."""
        return cast("Mapping[str, R]", await self.raw_rows(collection_of(model)))

    async def some(self, model: type[R], ids: Sequence[str]) -> dict[str, R]:
        """The rows with these ids that exist."""
        return cast("dict[str, R]", await self.raw_some(collection_of(model), ids))

    async def row(self, model: type[R], id: str) -> R | None:
        """One row."""
        return cast("R | None", await self.raw_row(collection_of(model), id))


class Rows:
    """Parsed rows of the newest state per (realm, collection); bounded, dropped when the epoch changes."""

    LIMIT = 200

    def __init__(self) -> None:
        self._epoch = ""
        self._kept: OrderedDict[tuple[str, str], tuple[int, dict[str, bytes], dict[str, Model]]] = OrderedDict()

    def begin(self, epoch: str) -> None:
        """Forget everything of another epoch."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._kept.clear()

    def get(self, realm: str, collection: str, version: int) -> Mapping[str, Model] | None:
        """Rows of exactly this version; the same object as long as it stays."""
        found = self._kept.get((realm, collection))
        if found is None or found[0] != version:
            return None
        self._kept.move_to_end((realm, collection))
        return found[2]

    def put(self, realm: str, collection: str, version: int, raw: Mapping[bytes, bytes]) -> Mapping[str, Model]:
        """Parse what changed and keep it."""
        _, before, parsed = self._kept.get((realm, collection), (0, {}, {}))
        model = row_models()[collection]
        after, rows = {}, {}
        for key, value in raw.items():
            id = key.decode()
            after[id] = value
            rows[id] = parsed[id] if before.get(id) == value else model.model_validate_json(value)
        self._kept[realm, collection] = (version, after, rows)
        self._kept.move_to_end((realm, collection))
        while len(self._kept) > self.LIMIT:
            self._kept.popitem(last=False)
        return rows


class Present(Picture):
    """The newest state."""

    def __init__(
        self, client: Client, rows: Rows, versions: Mapping[str, int], realm: str, fields: Mapping[str, Any],
        clock: Instant | None, reference: Reference, at: Instant | None = None,
    ) -> None:  # fmt: skip
        super().__init__(realm, fields, clock, reference, at)
        self._client, self._rows, self._versions = client, rows, versions

    async def raw_rows(self, collection: str) -> Mapping[str, Model]:
        version = self._versions.get(collection, 0)
        if version == 0:
            return {}
        if (kept := self._rows.get(self.realm, collection, version)) is not None:
            return kept
        raw = await self._client.hgetall(store.rows(self.realm, collection))
        return self._rows.put(self.realm, collection, version, raw)

    async def raw_row(self, collection: str, id: str) -> Model | None:
        raw = await self._client.hget(store.rows(self.realm, collection), id)
        return None if raw is None else row_models()[collection].model_validate_json(raw)

    async def raw_some(self, collection: str, ids: Sequence[str]) -> Mapping[str, Model]:
        if not ids:
            return {}
        found = await self._client.hmget(store.rows(self.realm, collection), list(ids))
        model = row_models()[collection]
        return {id: model.model_validate_json(raw) for id, raw in zip(ids, found, strict=True) if raw is not None}

    async def reports_of(self, incident: str) -> list[str]:
        ids = [i.decode() for i in await self._client.zrange(store.reports_of(self.realm, incident), 0, -1)]
        if not ids:
            return []
        found = await self._client.hmget(store.rows(self.realm, "reports"), ids)
        return [id for id, raw in zip(ids, found, strict=True) if raw is not None and orjson.loads(raw)["incident"] == incident]

    async def feeds(self) -> Mapping[str, Instant]:
        raw = await self._client.hgetall(store.of(self.realm, "feeds"))
        return {key.decode(): int(value) for key, value in raw.items()}

    async def count(self, collection: str) -> int:
        return int(await self._client.hlen(store.rows(self.realm, collection)))


class Past(Picture):
    """What was known at `at`."""

    def __init__(self, realm: str, fold: Fold, at: Instant) -> None:
        fields = fold.fields
        version: str | None = fields.get("reference")
        super().__init__(realm, fields, fold.clock, Reference.of(version, fold.sections(version)) if version else NO_REFERENCE, at)
        self._fold = fold
        self._parsed: dict[str, Mapping[str, Model]] = {}

    async def raw_rows(self, collection: str) -> Mapping[str, Model]:
        if collection not in self._parsed:
            self._parsed[collection] = await in_thread(self._parse, collection)
        return self._parsed[collection]

    def _parse(self, collection: str) -> Mapping[str, Model]:
        model = row_models()[collection]
        return {id: model.model_validate_json(row) for id, row in self._fold.rows(collection).items()}

    async def raw_row(self, collection: str, id: str) -> Model | None:
        row = self._fold.row(collection, id)
        return None if row is None else row_models()[collection].model_validate_json(row)

    async def raw_some(self, collection: str, ids: Sequence[str]) -> Mapping[str, Model]:
        model = row_models()[collection]
        return {id: model.model_validate_json(row) for id, row in self._fold.some(collection, ids).items()}

    async def reports_of(self, incident: str) -> list[str]:
        return [r["id"] for r in sorted(self._fold.reports_of(incident), key=lambda r: (r["recorded_at"], r["id"]))]

    async def feeds(self) -> Mapping[str, Instant]:
        return self._fold.feeds

    async def count(self, collection: str) -> int:
        return self._fold.count(collection)


SCANNED = 20_000
"""Lines that one page of a filtered main courante looks at; then it ends early and `next` goes on from there."""


async def lines(
    client: Client, realm: str, *, incident: str | None, kinds: AbstractSet[str], at: Instant | None, before: str | None, limit: int,
    site: str | None = None,
) -> tuple[list[LineRecord], str | None]:  # fmt: skip
    """(lines newest first, key to go on from). `before`: only lines with a smaller key; `at`: only lines recorded by then."""
    index = store.timeline_of(realm, incident) if incident is not None else store.of(realm, "timeline")
    upper = f"({before}" if before else f"({key_before(at)}" if at is not None else "+"
    found: list[LineRecord] = []
    scanned, size = 0, max(limit, 100)
    while scanned < SCANNED:
        keys = await client.zrange(index, upper, "-", desc=True, bylex=True, offset=0, num=size)
        if not keys:
            return found, None
        for raw in await client.hmget(store.of(realm, "lines"), keys):
            record = None if raw is None else LineRecord.load(orjson.loads(raw))
            if record is None or (kinds and record.kind not in kinds) or (site is not None and record.site != site):
                continue
            found.append(record)
            if len(found) == limit:
                return found, record.key
        scanned += len(keys)
        upper = f"({keys[-1].decode()}"
        if len(keys) < size:
            return found, None
    return found, upper[1:]


async def rates(client: Client, realm: str, at: Instant, minutes: int) -> dict[str, list[int]]:
    """`report` and `demand` → counts per minute of the last `minutes` up to `at`, oldest first."""
    last = at // MINUTE_MS
    names = ("report", "demand")
    keys = [f"{name}:{minute}" for name in names for minute in range(last - minutes + 1, last + 1)]
    values = [int(v or 0) for v in await client.hmget(store.of(realm, "rates"), keys)]
    return {name: values[i * minutes : (i + 1) * minutes] for i, name in enumerate(names)}
