"""Define tokens: codes, ids and numbers that permanent logs may hold, no sentence and no name.

Rule D58.
"""

from __future__ import annotations

import re
from typing import Final

TOKEN: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def is_token(word: str) -> bool:
    """Return whether a permanent log may hold a word."""
    return TOKEN.fullmatch(word) is not None
