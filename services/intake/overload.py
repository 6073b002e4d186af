"""How much the door takes in at once, and who is turned away first: never those who report danger to people, while there is room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from services.runtime.problems import ProblemError

RETRY_S: Final = 2


@dataclass(slots=True)
class Admission:
    """Reports that wait for Kafka. Beyond `limit` only danger to people is let in, beyond `limit + reserve` nobody."""

    limit: int
    reserve: int
    inside: int = 0

    @contextmanager
    def enter(self, *, danger: bool) -> Iterator[None]:
        """Raises ProblemError `overloaded`."""
        if self.inside >= self.limit + (self.reserve if danger else 0):
            raise ProblemError("overloaded", retry_after_s=RETRY_S, wait_s=RETRY_S)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


@dataclass(slots=True)
class BodyRoom:
    """Bytes of bodies that are being received or worked on, of all requests together."""

    limit: int
    used: int = 0

    def take(self, size: int) -> None:
        """Raises ProblemError `overloaded`."""
        if self.used + size > self.limit:
            raise ProblemError("overloaded", retry_after_s=RETRY_S, wait_s=RETRY_S)
        self.used += size

    def give_back(self, size: int) -> None:
        self.used -= size
