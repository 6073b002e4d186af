"""Many readers of one live stream in a nearly idle process.

It measures the speed of the product, not of a parsing client. `python -m tests.bench.crowd ADDRESS
REALM COUNT TOKEN…` Reader n shows token n modulo their number; each connects after the greeting of
the one before, and reads from then on. It prints a line once all listen; a line on its input
announces the last change: then it waits until all have the same last id, and prints each reader's
events (JSON). An event counts as read when its bytes leave the socket. Equal pieces are unpacked
and parsed once: each of five hundred browsers has its own processor.
"""

from __future__ import annotations

import select
import socket
import sys
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import orjson

from services.console.http.compression import STREAM_HEAD
from services.runtime.process.settings import split_host_port

PIECE: Final = 1 << 18
END_S: Final = 30.0
FLUSHED: Final = b"\x00\x00\xff\xff"
"""The end of a compressed piece (RFC 1951 3.2.4)."""


@lru_cache(maxsize=256)
def unpacked(piece: bytes) -> bytes:
    """Return the frames of one compressed piece."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(piece)


@lru_cache(maxsize=256)
def told(frames: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (entry ids, event names) of whole frames."""
    ids, events = [], []
    for line in frames.split(b"\n"):
        if line.startswith(b"id: "):
            ids.append(line.rpartition(b".")[2].decode())
        elif line.startswith(b"event: "):
            events.append(line[7:].decode())
    return tuple(ids), tuple(events)


@dataclass
class Reader:
    """One browser: its events, with the delay after each entry reached the store (ms)."""

    sock: socket.socket
    raw: bytes = b""
    """Received bytes, still incomplete: the head, or a piece of the chunked body."""
    packed: bytes = b""
    """The same of the compressed pieces in it."""
    answered: bool = False
    begun: bool = False
    ids: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    delays: list[int] = field(default_factory=list)

    @classmethod
    def ask(cls, address: str, realm: str, token: str) -> Reader:
        sock = socket.create_connection(split_host_port(address))
        lines = (
            f"GET /api/v1/stream?realm={realm} HTTP/1.1",
            "Host: vigie",
            f"Authorization: Bearer {token}",
            "Accept: text/event-stream",
            "Accept-Encoding: gzip",
            "",
            "",
        )
        sock.sendall("\r\n".join(lines).encode())
        sock.setblocking(False)
        return cls(sock)

    def take(self) -> None:
        """Take the bytes of the socket."""
        piece, now, at = self.sock.recv(PIECE), int(time.time() * 1000), 0
        assert piece, "the stream was cut"
        raw, parts = self.raw + piece, [self.packed]
        if not self.answered:
            head, end, raw = raw.partition(b"\r\n\r\n")
            if not end:
                self.raw = head
                return
            assert b" 200 " in head.partition(b"\r\n")[0], head
            self.answered = True
        while (line := raw.find(b"\r\n", at)) >= 0 and len(raw) >= (
            last := line + 2 + int(raw[at:line], 16)
        ) + 2:
            parts.append(raw[line + 2 : last])
            at = last + 2
        self.raw = raw[at:]
        self._hear(b"".join(parts), now)

    def _hear(self, packed: bytes, now: int) -> None:
        if not self.begun and packed:
            packed, self.begun = packed.removeprefix(STREAM_HEAD), True
        at = end = 0
        while (end := packed.find(FLUSHED, end) + len(FLUSHED)) >= len(FLUSHED):
            if not (frames := unpacked(packed[at:end])).endswith(b"\n\n"):
                continue  # the mark, by chance
            at = end
            ids, events = told(frames)
            if self.ids:  # the first is that of `hello`: where the stream stands
                self.delays += [now - int(id.partition("-")[0]) for id in ids]
            self.ids += ids
            self.events.update(events)
        self.packed = packed[at:]


def follow(address: str, realm: str, count: int, tokens: list[str]) -> list[Reader]:
    """Follow with all readers until a line on the input and the last change for all."""
    readers: dict[int, Reader] = {}
    poll, until, greeted = select.epoll(), None, True
    poll.register(sys.stdin, select.EPOLLIN)
    while until is None or (
        len({r.ids[-1] for r in readers.values()}) > 1 and time.monotonic() < until
    ):
        if greeted and len(readers) < count:
            newest = Reader.ask(address, realm, tokens[len(readers) % len(tokens)])
            readers[newest.sock.fileno()], greeted = newest, False
            poll.register(newest.sock, select.EPOLLIN)
        for number, _ in poll.poll(0.1):
            if number in readers:
                readers[number].take()
            else:
                poll.unregister(sys.stdin)
                until = time.monotonic() + END_S
        if not greeted and newest.ids:
            greeted = True
            if len(readers) == count:
                print("all listen", flush=True)
    return list(readers.values())


def main() -> None:
    """Run the command line."""
    address, realm, count, *tokens = sys.argv[1:]
    readers = follow(address, realm, int(count), tokens)
    sys.stdout.buffer.write(
        orjson.dumps([{"ids": r.ids, "events": r.events, "delays": r.delays} for r in readers])
    )


if __name__ == "__main__":
    main()
