"""Frames of the live stream have ids of one epoch; hidden rows advance them, queues are bounded."""

from __future__ import annotations

import zlib

import pytest

from services.console.http.compression import STREAM_HEAD
from services.console.live import stream
from services.console.live.stream import (
    EncodedFrames,
    Frame,
    Subscriber,
    build_event_id,
    build_hello,
    parse_entry_id,
    parse_event_id,
)


def test_ids_of_another_epoch_are_foreign() -> None:
    id = build_event_id("e1", "17-3")
    assert parse_event_id(id, "e1") == "17-3"
    for other in (
        build_event_id("e2", "17-3"),
        "17-3",
        "e1.17",
        "e1.x-1",
        "e1.1-" + "9" * 30,
        "",
        None,
    ):
        assert parse_event_id(other, "e1") is None


def test_entries_are_ordered_by_number_not_by_text() -> None:
    assert (
        parse_entry_id("9-0")
        < parse_entry_id("10-0")
        < parse_entry_id("10-2")
        < parse_entry_id("10-10")
    )


def test_a_hidden_or_empty_frame_only_advances_the_id() -> None:
    assert Frame("log", b"{}", "1-0").encode("e", is_hidden=True) == b"id: e.1-0\n\n"
    assert Frame("", b"", "1-0").encode("e") == b"id: e.1-0\n\n"
    assert Frame("log", b"{}").encode("e", is_hidden=True) == b""
    assert Frame("sites", b"{}", "1-0").encode("e") == b"id: e.1-0\nevent: sites\ndata: {}\n\n"


def test_the_first_frame_gives_the_position_of_the_stream() -> None:
    frame = build_hello("e", "5-0", "92").decode()
    assert frame.startswith("id: e.5-0\nevent: hello\ndata: {")
    assert '"server_time"' in frame


def test_a_full_queue_is_dropped_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_QUEUED", 3)
    slow = Subscriber("fr")
    for n in range(10):
        slow.put(EncodedFrames(b"%d" % n))
    assert slow.has_overflowed
    assert not slow.frames


def test_the_same_compressed_bytes_serve_every_reader() -> None:
    news, greeting = (
        EncodedFrames(b"id: e.2-0\nevent: sites\ndata: {}\n\n" * 50),
        b"event: hello\n\n",
    )
    for before in (
        [],
        [EncodedFrames(b"event: sites\n\n")],
        [EncodedFrames(b"id: e.1-0\n\n" * 999)],
    ):
        browser = Subscriber("fr", gzip=True)
        for piece in (EncodedFrames(greeting), *before, news):
            browser.put(piece)
        assert browser.frames[-1] is news.compressed_bytes, "one object for all"
        assert len(news.compressed_bytes) < len(news.plain) / 10
        reading = zlib.decompressobj(zlib.MAX_WBITS | 16)
        read = [reading.decompress(frame) for frame in (STREAM_HEAD, *browser.frames)]
        assert read == [b"", greeting, *(p.plain for p in before), news.plain], (
            "each is whole as soon as it has come"
        )


def test_pings_do_not_queue() -> None:
    away = Subscriber("fr")
    for _ in range(3):
        away.put(EncodedFrames(b"ping", count=0))
    assert list(away.frames) == [b"ping"], "an old one says nothing of now"
    away.put(EncodedFrames(b"news"))
    assert away.drain() == b"pingnews"
