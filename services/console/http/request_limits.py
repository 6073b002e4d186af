"""Limit the size of request bodies (413): without it, anybody could fill the console's memory."""

from __future__ import annotations

from typing import Final

from fastapi import Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.oncall.ics import MAX_FILE_BYTES
from services.runtime.http.problem_responses import build_problem_response
from services.runtime.http.problems import Problem

MAX_BYTES: Final = 1 << 20
"""Largest body in bytes."""
MAX_BYTES_BY_PATH: Final = {
    "/api/v1/oncall/import": MAX_FILE_BYTES + MAX_BYTES,
    "/api/v1/people/import": 4 * MAX_BYTES,
    "/api/v1/accounts/import": 4 * MAX_BYTES,
    "/api/v1/reference/changes": 2 * MAX_BYTES,
}
"""Larger limits for some routes.

Calendars have their own message for a file that is too long; versions of the reference data come
whole.
"""


class BodyLimitMiddleware:
    """Middleware that stops reading at the limit.

    A body with a declared length above it is refused before it is read.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit, size = MAX_BYTES_BY_PATH.get(scope["path"], MAX_BYTES), 0
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            await build_problem_response(
                Problem("body_too_large", {"limit": limit}), Request(scope)
            )(scope, receive, send)
            return

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise HTTPException(413, str(limit))
            return message

        await self._app(scope, counted, send)
