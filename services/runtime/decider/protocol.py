"""The parts of every decider: its protocol, the state of a realm, deadlines, a decision.

`decide`, `fire` and `evolve` are pure functions over one realm's state: no clock, no random
numbers, no I/O. The same arguments always give the same facts, within one `logic` version. The
runtime does everything that is common to all domains: order, duplicates of ids and forwarded facts,
ids, the clock, deadlines one after the other, failures as facts, checks of opening and closing,
snapshots, forwarding.

* **Applied ids** are exact, pruned by age and cheap to snapshot. Persistent like all state: `add`
  returns a new value and shares the rest. Ids lie in sealed pages of `PAGE_IDS` ids that never
  change, so a snapshot writes a page once and afterwards only the open one. For a closed realm only
  eight bytes of each id are kept: hundreds of exercises a year must not stay in memory.
* **Deadlines** have typed keys and lie in a persistent priority queue (leftist heap). A domain has
  one frozen dataclass per kind of deadline, and one `DeadlineKeys` with all of them. Its code arms
  and matches these values; only this module knows their text, which is in logs and snapshots and so
  never changes. In the queue the earliest deadline is at the root; arming costs O(log n).
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from itertools import chain
from typing import ClassVar, Final, Generic, Literal, Protocol, Self, TypeVar, cast, get_type_hints

from schemas.base import DAY_MS, Command, Fact, Instant, Message
from schemas.runtime import CommandRefused
from schemas.topics import derive_id
from schemas.wire import Place
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

    def add(self, id: str, at: Instant, *, forget: bool) -> "AppliedIds":
        """Return the set with `id` seen at `at`, which never decreases.

        `forget` drops pages with a youngest id older than `RETENTION_MS`.
        """
        if id in self:
            return self
        if self.compact is not None:
            at = _find_offset(self.compact, digest := _digest(id))
            return AppliedIds(compact=self.compact[:at] + digest + self.compact[at:])
        open_ids: _OpenIds = (id, self.open)
        count = self.open_count + 1
        if count < PAGE_IDS:
            return AppliedIds(
                self.ids.set(id, None),
                self.pages,
                self.first,
                self.last,
                open_ids,
                count,
                self.blocks,
            )
        page = IdPage(at, tuple(reversed(tuple(_walk_open_ids(open_ids)))))
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

    def _forget(self, before: Instant) -> "AppliedIds":
        first, pages, ids, blocks = self.first, self.pages, self.ids, self.blocks
        while first < self.last and pages[first].until < before:
            expired_ids = pages[first].ids
            if blocks:
                rest = blocks[0].difference(expired_ids)
                blocks = (rest, *blocks[1:]) if rest else blocks[1:]
            else:
                with ids.mutate() as fewer:
                    for id in expired_ids:
                        del fewer[id]
                    ids = fewer.finish()
            pages, first = pages.delete(first), first + 1
        return AppliedIds(ids, pages, first, self.last, self.open, self.open_count, blocks)

    def compact_ids(self) -> "AppliedIds":
        """Return the compact set for a closed realm: `DIGEST_BYTES` of each id, never forgotten."""
        if self.compact is not None:
            return self
        return AppliedIds(compact=b"".join(sorted(map(_digest, chain(self.ids, *self.blocks)))))

    def open_ids(self) -> tuple[str, ...]:
        """Return the ids of the growing page in order of arrival."""
        return tuple(reversed(tuple(_walk_open_ids(self.open))))

    @classmethod
    def restore(cls, first: int, pages: Sequence[IdPage], open_ids: Iterable[str]) -> "AppliedIds":
        """Restore the set from `first`, its pages and `open_ids`."""
        last = first + len(pages)
        whole = last - last % BLOCK_PAGES
        """Pages before this one are in blocks."""
        pages_by_number = {first + n: page for n, page in enumerate(pages)}
        blocks = tuple(
            frozenset(
                chain.from_iterable(
                    pages_by_number[n].ids for n in range(max(start, first), start + BLOCK_PAGES)
                )
            )
            for start in range(first - first % BLOCK_PAGES, whole, BLOCK_PAGES)
        )
        ids: Map[str, None] = Map(
            dict.fromkeys(
                chain.from_iterable(pages_by_number[n].ids for n in range(max(whole, first), last))
            )
        )
        open: _OpenIds = None
        count = 0
        with ids.mutate() as filling:
            for id in open_ids:
                filling[id] = None
                open, count = (id, open), count + 1
            ids = filling.finish()
        return cls(ids, Map(pages_by_number), first, last, open, count, blocks)


def _walk_open_ids(open_ids: _OpenIds) -> Iterator[str]:
    while open_ids is not None:
        id, open_ids = open_ids
        yield id


def _digest(id: str) -> bytes:
    return blake2b(id.encode(), digest_size=DIGEST_BYTES).digest()


def _find_offset(compact: bytes, digest: bytes) -> int:
    """Return the offset of `digest` in `compact`, or the offset where to insert it."""
    number = range(len(compact) // DIGEST_BYTES)
    return DIGEST_BYTES * bisect_left(
        number, digest, key=lambda n: compact[n * DIGEST_BYTES : (n + 1) * DIGEST_BYTES]
    )


S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Watermark:
    """The newest forwarded fact applied from one service, with the hash of its source record."""

    place: Place
    hash: str


@dataclass(frozen=True, slots=True, weakref_slot=True)
class RealmState(Generic[S]):
    realm: str
    lineage: str
    """Realm in which this history began; ids are derived from it, so a fork keeps them."""
    now: Instant
    """The realm's clock; never goes back."""
    closed: bool
    seen: AppliedIds
    marks: Map[str, Watermark]
    """Source service → watermark."""
    domain: S


