"""Which matters of a source are open: read from the aliases of its accepted reports, so that nothing of its own can be lost.

An opening report carries the alias `key@began:type:site`, the closing one the same with `#end`, the nth that changes its words `key@began#n`. All are
in the log (there with a hash in place of the sender's key, see log_words) and in the front's index, with a fingerprint of their words; this keeps the newest episode of each key in memory.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from schemas.reports import END
from services.intake.reports.deduplication import Known, Ledger

KEPT: Final = 50_000
_NAME: Final = re.compile(r"(\d{1,15}):([a-z_]{1,40}):(.{0,64})")
_UPDATE: Final = re.compile(r"(\d{1,15})#(\d{1,15})")
TOMBSTONE_MS: Final = 15 * 60_000
"""After the end of an episode a signal from before it opens nothing for this long: it only came late."""


@dataclass(frozen=True, slots=True)
class Episode:
    key: str
    began: int
    """ms; part of its name."""
    type: str
    site: str | None
    report_id: str = ""
    ended: int | None = None
    """When its end arrived, ms."""
    over: int | None = None
    """When it was over, as its end says, ms; None: unknown."""
    updates: int = 0
    content: str = ""
    """Fingerprint of what it was last said to be."""
    at: int | None = None
    """When it was that, as its last report says, ms; None: unknown (an index of an earlier version)."""
    answered: bool = True
    """Whether somebody is known to have been told that this was taken: see Known."""

    @property
    def alias(self) -> str:
        """Of the opening report."""
        return f"{self.key}@{self.name}"

    @property
    def name(self) -> str:
        """Return its name among the episodes of its key."""
        return f"{self.began}:{self.type}:{self.site or ''}"

    def saying(self, content: str, at: int) -> Episode:
        """The same after one more update."""
        return replace(self, updates=self.updates + 1, content=content, at=at, answered=True)

    @property
    def update_alias(self) -> str:
        """Of the last update."""
        return f"{self.key}@{self.began}#{self.updates}"

    @property
    def telling(self) -> str:
        """Key of the report that said so, without a clock: the same from here, told again, is the same report."""
        return f"{self.alias}#{self.updates}:{self.content}" if self.updates else self.alias


_Place = tuple[str, str, str]
"""Realm, sender, key."""
_Kept = OrderedDict[_Place, Episode | None]


def _remember(kept: _Kept, place: _Place, episode: Episode | None) -> None:
    kept[place] = episode
    kept.move_to_end(place)
    if len(kept) > KEPT:
        kept.popitem(last=False)


def _said(episode: Episode, known: Known) -> Episode:
    return replace(
        episode, content=known.fingerprint, at=known.occurred_at, answered=known.answered
    )


class Episodes:
    """Of all sources of one front. One transition per key at a time: the caller holds the key's lock."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._newest: _Kept = OrderedDict()
        self._over: dict[tuple[str, str], dict[tuple[str, str], int]] = {}
        """Realm and sender → type and site → when the newest end there was, ms."""
        self._tried: _Kept = OrderedDict()
        """Beginnings of which no acknowledgement has come: each may be on the log all the same, or come to it yet."""

    def newest(self, realm: str, sender: str, key: str) -> Episode | None:
        """The newest episode of a key, open or not."""
        place = (realm, sender, key)
        if place not in self._newest or place in self._tried:
            _remember(self._newest, place, self._read(realm, sender, key))
        return self._newest[place]

    def begins(self, realm: str, sender: str, episode: Episode) -> Episode:
        """It is about to be told: under the name under which the same was tried before, so that it is one if that landed."""
        place = (realm, sender, episode.key)
        tried = self._tried.get(place)
        if tried is not None and (tried.content, tried.type, tried.site) == (
            episode.content,
            episode.type,
            episode.site,
        ):
            episode = replace(episode, began=tried.began)
        _remember(self._tried, place, episode)
        return episode

    def note(self, realm: str, sender: str, episode: Episode) -> None:
        """It was opened, changed or closed."""
        place = (realm, sender, episode.key)
        self._tried.pop(place, None)
        _remember(self._newest, place, episode)
        if episode.over is not None:
            there, what = self._ends(realm, sender), (episode.type, episode.site or "")
            there[what] = max(there.get(what, 0), episode.over)

    def over(self, realm: str, sender: str, type: str, site: str | None) -> int | None:
        """When the newest end was that this sender told of there, of whatever matter, ms."""
        return self._ends(realm, sender).get((type, site or ""))

    def _ends(self, realm: str, sender: str) -> dict[tuple[str, str], int]:
        """Read once: an end that is told later is noted here."""
        if (known := self._over.get((realm, sender))) is None:
            known = self._over[realm, sender] = {}
            for alias, at in self._ledger.ends(realm, sender):
                if (
                    found := _NAME.fullmatch(alias.removesuffix(END).rpartition("@")[2])
                ) is not None:
                    known[found[2], found[3]] = max(known.get((found[2], found[3]), 0), at)
        return known

    def _read(self, realm: str, sender: str, key: str) -> Episode | None:
        opened: dict[str, tuple[int, Episode]] = {}
        ended: dict[str, Known] = {}
        updated: dict[int, tuple[int, Known]] = {}
        for told, known in self._ledger.aliases(realm, sender, key, "@").items():
            name = told.removesuffix(END)
            if (update := _UPDATE.fullmatch(name)) is not None:
                began, n = int(update[1]), int(update[2])
                updated[began] = max(updated.get(began, (0, known)), (n, known), key=lambda u: u[0])
            if (found := _NAME.fullmatch(name)) is None:
                continue  # another key that begins so, or an alias of a native report
            if name != told:
                ended[name] = known
            else:
                episode = Episode(key, int(found[1]), found[2], found[3] or None, known.report_id)
                opened[name] = known.recorded_at, _said(episode, known)
        if not opened:
            return None
        _, newest = max(
            opened.values(), key=lambda o: (o[0], o[1].began)
        )  # told last: a clock that ran ahead says nothing of the order
        if newest.began in updated:
            updates, last = updated[newest.began]
            newest = replace(_said(newest, last), updates=updates)
        if (end := ended.get(newest.name)) is None:
            return newest
        return replace(newest, ended=end.recorded_at, over=end.occurred_at)
