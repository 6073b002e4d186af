"""Snapshots restore a state equal to the saved one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NewType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from services.runtime.decider.codec import NotDumpable, StateCodec
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import AppliedIds, IdPage

SiteId = NewType("SiteId", str)


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


class Rank(IntEnum):
    LOW = 1
    HIGH = 2


class Row(BaseModel, frozen=True):
    name: str
    colours: tuple[Colour, ...] = ()


@dataclass(frozen=True, slots=True)
class Inner:
    rank: Rank
    since: int | None
    names: frozenset[str]
    pair: tuple[int, str]
    deep: Map[SiteId, tuple[Colour, ...]]
    parent: Inner | None = None


@dataclass(frozen=True, slots=True)
class Other:
    x: float


@dataclass(frozen=True, slots=True)
class State:
    now: int = 0
    lineage: str = ""
    rank: Rank = Rank.LOW
    rows: Map[SiteId, Row] = field(default_factory=Map)
    inner: Map[tuple[str, int], Inner] = field(default_factory=Map)
    mixed: Map[Colour, Inner | Other] = field(default_factory=Map)
    numbers: Map[int, frozenset[int]] = field(default_factory=Map)
    one: Inner | None = None


_names = st.text(max_size=5)
_numbers = st.integers(-(2**62), 2**62)
_inner = st.builds(
    Inner,
    rank=st.sampled_from(Rank),
    since=st.one_of(st.none(), st.integers(-5, 5)),
    names=st.frozensets(_names, max_size=3),
    pair=st.tuples(_numbers, _names),
    deep=st.dictionaries(_names, st.lists(st.sampled_from(Colour)).map(tuple), max_size=3).map(Map),
    parent=st.none(),
)
_states = st.builds(
    State,
    now=_numbers,
    lineage=_names,
    rank=st.sampled_from(Rank),
    rows=st.dictionaries(
        _names,
        st.builds(Row, name=_names, colours=st.lists(st.sampled_from(Colour)).map(tuple)),
        max_size=4,
    ).map(Map),
    inner=st.dictionaries(st.tuples(_names, _numbers), _inner, max_size=4).map(Map),
    mixed=st.dictionaries(
        st.sampled_from(Colour), st.one_of(_inner, st.builds(Other, x=st.floats(allow_nan=False)))
    ).map(Map),
    numbers=st.dictionaries(_numbers, st.frozensets(_numbers), max_size=3).map(Map),
    one=st.one_of(
        st.none(), _inner.map(lambda i: Inner(i.rank, i.since, i.names, i.pair, i.deep, i))
    ),
)
CODEC = StateCodec(State)


@given(_states)
def test_a_dump_reads_back_equal_through_json(state: State) -> None:
    back = CODEC.load(json.loads(json.dumps(CODEC.dump(state))))
    assert back == state
    assert all(type(row) is Row for row in back.rows.values())


def test_a_dump_of_an_older_class_takes_the_new_fields_defaults() -> None:
    dumped = CODEC.dump(State(now=5))
    dumped[""] = [item for item in dumped[""] if item[0] != "rank"]
    del dumped["numbers"]
    assert CODEC.load(dumped) == State(now=5)


def test_a_class_that_cannot_be_written_is_refused_when_the_codec_is_made() -> None:
    @dataclass(frozen=True)
    class Wrong:
        things: Map[str, set[int]]

    with pytest.raises(NotDumpable, match=r"Wrong\.things"):
        StateCodec(Wrong)
    with pytest.raises(NotDumpable, match="int is not a dataclass"):
        StateCodec(int)


@given(st.lists(st.text(min_size=1, max_size=4), max_size=60))
def test_seen_ids_are_restored_from_their_pages(ids: list[str]) -> None:
    applied_ids = AppliedIds()
    for n, id in enumerate(ids):
        applied_ids = applied_ids.add(id, n, forget=True)
    back = AppliedIds.restore(
        applied_ids.first,
        [applied_ids.pages[n] for n in range(applied_ids.first, applied_ids.last)],
        applied_ids.open_ids(),
    )
    assert back == applied_ids
    assert all(id in back for id in ids)
    assert len(back) == len(set(ids))


@given(st.lists(st.text(max_size=3), max_size=40), st.lists(st.text(max_size=3), max_size=10))
def test_a_compact_set_of_ids_keeps_earlier_and_later_ids(
    before: list[str], after: list[str]
) -> None:
    applied_ids = AppliedIds()
    for id in before:
        applied_ids = applied_ids.add(id, 0, forget=False)
    applied_ids = applied_ids.compact_ids()
    for id in after:
        assert (id in applied_ids) == (id in before)
    for n, id in enumerate(after):
        applied_ids = applied_ids.add(id, 0, forget=False)
        assert len(applied_ids) == len({*before, *after[: n + 1]})
    assert all(id in applied_ids for id in (*before, *after))
    in_one = AppliedIds()
    for id in (*before, *after):
        in_one = in_one.add(id, 0, forget=False)
    assert in_one.compact_ids() == applied_ids == applied_ids.compact_ids()


def test_a_page_is_sealed_once_and_forgotten_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.runtime.decider.protocol.PAGE_IDS", 2)
    monkeypatch.setattr("services.runtime.decider.protocol.RETENTION_MS", 10)
    applied_ids = AppliedIds()
    for n in range(4):
        applied_ids = applied_ids.add(f"a{n}", n, forget=True)
    assert applied_ids.pages[0] == IdPage(1, ("a0", "a1"))
    for n in range(2):
        applied_ids = applied_ids.add(f"b{n}", 12, forget=True)
    assert "a0" not in applied_ids
    assert "a2" in applied_ids
    assert (applied_ids.first, applied_ids.last) == (1, 3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 6)), max_size=120))
def test_blocks_of_pages_remember_and_forget_as_one_set_would(
    monkeypatch: pytest.MonkeyPatch, told: list[tuple[int, int]]
) -> None:
    """A restored state is the same value, so restarted workers decide like the others."""
    monkeypatch.setattr("services.runtime.decider.protocol.PAGE_IDS", 3)
    monkeypatch.setattr("services.runtime.decider.protocol.BLOCK_PAGES", 2)
    monkeypatch.setattr("services.runtime.decider.protocol.RETENTION_MS", 60)
    applied_ids, now = AppliedIds(), 0
    for id, later in told:
        now += later
        remaining_ids = {i for page in applied_ids.pages.values() for i in page.ids} | set(
            applied_ids.open_ids()
        )
        assert (str(id) in applied_ids) == (str(id) in remaining_ids)
        applied_ids = applied_ids.add(str(id), now, forget=True)
        assert (
            AppliedIds.restore(
                applied_ids.first,
                [applied_ids.pages[n] for n in range(applied_ids.first, applied_ids.last)],
                applied_ids.open_ids(),
            )
            == applied_ids
        )
    assert (
        len(applied_ids)
        == sum(len(page.ids) for page in applied_ids.pages.values()) + applied_ids.open_count
    )
