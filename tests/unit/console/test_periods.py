"""From when and until when an order holds, in words (D80)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.console.i18n import get_translator
from services.console.reassignment.texts import describe_moment, describe_order_period

SUNDAY = datetime(2027, 11, 14, 2, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "fr", "en"),
    [
        (datetime(2027, 11, 14, 7, 30, tzinfo=UTC), "8 h 30", "8:30"),
        (datetime(2027, 11, 15, 7, 30, tzinfo=UTC), "lundi 8 h 30", "Monday 8:30"),
        (datetime(2027, 11, 22, 7, 5, tzinfo=UTC), "lundi 22/11 8 h 05", "Monday 22/11 8:05"),
    ],
)
def test_a_moment_is_written_as_short_as_is_clear(at: datetime, fr: str, en: str) -> None:
    assert (describe_moment(at, SUNDAY, "fr"), describe_moment(at, SUNDAY, "en")) == (fr, en)


def test_an_immediate_order_is_marked_as_such() -> None:
    assert (
        describe_order_period(SUNDAY, None, SUNDAY, get_translator("fr"))
        == "dès maintenant, jusqu’à nouvel ordre"
    )


def test_an_order_of_an_earlier_version_shows_no_period() -> None:
    assert describe_order_period(None, None, SUNDAY, get_translator("fr")) == ""
