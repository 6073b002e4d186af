"""How much the door takes in at once, and who is turned away first: never those who report danger to people, while there is room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from services.runtime.http.problems import ProblemError

RETRY_S: Final = 2


@dataclass(slots=True)
class BodyRoom:
    """Bytes of bodies that are being received or worked on, of all requests together.

    What a body says is known when it has been read: so `limit + reserve` may be read, and beyond `limit` only danger to people goes on.
    """

    limit: int
    reserve: int = 0
    used: int = 0

    @property
    def tight(self) -> bool:
        """Only danger to people goes on."""
        return self.used > self.limit

    def take(self, size: int) -> None:
        """Raises ProblemError `overloaded`."""
        if self.used + size > self.limit + self.reserve:
            raise overloaded()
        self.used += size

    def give_back(self, size: int) -> None:
        self.used -= size


@dataclass(slots=True)
class Admission:
    """Reports that wait for Kafka. Beyond `limit`, or while bodies need all their room, only danger to people is let in; beyond
    `limit + reserve` nobody. So no danger to people is turned away at a moment at which any other report would be let in.
    """

    limit: int
    reserve: int
    room: BodyRoom
    inside: int = 0

    @contextmanager
    def enter(self, *, danger: bool) -> Iterator[None]:
        """Raises ProblemError `overloaded`."""
        if self.inside >= self.limit + (self.reserve if danger else 0) or (
            self.room.tight and not danger
        ):
            raise overloaded()
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


def overloaded() -> ProblemError:
    """503 with Retry-After."""
    return ProblemError("overloaded", retry_after_s=RETRY_S, wait_s=RETRY_S)
