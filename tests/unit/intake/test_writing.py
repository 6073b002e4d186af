"""Head and body of an answer leave together, or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

from services.intake.http.response_buffering import FLUSH_BYTES, CoalescingTransport


class Transport:
    def __init__(self) -> None:
        self.done: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.done


def joined() -> tuple[Any, Transport]:
    inner = Transport()
    return CoalescingTransport(inner, asyncio.get_running_loop()), inner


async def test_what_is_written_in_one_turn_goes_out_in_one_write() -> None:
    outer, inner = joined()
    outer.write(b"head")
    outer.write(b"body")
    assert inner.done == []
    await asyncio.sleep(0)
    assert inner.done == [b"headbody"]
    outer.write(b"next")
    await asyncio.sleep(0)
    assert inner.done == [b"headbody", b"next"]


async def test_a_close_comes_after_what_waits_and_nothing_is_written_twice() -> None:
    outer, inner = joined()
    outer.write(b"last")
    outer.close()
    await asyncio.sleep(0)
    assert inner.done == [b"last", "closed"]
    assert outer.is_closing()


async def test_a_stream_flows_on() -> None:
    outer, inner = joined()
    outer.write(b"x" * (FLUSH_BYTES - 1))
    assert inner.done == []
    outer.write(b"yz")
    assert (
        b"".join(p for p in inner.done if isinstance(p, bytes)) == b"x" * (FLUSH_BYTES - 1) + b"yz"
    )
