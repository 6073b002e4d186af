"""Limits of a front: reports per sender, reports in progress, and the wait for a decision.

Reports of danger to people are turned away last.

* **Rates.** Reports have token buckets, one of them for danger to people. Each report of a batch
  counts. Simulated realms have buckets, quotas and places of their own: an exercise takes none of
  the live ones. A report that was accepted before costs nothing. Items and bytes are counted per sender
  and day (UTC). All of it is in memory: a restart fills the buckets and turns nobody away. In a
  cluster, a limit holds for all fronts together. Each front counts the reports that it reads in the
  log of the others, and tells the others its counts of the day (`shared_signs`). Two fronts may
  accept more than a burst in the same moment; the sender then owes the rest.
* **Wait for a decision.** While inputs wait, the front reads once a second the ends of both input
  topics and the offsets that the decider's log has applied. They give the estimate. Danger to people
  has an input topic of its own (`docs/adr/0044-give-danger-its-own-input-lane.md`). While there are
  several live realms, each may have a few seconds of undecided reports of this front in a lane, so a
  flood in one delays no other (`docs/adr/0069-share-the-deciders-between-live-realms.md`).
"""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.topics import PARTITION_COUNT, get_territory, input_topics, is_live
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Permission, Role
from services.runtime.identity.principals import Principal
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.process import metrics
from services.runtime.worker.lag import list_applied_offsets, read_newest_transactions

OWN_BURST_S: Final = 10.0
"""Seconds of a sender's own rate that may arrive at once, if that exceeds the common burst."""
MAX_WAIT_S: Final = 60
UNLIMITED: Final = 0.0
_DAY_S = 86_400
_SIMULATED: Final = "~"
"""Name of all simulated realms together."""


@dataclass(slots=True)
class _DailyUse:
    day: int
    count: int = 0
    size: int = 0


Uses = Mapping[str, Sequence[int]]
"""Whole numbers by sender: day, items and bytes of a quota, or the times of a window."""


