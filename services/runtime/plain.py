"""Characters that change how other text is read: they stay in what was sent, and out of what is shown."""

from __future__ import annotations

import re
from typing import Final

_CONTROLS: Final = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_TURNS: Final = r"\u202a-\u202e\u2066-\u2069"
_UNSEEN: Final = re.compile(rf"[{_CONTROLS}{_TURNS}]|\r(?!\n)")
"""Controls but for tabs and ends of lines, and those that turn the direction of writing."""


def show_plain(text: str) -> str:
    """Return words that somebody else wrote with each control replaced by a sign that can be seen.

    Nothing in them moves a cursor, colours a screen or reverses what stands around them.
    """
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)
