"""Resources of official feeds."""

from __future__ import annotations

from pydantic import Field

from services.console.resource_base import Resource, Time


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
