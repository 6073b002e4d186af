"""How what a command shows goes to a terminal, or past one."""

from __future__ import annotations

import re
import sys
from typing import Any, Final

from rich.console import Console

PIPED_COLUMNS: Final = 200
"""In a file or a pipe an identifier stays in one piece."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """Words that somebody else wrote: nothing in them moves the cursor or colours the screen. Markup of rich is not looked for (`console`)."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def console(*, markup: bool = False, **options: Any) -> Console:
    """Takes no word for markup or a picture: a headline that held `[/x]` ended the command, `:warning:` became another sign.

    `markup`: for a command that marks its own words, and escapes those of others.
    """
    return Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS, markup=markup, emoji=False, **options)
