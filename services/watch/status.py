"""Describe the state of each feed, for the page of feeds, the API and the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from schemas.catalogue.feeds import FeedList, FeedStatus, LastPost
from services.runtime.process.files import open_atomic_file
from services.watch.connector import FeedSpec, list_connectors, pace_samples
from services.watch.store import FeedRow, FeedStore


def describe_feeds(store: FeedStore, now: datetime, *, samples: bool = False) -> FeedList:
    """Return the state of all feeds, by name."""
    specs = [c.spec for c in list_connectors()]
    items = [
        describe_feed(pace_samples(spec) if samples else spec, store.get(spec.name), store)
        for spec in specs
    ]
    return FeedList(written_at=now, items=tuple(items), samples=samples)


def describe_feed(spec: FeedSpec, row: FeedRow, store: FeedStore) -> FeedStatus:
    last = store.find_last_post(spec.name)
    post = None
    if last is not None:
        post = LastPost(headline=str(last[0].get("headline", "")), at=_to_time(last[1]))
    return FeedStatus(
        name=spec.name,
        title=spec.title,
        enabled=row.enabled,
        verdict=row.verdict,
        fault=row.fault,
        edition=row.edition,
        edition_at=_to_time(row.edition_at),
        fetched_at=_to_time(row.fetched_at),
        understood_at=_to_time(row.understood_at),
        enabled_at=_to_time(row.enabled_at),
        poll_s=spec.poll_s,
        stale_after_s=spec.stale_after_s,
        heartbeat_s=spec.heartbeat_s,
        hours=spec.hours,
        word=row.word,
        last_post=post,
        waiting=len(store.list_unsent(spec.name)),
        read_by=store.get_hold(spec.name).machine,
    )


def write_status(file: Path, feeds: FeedList) -> None:
    """Replace the file that the console shows. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open_atomic_file(file, 0o600) as target:
        target.write(feeds.model_dump_json().encode())


def _to_time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
