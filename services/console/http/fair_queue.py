"""Limit the requests of one user: turns at expensive work, and the size of bodies."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final

from fastapi import Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.oncall.ics import MAX_FILE_BYTES
from services.runtime.http.problem_responses import build_problem_response
from services.runtime.http.problems import Problem, ProblemError, describe_size

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
        declared_length = Headers(scope=scope).get("content-length", "")
        if declared_length.isdecimal() and int(declared_length) > limit:
            await build_problem_response(
                Problem("body_too_large", {"limit": describe_size(limit)}), Request(scope)
            )(scope, receive, send)
            return

        async def receive_limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise HTTPException(413, str(limit))
            return message

        await self._app(scope, receive_limited, send)


RETRY_AFTER_S: Final = 5
MAX_WAITING: Final = 8
"""Requests of one user that may wait for one kind of work; several browser tabs stay below."""
MAX_WAITING_PAGES: Final = 30
"""Pages of one user that may wait: a guest of the demonstration is one user with all others."""
MAX_WAITING_DECISIONS: Final = 20
"""Requests of one user that may wait for a decision (`Prefer: wait`).

Others are answered at once.
"""


@dataclass(slots=True)
class _UserQueue:
    running: asyncio.Semaphore
    there: int = 0


@dataclass(slots=True)
class FairQueue:
    """Turns of users at one kind of work.

    `at_once` run for one user, a few wait, the others are refused for now.
    """

    at_once: int
    waiting: int = MAX_WAITING
    _queues: dict[str, _UserQueue] = field(default_factory=dict)

    @asynccontextmanager
    async def hold_place(self, user: str) -> AsyncIterator[None]:
        """Wait for the user's turn and hold it. Raises ProblemError `too_much_at_once`."""
        queue = self._queues.setdefault(user, _UserQueue(asyncio.Semaphore(self.at_once)))
        if queue.there >= self.at_once + self.waiting:
            raise ProblemError(
                "too_much_at_once", retry_after_s=RETRY_AFTER_S, wait_s=RETRY_AFTER_S
            )
        queue.there += 1
        try:
            async with queue.running:
                yield
        finally:
            queue.there -= 1
            if not queue.there:
                self._queues.pop(user, None)


@dataclass(slots=True)
class WaitingRequests:
    """Number of waiting requests per user."""

    most: int = MAX_WAITING_DECISIONS
    _waiting: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def patience(self, user: str, wait_s: float) -> Iterator[float]:
        """Yield the seconds that this request may wait: 0 if too many others already wait."""
        now = self._waiting.get(user, 0)
        if now >= self.most:
            yield 0.0
            return
        self._waiting[user] = now + 1
        try:
            yield wait_s
        finally:
            remaining_count = self._waiting[user] - 1
            if remaining_count:
                self._waiting[user] = remaining_count
            else:
                del self._waiting[user]


@dataclass(frozen=True, slots=True)
class ExpensiveWork:
    """The kinds of work done in turns."""

    past: FairQueue = field(default_factory=lambda: FairQueue(2))
    """Reads of the past."""
    pages: FairQueue = field(default_factory=lambda: FairQueue(2, MAX_WAITING_PAGES))
    """Pages that no other reader has asked for just now."""
    documents: FairQueue = field(default_factory=lambda: FairQueue(1))
    """Lessons learned, situation reports, handovers, printed documents."""
    calendars: FairQueue = field(default_factory=lambda: FairQueue(1, 2))
    """Calendars, each read in its own process."""
    trials: FairQueue = field(default_factory=lambda: FairQueue(1, 2))
    """Replays of recorded crises, each in its own process."""
