"""Pagination by cursor, pure.

The cursor is the sort key of the last item. So a list that changes between two pages skips and
repeats nothing else.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import orjson

from services.runtime.http.problems import ProblemError

T = TypeVar("T")
SortKey = Sequence[int | float | str]
MAX_LIMIT = 1000


class CursorInvalid(ProblemError):
    """A cursor that no page returned."""

    def __init__(self) -> None:
        super().__init__("cursor_invalid")


def encode_cursor(key: SortKey | str) -> str:
    """Return opaque text for `?cursor=`."""
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def decode_cursor(cursor: str) -> list[int | float | str] | str:
    """Decode the text of a cursor. Raises CursorInvalid."""
    try:
        value = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        raise CursorInvalid from None
    if not isinstance(value, list | str):
        raise CursorInvalid
    return value


def paginate(
    items: Iterable[T], key: Callable[[T], SortKey], limit: int, cursor: str | None
) -> tuple[list[T], str | None]:
    """Return (items of this page in ascending order of `key`, cursor of the next page).

    `key` must be unique and of one shape. Raises CursorInvalid.
    """
    pairs = sorted(((tuple(key(item)), item) for item in items), key=lambda pair: pair[0])
    if cursor is not None:
        after = tuple(decode_cursor(cursor))
        try:
            pairs = [pair for pair in pairs if pair[0] > after]
        except TypeError:
            raise CursorInvalid from None
    page_items = pairs[: max(1, min(limit, MAX_LIMIT))]
    more = len(pairs) > len(page_items)
    return [item for _, item in page_items], encode_cursor(page_items[-1][0]) if more else None


def paginate_preordered(
    items: Sequence[T], key: Callable[[T], str], limit: int, cursor: str | None
) -> tuple[list[T], str | None]:
    """Return a page like `paginate`, for items that keep their own order.

    The cursor is the key of the last item. Raises CursorInvalid, also if that item is gone.
    """
    start = 0
    if cursor is not None:
        last = decode_cursor(cursor)
        start = next((n for n, item in enumerate(items, start=1) if key(item) == last), 0)
        if start == 0:
            raise CursorInvalid
    page_items = list(items[start : start + max(1, min(limit, MAX_LIMIT))])
    return page_items, encode_cursor(key(page_items[-1])) if start + len(page_items) < len(
        items
    ) else None
