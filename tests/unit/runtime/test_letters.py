"""Dead letters and places are read past what somebody else wrote on their topics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any, Self

import pytest

from schemas.envelope import Place
from services.runtime.deadletters import DeadLetter, Lane
from services.runtime.letters import read_letters, row_of
from services.runtime.publisher import _place_in
from services.verify.reading import _place_of

LETTER = DeadLetter("l1", Lane.FAILED, "alerts", "92", 5, "input_failed", "why", topic="alerts.inputs", partition=3, offset=7, body=b"{}")
STRANGE = (None, b"", b"junk", b"[]", b"null", b"\xff\n", b'{"id": 1}', LETTER.dump())


class OneTopic:
    """A reader whose topic holds these values."""

    def __init__(self, *_: Any) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def bounds(self, _topic: str, partitions: Any) -> Mapping[int, tuple[int, int]]:
        return dict.fromkeys(partitions, (0, len(STRANGE)))

    async def read(self, _topic: str, _ranges: Any) -> AsyncIterator[Any]:
        for value in STRANGE:
            yield SimpleNamespace(value=value)


async def test_letters_are_listed_past_records_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.runtime.letters.PartitionReader", OneTopic)
    assert [letter async for letter in read_letters("")] == [LETTER]


def test_verify_reads_past_them_too() -> None:
    assert [_place_of(value or b"") for value in STRANGE] == [None] * 7 + [("alerts.inputs", 3, 7)]


@pytest.mark.parametrize("raw", [None, b"", b"\xff", b"alerts/1", b"a/b/c/d/e"])
def test_a_place_that_none_of_ours_wrote_on_a_public_topic_is_none(raw: bytes | None) -> None:
    assert _place_in([("ce_place", raw)]) is None
    assert _place_in([("ce_place", b"alerts/1/0/2/3")]) == Place("alerts", 1, 0, 2, 3)


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (1_795_000_000_000, "2026-11-18T11:06:40.000+00:00"),
        (-1, "1970-01-01T00:00:00.000+00:00"),
        (1_795_000_000_000_000, "9999-12-31T00:00:00.000+00:00"),
        (9_223_372_036_854_775_807, "9999-12-31T00:00:00.000+00:00"),
    ],
)
def test_a_letter_of_any_time_can_be_listed(at: int, shown: str) -> None:
    letter = DeadLetter(id="1", lane=Lane.REFUSED, service="intake", realm="92", at=at, code="invalid", detail="body: json_invalid")
    assert row_of(letter)["at"] == shown
