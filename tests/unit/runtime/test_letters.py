"""Dead letters and positions are read past foreign records on their topics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Self

import pytest

from schemas.runtime import RealmOpened
from schemas.topics import PARTITION_COUNT, partition_of
from schemas.wire import Place
from services.runtime.kafka.clients import build_headers, encode_message
from services.runtime.kafka.dead_letters import (
    DeadLetter,
    DeadLetterKind,
    build_replay_headers,
    build_row,
    read_dead_letters,
)
from services.runtime.testing import MemoryService
from services.runtime.worker.publisher import _read_place
from services.verify.reading import _locate_input
from tests.faults.runtime.toy import EchoDecider, ToyEscalated

LETTER = DeadLetter(
    "l1",
    DeadLetterKind.FAILED,
    "alerts",
    "92",
    5,
    "input_failed",
    "why",
    topic="alerts.inputs",
    partition=3,
    offset=7,
    body=b"{}",
)
STRANGE = (None, b"", b"junk", b"[]", b"null", b"\xff\n", b'{"id": 1}', LETTER.dump())


class OneTopic:
    """Reader with a topic of these values."""

    def __init__(self, *_: Any) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def bounds(self, _topic: str, partitions: Any) -> Mapping[int, tuple[int, int]]:
        return dict.fromkeys(partitions, (0, len(STRANGE)))

    async def read(self, _topic: str, _ranges: Any) -> AsyncIterator[Any]:
        for value in STRANGE:
            yield SimpleNamespace(value=value)


async def test_letters_are_listed_past_records_that_are_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.runtime.kafka.dead_letters.PartitionReader", OneTopic)
    assert [letter async for letter in read_dead_letters("")] == [LETTER]


def test_verify_reads_past_them_too() -> None:
    assert [_locate_input(value or b"") for value in STRANGE] == [None] * 7 + [
        ("alerts.inputs", 3, 7)
    ]


@pytest.mark.parametrize("raw", [None, b"", b"\xff", b"alerts/1", b"a/b/c/d/e"])
def test_a_place_that_none_of_ours_wrote_on_a_public_topic_is_none(raw: bytes | None) -> None:
    assert _read_place([("ce_place", raw)]) is None
    assert _read_place([("ce_place", b"alerts/1/0/2/3")]) == Place("alerts", 1, 0, 2, 3)


def test_a_forwarded_fact_that_failed_takes_effect_when_it_is_offered_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A replay of a failed notification had no effect, because the watermark had passed it."""
    echo, p = MemoryService(EchoDecider()), partition_of("92", PARTITION_COUNT)
    opened = RealmOpened(territory="92", title_code="live", started_at=0, lineage="92")
    echo.feed("92", opened, place=Place("toy", p, 0, 1, 0), place_hash="a")
    fact, place = ToyEscalated(incident="i", rung=1), Place("toy", p, 0, 2, 0)
    with monkeypatch.context() as broken:
        broken.setattr(EchoDecider, "decide", lambda *_: [].pop())
        assert (
            echo.feed("92", fact, id="f1", place=place, place_hash="b").facts[0].name
            == "InputFailed"
        )
    fact_headers = build_headers(
        fact.wire_type(), id="f1", source="/toy", place=place, place_hash="b"
    )
    letter = replace(
        LETTER,
        input_id="f1",
        headers={name: (value or b"").decode() for name, value in fact_headers},
    )
    for _ in range(2):
        echo.feed_raw(p, b"92", encode_message(fact), build_replay_headers(letter))
    assert echo.state("92").counts["i"] == 1
    unknown = replace(letter, headers={}, input_id=None)
    assert build_replay_headers(unknown, "vigie.ToyAck.v1") == [
        ("ce_type", b"vigie.ToyAck.v1"),
        ("ce_id", b"l1"),
    ]


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
    letter = DeadLetter(
        id="1",
        lane=DeadLetterKind.REFUSED,
        service="intake",
        realm="92",
        at=at,
        code="invalid",
        detail="body: json_invalid",
    )
    assert build_row(letter)["at"] == shown