@dataclass(frozen=True, slots=True)
class Input:
    """One input as the domain sees it: parsed, in a known realm, not a duplicate."""

    id: str
    """CloudEvents id; for a forwarded fact the fact's id."""
    realm: str
    lineage: str
    source: str
    message: Message
    at: Instant
    """Logical time of the input: append time (live), `ce_at` or the realm's clock (simulated)."""
    now: Instant
    """max(realm clock, at): the time when it is decided."""
    correlation_id: str
    causation_id: str

    def derive(self, kind: str, ordinal: int = 0) -> str:
        """Derive the id of something that this input causes, stable over replays and forks.

        Another `kind` or `ordinal` gives another id.
        """
        return derive_id(self.lineage, self.id, kind, ordinal)


@dataclass(frozen=True, slots=True)
class Deadline:
    """An event that must happen at `due` unless an input disarms it. Plain data in the state."""

    due: Instant
    key: str
    """Unique in the realm. Deadlines with the same `due` fire in the order of keys."""


@dataclass(frozen=True, slots=True)
class Firing:
    """A deadline that is due, with the data to derive ids."""

    deadline: Deadline
    realm: str
    lineage: str
    now: Instant
    """Live: time of the input that moved the clock, after a stall long after `due`.

    Simulated: `due`.
    """
    at: Instant
    """Time of its facts, and so of `evolve`: `due`, but never before the clock of the realm."""

    def derive(self, kind: str, ordinal: int = 0) -> str:
        """Derive the id of something that this firing causes."""
        return derive_id(self.lineage, f"{self.deadline.key}@{self.deadline.due}", kind, ordinal)


class EvolvedFacts(list[Fact], Generic[S]):
    """Facts with the states that a decision has computed already, so that none is evolved twice."""

    def __init__(self, facts: Sequence[Fact], states: Sequence[S]) -> None:
        super().__init__(facts)
        self.states = states
        """State after each fact, in the same order."""


