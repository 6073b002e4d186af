"""Limit the work in progress and turn away reports of danger to people last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from services.runtime.http.problems import ProblemError

RETRY_S: Final = 2


@dataclass(slots=True)
class BodyMemory:
    """Bytes of all bodies that are being received or processed.

    The content of a body is known only after it was read. So `limit + reserve` bytes may be read,
    and beyond `limit` only danger to people is processed further.
    """

    limit: int
    reserve: int = 0
    used: int = 0

    @property
    def tight(self) -> bool:
        """True while only danger to people is processed further."""
        return self.used > self.limit

    def take(self, size: int) -> None:
        """Reserve `size` bytes. Raises ProblemError `overloaded`."""
        if self.used + size > self.limit + self.reserve:
            raise build_overload_problem()
        self.used += size

    def give_back(self, size: int) -> None:
        self.used -= size


@dataclass(slots=True)
class Admission:
    """Reports that wait for Kafka.

    Beyond `limit`, or while bodies use the reserve of `room`, only danger to people is admitted.
    Beyond `limit + reserve`, nothing is. So danger to people is never turned away while another
    report would be admitted. Beside other live realms, one realm uses half of the places at most.
    """

    limit: int
    reserve: int
    room: BodyMemory
    has_neighbours: Callable[[str], bool] = lambda _realm: False
    """Returns whether the installation has another live realm."""
    inside: int = 0
    _by_realm: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def enter(self, realm: str, *, danger: bool) -> Iterator[None]:
        """Admit one report for the duration of the context. Raises ProblemError `overloaded`."""
        places = self.limit + (self.reserve if danger else 0)
        is_full = self.inside >= places or (
            self._by_realm[realm] >= max(places // 2, 1) and self.has_neighbours(realm)
        )
        if is_full or (self.room.tight and not danger):
            raise build_overload_problem()
        self.inside += 1
        self._by_realm[realm] += 1
        try:
            yield
        finally:
            self.inside -= 1
            self._by_realm[realm] -= 1
            if not self._by_realm[realm]:
                del self._by_realm[realm]


def build_overload_problem() -> ProblemError:
    """Return a 503 with Retry-After."""
    return ProblemError("overloaded", retry_after_s=RETRY_S, wait_s=RETRY_S)
