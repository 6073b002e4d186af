"""Both maps do the same: that of immutables, and that on rpds-py for interpreters without it."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.decider.trie_map import Map

immutables = pytest.importorskip("immutables", reason="Python 3.14 has rpds-py alone")

KEYS = st.one_of(st.text(max_size=3), st.tuples(st.text(max_size=1), st.integers(0, 3)))
STEPS = st.lists(
    st.tuples(st.sampled_from(["set", "delete", "update", "mutate"]), KEYS, st.integers()),
    max_size=40,
)


def changed(known: Any, step: tuple[str, Any, int]) -> Any:
    name, key, value = step
    if name == "set":
        return known.set(key, value)
    if name == "delete":
        return known.delete(key) if key in known else known
    if name == "update":
        return known.update({key: value, "u": 1})
    with known.mutate() as change:
        change[key] = value
        change.pop("u", None)
        if key in change and value % 2:
            del change[key]
        return change.finish()


@given(STEPS)
def test_they_hold_the_same_after_the_same_changes(steps: list[tuple[str, Any, int]]) -> None:
    one: Any = immutables.Map()
    other: Any = Map()
    for step in steps:
        before = dict(other.items())
        one, new = changed(one, step), changed(other, step)
        assert dict(other.items()) == before, "a change is a new map"
        other = new
    assert dict(one.items()) == dict(other.items()) == dict(other)
    assert len(one) == len(other)
    assert set(other.keys()) == set(one.keys())
    assert sorted(other.values()) == sorted(one.values())
    assert other == Map(dict(one.items()))
    assert hash(other) == hash(Map(dict(one.items())))
    assert pickle.loads(pickle.dumps(other)) == other


def test_a_missing_key_raises_a_key_error() -> None:
    empty: Map[str, int] = Map()
    with pytest.raises(KeyError):
        empty["a"]
    with pytest.raises(KeyError):
        empty.delete("a")
    with empty.mutate() as change, pytest.raises(KeyError):
        change.pop("a")
    assert empty.get("a") is None
    assert empty.get("a", 3) == 3
    assert "a" not in empty


def test_a_map_never_equals_a_dict() -> None:
    """Like maps of immutables, a map equals another map, but never a dict."""
    assert Map({"a": 1}) != {"a": 1}
    assert Map({"a": 1}) == Map([("a", 1)])
