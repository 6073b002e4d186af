"""Pages show every item once, in order, also while the list changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.http.pagination import (
    CursorInvalid,
    decode_cursor,
    encode_cursor,
    paginate,
    paginate_preordered,
)


@given(st.lists(st.integers(-(2**53), 2**53), unique=True, max_size=60), st.integers(1, 20))
def test_pages_are_the_sorted_list_cut(items: list[int], limit: int) -> None:
    all_items: list[int] = []
    cursor = None
    while True:
        page, cursor = paginate(items, lambda n: (n,), limit, cursor)
        all_items += page
        if cursor is None:
            break
        assert len(page) == limit
    assert all_items == sorted(items)


def test_changes_between_two_pages_move_no_other_row() -> None:
    page, cursor = paginate([1, 2, 3, 4, 5, 6], lambda n: (n,), 2, None)
    assert page == [1, 2]
    page, _ = paginate([0, 1, 4, 5, 6], lambda n: (n,), 2, cursor)
    assert page == [4, 5]


@pytest.mark.parametrize(
    "cursor",
    ["", "%%%", "bm90LWpzb24", encode_cursor("text-key")[:-3] + "!!", encode_cursor([{"a": 1}])],
)  # type: ignore[list-item]
def test_a_cursor_that_no_page_gave_is_refused(cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        paginate([1, 2, 3], lambda n: (n,), 2, cursor)


@given(st.lists(st.one_of(st.integers(-(2**53), 2**53), st.text()), max_size=4))
def test_cursors_read_back(key: list[int | str]) -> None:
    assert decode_cursor(encode_cursor(key)) == key


@given(st.lists(st.text(max_size=5), unique=True, max_size=40), st.integers(1, 20))
def test_a_list_in_an_order_of_its_own_is_cut_in_that_order(items: list[str], limit: int) -> None:
    page, cursor = paginate_preordered(items, str, limit, None)
    while cursor is not None:
        more, cursor = paginate_preordered(items, str, limit, cursor)
        assert 1 <= len(more) <= limit
        page += more
    assert page == items


@pytest.mark.parametrize("cursor", ["", "%%%", encode_cursor([1]), encode_cursor("gone")])
def test_a_place_in_a_list_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        paginate_preordered(["a", "b"], str, 1, cursor)