def name_quota(sender: str, realm: str) -> str:
    """Return the name under which a sender's use counts: live realms and simulated ones apart."""
    return sender if is_live(realm) else f"{sender}{_SIMULATED}"


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

    def count_item(self, sender: str, size: int) -> bool:
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

    def take_token(self, now: float) -> float:
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
        level = self.tokens + (now - self.at) * self.limit.per_s
        self.tokens, self.at = min(level, float(self.limit.burst)), now


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

    def count_report(self, principal: Principal, realm: str, *, danger: bool) -> None:
        """Count one report. Raises ProblemError `over_rate`.

        Danger to people uses its own bucket first, then that of all other reports.
        """
        limit = self.limit_of(principal)
        if limit is None:
            return
        now, sender = self._monotonic(), name_quota(principal.id, realm)
        if danger and self._danger_bucket(sender, limit, now).take_token(now) == 0:
            return
        wait_s = self._bucket(sender, limit, now, danger=False).take_token(now)
        if wait_s == 0:
            return
        name = principal.id if principal.role is Role.SOURCE else principal.role.value
        metrics.count("vigie_over_rate_total", sender=name)
        self._on_exceeded(principal.id)
        wait = min(max(1, math.ceil(wait_s)), MAX_WAIT_S)
        raise ProblemError("over_rate", retry_after_s=wait, wait_s=wait, rate=f"{limit.per_s:g}")

    def charge(self, principal: Principal, realm: str, *, danger: bool) -> None:
        """Count one report that another front of the cluster accepted."""
        limit = self.limit_of(principal)
        if limit is None:
            return
        now, sender = self._monotonic(), name_quota(principal.id, realm)
        if danger and self._danger_bucket(sender, limit, now).take_token(now) == 0:
            return
        self._bucket(sender, limit, now, danger=False).owe(now)

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

    def reserve_bytes(self, size: int) -> None:
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
    report would be admitted. Beside other live realms, one realm uses half of the places at most;
    all simulated realms together do so always.
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
        name = realm if is_live(realm) else _SIMULATED
        is_full = self.inside >= places or (
            self._by_realm[name] >= max(places // 2, 1)
            and (name == _SIMULATED or self.has_neighbours(realm))
        )
        if is_full or (self.room.tight and not danger):
            raise build_overload_problem()
        self.inside += 1
        self._by_realm[name] += 1
        try:
            yield
        finally:
            self.inside -= 1
            self._by_realm[name] -= 1
            if not self._by_realm[name]:
                del self._by_realm[name]


def build_overload_problem() -> ProblemError:
    """Return a 503 with Retry-After."""
    return ProblemError("overloaded", retry_after_s=RETRY_S, wait_s=RETRY_S)


MEASURE_INTERVAL_S: Final = 1.0
ALWAYS_ADMITTED: Final = 500
"""Inputs that may always wait. So few are decided before the pace is measured."""
ASSUMED_PACE: Final = 200.0
"""Inputs per second that the decider is assumed to decide before the pace is measured."""
NEWEST_WEIGHT: Final = 0.3
"""Weight of the newest second in the measured pace."""
REALM_ALWAYS_ADMITTED: Final = 100
"""The same for the reports of one realm beside others."""
SENDER_SHARE_S: Final = 0.5
"""Seconds of decisions in the urgent lane that its senders share: beyond its part, a sender waits."""
SENDER_ALWAYS_ADMITTED: Final = 20
"""Undecided reports that one sender may always have in the urgent lane."""
REALMS_AGE_S: Final = 10.0
"""Age at which the list of live realms is read again."""
SERVICE: Final = "alerts"
ORDINARY: Final = input_topics(SERVICE)[0]
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class LaneBacklog:
    """Measurements of one lane of one partition."""

    end: int = 0
    applied_offset: int | None = None
    """Offset of the last applied input; None while the log is empty or unread."""
    pace: float = ASSUMED_PACE
    """Inputs decided per second while some waited."""
    _undecided_reports: deque[tuple[int, str, str]] = field(default_factory=deque)
    """Offset, realm and sender of this front's undecided reports."""
    _by_realm: Counter[str] = field(default_factory=Counter)
    _by_sender: Counter[str] = field(default_factory=Counter)

    @property
    def waiting(self) -> int:
        return 0 if self.applied_offset is None else max(self.end - 1 - self.applied_offset, 0)

    @property
    def wait_s(self) -> float:
        """Estimated wait in seconds of a report that arrives now."""
        return self.waiting / self.pace

    def waiting_of(self, realm: str) -> int:
        """Return the number of undecided reports of a realm that this front accepted."""
        return 0 if self.applied_offset is None else self._by_realm[realm]

    def waiting_from(self, sender: str) -> int:
        """Return the number of undecided reports of a sender that this front accepted."""
        return 0 if self.applied_offset is None else self._by_sender[sender]

    @property
    def sender_count(self) -> int:
        """Number of senders with undecided reports that this front accepted."""
        return len(self._by_sender)

    def append(self, offset: int, realm: str, sender: str) -> None:
        """Record that a report was acknowledged at this offset."""
        self.end = max(self.end, offset + 1)
        self._undecided_reports.append((offset, realm, sender))
        self._by_realm[realm] += 1
        self._by_sender[sender] += 1

    def note(self, end: int, applied_offset: int | None, elapsed_s: float) -> None:
        """Record a measurement.

        A decider that stands still does not change the pace, so the estimated wait grows with the
        backlog.
        """
        if (
            applied_offset is not None
            and self.applied_offset is not None
            and self.waiting
            and elapsed_s > 0
        ):
            pace = (applied_offset - self.applied_offset) / elapsed_s
            if pace > 0:
                self.pace += NEWEST_WEIGHT * (pace - self.pace)
        self.end, self.applied_offset = max(self.end, end), applied_offset
        self._drop_decided(-1 if applied_offset is None else applied_offset)

    def _drop_decided(self, applied_offset: int) -> None:
        """Forget decided reports. Acknowledgements may be a little out of order, so a few stay."""
        while self._undecided_reports and self._undecided_reports[0][0] <= applied_offset:
            _, realm, sender = self._undecided_reports.popleft()
            for counts, name in ((self._by_realm, realm), (self._by_sender, sender)):
                counts[name] -= 1
                if not counts[name]:
                    del counts[name]


class DecisionLag:
    """The lanes of `alerts` as one front sees them.

    `bound_s` 0 admits everything. `share_s` is the share of one realm beside others; 0 = no limit.
    """

    def __init__(
        self,
        kafka: str,
        bound_s: float,
        share_s: float = 0.0,
        live_realms: Callable[[], Collection[str]] = tuple,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Measure the lanes; `live_realms` returns the live realms of the installation."""
        self._kafka = kafka
        self._bound_s = bound_s
        self._share_s = share_s
        self._live_realms = live_realms
        self._monotonic = monotonic
        self._realms: Collection[str] = ()
        self._realms_read_at = -math.inf
        self._lanes = {
            (topic, p): LaneBacklog()
            for topic in input_topics(SERVICE)
            for p in range(PARTITION_COUNT)
        }
        self._noted = asyncio.Event()

    def record_report(
        self, topic: str, partition: int, offset: int, realm: str, sender: str
    ) -> None:
        """Record that a report was acknowledged at this offset of a lane."""
        self._lanes[topic, partition].append(offset, realm, sender)
        self._noted.set()

    def check(self, partition: int, realm: str, *, danger: bool = False) -> None:
        """Admit a report to the ordinary lane. Raises ProblemError `decider_behind`. Rule D140.

        Danger is there because its realm or its sender fills the urgent lane: it may wait, up to the
        share of the realm.
        """
        lane = self._lanes[ORDINARY, partition]
        if (
            not danger
            and self._bound_s
            and lane.waiting > ALWAYS_ADMITTED
            and lane.wait_s > self._bound_s
        ):
            raise _build_problem(lane.wait_s, self._bound_s)
        if self.is_over_share(ORDINARY, partition, realm):
            raise _build_problem(lane.waiting_of(realm) / lane.pace, self._share_s)

    def is_over_share(self, topic: str, partition: int, realm: str) -> bool:
        """Check whether a realm uses up its share of a lane, while there are others. Rule D140."""
        if not self._share_s:
            return False
        lane = self._lanes[topic, partition]
        waiting = lane.waiting_of(realm)
        if waiting <= REALM_ALWAYS_ADMITTED or waiting <= lane.pace * self._share_s:
            return False
        return self.has_neighbours(realm)

    def fills_urgent_lane(self, topic: str, partition: int, realm: str, sender: str) -> bool:
        """Check whether further danger of a sender, or of its realm, goes into the ordinary lane."""
        lane = self._lanes[topic, partition]
        part = lane.pace * SENDER_SHARE_S / max(lane.sender_count, 1)
        fills = lane.waiting_from(sender) > max(part, SENDER_ALWAYS_ADMITTED)
        return fills or self.is_over_share(topic, partition, realm)

    def has_neighbours(self, realm: str) -> bool:
        """Check whether the installation has another live realm."""
        now = self._monotonic()
        if now - self._realms_read_at >= REALMS_AGE_S:
            self._realms, self._realms_read_at = self._live_realms(), now
        territory = get_territory(realm)
        return any(other != territory for other in self._realms)

    def note(self) -> str | None:
        """Return the note for /readyz while only danger is admitted. The front stays ready."""
        late = [
            lane
            for (topic, _), lane in self._lanes.items()
            if topic == ORDINARY
            and lane.waiting > ALWAYS_ADMITTED
            and lane.wait_s > self._bound_s > 0
        ]
        if not late:
            return None
        worst = max(late, key=lambda lane: lane.wait_s)
        return f"{worst.waiting} reports wait about {worst.wait_s:.0f} s for their decision: only danger to people is accepted"

    async def run(self) -> None:
        """Measure once a second while inputs wait, until cancelled."""
        while True:
            try:
                async with PartitionReader(self._kafka, fetch_bytes=1) as reader:
                    while True:
                        await self._noted.wait()
                        await self._look(reader)
                        await asyncio.sleep(MEASURE_INTERVAL_S)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("backlog.unknown", error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(MEASURE_INTERVAL_S)

    async def _look(self, reader: PartitionReader) -> None:
        """Read the offsets of every lane. Raises KafkaError, OSError, TimeoutError."""
        self._noted.clear()
        newest = await read_newest_transactions(reader, SERVICE, range(PARTITION_COUNT))
        applied_offsets = {p: list_applied_offsets(t, SERVICE) for p, t in newest.items()}
        ends = await reader.ends([TopicPartition(topic, p) for topic, p in self._lanes])
        for (topic, partition), lane in self._lanes.items():
            lane.note(
                ends[TopicPartition(topic, partition)],
                applied_offsets.get(partition, {}).get(topic),
                MEASURE_INTERVAL_S,
            )
            if topic == ORDINARY:
                metrics.set_gauge("vigie_backlog_seconds", lane.wait_s, partition=str(partition))
            if lane.waiting:
                self._noted.set()


def _build_problem(lag_s: float, bound_s: float) -> ProblemError:
    metrics.count("vigie_backlog_refused_total")
    wait_s = min(max(2, math.ceil(lag_s - bound_s)), MAX_WAIT_S)
    return ProblemError("decider_behind", retry_after_s=wait_s, wait_s=wait_s, lag_s=round(lag_s))
