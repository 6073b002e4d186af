"""Read the past time of a page: `?as_of=` on every screen. Rule D55."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from fastapi import Request

from schemas.base import Instant
from services.console.http.context import check_date, parse_time, to_instant
from services.console.web.times import PARIS

PARAMETER: Final = "as_of"


def parse_requested_time(request: Request) -> Instant | None:
    """Return the past time requested for a page in ms; None is now.

    Without an offset it is a time in Paris. Raises ProblemError `invalid`.
    """
    return parse_page_time(request.query_params.get(PARAMETER, ""), PARAMETER)


def parse_page_time(text: str, name: str) -> Instant | None:
    """Parse a time from an address; empty gives None. Raises ProblemError `invalid`."""
    if not text.strip():
        return None
    try:
        local = datetime.fromisoformat(text.strip())
    except ValueError:
        return parse_time(text, name)
    return (
        parse_time(text, name)
        if local.tzinfo is not None
        else check_date(to_instant(local.replace(tzinfo=PARIS)), name)
    )
