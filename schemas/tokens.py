"""The form of words that permanent logs hold (D58): codes, ids and numbers, no sentence and no name."""

from __future__ import annotations

import re
from typing import Final

TOKEN: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def is_token(word: str) -> bool:
    """Return True for a word that may stand on a log."""
    return TOKEN.fullmatch(word) is not None
