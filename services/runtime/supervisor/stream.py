"""One readable log stream of all processes: each line with the name of its process, in its colour.

A terminal that does not read (Ctrl-S, a stopped pager) must not stop the services: lines go through a bounded queue, and what
does not fit is counted and left out here; the JSON files have everything.
"""

from __future__ import annotations

import io
import queue
import sys
import threading
from typing import TextIO

COLOURS = (36, 35, 34, 33, 32, 96, 95, 94, 93, 92)
NAME_WIDTH = 12
QUEUE_LINES = 5000
FLUSH_S = 2.0


class Stream:
    def __init__(self, out: TextIO = sys.stdout) -> None:
        self.colour = out.isatty()
        self._out = out
        self._queue: queue.Queue[str | None] = queue.Queue(QUEUE_LINES)
        self._colours: dict[str, int] = {}
        self._left_out = 0
        self._thread = threading.Thread(target=self._write_all, name="stream", daemon=True)
        self._thread.start()

    def line(self, name: str, text: str) -> None:
        """Show one line of a process. Never blocks, never raises."""
        prefix = f"{name:<{NAME_WIDTH}}│ "
        if self.colour:
            code = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
            prefix = f"\x1b[{code}m{prefix}\x1b[0m"
        self._put(f"{prefix}{text}\n")

    def plain(self, text: str) -> None:
        """Show text without a name: what `up` says to the person who started it."""
        self._put(text + "\n")

    @property
    def drained(self) -> bool:
        """True when nothing waits to be written."""
        return self._queue.empty()

    def _put(self, text: str) -> None:
        try:
            if self._left_out:
                self._queue.put_nowait(f"… {self._left_out} lines left out: they are in the log files …\n")
                self._left_out = 0
            self._queue.put_nowait(text)
        except queue.Full:
            self._left_out += 1

    def _write_all(self) -> None:
        while (text := self._queue.get()) is not None:
            try:
                self._out.write(text)
                if self._queue.empty():
                    self._out.flush()
            except (OSError, ValueError):
                continue  # the terminal is gone; the services go on

    def close(self) -> None:
        """Write what is queued, for at most FLUSH_S."""
        try:
            self._queue.put(None, timeout=FLUSH_S)
        except queue.Full:
            return
        self._thread.join(FLUSH_S)


class NamedOutput(io.TextIOBase):
    """A text stream whose lines appear under one name: for the supervisor's own logs."""

    def __init__(self, stream: Stream, name: str) -> None:
        self._stream, self._name = stream, name

    def write(self, text: str) -> int:
        for line in text.splitlines():
            self._stream.line(self._name, line)
        return len(text)

    def isatty(self) -> bool:
        return self._stream.colour