class Decider(Protocol[S]):
    """A domain. `S` is immutable: a frozen dataclass with `immutables.Map` collections."""

    service: str
    logic: int

    def initial(self, realm: str, lineage: str) -> S:
        """Return the state of a realm before its first input."""
        ...

    def decide(self, state: S, current_input: Input) -> Sequence[Fact]:
        """Return the facts caused by one input, in order, as `EvolvedFacts` if they are evolved.

        May raise: the runtime records `InputFailed` and continues.
        """
        ...

    def fire(self, state: S, firing: Firing) -> Sequence[Fact]:
        """Return the facts caused by one due deadline.

        They must disarm it through `evolve`. May raise: the runtime records `DeadlineFailed`.
        """
        ...

    def evolve(self, state: S, fact: Fact, fact_id: str, at: Instant) -> S:
        """Return the state after one fact.

        Never raises for a fact that `decide` or `fire` of the same logic produced. Must handle
        `schemas.runtime.DeadlineFailed` by disarming `key`, and ignore runtime facts that it does
        not use. `at` is the transaction's time, or the due time for facts of a deadline.
        """
        ...

    def next_deadline(self, state: S) -> Deadline | None:
        """Return the earliest deadline in O(log n) or better."""
        ...

    def dump(self, state: S) -> dict[str, list[tuple[str, object]]]:
        """Dump the state as JSON-able collections (name → items) for snapshots, in any order."""
        ...

    def load(self, realm: str, lineage: str, dump: dict[str, list[tuple[str, object]]]) -> S:
        """Load the state from a dump."""
        ...


class DeadlineKey:
    """Base of the keys. Fields are strings, numbers or a `StrEnum`.

    Only the first field may contain the separator.
    """

    __slots__ = ()
    head: ClassVar[str]
    """Name of the kind, first part of the text."""
    separator: ClassVar[str] = ":"

    def __init_subclass__(cls, *, head: str | None = None) -> None:
        """Set the head; `dataclass` makes a class with slots again, without arguments."""
        if head is not None:
            cls.head = head

    def __str__(self) -> str:
        """Return the text in logs and snapshots."""
        parts = [str(getattr(self, name)) for name, _ in _list_fields(type(self))]
        return self.separator.join((self.head, *parts))


K = TypeVar("K", bound=DeadlineKey)


class DeadlineKeys(Generic[K]):
    """All kinds of deadlines of a domain, which share their separator."""

    def __init__(self, *kinds: type[K]) -> None:
        self._kinds = {kind.head: kind for kind in kinds}
        if len(self._kinds) < len(kinds):
            raise ValueError("two kinds of deadlines have the same head")
        (self._separator,) = {kind.separator for kind in kinds}

    def parse(self, text: str) -> K:
        """Return the key with this text. Raises ValueError for the text of no kind."""
        head, _, rest = text.partition(self._separator)
        if (kind := self._kinds.get(head)) is None:
            raise ValueError(f"there is no deadline {text!r}")
        types = [type_ for _, type_ in _list_fields(kind)]
        parts = rest.rsplit(self._separator, len(types) - 1) if types else []
        return kind(*(type_(part) for type_, part in zip(types, parts, strict=True)))


_FIELDS: dict[type, list[tuple[str, type]]] = {}


def _list_fields(kind: type[DeadlineKey]) -> list[tuple[str, type]]:
    """Return name and type of each field."""
    if (field_types := _FIELDS.get(kind)) is None:
        hints = get_type_hints(kind)
        field_types = [(field.name, hints[field.name]) for field in fields(kind)]  # type: ignore[arg-type]
        _FIELDS[kind] = field_types
    return field_types


_Heap = tuple[int, Instant, str, "_Heap | None", "_Heap | None"]
"""(rank, due, key, left, right).

A key may occur more than once; only the entry that `due` names is valid.
"""


