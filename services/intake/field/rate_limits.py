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
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.runtime.http.problems import ProblemError

MAX_ENTRIES: Final = 5_000
"""Maximum number of places, senders and last reports, each. The longest unused goes first."""
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
    """Times of counted reports by key, within a sliding window."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def of(self, key: str, now: float) -> deque[float]:
        """Return the times of a key within the window. Append to it to count a report."""
        times = self._times.setdefault(key, deque())
        self._times.move_to_end(key)
        if len(self._times) > MAX_ENTRIES:
            self._times.popitem(last=False)
        while times and times[0] <= now - self._window_s:
            times.popleft()
        return times


class AnonymousLimits:
    """Sliding windows in memory: a restart forgets them and turns nobody away."""

    def __init__(
        self,
        count: int,
        per_sender: int,
        window_s: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count = count
        self._per_sender = per_sender
        self._window_s = window_s
        self._monotonic = monotonic
        self._places = SlidingWindows(window_s)
        self._senders = SlidingWindows(window_s)
        self._told: OrderedDict[str, AcceptedReport] = OrderedDict()

    def admit(self, word: AnonymousReport) -> AdmissionResult:
        """Count a report and decide whether it is accepted or only counted.

        Raises ProblemError `too_many_attempts`. Danger is refused only to a sender with `count`
        different dangers beyond its own window.
        """
        now = self._monotonic()
        place = self._places.of(word.place, now)
        sender = self._senders.of(f"{word.place}\x1f{word.sender}", now)
        last_report = self._last(word, now)
        has_room = len(place) < self._count * (2 if word.is_danger else 1)
        if has_room and len(sender) < self._per_sender:
            place.append(now)
            sender.append(now)
            return AdmissionResult(others=last_report.others if last_report else 0)
        if not word.is_danger:
            raise self._wait(sender if len(sender) >= self._per_sender else place, now)
        if not sender:
            sender.append(now)
            return AdmissionResult(others=last_report.others if last_report else 0)
        if last_report is None:
            if len(sender) >= self._per_sender + self._count:
                raise self._wait(sender, now)
            sender.append(now)
            return AdmissionResult()
        if last_report.at <= now - REPEAT_INTERVAL_S:
            return AdmissionResult(others=last_report.others)
        last_report.others += 1
        return AdmissionResult(repeats=last_report.report_id)

    def note(self, word: AnonymousReport, report_id: str) -> None:
        """Remember an accepted report."""
        key = _build_report_key(word)
        self._told[key] = AcceptedReport(report_id, self._monotonic())
        self._told.move_to_end(key)
        if len(self._told) > MAX_ENTRIES:
            self._told.popitem(last=False)

    def _last(self, word: AnonymousReport, now: float) -> AcceptedReport | None:
        """Return the last report of the same type and site, if it is within the window."""
        last_report = self._told.get(_build_report_key(word))
        return (
            last_report
            if last_report is not None and last_report.at > now - self._window_s
            else None
        )

    def _wait(self, times: deque[float], now: float) -> ProblemError:
        wait_s = max(1, math.ceil(times[0] + self._window_s - now))
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
