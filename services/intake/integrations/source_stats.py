"""What is remembered of sources across restarts, in `intake/sources.db`: when each was last heard, what became of what it said, and how
far `events.external` has been read.

Nothing here is the truth about a report. A lost file means: every source counts as heard at the start, counts begin at zero, and events from
outside that are younger than the index of answers are looked at again, where they fall to their ids.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from schemas.base import MINUTE_MS, Instant
from services.runtime.http.problems import Problem
from services.runtime.process.sqlite_cache import open_copy
from services.runtime.process.tasks import in_thread

RATE_MIN: Final = 10
"""Minutes over which the rate of a source is told."""
OVER_RATE: Final = "over_rate"
"""Code of the refusal of a source that exceeds its rate."""


@dataclass(slots=True)
class Health:
    """Of one source."""

    last_seen: Instant | None = None
    """Any message under its key, refused ones too."""
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    last_refusal: dict[str, Any] | None = None
    over_rate_at: Instant | None = None
    """When it last exceeded its rate. A restart forgets it; how often it did is counted under `refused`."""
    minutes: dict[int, int] = field(default_factory=dict)
    """Minute → messages, of the last minutes."""

    def hear(self, now: Instant) -> None:
        """One message came."""
        self.last_seen = max(now, self.last_seen or 0)
        minute = now // MINUTE_MS
        self.minutes[minute] = self.minutes.get(minute, 0) + 1
        if len(self.minutes) > RATE_MIN + 1:
            self.minutes = {m: n for m, n in self.minutes.items() if m > minute - RATE_MIN}

    def exceeds(self, now: Instant) -> bool:
        """True if it exceeded its rate within the last `RATE_MIN` minutes."""
        return self.over_rate_at is not None and now - self.over_rate_at < RATE_MIN * MINUTE_MS

    def per_minute(self, now: Instant) -> float:
        """Messages per minute over the last `RATE_MIN` minutes."""
        since = now // MINUTE_MS - RATE_MIN
        return round(sum(n for m, n in self.minutes.items() if m > since) / RATE_MIN, 1)


class SourceBook:
    """One per front. All but `flush` and `taken` is synchronous and for the loop's thread."""

    def __init__(self, path: Path) -> None:
        self._turn = asyncio.Lock()
        """Rows are written in the order in which they were read."""
        self._db = open_copy(
            path,
            "CREATE TABLE IF NOT EXISTS health (source TEXT PRIMARY KEY, seen INTEGER, accepted INTEGER, refused BLOB, last BLOB) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS external (partition INTEGER PRIMARY KEY, next INTEGER);",
        )
        self._health = {
            source: Health(seen, accepted, Counter(orjson.loads(refused)), orjson.loads(last))
            for source, seen, accepted, refused, last in self._db.execute(
                "SELECT source, seen, accepted, refused, last FROM health"
            )
        }
        self._changed: set[str] = set()
        self.silent: set[str] = set()
        """Sources whose silence is reported now (services.intake.integrations.heartbeats)."""

    def health(self, source: str) -> Health:
        """Of a source, by its principal's id."""
        return self._health.get(source) or Health()

    def heard(self, source: str, now: Instant) -> None:
        """A message came under its key."""
        self._of(source).hear(now)

    def accepted(self, source: str) -> None:
        """What it told was taken."""
        self._of(source).accepted += 1

    def refused(self, source: str, problem: Problem, now: Instant) -> None:
        """What it told was turned away; fields and reasons are kept, never values."""
        health = self._of(source)
        health.refused[problem.code] += 1
        fields = [
            {"field": f.field, "code": f.code, "detail": f.message["fr"]}
            for f in problem.faults[:5]
        ]
        health.last_refusal = {
            "at": now,
            "code": problem.code,
            "title": problem.kind.title["fr"],
            "fields": fields,
        }

    def exceeded(self, source: str, now: Instant) -> None:
        """Count a report that was turned away because its source exceeds its rate; it comes again."""
        health = self._of(source)
        health.refused[OVER_RATE] += 1
        health.over_rate_at = now

    def _of(self, source: str) -> Health:
        self._changed.add(source)
        return self._health.setdefault(source, Health())

    async def flush(self) -> None:
        """Make what changed durable. Raises sqlite3.Error: nothing is lost, try again."""
        if self._changed:
            await self._write_down([])

    def positions(self) -> dict[int, int]:
        """Partition of `events.external` → the next offset to read."""
        return dict(self._db.execute("SELECT partition, next FROM external").fetchall())

    async def taken(self, partition: int, next_: int) -> None:
        """Everything before `next_` has had its effect and is counted. Durable on return against the death of this process. Raises sqlite3.Error."""
        await self._write_down([(partition, next_)])

    async def _write_down(self, positions: list[tuple[int, int]]) -> None:
        async with self._turn:
            changed, self._changed = self._changed, set()
            known = ((s, self._health[s]) for s in changed)
            rows = [
                (
                    s,
                    h.last_seen,
                    h.accepted,
                    orjson.dumps(dict(h.refused)),
                    orjson.dumps(h.last_refusal),
                )
                for s, h in known
            ]
            try:
                await in_thread(self._store, rows, positions)
            except sqlite3.Error:
                self._changed |= changed
                raise

    def _store(self, rows: list[tuple[Any, ...]], positions: list[tuple[int, int]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany("INSERT OR REPLACE INTO health VALUES (?, ?, ?, ?, ?)", rows)
            self._db.executemany("INSERT OR REPLACE INTO external VALUES (?, ?)", positions)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def close(self) -> None:
        self._db.close()
