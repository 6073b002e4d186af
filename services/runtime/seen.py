"""The ids that a realm has already applied: exact membership, pruned by age, cheap to snapshot.

Persistent like everything in the state: `add` returns a new value and shares the rest. Ids lie in sealed pages of `PAGE` ids
that never change again, so that a snapshot writes a page once and afterwards only the open one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from immutables import Map

from schemas.base import DAY_MS, Instant

KEPT_MS: Final = 7 * DAY_MS
"""How long an id is remembered (a live realm; other realms never forget)."""
PAGE: Final = 4096


@dataclass(frozen=True, slots=True)
class Page:
    """`until`: time of its youngest id; ids in order of arrival."""

    until: Instant
    ids: tuple[str, ...]


_NO_IDS: Final[Map[str, None]] = Map()
_NO_PAGES: Final[Map[int, Page]] = Map()
_Open = tuple[str, "_Open"] | None


@dataclass(frozen=True, slots=True)
class Seen:
    ids: Map[str, None] = _NO_IDS
    pages: Map[int, Page] = _NO_PAGES
    first: int = 0
    """Number of the oldest page kept; pages are `first` … `last - 1`."""
    last: int = 0
    open: _Open = None
    open_count: int = 0

    def __contains__(self, id: str) -> bool:
        return id in self.ids

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, id: str, at: Instant, *, forget: bool) -> Seen:
        """With `id` seen at `at` (never decreasing). `forget`: drop pages whose youngest id is older than `KEPT_MS`."""
        if id in self.ids:
            return self
        opened: _Open = (id, self.open)
        count = self.open_count + 1
        if count < PAGE:
            return Seen(self.ids.set(id, None), self.pages, self.first, self.last, opened, count)
        page = Page(at, tuple(reversed(tuple(_walk(opened)))))
        full = Seen(self.ids.set(id, None), self.pages.set(self.last, page), self.first, self.last + 1, None, 0)
        return full._forget(at - KEPT_MS) if forget else full

    def _forget(self, before: Instant) -> Seen:
        first, pages, ids = self.first, self.pages, self.ids
        while first < self.last and pages[first].until < before:
            with ids.mutate() as fewer:
                for id in pages[first].ids:
                    del fewer[id]
                ids = fewer.finish()
            pages, first = pages.delete(first), first + 1
        return Seen(ids, pages, first, self.last, self.open, self.open_count)

    def open_ids(self) -> tuple[str, ...]:
        """Ids of the page that is still growing, in order of arrival."""
        return tuple(reversed(tuple(_walk(self.open))))

    @classmethod
    def restore(cls, first: int, pages: Sequence[Page], opened: Iterable[str]) -> Seen:
        """Inverse of reading `first`, the pages from it on, and `open_ids`."""
        ids: Map[str, None] = Map()
        chain: _Open = None
        count = 0
        with ids.mutate() as filling:
            for page in pages:
                for id in page.ids:
                    filling[id] = None
            for id in opened:
                filling[id] = None
                chain, count = (id, chain), count + 1
            ids = filling.finish()
        return cls(ids, Map({first + n: page for n, page in enumerate(pages)}), first, first + len(pages), chain, count)


def _walk(chain: _Open) -> Iterator[str]:
    while chain is not None:
        id, chain = chain
        yield id
