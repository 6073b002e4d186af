"""Resources of official feeds, read from the state that the watch writes.

Feeds that need a person come first.
"""

from datetime import datetime
from pathlib import Path
from typing import Final

import structlog
from pydantic import Field, ValidationError

from schemas.catalogue.sources import WRITTEN_WITHIN, FeedList, FeedStatus
from services.console.resource_base import Resource, Time

_ORDER: Final = ("silent", "auth", "drift", "refused", "stale", "retry", "new", "ok", "off")
log = structlog.get_logger(__name__)


class OfficialFeed(Resource):
    """One official feed and its last word. Rule D120."""

    name: str
    title: str
    state: str = Field(description="off, new, ok, silent, stale, drift, refused, retry or auth")
    last_word: str = Field(description="of the publisher, in French")
    edition: str
    edition_at: Time | None = Field(description="when the publisher made it")
    understood_at: Time | None = Field(description="last fetch that was fresh and understood")
    fetched_at: Time | None
    period_s: int = Field(description="seconds between two fetches")
    stale_after_s: int = Field(description="0: the feed has no time of its own")
    heartbeat_s: int = Field(description="promised period of its source")
    fault: str = Field(description="of the last fetch; empty if there was none")
    waiting: int = Field(description="reports that the front has not taken yet")
    last_report: str | None = Field(description="headline of the newest report")
    last_report_at: Time | None
    read_by: str = Field(default="", description="machine of a cluster that reads it")


class OfficialFeeds(Resource):
    """All official feeds. `known` is false while the watch does not run."""

    known: bool
    samples: bool = Field(default=False, description="recorded samples play, no publisher is read")
    items: list[OfficialFeed]
    next: None = None


def read_feeds(file: Path, now: datetime) -> FeedList | None:
    """Return the state of the feeds; None if the watch has not written it within a minute.

    Never raises: a page without feeds is better than no page.
    """
    try:
        feed_list = FeedList.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("feeds.unreadable", error=type(error).__name__)
        return None
    return feed_list if now - feed_list.written_at <= WRITTEN_WITHIN else None


def list_feeds(feed_list: FeedList | None, now: datetime) -> OfficialFeeds:
    """Return the feeds, the most pressing first."""
    if feed_list is None:
        return OfficialFeeds(known=False, items=[])
    items = [_describe(status, now) for status in feed_list.items]
    items.sort(key=lambda feed: (_ORDER.index(feed.state), feed.title))
    return OfficialFeeds(known=True, samples=feed_list.samples, items=items)


def choose_state(status: FeedStatus, now: datetime) -> str:
    """Return the state of a feed in one word."""
    if not status.enabled:
        return "off"
    if status.verdict == "auth":
        return "auth"
    if status.is_late(now):
        return "silent"
    if status.verdict in ("ok", "unchanged"):
        return "ok"
    return status.verdict if status.verdict in _ORDER else "new"


def _describe(status: FeedStatus, now: datetime) -> OfficialFeed:
    return OfficialFeed.from_row(
        status,
        state=choose_state(status, now),
        last_word=status.word,
        period_s=status.poll_s,
        last_report=status.last_post.headline if status.last_post else None,
        last_report_at=status.last_post.at if status.last_post else None,
    )
