"""Keep statistics of sources in `intake/sources.db`, and the position in `events.external`.

Statistics are the last sign of life and the counts of accepted and refused messages. No report
depends on this file. If it is lost, every source counts as heard at the start, and counts begin at
zero. Events younger than the index of answers are read again and recognised by their ids.
"""

import asyncio
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from schemas.base import MINUTE_MS, Instant
from services.runtime.http.problems import Problem
from services.runtime.process.sqlite_cache import begin_transaction, open_cache
from services.runtime.process.tasks import run_in_thread

RATE_WINDOW_MIN: Final = 10
"""Minutes over which the rate of a source is measured."""
OVER_RATE_CODE: Final = "over_rate"
"""Code of a refusal because of the source's rate."""


@dataclass(slots=True)
class SourceHealth:
    last_seen: Instant | None = None
    """Time of the last message under its key, refused ones included."""
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    last_refusal: dict[str, Any] | None = None
    over_rate_at: Instant | None = None
    """Time when it last exceeded its rate. A restart forgets it; `refused` keeps the count."""
    minutes: dict[int, int] = field(default_factory=dict)
    """Messages by minute, for the last minutes."""

    def hear(self, now: Instant) -> None:
        """Count a message."""
        self.last_seen = max(now, self.last_seen or 0)
        minute = now // MINUTE_MS
        self.minutes[minute] = self.minutes.get(minute, 0) + 1
        if len(self.minutes) > RATE_WINDOW_MIN + 1:
            self.minutes = {m: n for m, n in self.minutes.items() if m > minute - RATE_WINDOW_MIN}

    def exceeds(self, now: Instant) -> bool:
        """Return whether the source exceeded its rate within the last `RATE_WINDOW_MIN` minutes."""
        return (
            self.over_rate_at is not None and now - self.over_rate_at < RATE_WINDOW_MIN * MINUTE_MS
        )

    def per_minute(self, now: Instant) -> float:
        """Return messages per minute over the last `RATE_WINDOW_MIN` minutes."""
        since = now // MINUTE_MS - RATE_WINDOW_MIN
        return round(sum(n for m, n in self.minutes.items() if m > since) / RATE_WINDOW_MIN, 1)


class SourceStats:
    """Statistics of all sources of one front.

    All methods except `flush` and `save_position` are synchronous, for the thread of the event loop.
    """

    def __init__(self, path: Path) -> None:
        self._turn = asyncio.Lock()
        """Lock that keeps the order of writes."""
        self._db = open_cache(
            path,
            "CREATE TABLE IF NOT EXISTS health (source TEXT PRIMARY KEY, seen INTEGER, accepted "
            "INTEGER, refused BLOB, last BLOB) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS external (partition INTEGER PRIMARY KEY, next INTEGER);",
        )
        self._health = {
            source: SourceHealth(
                last_seen, accepted_count, Counter(orjson.loads(refusal_counts)), orjson.loads(last)
            )
            for source, last_seen, accepted_count, refusal_counts, last in self._db.execute(
                "SELECT source, seen, accepted, refused, last FROM health"
            )
        }
        self._changed: set[str] = set()
        self.silent: set[str] = set()
        """Sources that are reported as silent now (`services.intake.integrations.heartbeats`)."""

    def health(self, source: str) -> SourceHealth:
        """Return the health of a source, by the id of its principal."""
        return self._health.get(source) or SourceHealth()

    def heard(self, source: str, now: Instant) -> None:
        """Record a message under the source's key."""
        self._of(source).hear(now)

    def hear_elsewhere(self, source: str, last_seen: Instant) -> None:
        """Record a sign of life that another front of the cluster heard."""
        health = self._of(source)
        health.last_seen = max(last_seen, health.last_seen or 0)

    def count_accepted(self, source: str) -> None:
        """Count an accepted message."""
        self._of(source).accepted += 1

    def count_refused(self, source: str, problem: Problem, now: Instant) -> None:
        """Count a refused message; keep its fields and reasons, never values."""
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

    def count_over_rate(self, source: str, now: Instant) -> None:
        """Count a report refused because of the source's rate. The source will repeat it."""
        health = self._of(source)
        health.refused[OVER_RATE_CODE] += 1
        health.over_rate_at = now

    def _of(self, source: str) -> SourceHealth:
        self._changed.add(source)
        return self._health.setdefault(source, SourceHealth())

    async def flush(self) -> None:
        """Save changes to disk. After sqlite3.Error nothing is lost: try again."""
        if self._changed:
            await self._write_down([])

    def positions(self) -> dict[int, int]:
        """Return the next offset of each partition of `events.external`."""
        return dict(self._db.execute("SELECT partition, next FROM external").fetchall())

    async def save_position(self, partition: int, next_: int) -> None:
        """Save that all records before `next_` took effect, with the counts. Raises sqlite3.Error.

        The data survive the death of this process.
        """
        await self._write_down([(partition, next_)])

    async def _write_down(self, positions: list[tuple[int, int]]) -> None:
        async with self._turn:
            changed_sources, self._changed = self._changed, set()
            changed_health = ((s, self._health[s]) for s in changed_sources)
            rows = [
                (
                    s,
                    h.last_seen,
                    h.accepted,
                    orjson.dumps(dict(h.refused)),
                    orjson.dumps(h.last_refusal),
                )
                for s, h in changed_health
            ]
            try:
                await run_in_thread(self._store, rows, positions)
            except sqlite3.Error:
                self._changed |= changed_sources
                raise

    def _store(self, rows: list[tuple[Any, ...]], positions: list[tuple[int, int]]) -> None:
        with begin_transaction(self._db):
            self._db.executemany("INSERT OR REPLACE INTO health VALUES (?, ?, ?, ?, ?)", rows)
            self._db.executemany("INSERT OR REPLACE INTO external VALUES (?, ?)", positions)

    def close(self) -> None:
        self._db.close()
