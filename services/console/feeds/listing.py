"""Describe official feeds for the API and the page, those that need a person first."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from schemas.catalogue.feeds import FeedList, FeedStatus
from services.console.feeds.resources import OfficialFeed, OfficialFeeds

_ORDER: Final = ("silent", "auth", "drift", "refused", "stale", "retry", "new", "ok", "off")


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
