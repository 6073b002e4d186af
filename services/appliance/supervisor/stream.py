"""Output of `vigie up`: the progress of a start, then the lines of all processes.

If verbose, each line of a process goes to the terminal with its name, in its colour. If quiet, it
goes to `up.log` in the log folder, and the terminal shows the start, warnings and the summary.

A terminal that does not read (Ctrl-S, a stopped pager) must not stop the services. So lines go
through a bounded queue; lines that do not fit are counted and left out here. The JSON files have
everything.
"""

import io
import queue
import re
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, TextIO

COLOURS = (36, 35, 34, 33, 32, 96, 95, 94, 93, 92)
NAME_WIDTH = 12
QUEUE_LINES = 5000
FLUSH_S = 2.0
LOG_BYTES = 10_000_000
"""Size at which the file of a quiet run is rotated; the file before is kept as `up.log.1`."""
_ALERT_LEVEL = re.compile(r"\[(?:\x1b\[[0-9;]*m)*(?:warning|error|critical)\b")
"""Level in a readable log line, perhaps in colour."""
_COLOUR_CODE = re.compile(r"\x1b\[[0-9;]*m")
_CLEAR_LINE = "\r\x1b[K"
REDRAW_S: Final = 0.2
"""Least seconds between two updates of a terminal's line within a step."""
WIDTH: Final = 79


class OutputStream:
    """Output of `vigie up`. `file` gets the lines of the processes in a quiet run."""

    def __init__(self, out: TextIO = sys.stdout, *, verbose: bool = True) -> None:
        self.interactive = out.isatty()
        self.colour = self.interactive and verbose
        self.verbose = verbose
        self.file: Path | None = None
        self._out = out
        self._queue: queue.Queue[tuple[str, bool] | None] = queue.Queue(QUEUE_LINES)
        self._colours: dict[str, int] = {}
        self._left_out = 0
        self._status = ""
        self._log: TextIO | None = None
        self._thread = threading.Thread(target=self._write_all, name="stream", daemon=True)
        self._thread.start()

    def line(self, name: str, text: str) -> None:
        """Show one line of a process. Never blocks, never raises."""
        prefix = f"{name:<{NAME_WIDTH}}│ "
        if self.colour:
            code = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
            prefix = f"\x1b[{code}m{prefix}\x1b[0m"
        self._put(f"{prefix}{text}\n", to_file=not self.verbose)

    def own_line(self, name: str, text: str) -> None:
        """Show a line of the supervisor itself; a quiet run shows its warnings and errors."""
        self.line(name, text)
        if not self.verbose and _ALERT_LEVEL.search(text):
            self.plain(f"  {_COLOUR_CODE.sub('', text).strip()}")

    def plain(self, text: str) -> None:
        """Show text without a name, for the user."""
        self._put(text + "\n")

    def status(self, text: str) -> None:
        """Show a line that the next one replaces; empty = none. For a terminal."""
        self._put(f"{_CLEAR_LINE}{text}")

    def _put(self, text: str, *, to_file: bool = False) -> None:
        try:
            if self._left_out:
                left_out = f"… {self._left_out} lines left out: they are in the log files …\n"
                self._queue.put_nowait((left_out, not self.verbose))
                self._left_out = 0
            self._queue.put_nowait((text, to_file))
        except queue.Full:
            self._left_out += 1

    def _write_all(self) -> None:
        while (item := self._queue.get()) is not None:
            text, to_file = item
            # The terminal or the disk is gone; the services continue.
            with suppress(OSError, ValueError):
                if to_file:
                    self._write_to_file(text)
                else:
                    self._write(text)

    def _write(self, text: str) -> None:
        """Write to the terminal, and draw a status line again below the text."""
        if text.startswith(_CLEAR_LINE):
            self._status = text.removeprefix(_CLEAR_LINE)
            self._out.write(text)
        elif self._status:
            self._out.write(f"{_CLEAR_LINE}{text}{self._status}")
        else:
            self._out.write(text)
        if self._queue.empty() or self._status:
            self._out.flush()

    def _write_to_file(self, text: str) -> None:
        if self.file is None:
            return
        if self._log is None:
            self._log = self.file.open("a", encoding="utf-8", errors="replace")
        self._log.write(text)
        if self._queue.empty():
            self._log.flush()
        if self._log.tell() > LOG_BYTES:
            self._log.close()
            self._log = None
            self.file.replace(self.file.with_name(f"{self.file.name}.1"))

    def close(self) -> None:
        """Write the queued lines, for at most FLUSH_S."""
        try:
            self._queue.put(None, timeout=FLUSH_S)
        except queue.Full:
            return
        self._thread.join(FLUSH_S)
        if self._log is not None and not self._thread.is_alive():
            self._log.close()


class NamedOutput(io.TextIOBase):
    """A text stream for lines under one name, for the supervisor's own logs."""

    def __init__(self, stream: OutputStream, name: str) -> None:
        self._stream, self._name = stream, name

    def write(self, text: str) -> int:
        for line in text.splitlines():
            self._stream.own_line(self._name, line)
        return len(text)

    def isatty(self) -> bool:
        return self._stream.colour


class StartProgress:
    """Display of the current step of the start."""

    def __init__(self, out: OutputStream) -> None:
        self._out = out
        self._step = ""
        self._drawn_at = 0.0
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        """Begin a step: a line of its own in a file, in place on a terminal."""
        self._step = text
        if self._out.interactive:
            self._draw("")
        else:
            self._out.plain(f"  {text} …")

    def detail(self, text: str) -> None:
        """Show the progress of the step, on a terminal only."""
        if self._out.interactive and time.monotonic() - self._drawn_at >= REDRAW_S:
            self._draw(text)

    def clear_line(self) -> None:
        """Clear the terminal's line for the next output."""
        if self._out.interactive:
            self._out.status("")

    def _draw(self, detail: str) -> None:
        self._drawn_at = time.monotonic()
        seconds = round(self._drawn_at - self._began)
        width = min(shutil.get_terminal_size().columns - 1, WIDTH)
        line = f"  {self._step} … {detail}".rstrip()
        self._out.status(f"{line[: width - 6]} {seconds:>3} s")
