"""Work that costs seconds is done for each user in turn, so that one user cannot hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final

from services.runtime.http.problems import ProblemError

RETRY_S: Final = 5
WAITING: Final = 8
"""Requests of one user that may wait for their turn at one kind of work; a person with several tabs has fewer."""
DECISIONS_WAITING: Final = 20
"""Requests of one user that may wait for a decision at once (`Prefer: wait`); others are answered at once."""


@dataclass(slots=True)
class _Queue:
    running: asyncio.Semaphore
    there: int = 0


@dataclass(slots=True)
class Turns:
    """Turns of users at one kind of work: `at_once` run for one user, a few wait, the rest is told to come again."""

    at_once: int
    waiting: int = WAITING
    _queues: dict[str, _Queue] = field(default_factory=dict)

    @asynccontextmanager
    async def turn(self, user: str) -> AsyncIterator[None]:
        """Wait for the user's turn and hold it. Raises ProblemError `too_much_at_once`."""
        queue = self._queues.setdefault(user, _Queue(asyncio.Semaphore(self.at_once)))
        if queue.there >= self.at_once + self.waiting:
            raise ProblemError("too_much_at_once", retry_after_s=RETRY_S, wait_s=RETRY_S)
        queue.there += 1
        try:
            async with queue.running:
                yield
        finally:
            queue.there -= 1
            if not queue.there:
                self._queues.pop(user, None)


@dataclass(slots=True)
class Waits:
    """How many requests of each user wait for something that is still to come."""

    most: int = DECISIONS_WAITING
    _waiting: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def patience(self, user: str, wait_s: float) -> Iterator[float]:
        """Give the seconds that this request may wait: none where too many of the user's do already."""
        now = self._waiting.get(user, 0)
        if now >= self.most:
            yield 0.0
            return
        self._waiting[user] = now + 1
        try:
            yield wait_s
        finally:
            left = self._waiting[user] - 1
            if left:
                self._waiting[user] = left
            else:
                del self._waiting[user]


@dataclass(frozen=True, slots=True)
class Costs:
    """The kinds of work that are done in turn."""

    past: Turns = field(default_factory=lambda: Turns(2))
    """Reads of a time that is over."""
    documents: Turns = field(default_factory=lambda: Turns(1))
    """Lessons learned, printed documents, evidence."""
    calendars: Turns = field(default_factory=lambda: Turns(1, 2))
    """Calendars, each read by a process of its own."""
