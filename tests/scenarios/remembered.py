"""The console's read side over the logs of a `MemoryPlayer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from weakref import WeakKeyDictionary

from schemas.base import Instant
from schemas.topics import PARTITION_COUNT, partition_of
from services.console.documents.queries import DocumentQueries
from services.console.logbook.lines import LineRecord, make_line
from services.console.read_model.history import Chronicle, Fold, list_versions
from services.console.read_model.query_base import OpenedRealm
from services.console.read_model.shapes import Shaper
from services.console.read_model.snapshot import PastSnapshot, RealmSnapshot
from services.console.resources import Realm
from services.console.sites.geometry import load_outlines
from services.runtime.log.chain import Position
from tests.scenarios.memory import MemoryPlayer
from tests.shipped import FOLDER

OUTLINES = cache(load_outlines)


@dataclass(frozen=True)
class _Memory:
    """All that a player has played so far; a later record makes another."""

    record_count: int
    chronicle: Chronicle
    snapshots: dict[tuple[str, Instant], PastSnapshot] = field(default_factory=dict)
    """By realm and time. To read the reference data for each question takes a tenth of a second."""


_MEMORIES: Final[WeakKeyDictionary[MemoryPlayer, _Memory]] = WeakKeyDictionary()
"""Newest memory of each player: tests read one many times."""


class Remembered(DocumentQueries):
    """Documents drafted from a played realm as known at a time."""

    def __init__(self, player: MemoryPlayer, texts: Any = None) -> None:
        super().__init__(None, OUTLINES(FOLDER), texts=texts)  # type: ignore[arg-type]  nothing is asked of Redis
        self._player = player

    async def read(self) -> OpenedRealm:
        realm = self._realm
        at = (
            self._moment
            if self._moment is not None
            else max(s.transaction.at for s in self._stored(realm))
        )
        memory = self._remember(realm)
        if (past := memory.snapshots.get((realm, at))) is None:
            past = PastSnapshot(realm, Fold(memory.chronicle, realm, at), at)
            memory.snapshots[realm, at] = past
        return OpenedRealm(past, Shaper(realm, past.reference, self._outlines, self._lang))

    async def realms(self, *, as_of: Instant | None = None) -> list[Realm]:  # noqa: ARG002  no exercise is closed here
        return []

    def _remember(self, realm: str) -> _Memory:
        """Return the whole realm as played so far."""
        record_count = len(self._stored(realm))
        memory = _MEMORIES.get(self._player)
        if memory is not None and memory.record_count == record_count:
            return memory
        made, partition = Chronicle.in_memory(), partition_of(realm, PARTITION_COUNT)
        for name, service in self._player.system.services.items():
            stored = service.log.of(realm)
            versions = (
                v
                for offset, record in enumerate(stored)
                for v in list_versions(record.transaction, offset)
            )
            made.add(name, partition, versions, Position(next=len(stored)))
        memory = _MEMORIES[self._player] = _Memory(record_count, made)
        return memory

    async def _read_incident_lines(
        self, picture: RealmSnapshot, incident: str | None
    ) -> tuple[Sequence[LineRecord], str | None]:
        return [
            line
            for line in await self._list_sitrep_lines(picture)
            if incident in (None, line.incident)
        ], None

    async def _list_sitrep_lines(self, picture: RealmSnapshot) -> Sequence[LineRecord]:
        assert picture.at is not None
        partition = partition_of(picture.realm, PARTITION_COUNT)
        lines = [
            line
            for stored in self._stored(picture.realm)
            for ordinal, fact in enumerate(stored.transaction.facts)
            if fact.at <= picture.at
            and (line := make_line(stored.transaction, fact, partition, ordinal)) is not None
        ]
        return sorted(lines, key=lambda line: line.key, reverse=True)

    def _stored(self, realm: str) -> list[Any]:
        return [
            s for service in self._player.system.services.values() for s in service.log.of(realm)
        ]
