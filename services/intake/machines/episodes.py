"""Which matters of a source are open: read from the aliases of its accepted reports, so that nothing of its own can be lost.

An opening report carries the alias `key@began:type:site`, the closing one the same with `#end`. Both are in the log and in the front's
index; this keeps the newest of each key in memory.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from services.intake.idempotency import END, Ledger

KEPT: Final = 50_000
_NAME: Final = re.compile(r"(\d{1,15}):([a-z_]{1,40}):(.{0,64})")
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
    """ms"""
    content: str = ""
    """What it was last said to be, as a hash; empty when this process has not heard it."""

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
        opened: dict[str, tuple[int, Episode]] = {}
        ended: dict[str, int] = {}
        for alias, report_id, at in self._ledger.aliases(realm, sender, f"{key}@"):
            name = alias.removesuffix(END)
            if (found := _NAME.fullmatch(name, len(key) + 1)) is None:
                continue  # another key that begins so, or an alias of a native report
            if name != alias:
                ended[name] = at
            else:
                opened[name] = at, Episode(key, int(found[1]), found[2], found[3] or None, report_id)
        if not opened:
            return None
        _, newest = max(opened.values(), key=lambda o: (o[0], o[1].began))  # told last: a clock that ran ahead says nothing of the order
        return replace(newest, ended=ended.get(newest.alias))
