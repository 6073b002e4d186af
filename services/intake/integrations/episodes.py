"""Track the open episodes of a source from the aliases of its accepted reports.

The opening report carries the alias `key@began:type:site`, the closing one the same with `#end`,
and the nth update `key@began#n`. All are in the log (with a hash in place of the sender's key, see
`services.intake.reports.redaction`) and in the index of answers, with a fingerprint of their text.
So this module has no data to lose; it keeps the newest episode of each key in memory.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from schemas.reports import END_SUFFIX
from services.intake.reports.deduplication import AnswerIndex, KnownReport

MAX_EPISODES: Final = 50_000
_EPISODE_NAME: Final = re.compile(r"(\d{1,15}):([a-z_]{1,40}):(.{0,64})")
_UPDATE_NAME: Final = re.compile(r"(\d{1,15})#(\d{1,15})")
LATE_WINDOW_MS: Final = 15 * 60_000
"""Time after an end in which an older message opens nothing, because it is only late."""


@dataclass(frozen=True, slots=True)
class Episode:
    key: str
    began: int
    """Beginning in ms; part of the episode's name."""
    type: str
    site: str | None
    report_id: str = ""
    ended: int | None = None
    """Arrival of the end, in ms."""
    over: int | None = None
    """Time of the end as reported, in ms; None if unknown."""
    updates: int = 0
    content: str = ""
    """Fingerprint of the last reported content."""
    at: int | None = None
    """Time of that content as reported, in ms; None if an older index lacks it."""
    answered: bool = True
    """True if a client is known to have received the answer. See `KnownReport`."""

    @property
    def alias(self) -> str:
        """Alias of the opening report."""
        return f"{self.key}@{self.name}"

    @property
    def name(self) -> str:
        """Name among the episodes of its key."""
        return f"{self.began}:{self.type}:{self.site or ''}"

    def saying(self, content: str, at: int) -> "Episode":
        """Return the episode after one more update."""
        return replace(self, updates=self.updates + 1, content=content, at=at, answered=True)

    @property
    def update_alias(self) -> str:
        """Alias of the last update."""
        return f"{self.key}@{self.began}#{self.updates}"

    @property
    def telling(self) -> str:
        """Key of the report with this content. Without a clock, a repetition has the same key."""
        return f"{self.alias}#{self.updates}:{self.content}" if self.updates else self.alias


_EpisodeKey = tuple[str, str, str]
"""Realm, sender and key."""
_EpisodeCache = OrderedDict[_EpisodeKey, Episode | None]


def _remember(cache: _EpisodeCache, place: _EpisodeKey, episode: Episode | None) -> None:
    cache[place] = episode
    cache.move_to_end(place)
    if len(cache) > MAX_EPISODES:
        cache.popitem(last=False)


def _update_content(episode: Episode, report: KnownReport) -> Episode:
    return replace(
        episode, content=report.fingerprint, at=report.occurred_at, answered=report.answered
    )


class EpisodeTracker:
    """Episodes of all sources of one front. Callers hold a key's lock during a transition."""

    def __init__(self, ledger: AnswerIndex) -> None:
        self._ledger = ledger
        self._newest: _EpisodeCache = OrderedDict()
        self._over: dict[tuple[str, str], dict[tuple[str, str], int]] = {}
        """By realm and sender: type and site to the time of the newest end, in ms."""
        self._counts: dict[tuple[str, str], int] = {}
        """By realm and sender: reports from the log that are known here."""
        self._tried: _EpisodeCache = OrderedDict()
        """Openings without an acknowledgement. They may be on the log, or still reach it."""

    def newest(self, realm: str, sender: str, key: str) -> Episode | None:
        """Return the newest episode of a key, open or not."""
        self._forget_outdated(realm, sender)
        place = (realm, sender, key)
        if place not in self._newest or place in self._tried:
            _remember(self._newest, place, self._read(realm, sender, key))
        return self._newest[place]

    def _forget_outdated(self, realm: str, sender: str) -> None:
        """Forget the episodes of a sender if another front may have reported for it."""
        count = self._ledger.count_read(realm, sender)
        if count != self._counts.get((realm, sender), 0):
            self._counts[realm, sender] = count
            self._over.pop((realm, sender), None)
            for place in [p for p in self._newest if p[:2] == (realm, sender)]:
                del self._newest[place]

    def begins(self, realm: str, sender: str, episode: Episode) -> Episode:
        """Prepare an episode that is about to be reported.

        If the same was tried before, it gets the same name, so that it counts once if the first try
        succeeded.
        """
        place = (realm, sender, episode.key)
        last_try = self._tried.get(place)
        if last_try is not None and (last_try.content, last_try.type, last_try.site) == (
            episode.content,
            episode.type,
            episode.site,
        ):
            episode = replace(episode, began=last_try.began)
        _remember(self._tried, place, episode)
        return episode

    def note(self, realm: str, sender: str, episode: Episode) -> None:
        """Record that an episode was opened, changed or closed."""
        place = (realm, sender, episode.key)
        self._tried.pop(place, None)
        _remember(self._newest, place, episode)
        if episode.over is not None:
            there, what = self._ends(realm, sender), (episode.type, episode.site or "")
            there[what] = max(there.get(what, 0), episode.over)

    def over(self, realm: str, sender: str, type: str, site: str | None) -> int | None:
        """Return the time of the sender's newest end of this type and site, in ms, or None."""
        self._forget_outdated(realm, sender)
        return self._ends(realm, sender).get((type, site or ""))

    def _ends(self, realm: str, sender: str) -> dict[tuple[str, str], int]:
        """Read the ends of a sender once; `note` adds later ones."""
        if (end_times := self._over.get((realm, sender))) is None:
            end_times = self._over[realm, sender] = {}
            for alias, at in self._ledger.ends(realm, sender):
                if (
                    name_match := _EPISODE_NAME.fullmatch(
                        alias.removesuffix(END_SUFFIX).rpartition("@")[2]
                    )
                ) is not None:
                    end_times[name_match[2], name_match[3]] = max(
                        end_times.get((name_match[2], name_match[3]), 0), at
                    )
        return end_times

    def _read(self, realm: str, sender: str, key: str) -> Episode | None:
        episodes: dict[str, tuple[int, Episode]] = {}
        ends: dict[str, KnownReport] = {}
        last_updates: dict[int, tuple[int, KnownReport]] = {}
        for alias, report in self._ledger.aliases(realm, sender, key, "@").items():
            name = alias.removesuffix(END_SUFFIX)
            if (update := _UPDATE_NAME.fullmatch(name)) is not None:
                began, n = int(update[1]), int(update[2])
                last_updates[began] = max(
                    last_updates.get(began, (0, report)), (n, report), key=lambda u: u[0]
                )
            if (name_match := _EPISODE_NAME.fullmatch(name)) is None:
                # Another key with the same prefix, or the alias of a native report.
                continue
            if name != alias:
                ends[name] = report
            else:
                episode = Episode(
                    key, int(name_match[1]), name_match[2], name_match[3] or None, report.report_id
                )
                episodes[name] = report.recorded_at, _update_content(episode, report)
        if not episodes:
            return None
        _, newest = max(episodes.values(), key=lambda o: (o[0], o[1].began))
        # The newest is the last reported: a clock that was ahead says nothing about the order.
        if newest.began in last_updates:
            updates, last = last_updates[newest.began]
            newest = replace(_update_content(newest, last), updates=updates)
        if (end := ends.get(newest.name)) is None:
            return newest
        return replace(newest, ended=end.recorded_at, over=end.occurred_at)
