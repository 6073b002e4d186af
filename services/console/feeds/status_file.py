"""Read the state of the official feeds, which the watch writes into the data directory."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import structlog
from pydantic import ValidationError

from schemas.catalogue.feeds import WRITTEN_WITHIN, FeedList

log = structlog.get_logger(__name__)


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
