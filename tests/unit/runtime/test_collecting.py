"""Garbage: what survived a long look is not looked through again, garbage goes all the same."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.runtime.process import gc_tuning as c


class Ring:
    """Refers to itself: reference counts alone never free it."""

    def __init__(self) -> None:
        self.me = self


@pytest_asyncio.fixture
async def collected(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(c, "LONG_COLLECTION_S", 0.0)
    async with c.freeze_long_lived():
        yield


async def test_what_survives_a_long_look_is_set_aside(collected: None) -> None:
    gc.collect()
    before = gc.get_freeze_count()
    kept = [Ring() for _ in range(1_000)]
    gone = [weakref.ref(Ring()) for _ in range(100)]
    gc.collect()
    assert all(ref() is None for ref in gone)
    assert gc.get_freeze_count() >= before + 1_000
    first = weakref.ref(kept[0])
    kept[0].me = kept[1]
    del kept[0]
    assert first() is None, "what has no cycle is freed at once, set aside or not"


async def test_a_short_look_sets_nothing_aside(
    collected: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(c, "LONG_COLLECTION_S", 60.0)
    before = gc.get_freeze_count()
    kept = [Ring() for _ in range(1_000)]
    gc.collect()
    assert gc.get_freeze_count() <= before
    assert kept


async def test_garbage_among_what_was_set_aside_is_found_by_the_look_through_everything(
    collected: None,
) -> None:
    ring = Ring()
    gone = weakref.ref(ring)
    gc.collect()
    del ring
    gc.collect()
    assert gone() is not None, "set aside"
    assert c.collect_and_freeze() > 0
    assert gone() is None


async def test_the_process_is_left_as_it_was() -> None:
    before = gc.get_threshold(), list(gc.callbacks)
    async with c.freeze_long_lived():
        assert gc.get_threshold() == c.THRESHOLDS
        assert gc.get_freeze_count() > 0
    assert (gc.get_threshold(), list(gc.callbacks), gc.get_freeze_count()) == (*before, 0)
