"""Progress of a start for the user: one line on a terminal, short lines elsewhere."""

from __future__ import annotations

import shutil
import time
from typing import Final, Protocol

REDRAW_S: Final = 0.2
"""Least seconds between two updates of a terminal's line within a step."""
WIDTH: Final = 79


class ProgressOutput(Protocol):
    """The part of `OutputStream` that this needs."""

    @property
    def interactive(self) -> bool: ...

    def plain(self, text: str) -> None: ...

    def status(self, text: str) -> None: ...


class StartProgress:
    """Display of the current step of the start."""

    def __init__(self, out: ProgressOutput) -> None:
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
