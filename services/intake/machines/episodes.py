"""Which matters of a source are open: read from the aliases of its accepted reports, so that nothing of its own can be lost.

An opening report carries the alias `key@began:type:site`, the closing one the same with `#end`. Both are in the log and in the front's
index; this keeps the newest of each key in memory.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from services.intake.idempotency import Ledger

KEPT: Final = 50_000
TOMBSTONE_MS: Final = 15 * 60_000
"""After the end of an episode a signal from before it opens nothing for this long: it only came late."""


@dataclass(frozen=True, slots=True)
class Episode:
    key: str
    began: int
    """ms; part of its name."""
    type: str
    site: str | None
    report_id: str
    ended: int | None = None
    """ms"""

    @property
    def alias(self) -> str:
        """Of the opening report."""
        return f"{self.key}@{self.began}:{self.type}:{self.site or ''}"


class Episodes:
    """Of all sources of one front. One transition per key at a time: the caller holds the key's lock."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._newest: OrderedDict[tuple[str, str, str], Episode | None] = OrderedDict()

    def newest(self, realm: str, sender: str, key: str) -> Episode | None:
        """The newest episode of a key, open or not."""
        place = (realm, sender, key)
        if place not in self._newest:
            self._remember(place, self._read(realm, sender, key))
        return self._newest[place]

    def note(self, realm: str, sender: str, episode: Episode) -> None:
        """It was opened or closed."""
        self._remember((realm, sender, episode.key), episode)

    def _remember(self, place: tuple[str, str, str], episode: Episode | None) -> None:
        self._newest[place] = episode
        self._newest.move_to_end(place)
        if len(self._newest) > KEPT:
            self._newest.popitem(last=False)

    def _read(self, realm: str, sender: str, key: str) -> Episode | None:
        opened: dict[str, Episode] = {}
        ended: dict[str, int] = {}
        for alias, report_id, at in self._ledger.aliases(realm, sender, f"{key}@"):
            name, end, _ = alias.partition("#end")
            if end:
                ended[name] = at
            else:
                began, type, site = name[len(key) + 1 :].split(":", 2)
                opened[name] = Episode(key, int(began), type, site or None, report_id)
        if not opened:
            return None
        newest = max(opened.values(), key=lambda e: e.began)
        at_end = ended.get(newest.alias)
        return newest if at_end is None else Episode(newest.key, newest.began, newest.type, newest.site, newest.report_id, at_end)
