"""Limit reports without a login per sender and place, without losing a first report of danger.

A place is a poster, or an SMS gateway for unverified numbers. A sender is an address (a /24, with
IPv6 a /64) or the keyed hash of a number.

* Within both windows a report is accepted. A place may have as many again for danger to people.
* Beyond them, danger is still accepted if it is the first report of its sender, or if nobody
  reported the same about the same site in the last minute. So no stranger can block the report of a
  fire.
* Other reports of danger repeat one that was accepted less than a minute ago. They are counted, and
  the next accepted report says how many.
* All other reports must wait: for the sender's window if the sender sends too much, else for the
  place's.

In a cluster the fronts tell each other their counts (`shared_signs`), so a stranger who changes
machines gains at most what a second holds.
"""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from services.intake.admission import Uses
from services.runtime.http.problems import ProblemError

MAX_ENTRIES: Final = 5_000
"""Maximum number of places, senders and last reports, each. The longest unused goes first."""
MAX_SHARED: Final = 1_000
"""Maximum number of places, and of senders, that a front tells the others."""
REPEAT_INTERVAL_S: Final = 60.0
"""Seconds in which one report of the same danger at the same site passes beyond the windows."""


@dataclass(frozen=True, slots=True)
class AnonymousReport:
    """Properties of a report without a login that the limits need."""

    place: str
    sender: str
    matter: str
    """Site and type of event."""
    is_danger: bool


@dataclass(slots=True)
class AcceptedReport:
    """The last accepted report of one type at one site."""

    report_id: str
    at: float
    others: int = 0
    """Later reports of the same type and site that were only counted."""


@dataclass(frozen=True, slots=True)
class AdmissionResult:
    """Decision about an admitted report."""

    repeats: str | None = None
    """The report that it repeats, if it is only counted."""
    others: int = 0
    """Earlier reports of its type and site that were only counted, if it is accepted."""


class SlidingWindows:
    """Times of counted reports by key, within a sliding window, at all fronts of a cluster.

    Times of another front are seconds since the epoch, as its own clock has them.
    """

    def __init__(self, window_s: float, clock: Callable[[], float]) -> None:
        self._window_s = window_s
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._elsewhere: dict[str, Uses] = {}

    def list_times(self, key: str) -> list[float]:
        """Return the times of a key within the window, oldest first."""
        begin = self._clock() - self._window_s
        others = (uses.get(key, ()) for uses in self._elsewhere.values())
        times = chain(self._times.get(key, ()), *others)
        return sorted(time for time in times if time > begin)

    def add(self, key: str) -> None:
        """Count a report. The longest unused key goes when there are too many."""
        times = self._times.setdefault(key, deque())
        self._times.move_to_end(key)
        times.append(self._clock())
        while times[0] <= times[-1] - self._window_s:
            times.popleft()
        if len(self._times) > MAX_ENTRIES:
            self._times.popitem(last=False)

    def get_uses(self) -> Uses:
        """Return the times of the keys that were counted last at this front, for the others."""
        begin = self._clock() - self._window_s
        newest = islice(reversed(self._times.items()), MAX_SHARED)
        return {key: [int(t) for t in times] for key, times in newest if times[-1] > begin}

    def hear(self, front: str, uses: Uses) -> None:
        """Replace the times of another front."""
        self._elsewhere[front] = uses


class AnonymousLimits:
    """Sliding windows in memory: a restart forgets them and turns nobody away.

    `places` and `senders` go to the other fronts of a cluster.
    """

    def __init__(
        self,
        count: int,
        per_sender: int,
        window_s: float,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._count = count
        self._per_sender = per_sender
        self._window_s = window_s
        self._clock = clock
        self.places = SlidingWindows(window_s, self._now)
        self.senders = SlidingWindows(window_s, self._now)
        """By place and sender. No number of senders makes a front forget a place."""
        self._told: OrderedDict[str, AcceptedReport] = OrderedDict()

    def admit(self, word: AnonymousReport) -> AdmissionResult:
        """Count a report and decide whether it is accepted or only counted.

        Raises ProblemError `too_many_attempts`. Danger is refused only to a sender with `count`
        different dangers beyond its own window.
        """
        sender_key = f"{word.place}\x1f{word.sender}"
        place = self.places.list_times(word.place)
        sender = self.senders.list_times(sender_key)
        last_report = self._last(word)
        others = last_report.others if last_report else 0
        has_room = len(place) < self._count * (2 if word.is_danger else 1)
        if has_room and len(sender) < self._per_sender:
            self.places.add(word.place)
            self.senders.add(sender_key)
            return AdmissionResult(others=others)
        if not word.is_danger:
            raise self._wait(sender if len(sender) >= self._per_sender else place)
        if not sender:
            self.senders.add(sender_key)
            return AdmissionResult(others=others)
        if last_report is None:
            if len(sender) >= self._per_sender + self._count:
                raise self._wait(sender)
            self.senders.add(sender_key)
            return AdmissionResult()
        if last_report.at <= self._now() - REPEAT_INTERVAL_S:
            return AdmissionResult(others=others)
        last_report.others += 1
        return AdmissionResult(repeats=last_report.report_id)

    def _now(self) -> float:
        return self._clock()

    def note(self, word: AnonymousReport, report_id: str) -> None:
        """Remember an accepted report."""
        key = _build_report_key(word)
        self._told[key] = AcceptedReport(report_id, self._now())
        self._told.move_to_end(key)
        if len(self._told) > MAX_ENTRIES:
            self._told.popitem(last=False)

    def _last(self, word: AnonymousReport) -> AcceptedReport | None:
        """Return the last report of the same type and site, if it is within the window."""
        last_report = self._told.get(_build_report_key(word))
        return (
            last_report
            if last_report is not None and last_report.at > self._now() - self._window_s
            else None
        )

    def _wait(self, times: Sequence[float]) -> ProblemError:
        wait_s = max(1, math.ceil(times[0] + self._window_s - self._now()))
        return ProblemError("too_many_attempts", retry_after_s=wait_s, wait_s=wait_s)


def _build_report_key(word: AnonymousReport) -> str:
    return f"{word.place}\x1f{word.matter}"


def describe_others(description: str | None, others: int) -> str | None:
    """Add to a description how many similar reports were only counted; nothing for 0."""
    if not others:
        return description
    count = (
        "1 autre message semblable a" if others == 1 else f"{others} autres messages semblables ont"
    )
    return "\n".join(
        part
        for part in (description, f"{count} été reçu{'s' if others > 1 else ''} auparavant.")
        if part
    )
