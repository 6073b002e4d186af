"""Limit the reports of each sender, and count items and bytes per sender and day (UTC).

Reports have token buckets, one of them for danger to people. Each report of a batch counts. A
report that was accepted before costs nothing. Buckets and counts are in memory: a restart fills
them and turns nobody away.

In a cluster, a limit holds for all fronts together. Each front counts the reports that it reads in
the log of the others, and tells the others its counts of the day (`shared_signs`). Two fronts may
accept more than a burst in the same moment; the sender then owes the rest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Permission, Role
from services.runtime.identity.principals import Principal
from services.runtime.process import metrics

OWN_BURST_S: Final = 10.0
"""Seconds of a sender's own rate that may arrive at once, if that exceeds the common burst."""
MAX_WAIT_S: Final = 60
UNLIMITED: Final = 0.0
_DAY_S = 86_400


@dataclass(slots=True)
class _DailyUse:
    day: int
    count: int = 0
    size: int = 0


Uses = Mapping[str, Sequence[int]]
"""Day, items and bytes by sender."""


class DailyQuota:
    """Daily limit of items and bytes per sender. `clock` returns seconds since the epoch."""

    def __init__(
        self, per_day: int, bytes_per_day: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._per_day = per_day
        self._bytes_per_day = bytes_per_day
        self._clock = clock
        self._used: dict[str, _DailyUse] = {}
        self._elsewhere: dict[str, Uses] = {}
        """Uses at the other fronts of a cluster, by front."""

    def get_uses(self) -> Uses:
        """Return the counts of this front, for the others."""
        return {sender: (use.day, use.count, use.size) for sender, use in self._used.items()}

    def hear(self, front: str, uses: Uses) -> None:
        """Replace the counts of another front."""
        self._elsewhere[front] = uses

    def take(self, sender: str, size: int) -> bool:
        """Count one item of `size` bytes. Returns False, without counting it, beyond the limit."""
        today = int(self._clock() // _DAY_S)
        used = self._used.get(sender)
        if used is None or used.day != today:
            self._used = {s: u for s, u in self._used.items() if u.day == today}
            used = self._used[sender] = _DailyUse(today)
        elsewhere = [uses[sender] for uses in self._elsewhere.values() if sender in uses]
        count = used.count + sum(items for day, items, _ in elsewhere if day == today)
        total_size = used.size + sum(each for day, _, each in elsewhere if day == today)
        if count >= self._per_day or total_size + size > self._bytes_per_day:
            return False
        used.count += 1
        used.size += size
        return True

    def give_back(self, sender: str, size: int) -> None:
        """Undo the count of an item that could not be stored; its sender will try again."""
        used = self._used.get(sender)
        if used is not None and used.count > 0:
            used.count -= 1
            used.size = max(used.size - size, 0)


@dataclass(frozen=True, slots=True)
class SenderRate:
    """A rate and the burst that may arrive at once. `per_s` 0 means no limit."""

    per_s: float
    burst: int


@dataclass(slots=True)
class TokenBucket:
    """Token bucket of one sender. `at` is a time of the monotonic clock."""

    limit: SenderRate
    tokens: float
    at: float

    def take(self, now: float) -> float:
        """Take one token and return 0, or return the seconds until there is one."""
        self._refill(now)
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / self.limit.per_s

    def owe(self, now: float) -> None:
        """Take one token, also one that is not there yet. Debts end at one burst."""
        self._refill(now)
        self.tokens = max(self.tokens - 1, -float(self.limit.burst))

    def _refill(self, now: float) -> None:
        refilled = self.tokens + (now - self.at) * self.limit.per_s
        self.tokens, self.at = min(refilled, float(self.limit.burst)), now


class ReportRateLimiter:
    """Token buckets of all senders, in one front.

    `on_exceeded` receives the id of each sender that is turned away.
    """

    def __init__(
        self,
        normal: SenderRate,
        danger: SenderRate,
        on_exceeded: Callable[[str], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._normal = normal
        self._danger = danger
        self._on_exceeded = on_exceeded
        self._monotonic = monotonic
        self._buckets: dict[tuple[str, bool], TokenBucket] = {}

    def limit_of(self, principal: Principal) -> SenderRate | None:
        """Return the limit of a sender's ordinary reports, or None without a limit.

        The sender's own rate has priority. Without one, principals that may run simulated realms
        have no limit, because they play scenarios and measure.
        """
        own = principal.rate_per_s
        if own is not None:
            return (
                None
                if own == UNLIMITED
                else SenderRate(own, max(self._normal.burst, math.ceil(own * OWN_BURST_S)))
            )
        if principal.may(Permission.REALM_RUN) or self._normal.per_s == UNLIMITED:
            return None
        return self._normal

    def take(self, principal: Principal, *, danger: bool) -> None:
        """Count one report. Raises ProblemError `over_rate`.

        Danger to people uses its own bucket first, then that of all other reports.
        """
        limit = self.limit_of(principal)
        if limit is None:
            return
        now = self._monotonic()
        if danger and self._danger_bucket(principal.id, limit, now).take(now) == 0:
            return
        wait_s = self._bucket(principal.id, limit, now, danger=False).take(now)
        if wait_s == 0:
            return
        name = principal.id if principal.role is Role.SOURCE else principal.role.value
        metrics.count("vigie_over_rate_total", sender=name)
        self._on_exceeded(principal.id)
        wait = min(max(1, math.ceil(wait_s)), MAX_WAIT_S)
        raise ProblemError("over_rate", retry_after_s=wait, wait_s=wait, rate=f"{limit.per_s:g}")

    def charge(self, principal: Principal, *, danger: bool) -> None:
        """Count one report that another front of the cluster accepted."""
        limit = self.limit_of(principal)
        if limit is None:
            return
        now = self._monotonic()
        if danger and self._danger_bucket(principal.id, limit, now).take(now) == 0:
            return
        self._bucket(principal.id, limit, now, danger=False).owe(now)

    def _danger_bucket(self, sender: str, limit: SenderRate, now: float) -> TokenBucket:
        danger_limit = SenderRate(
            max(self._danger.per_s, limit.per_s / 4), max(self._danger.burst, limit.burst // 4)
        )
        return self._bucket(sender, danger_limit, now, danger=True)

    def _bucket(self, sender: str, limit: SenderRate, now: float, *, danger: bool) -> TokenBucket:
        bucket = self._buckets.get((sender, danger))
        if bucket is None or bucket.limit != limit:
            bucket = self._buckets[sender, danger] = TokenBucket(limit, float(limit.burst), now)
        return bucket
