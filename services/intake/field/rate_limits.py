"""How often people without a login may report: windows per sender and per place, and no word of danger turned away.

The place is a poster, or a gateway for numbers that nobody verified. A sender is an address (a /24, with IPv6 a /64) or the
keyed hash of a number.

* Within both windows a report goes in. A place has as much room again for danger to people.
* Beyond them danger still goes in where it is the first word of its sender, or where nobody told the same of the same site in the
  last minute: one stranger stops nobody else's fire.
* Any other danger repeats a report that went in less than a minute ago. It is counted, and the next that goes in says how many.
* All else is told to wait, with the sender's own wait where the sender is the one who sends too much.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.runtime.http.problems import ProblemError

ENTRIES: Final = 5_000
"""Places, senders and matters that are remembered, of each; the longest unused ones are forgotten first."""
REPEAT_S: Final = 60.0
"""Of the same danger at the same site, one report in this time goes in beyond the windows."""


@dataclass(frozen=True, slots=True)
class Word:
    """A report of somebody without a login, as far as the windows need to know it."""

    place: str
    sender: str
    matter: str
    """Site and type."""
    is_danger: bool


@dataclass(slots=True)
class Told:
    """The last report about a matter that went in."""

    report_id: str
    at: float
    others: int = 0
    """Reports about it that were only counted since then."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What becomes of a word."""

    repeats: str | None = None
    """The report that it repeats, where it is only counted."""
    others: int = 0
    """Earlier words on the same matter that were only counted, for one that goes in."""


class Windows:
    """Times of what was counted under each key, within a sliding window."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def of(self, key: str, now: float) -> deque[float]:
        """Return the times of a key that are within the window; what is appended counts."""
        times = self._times.setdefault(key, deque())
        self._times.move_to_end(key)
        if len(self._times) > ENTRIES:
            self._times.popitem(last=False)
        while times and times[0] <= now - self._window_s:
            times.popleft()
        return times


class Limits:
    """Sliding windows in memory: a restart forgets them, which turns nobody away."""

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
        self._places = Windows(window_s)
        self._senders = Windows(window_s)
        self._told: OrderedDict[str, Told] = OrderedDict()

    def admit(self, word: Word) -> Entry:
        """Count a word, and say whether it goes in. Raises ProblemError `too_many_attempts`.

        Danger is turned away from one sender only, with `count` different dangers beyond the sender's window.
        """
        now = self._monotonic()
        place = self._places.of(word.place, now)
        sender = self._senders.of(f"{word.place}\x1f{word.sender}", now)
        told = self._last(word, now)
        has_room = len(place) < self._count * (2 if word.is_danger else 1)
        if has_room and len(sender) < self._per_sender:
            place.append(now)
            sender.append(now)
            return Entry(others=told.others if told else 0)
        if not word.is_danger:
            raise self._wait(sender if len(sender) >= self._per_sender else place, now)
        if not sender:
            sender.append(now)
            return Entry(others=told.others if told else 0)
        if told is None:
            if len(sender) >= self._per_sender + self._count:
                raise self._wait(sender, now)
            sender.append(now)
            return Entry()
        if told.at <= now - REPEAT_S:
            return Entry(others=told.others)
        told.others += 1
        return Entry(repeats=told.report_id)

    def note(self, word: Word, report_id: str) -> None:
        """Remember that a word went in."""
        key = _key(word)
        self._told[key] = Told(report_id, self._monotonic())
        self._told.move_to_end(key)
        if len(self._told) > ENTRIES:
            self._told.popitem(last=False)

    def _last(self, word: Word, now: float) -> Told | None:
        """Return the last report on the matter, if it is not older than the window."""
        told = self._told.get(_key(word))
        return told if told is not None and told.at > now - self._window_s else None

    def _wait(self, times: deque[float], now: float) -> ProblemError:
        wait_s = max(1, math.ceil(times[0] + self._window_s - now))
        return ProblemError("too_many_attempts", retry_after_s=wait_s, wait_s=wait_s)


def _key(word: Word) -> str:
    return f"{word.place}\x1f{word.matter}"


def describe_others(description: str | None, others: int) -> str | None:
    """Add to a description how many like it were only counted; nothing where there were none."""
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
