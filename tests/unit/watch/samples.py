"""Saved bodies of the feeds, with the correct result of a connector."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from services.watch.connector import (
    FeedBody,
    FeedConnector,
    Memory,
    Reading,
    find_connector,
    list_connectors,
)
from services.watch.engine import read_bodies
from services.watch.watched import WatchedTerritory, load_watched

REPOSITORY = Path(__file__).resolve().parents[3]
SAMPLES = REPOSITORY / "scenarios" / "feeds"


@cache
def watched_92() -> WatchedTerritory:
    return load_watched(REPOSITORY / "territories" / "92")


@dataclass(frozen=True)
class Sample:
    feed: str
    file: Path
    after: tuple[Path, ...]
    at: datetime
    verdict: str
    posts: tuple[dict[str, Any], ...]

    def __str__(self) -> str:
        return f"{self.feed}/{self.file.name}"


def list_samples() -> list[Sample]:
    samples: list[Sample] = []
    for connector in list_connectors():
        folder = SAMPLES / connector.spec.name
        rows = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
        samples += [_make_sample(connector.spec.name, folder, row) for row in rows]
    return samples


def _make_sample(feed: str, folder: Path, row: dict[str, Any]) -> Sample:
    return Sample(
        feed,
        folder / row["file"],
        tuple(folder / name for name in row["after"]),
        datetime.fromisoformat(row["fetched_at"]),
        row["verdict"],
        tuple(row["posts"]),
    )


def load_bodies(feed: str, name: str) -> dict[str, FeedBody]:
    """Return a saved body and those that belong to it."""
    connector, file = find_connector(feed), SAMPLES / feed / name
    content = file.read_bytes()
    bodies = {connector.name_body(content): FeedBody(connector.name_body(content), content)}
    for other, path in connector.find_companions(file).items():
        bodies[other] = FeedBody(other, path.read_bytes())
    return bodies


def load_document(feed: str, name: str) -> Any:
    return json.loads((SAMPLES / feed / name).read_text(encoding="utf-8"))


def make_bodies(document: Any, name: str = "main") -> dict[str, FeedBody]:
    return {name: FeedBody(name, json.dumps(document).encode())}


def read(
    feed: str | FeedConnector,
    bodies: dict[str, FeedBody],
    at: str | datetime,
    memory: Memory | None = None,
    others: dict[str, Memory] | None = None,
) -> Reading:
    connector = find_connector(feed) if isinstance(feed, str) else feed
    time = datetime.fromisoformat(at) if isinstance(at, str) else at
    return read_bodies(connector, bodies, memory or {}, time, watched_92(), others or {})
