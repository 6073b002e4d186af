"""Check tokens; match foreign regular expressions with RE2, as Alertmanager writes them.

Matching takes linear time: Python's own engine would practically never end for `(a+)+$` and forty
letters, and patterns are matched against foreign data, in the decider too.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2


class PatternInvalid(ValueError):
    """Signal a pattern that RE2 rejects: its syntax, look-around, back-reference or size."""


def matches_whole(pattern: str, text: str, *, any_case: bool = False) -> bool:
    """Return whether the pattern matches the whole text, in linear time.

    An invalid pattern matches nothing.
    """
    try:
        return (
            _compile_pattern(pattern, any_case).fullmatch(text.encode("utf-8", "replace").decode())
            is not None
        )
    except PatternInvalid:
        return False


def check_pattern(pattern: str) -> None:
    """Raise PatternInvalid, with an English explanation, for an invalid pattern."""
    _compile_pattern(pattern, any_case=False)


@lru_cache(maxsize=4096)
def _compile_pattern(pattern: str, any_case: bool) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not any_case
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        what = error.args[0]
        raise PatternInvalid(
            what.decode("utf-8", "replace") if isinstance(what, bytes) else "not UTF-8"
        ) from None