def _merge_heaps(a: _Heap | None, b: _Heap | None) -> _Heap | None:
    if a is None:
        return b
    if b is None:
        return a
    if (b[1], b[2]) < (a[1], a[2]):
        a, b = b, a
    left, right = a[3], _merge_heaps(a[4], b)
    if (left[0] if left else 0) < (right[0] if right else 0):
        left, right = right, left
    return ((right[0] if right else 0) + 1, a[1], a[2], left, right)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Deadlines by key. Ties fire in the order of keys."""

    due: Map[str, Instant] = field(default_factory=Map)
    heap: _Heap | None = field(default=None, compare=False, repr=False)

    def arm(self, key: DeadlineKey | str, deadline: Instant | None) -> Self:
        """Return the deadlines with `key` moved to `deadline`; None disarms it."""
        key = str(key)
        if self.due.get(key) == deadline:
            return self
        if deadline is None:
            return self._drop_stale_heads(self.due.delete(key), self.heap)
        return self._drop_stale_heads(
            self.due.set(key, deadline), _merge_heaps(self.heap, (1, deadline, key, None, None))
        )

    def first(self) -> Deadline | None:
        """Return the earliest deadline, or None."""
        return Deadline(self.heap[1], self.heap[2]) if self.heap else None

    def _drop_stale_heads(self, due_times: Map[str, Instant], heap: _Heap | None) -> Self:
        while heap is not None and due_times.get(heap[2]) != heap[1]:
            heap = _merge_heaps(heap[3], heap[4])
        return type(self)(due_times, heap)

    def disarm(self, key: DeadlineKey | str) -> Self:
        """Return the deadlines without `key`."""
        return self.arm(key, None)

    def due_of(self, key: DeadlineKey | str) -> Instant | None:
        """Return when `key` is due, or None."""
        return self.due.get(str(key))

    @classmethod
    def restore(cls, due_times: Map[str, Instant]) -> Self:
        """Restore the deadlines from `due_times`. The heap is built from it and never stored."""
        deadlines = cls()
        for key, at in due_times.items():
            deadlines = deadlines.arm(key, at)
        return deadlines


Scalar = str | int | float | bool | None
CommandResult = dict[str, Scalar]
"""Answer to a command that took effect; the body of the HTTP 200 response."""


class RefusedCommand(Exception):
    """A refused command with its status, code and values; becomes the fact `CommandRefused`."""

    def __init__(self, status: int, code: str, **values: Scalar) -> None:
        super().__init__(code)
        self.status, self.code, self.values = status, code, values

    def to_fact(self, command_id: str, command: Command) -> CommandRefused:
        """Return the fact that answers the command."""
        return CommandRefused(
            command_id=command_id,
            command=type(command).__name__,
            status=cast("Literal[403, 404, 409, 412]", self.status),
            code=self.code,
            values=self.values,
        )


class Decision(ABC, Generic[S]):
    """Facts so far, applied to the state at once: each step sees the steps before it.

    Mutable, and used for one input or deadline only.
    """

    __slots__ = ("at", "facts", "now", "state", "states")

    def __init__(self, state: S, cause: Input | Firing) -> None:
        self.state = state
        self.now: Instant = cause.now
        """Time of the decision."""
        self.at: Instant = cause.at if isinstance(cause, Firing) else cause.now
        """Time of its records: a fold evolves at that time, so `evolve` must, too."""
        self.facts: list[Fact] = []
        self.states: list[S] = []
        """State after each fact."""

    @abstractmethod
    def evolve(self, fact: Fact) -> S:
        """Return the present state after one more fact."""

    def emit(self, *facts: Fact) -> None:
        """Record facts in order, and evolve the state by each."""
        for fact in facts:
            self.facts.append(fact)
            self.state = self.evolve(fact)
            self.states.append(self.state)

    def withdraw(self, facts: int, state: S) -> None:
        """Discard the facts after the first `facts`, and restore the state before them."""
        del self.facts[facts:], self.states[facts:]
        self.state = state

    def finish(self) -> EvolvedFacts[S]:
        """Return all facts with the state after each."""
        return EvolvedFacts(self.facts, self.states)
