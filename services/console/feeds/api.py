"""Serve the state of the official feeds under `/api/v1/feeds`."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request

from services.console.feeds.resources import OfficialFeeds, list_feeds, read_feeds
from services.console.http.context import LogReader

router = APIRouter(prefix="/api/v1/feeds", tags=["sources"])


@router.get("", summary="Official feeds: state, last word, age of the edition")
async def list_official_feeds(reader: LogReader, request: Request) -> OfficialFeeds:  # noqa: ARG001
    now = datetime.now(UTC)
    return list_feeds(read_feeds(request.app.state.feed_status, now), now)
