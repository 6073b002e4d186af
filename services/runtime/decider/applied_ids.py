"""Ids that a realm has already applied: exact, pruned by age, cheap to snapshot.

Persistent like all state: `add` returns a new value and shares the rest. Ids lie in sealed pages of
`PAGE_IDS` ids that never change, so a snapshot writes a page once and afterwards only the open one.
For a closed realm only eight bytes of each id are kept: hundreds of exercises a year must not stay
in the memory of every worker.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from typing import Final

from schemas.base import DAY_MS, Instant
from services.runtime.decider.maps import Map

RETENTION_MS: Final = 7 * DAY_MS
"""Milliseconds for which a live realm remembers an id; other realms never forget."""
PAGE_IDS: Final = 4096
DIGEST_BYTES: Final = 8
"""Bytes of each id in a compact set.

For a thousand ids, two share a digest with a probability of 10⁻¹³. A closed realm then calls a new
input a duplicate instead of refusing it.
"""
BLOCK_PAGES: Final = 16
"""Number of pages that share one frozen set of ids.

A persistent map of a million ids takes seconds to build, frozen sets a tenth of one second.
"""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class IdPage:
    """A sealed page: ids in order of arrival, and `until`, the time of the youngest."""

    until: Instant
    ids: tuple[str, ...]


_NO_IDS: Final[Map[str, None]] = Map()
_NO_PAGES: Final[Map[int, IdPage]] = Map()
_OpenIds = tuple[str, "_OpenIds"] | None


@dataclass(frozen=True, slots=True)
class AppliedIds:
    ids: Map[str, None] = _NO_IDS
    """Ids of the pages after the last whole block, and of the growing page."""
    pages: Map[int, IdPage] = _NO_PAGES
    first: int = 0
    """Number of the oldest page kept; pages are `first` … `last - 1`."""
    last: int = 0
    open: _OpenIds = None
    open_count: int = 0
    blocks: tuple[frozenset[str], ...] = ()
    """Ids of the whole blocks of pages, from the block of `first` on."""
    compact: bytes | None = None
    """Digests of all ids in ascending order. If set, every other field is empty."""

    def __contains__(self, id: str) -> bool:
        if self.compact is not None:
            digest = _digest(id)
            return (
                self.compact[(at := _find_offset(self.compact, digest)) : at + DIGEST_BYTES]
                == digest
            )
        if id in self.ids:
            return True
        for block in self.blocks:  # noqa: SIM110  `any` is three times slower
            if id in block:
                return True
        return False

    def __len__(self) -> int:
        return len(self.ids) + sum(map(len, self.blocks)) + len(self.compact or b"") // DIGEST_BYTES

    def add(self, id: str, at: Instant, *, forget: bool) -> AppliedIds:
        """Return the set with `id` seen at `at`, which never decreases.

        `forget` drops pages with a youngest id older than `RETENTION_MS`.
        """
        if id in self:
            return self
        if self.compact is not None:
            at = _find_offset(self.compact, digest := _digest(id))
            return AppliedIds(compact=self.compact[:at] + digest + self.compact[at:])
        opened: _OpenIds = (id, self.open)
        count = self.open_count + 1
        if count < PAGE_IDS:
            return AppliedIds(
                self.ids.set(id, None),
                self.pages,
                self.first,
                self.last,
                opened,
                count,
                self.blocks,
            )
        page = IdPage(at, tuple(reversed(tuple(_walk_open_ids(opened)))))
        ids, pages, last, blocks = (
            self.ids.set(id, None),
            self.pages.set(self.last, page),
            self.last + 1,
            self.blocks,
        )
        if last % BLOCK_PAGES == 0:  # Every id of the map is in a page of this block
            ids, blocks = _NO_IDS, (*blocks, frozenset(ids))
        full = AppliedIds(ids, pages, self.first, last, None, 0, blocks)
        return full._forget(at - RETENTION_MS) if forget else full

    def _forget(self, before: Instant) -> AppliedIds:
        first, pages, ids, blocks = self.first, self.pages, self.ids, self.blocks
        while first < self.last and pages[first].until < before:
            gone = pages[first].ids
            if blocks:
                rest = blocks[0].difference(gone)
                blocks = (rest, *blocks[1:]) if rest else blocks[1:]
            else:
                with ids.mutate() as fewer:
                    for id in gone:
                        del fewer[id]
                    ids = fewer.finish()
            pages, first = pages.delete(first), first + 1
        return AppliedIds(ids, pages, first, self.last, self.open, self.open_count, blocks)

    def compacted(self) -> AppliedIds:
        """Return the compact set for a closed realm: `DIGEST_BYTES` of each id, never forgotten."""
        if self.compact is not None:
            return self
        return AppliedIds(compact=b"".join(sorted(map(_digest, chain(self.ids, *self.blocks)))))

    def open_ids(self) -> tuple[str, ...]:
        """Return the ids of the growing page in order of arrival."""
        return tuple(reversed(tuple(_walk_open_ids(self.open))))

    @classmethod
    def restore(cls, first: int, pages: Sequence[IdPage], opened: Iterable[str]) -> AppliedIds:
        """Restore the set from `first`, its pages and `open_ids`."""
        last = first + len(pages)
        whole = last - last % BLOCK_PAGES
        """Pages before this one are in blocks."""
        numbered = {first + n: page for n, page in enumerate(pages)}
        blocks = tuple(
            frozenset(
                chain.from_iterable(
                    numbered[n].ids for n in range(max(start, first), start + BLOCK_PAGES)
                )
            )
            for start in range(first - first % BLOCK_PAGES, whole, BLOCK_PAGES)
        )
        ids: Map[str, None] = Map(
            dict.fromkeys(
                chain.from_iterable(numbered[n].ids for n in range(max(whole, first), last))
            )
        )
        open: _OpenIds = None
        count = 0
        with ids.mutate() as filling:
            for id in opened:
                filling[id] = None
                open, count = (id, open), count + 1
            ids = filling.finish()
        return cls(ids, Map(numbered), first, last, open, count, blocks)


def _walk_open_ids(opened: _OpenIds) -> Iterator[str]:
    while opened is not None:
        id, opened = opened
        yield id


def _digest(id: str) -> bytes:
    return blake2b(id.encode(), digest_size=DIGEST_BYTES).digest()


def _find_offset(compact: bytes, digest: bytes) -> int:
    """Return the offset of `digest` in `compact`, or the offset where to insert it."""
    number = range(len(compact) // DIGEST_BYTES)
    return DIGEST_BYTES * bisect_left(
        number, digest, key=lambda n: compact[n * DIGEST_BYTES : (n + 1) * DIGEST_BYTES]
    )
