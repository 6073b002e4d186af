"""Long-lived objects are frozen once; reference counts free them all the same."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from services.runtime.process.machine import THRESHOLDS, freeze_long_lived


class Ring:
    """Refers to itself: reference counts alone never free it."""

    def __init__(self) -> None:
        self.me: object = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave thresholds and frozen objects as tests/conftest.py set them.

    The collected tests stay frozen: later collections would scan them all.
    """
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)


@pytest.fixture
def frozen() -> Ring:
    ring = Ring()
    freeze_long_lived()
    return ring


def test_objects_of_the_start_are_not_scanned_again(frozen: Ring) -> None:
    assert gc.get_threshold() == THRESHOLDS
    assert frozen not in gc.get_objects()


def test_frozen_objects_are_freed_without_a_scan() -> None:
    ring = Ring()
    ring.me = None
    gone = weakref.ref(ring)
    freeze_long_lived()
    del ring
    assert gone() is None


def test_garbage_of_a_request_is_collected(frozen: Ring) -> None:
    gone = weakref.ref(Ring())
    gc.collect()
    assert gone() is None
